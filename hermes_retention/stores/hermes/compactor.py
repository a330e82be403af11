"""The host's database as something that can be made smaller: what ``Store.compactor`` gives.

One thing that speaks against rewriting it is Litestream, which copies the write-ahead log as it grows. A
database that is replaced below it no longer fits what was copied, and a restore from such a replica is
damaged. What must not live here: whether it is worth it, the lock of the home, and SQL.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from hermes_retention.disk.directories import Directory
from hermes_retention.disk.writing import remove_own_entry
from hermes_retention.model.errors import CompactionFailed, CompactionRefused, RetentionError
from hermes_retention.model.text import format_size, words
from hermes_retention.stores.base import CompactObserver, Compactor, CompactStage
from hermes_retention.stores.hermes import compaction, swap
from hermes_retention.stores.hermes.compaction import NOTHING, Figures
from hermes_retention.stores.hermes.processes import running_gateway


class _Job(msgspec.Struct, frozen=True):
    """A database that may be compacted."""

    path: Path
    figures: Figures
    merge: bool
    """Whether there is room for the second copy that merging the indexes needs."""


class HermesCompactor(Compactor):
    """Rewrites ``state.db``."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path, self._environ = path, environ

    @property
    def database(self) -> Path:
        """The database."""
        return self._path

    def size_bytes(self) -> int:
        """Bytes of the database and its log."""
        files = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        return sum(path.stat().st_size for path in files if path.exists())

    def examine(self, free_bytes: int | None) -> tuple[str, ...]:
        """All that can be known beforehand. Raises what speaks against it; only reads."""
        job = self._job(free_bytes)
        if job.merge or not job.figures.indexes:
            return ()
        why = "too little room to merge the search indexes as well, which often frees as much again"
        return (f"{self._path}: {why}. Run it once more afterwards.",)

    def rewrite(self, folder: Directory, free_bytes: int | None, observer: CompactObserver) -> None:
        """Copy, compare, exchange, look at it in its place, and only then let go of the old one."""
        try:
            with Directory.open(self._path.parent) as home:
                _replace(self._job(free_bytes), home, folder, observer)
            _finish(self._path, folder)
        finally:
            with contextlib.suppress(OSError):  # the next run removes it
                swap.clear(folder)

    def recover(self, folder: Directory) -> None:
        """Clear up what a killed run left. Raises ``CompactionRefused`` when a person must settle it."""
        with Directory.open(self._path.parent) as home:
            swap.recover(home, folder)

    def _job(self, free_bytes: int | None) -> _Job:
        figures = compaction.figures(self._path)
        if figures is None:
            raise CompactionRefused(str(self._path), "there is no such database", consequence=NOTHING)
        _require_free_way(self._path, figures, self._environ)
        copies = _room_for_copies(self._path, figures, free_bytes)
        return _Job(self._path, figures, merge=bool(figures.indexes) and copies > 1)


def _replace(job: _Job, home: Directory, folder: Directory, observer: CompactObserver) -> None:
    seen = _write_copy(job, folder, observer)
    observer(CompactStage.SWAP)
    swap.seal(folder, swap.NEW, job.path.lstat())
    swap.swap(home, folder, seen)


def _write_copy(job: _Job, folder: Directory, observer: CompactObserver) -> swap.Stamp:
    """Make ``NEW`` and prove it; returns what the database looked like meanwhile."""
    observer(CompactStage.CHECK)
    with compaction.opened(job.path) as database:
        compaction.settle(database, job.path)
        compaction.require_sound(database, job.path)
        seen, version = swap.stamp(job.path), compaction.pragma(database, "data_version")
        mode = str(compaction.pragma(database, "journal_mode"))
        contents = compaction.read_contents(database)
        observer(CompactStage.COPY)
        first = swap.SCRATCH if job.merge else swap.NEW
        compaction.copy_into(database, swap.make_private_file(folder, first))
        if compaction.pragma(database, "data_version") != version:
            raise compaction.in_use(job.path, "another process wrote to it while it was copied")
    if job.merge:
        observer(CompactStage.MERGE)
        _merge(job, folder)
    observer(CompactStage.VERIFY)
    new = folder.path / swap.NEW
    compaction.prove_same(new, contents, journal_mode=mode, of=job.path)
    return seen


def _merge(job: _Job, folder: Directory) -> None:
    """From ``SCRATCH`` to ``NEW``, with the full-text indexes merged."""
    scratch = folder.path / swap.SCRATCH
    compaction.merge_indexes(scratch, of=job.path)
    with compaction.opened(scratch, of=job.path) as database:
        compaction.copy_into(database, swap.make_private_file(folder, swap.NEW))
    remove_own_entry(folder, swap.SCRATCH)


def _finish(path: Path, folder: Directory) -> None:
    """Look at the new database in its place, then let go of the old one."""
    try:
        compaction.require_in_place(path)
    except RetentionError as error:
        kept = str(folder.path / swap.OLD)
        raise CompactionFailed(
            str(path),
            f"compacted, it cannot be read ({error.why})",
            consequence=f"the one from before is kept as {kept}",
            cure="Stop the host and move that one back.",
        ) from error
    try:
        remove_own_entry(folder, swap.OLD)
    except OSError as error:
        raise CompactionFailed(
            str(folder.path / swap.OLD),
            f"it cannot be removed ({words(error)})",
            consequence="the database is compacted; the one from before takes space until the next run",
        ) from error


_SLACK_BYTES = 16 * 2**20
TABLES = frozenset({"_litestream_seq", "_litestream_lock"})
SYSTEM_CONFIGURATION = Path("/etc/litestream.yml")


def _require_free_way(path: Path, figures: Figures, environ: Mapping[str, str]) -> None:
    """Raise ``CompactionRefused`` or ``DatabaseInUse`` when the database may not be rewritten now."""
    _require_unreplicated(path, figures, environ)
    _require_rights(path)
    gateway = running_gateway(path.parent)
    if gateway is not None:
        raise compaction.in_use(path, f"{gateway} runs")
    swap.require_unused(path)


def _room_for_copies(path: Path, figures: Figures, free_bytes: int | None) -> int:
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
