"""Giving the free pages of the host's database back to the file system, while no host runs.

A copy without them is written beside it, compared with it, and takes its place in one step. Until then the
database is only read. What must not live here: SQLite, file descriptors, output.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from hermes_retention.actions.sweep.recovery import recover_database
from hermes_retention.disk.directories import Directory
from hermes_retention.home.home import Home
from hermes_retention.home.workspace import COMPACT, free_bytes
from hermes_retention.model.errors import CompactionRefused
from hermes_retention.model.text import words
from hermes_retention.stores.base import CompactObserver, Compactor, DatabaseSpace

COMPACT_ABOVE = 0.25
"""The free share from which compacting is worth it."""
NOTHING = "nothing was changed"


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


def preview(
    home: Home, *, above: float = COMPACT_ABOVE, environ: Mapping[str, str] = os.environ
) -> CompactReport:
    """What ``compact`` would do now, and the errors that it would raise. Makes no file.

    For an instant it takes the database's lock, to see whether anybody else has it.
    """
    start, compactor = time.perf_counter(), _compactor(home, environ)
    with _system_errors_told(compactor.database):
        home.workspace.check()
        space, size = _space(compactor, home), compactor.size_bytes()
        worthwhile = space.free_share >= above
        warnings = compactor.examine(free_bytes(home.path)) if worthwhile else ()
    return CompactReport(
        database=str(compactor.database),
        dry_run=True,
        compacted=False,
        worthwhile=worthwhile,
        free_share=space.free_share,
        above=above,
        bytes_before=size,
        bytes_after=min(size, space.used_bytes) if worthwhile else size,
        seconds=_since(start),
        warnings=warnings,
    )


def compact(
    home: Home,
    *,
    above: float = COMPACT_ABOVE,
    environ: Mapping[str, str] = os.environ,
    observer: CompactObserver = lambda _: None,
) -> CompactReport:
    """Rewrite the database without its free pages, unless fewer than ``above`` of its pages are free.

    Raises ``DatabaseInUse`` while a gateway or any other process works with it, ``CompactionRefused`` when it
    is replicated, cannot be written, or the disk lacks the room, ``StoreUnreadable`` when it is damaged,
    ``SweepRunning`` while a sweep runs: nothing was changed then. Killed at any instant, the database is
    complete under its name, before or after, and the next run removes what is left over.
    """
    start, compactor = time.perf_counter(), _compactor(home, environ)
    with _system_errors_told(compactor.database):
        report = _compact(home, compactor, above, environ, observer)
    return msgspec.structs.replace(report, dry_run=False, seconds=_since(start))


def _compact(
    home: Home, compactor: Compactor, above: float, environ: Mapping[str, str], observer: CompactObserver
) -> CompactReport:
    if not home.path.joinpath(*COMPACT).exists():  # else something may be left to clear up
        first_look = preview(home, above=above, environ=environ)
        if not first_look.worthwhile:
            return first_look
    home.workspace.check()
    with home.workspace.locked(), _system_errors_told(compactor.database):
        recover_database(home)
        report = preview(home, above=above, environ=environ)
        if report.worthwhile:
            with _folder(home, compactor.database) as folder:
                compactor.rewrite(folder, free_bytes(home.path), observer)
            report = msgspec.structs.replace(report, compacted=True, bytes_after=compactor.size_bytes())
    return report


def _compactor(home: Home, environ: Mapping[str, str]) -> Compactor:
    compactor = home.store.compactor(environ)
    if compactor is None:
        raise CompactionRefused(str(home.path), "its sessions are not in a database", consequence=NOTHING)
    return compactor


def _space(compactor: Compactor, home: Home) -> DatabaseSpace:
    space = home.store.database_space()
    if space is None:
        raise CompactionRefused(
            str(compactor.database),
            "there is no such database",
            consequence=NOTHING,
            cure="Name the home with --home DIR or HERMES_HOME; by default it is ~/.hermes.",
        )
    return space


@contextlib.contextmanager
def _folder(home: Home, path: Path) -> Iterator[Directory]:
    """Where the copies lie."""
    with Directory.create(home.path, *COMPACT) as folder:
        if os.fstat(folder.descriptor).st_dev != path.lstat().st_dev:
            raise CompactionRefused(
                str(folder.path),
                "it lies on another file system than the database, so nothing could be exchanged in one step",
                consequence=NOTHING,
                cure=f"Mount only {home.workspace.vault.root} there.",
            )
        yield folder


@contextlib.contextmanager
def _system_errors_told(path: Path) -> Iterator[None]:
    """What the operating system refuses becomes ``CompactionRefused``."""
    try:
        yield
    except OSError as error:
        why = f"the system refused ({words(error)})"
        cure = "Check the free space and the rights in its directory."
        raise CompactionRefused(str(path), why, consequence=NOTHING, cure=cure) from error


def _since(start: float) -> float:
    """How many seconds ago that was, by a clock that nobody can set."""
    return round(time.perf_counter() - start, 3)
