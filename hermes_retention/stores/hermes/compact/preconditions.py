"""What speaks against rewriting the host's database right now. Only looks.

One thing is Litestream, which copies the write-ahead log as it grows. A database that is replaced below it no
longer fits what was copied, and a restore from such a replica is damaged. What must not live here: whether it
is worth it, and the rewriting.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from hermes_retention.model.errors import CompactionRefused
from hermes_retention.model.text import format_size
from hermes_retention.stores.hermes.compact.compaction import NOTHING, Figures, in_use
from hermes_retention.stores.hermes.compact.processes import running_gateway
from hermes_retention.stores.hermes.compact.swap import require_unused

_SLACK_BYTES = 16 * 2**20
TABLES = frozenset({"_litestream_seq", "_litestream_lock"})
SYSTEM_CONFIGURATION = Path("/etc/litestream.yml")


def require_free_way(path: Path, figures: Figures, environ: Mapping[str, str]) -> None:
    """Raise ``CompactionRefused`` or ``DatabaseInUse`` when the database may not be rewritten now."""
    _require_unreplicated(path, figures, environ)
    _require_rights(path)
    gateway = running_gateway(path.parent)
    if gateway is not None:
        raise in_use(path, f"{gateway} runs")
    require_unused(path)


def room_for_copies(path: Path, figures: Figures, free_bytes: int | None) -> int:
    """How many copies fit at a time, one or two. Raises ``CompactionRefused`` when not even one does."""
    once = figures.used_bytes + figures.used_bytes // 20 + _SLACK_BYTES
    if free_bytes is None or free_bytes >= once + figures.used_bytes:
        return 2
    if free_bytes >= once:
        return 1
    raise CompactionRefused(
        str(path),
        f"the copy may need {format_size(once)} and the file system has {format_size(free_bytes)} free",
        consequence=NOTHING,
        cure="Make room for it first; the copy replaces the database, so the room comes back.",
    )


def _require_unreplicated(path: Path, figures: Figures, environ: Mapping[str, str]) -> None:
    replica = _replication_of(path, figures.tables, environ)
    if replica is not None:
        raise CompactionRefused(
            str(path),
            f"{replica}, and replacing the database below it would damage the replica",
            consequence=NOTHING,
            cure="The host reuses its free pages; or stop Litestream for good and remove its traces.",
        )


def _require_rights(path: Path) -> None:
    status, me = path.lstat(), os.geteuid()
    if me not in (0, status.st_uid):
        why = f"it belongs to another user (id {status.st_uid}, not {me})"
    elif not status.st_mode & stat.S_IWUSR or not os.access(path, os.W_OK):
        why = "it is read-only"
    elif not os.access(path.parent, os.W_OK):
        why = "its directory is read-only"
    else:
        return
    cure = "Run it as the user who owns the home."
    raise CompactionRefused(str(path), why, consequence=NOTHING, cure=cure)


def _replication_of(database: Path, tables: Collection[str], environ: Mapping[str, str]) -> str | None:
    """What shows that Litestream replicates ``database``, ``None`` when nothing does.

    ``tables`` are the names of those in it. A configuration that cannot be read says nothing.
    """
    directory = database.with_name(f".{database.name}-litestream")
    if directory.is_dir():
        return f"Litestream keeps its position in {directory}"
    marks = sorted(TABLES.intersection(tables))
    if marks:
        return f"it has Litestream's table {marks[0]}"
    for path in _configurations(database.parent, environ):
        if any(_is_same(named, database) for named in _named_in(path, environ)):
            return f"{path} names it"
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
