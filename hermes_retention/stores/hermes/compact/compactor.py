"""The host's database as something that can be made smaller: what ``Store.compactor`` gives.

What must not live here: whether it is worth it, the lock of the home, and SQL.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from hermes_retention.disk.directories import Directory
from hermes_retention.disk.moving import remove_own_entry
from hermes_retention.model.errors import CompactionFailed, CompactionRefused, RetentionError
from hermes_retention.model.text import words
from hermes_retention.stores.base import CompactObserver, Compactor, CompactStage
from hermes_retention.stores.hermes.compact import compaction, preconditions, swap
from hermes_retention.stores.hermes.compact.compaction import NOTHING, Figures


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
        preconditions.require_free_way(self._path, figures, self._environ)
        copies = preconditions.room_for_copies(self._path, figures, free_bytes)
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
