"""Giving the free pages of the host's database back to the file system, while no host runs.

A copy without them is written beside it, compared with it, and takes its place in one step. Until then the
database is only read. What must not live here: SQLite, file descriptors, output.
"""

from __future__ import annotations

import contextlib
import enum
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from hermes_retention.disk.directories import Directory
from hermes_retention.disk.moving import remove_own_entry
from hermes_retention.home.home import Home
from hermes_retention.home.workspace import FOLDER, free_bytes
from hermes_retention.model.errors import CompactionFailed, CompactionRefused, RetentionError
from hermes_retention.model.text import words
from hermes_retention.stores.hermes.compact import compaction
from hermes_retention.stores.hermes.compact import preconditions as obstacles
from hermes_retention.stores.hermes.compact import swap as swapping
from hermes_retention.stores.hermes.compact.compaction import NOTHING, Figures
from hermes_retention.stores.hermes.state_db import DATABASE

COMPACT_ABOVE = 0.25
"""The free share from which compacting is worth it."""
_PART = "compact"


class Stage(enum.StrEnum):
    """What is being done, for whoever watches."""

    CHECK = "checking the database"
    COPY = "copying what is used"
    MERGE = "merging the search indexes"
    VERIFY = "comparing the copy with the original"
    SWAP = "putting the copy in its place"


class CompactReport(msgspec.Struct, frozen=True, kw_only=True):
    """What compacting did, or would do. Sizes are bytes of the database and its log."""

    database: str
    dry_run: bool
    compacted: bool
    """``False`` too for a dry run."""
    worthwhile: bool
    """Whether the free share reaches ``above``; nothing was done if not."""
    free_share: float
    above: float
    bytes_before: int
    bytes_after: int
    """Measured; the most that it would be after a dry run."""
    seconds: float
    warnings: tuple[str, ...] = ()


class _Job(msgspec.Struct, frozen=True):
    """A database that may be compacted."""

    path: Path
    figures: Figures
    merge: bool
    """Whether there is room for the second copy that merging the indexes needs."""


Observer = Callable[[Stage], None]


def preview(
    site: Home, *, above: float = COMPACT_ABOVE, environ: Mapping[str, str] = os.environ
) -> CompactReport:
    """What ``compact`` would do now, and the errors that it would raise. Makes no file.

    For an instant it takes the database's lock, to see whether anybody else has it.
    """
    watch, path = _Stopwatch(), _database(site)
    with _system_errors_told(path):
        site.workspace.check()
        figures, size = _figures(path), _size(path)
        worthwhile = figures.free_share >= above
        job = _examine(site, path, figures, environ) if worthwhile else None
    return CompactReport(
        database=str(path),
        dry_run=True,
        compacted=False,
        worthwhile=worthwhile,
        free_share=figures.free_share,
        above=above,
        bytes_before=size,
        bytes_after=size if job is None else min(size, figures.used_bytes),
        seconds=watch.seconds(),
        warnings=() if job is None else _about(job),
    )


def compact(
    site: Home,
    *,
    above: float = COMPACT_ABOVE,
    environ: Mapping[str, str] = os.environ,
    observer: Observer = lambda _: None,
) -> CompactReport:
    """Rewrite the database without its free pages, unless fewer than ``above`` of its pages are free.

    Raises ``DatabaseInUse`` while a gateway or any other process works with it, ``CompactionRefused`` when it
    is replicated, cannot be written, or the disk lacks the room, ``StoreUnreadable`` when it is damaged,
    ``SweepRunning`` while a sweep runs: nothing was changed then. Killed at any instant, the database is
    complete under its name, before or after, and the next run removes what is left over.
    """
    watch, path = _Stopwatch(), _database(site)
    with _system_errors_told(path):
        report = _compact(site, path, above, environ, observer)
    return msgspec.structs.replace(report, dry_run=False, seconds=watch.seconds())


def _compact(
    site: Home, path: Path, above: float, environ: Mapping[str, str], observer: Observer
) -> CompactReport:
    if not (site.workspace.root / _PART).exists():  # else something may be left to clear up
        first_look = preview(site, above=above, environ=environ)
        if not first_look.worthwhile:
            return first_look
    site.workspace.check()
    with site.workspace.locked(), _system_errors_told(path):
        recover(site)
        report = preview(site, above=above, environ=environ)
        if report.worthwhile:
            job = _examine(site, path, _figures(path), environ)
            with _folder(site, path) as folder, Directory.open(site.path) as home:
                _replace(job, home, folder, observer)
                _finish(job.path, folder)
            report = msgspec.structs.replace(report, compacted=True, bytes_after=_size(path))
    return report


def recover(site: Home) -> None:
    """Clear up what a killed ``compact`` left; the lock of the home is held.

    Raises ``CompactionRefused`` when a person must settle which database is the right one.
    """
    try:
        folder = Directory.open(site.path, FOLDER, _PART)
    except FileNotFoundError:
        return
    with folder, Directory.open(site.path) as home:
        swapping.recover(home, folder)


def _database(site: Home) -> Path:
    if site.store.name != "hermes":
        raise CompactionRefused(str(site.path), "its sessions are not in a database", consequence=NOTHING)
    return site.path / DATABASE


def _figures(path: Path) -> Figures:
    found = compaction.figures(path)
    if found is None:
        raise CompactionRefused(
            str(path),
            "there is no such database",
            consequence=NOTHING,
            cure="Name the home with --home DIR or HERMES_HOME; by default it is ~/.hermes.",
        )
    return found


def _examine(site: Home, path: Path, figures: Figures, environ: Mapping[str, str]) -> _Job:
    """All that can be known beforehand. Raises what speaks against it; only reads."""
    obstacles.require_free_way(path, figures, environ)
    copies = obstacles.room_for_copies(path, figures, free_bytes(site.path))
    return _Job(path, figures, merge=bool(figures.indexes) and copies > 1)


def _about(job: _Job) -> tuple[str, ...]:
    if job.merge or not job.figures.indexes:
        return ()
    why = "too little room to merge the search indexes as well, which often frees as much again"
    return (f"{job.path}: {why}. Run it once more afterwards.",)


@contextlib.contextmanager
def _folder(site: Home, path: Path) -> Iterator[Directory]:
    """Where the copies lie; emptied at the end."""
    with Directory.create(site.path, FOLDER, _PART) as folder:
        if os.fstat(folder.descriptor).st_dev != path.lstat().st_dev:
            raise CompactionRefused(
                str(folder.path),
                "it lies on another file system than the database, so nothing could be exchanged in one step",
                consequence=NOTHING,
                cure=f"Mount only {site.workspace.vault.root} there.",
            )
        try:
            yield folder
        finally:
            with contextlib.suppress(OSError):  # the next run removes it
                swapping.clear(folder)


def _replace(job: _Job, home: Directory, folder: Directory, observer: Observer) -> None:
    seen = _write_copy(job, folder, observer)
    observer(Stage.SWAP)
    swapping.seal(folder, swapping.NEW, job.path.lstat())
    swapping.swap(home, folder, seen)


@contextlib.contextmanager
def _system_errors_told(path: Path) -> Iterator[None]:
    """What the operating system refuses becomes ``CompactionRefused``."""
    try:
        yield
    except OSError as error:
        why = f"the system refused ({words(error)})"
        cure = "Check the free space and the rights in its directory."
        raise CompactionRefused(str(path), why, consequence=NOTHING, cure=cure) from error


def _write_copy(job: _Job, folder: Directory, observer: Observer) -> swapping.Stamp:
    """Make ``NEW`` and prove it; returns what the database looked like meanwhile."""
    observer(Stage.CHECK)
    with compaction.opened(job.path) as database:
        compaction.settle(database, job.path)
        compaction.require_sound(database, job.path)
        seen, version = swapping.stamp(job.path), compaction.pragma(database, "data_version")
        mode = str(compaction.pragma(database, "journal_mode"))
        contents = compaction.read_contents(database)
        observer(Stage.COPY)
        first = swapping.SCRATCH if job.merge else swapping.NEW
        compaction.copy_into(database, swapping.make_private_file(folder, first))
        if compaction.pragma(database, "data_version") != version:
            raise compaction.in_use(job.path, "another process wrote to it while it was copied")
    if job.merge:
        observer(Stage.MERGE)
        _merge(job, folder)
    observer(Stage.VERIFY)
    new = folder.path / swapping.NEW
    compaction.prove_same(new, contents, journal_mode=mode, of=job.path)
    return seen


def _merge(job: _Job, folder: Directory) -> None:
    """From ``SCRATCH`` to ``NEW``, with the full-text indexes merged."""
    scratch = folder.path / swapping.SCRATCH
    compaction.merge_indexes(scratch, of=job.path)
    with compaction.opened(scratch, of=job.path) as database:
        compaction.copy_into(database, swapping.make_private_file(folder, swapping.NEW))
    remove_own_entry(folder, swapping.SCRATCH)


def _finish(path: Path, folder: Directory) -> None:
    """Look at the new database in its place, then let go of the old one."""
    try:
        compaction.require_in_place(path)
    except RetentionError as error:
        kept = str(folder.path / swapping.OLD)
        raise CompactionFailed(
            str(path),
            f"compacted, it cannot be read ({error.why})",
            consequence=f"the one from before is kept as {kept}",
            cure="Stop the host and move that one back.",
        ) from error
    try:
        remove_own_entry(folder, swapping.OLD)
    except OSError as error:
        raise CompactionFailed(
            str(folder.path / swapping.OLD),
            f"it cannot be removed ({words(error)})",
            consequence="the database is compacted; the one from before takes space until the next run",
        ) from error


def _size(path: Path) -> int:
    """Bytes of the database and its log."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(it.stat().st_size for it in files if it.exists())


class _Stopwatch:
    """How long it takes, by a clock that nobody can set."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        return round(time.perf_counter() - self._start, 3)
