"""Whether Litestream replicates a database: then nobody else may rewrite it.

Litestream copies the write-ahead log as it grows. A database that is replaced below it no longer fits what
was copied, and a restore from such a replica is damaged.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from hermes_retention.model.text import printable

TABLES = frozenset({"_litestream_seq", "_litestream_lock"})
SYSTEM_CONFIGURATION = Path("/etc/litestream.yml")


def replication_of(database: Path, tables: Collection[str], environ: Mapping[str, str]) -> str | None:
    """What shows that Litestream replicates ``database``, ``None`` when nothing does.

    ``tables`` are the names of those in it. A configuration that cannot be read says nothing.
    """
    directory = database.with_name(f".{database.name}-litestream")
    if directory.is_dir():
        return f"Litestream keeps its position in {printable(str(directory))}"
    marks = sorted(TABLES.intersection(tables))
    if marks:
        return f"it has Litestream's table {marks[0]}"
    for path in _configurations(database.parent, environ):
        if any(_is_same(named, database) for named in _named_in(path, environ)):
            return f"{printable(str(path))} names it"
    return None


def _configurations(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    if environ.get("LITESTREAM_CONFIG"):
        yield Path(environ["LITESTREAM_CONFIG"])
    yield SYSTEM_CONFIGURATION
    yield from (folder / "litestream.yml" for folder in (home, home.parent))


def _named_in(path: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    """The databases of a configuration: ``dbs: [{path: …}]``, or ``dir: …`` for all in a directory."""
    from hermes_retention.stores.hermes.config import parse_yaml

    try:
        content = parse_yaml(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError):
        return
    entries = content.get("dbs") if isinstance(content, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        if isinstance(entry.get("path"), str):
            yield _expanded(entry["path"], environ)
        if isinstance(entry.get("dir"), str):
            yield _expanded(entry["dir"], environ) / "state.db"


def _expanded(text: str, environ: Mapping[str, str]) -> Path:
    """Litestream replaces ``$NAME`` and ``${NAME}``, and follows ``~``."""
    for name in sorted(environ, key=len, reverse=True):
        text = text.replace(f"${{{name}}}", environ[name]).replace(f"${name}", environ[name])
    return Path(os.path.expanduser(text))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False
