"""Exchanging the host's database for its compacted copy, while no other process can use either.

Both files are locked as SQLite itself locks them, but without SQLite: a connection would look for its log
under a name that has just moved. A lock goes with the process, so a killed one leaves none behind. What must
not live here: what is in the files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hermes_retention.disk import effects
from hermes_retention.disk.directories import Directory
from hermes_retention.disk.writing import give_second_name, remove_own_entry, take_place
from hermes_retention.model.errors import CompactionRefused, RetentionError
from hermes_retention.model.text import words
from hermes_retention.stores.hermes.compaction import NOTHING, in_use, require_in_place
from hermes_retention.stores.hermes.processes import Occupant, occupants
from hermes_retention.stores.hermes.state_db import DATABASE

SCRATCH, NEW, OLD = "scratch.db", "new.db", "old.db"
SIDES = ("-wal", "-shm", "-journal")
"""What SQLite may keep beside a database."""
_LOCK_START, _LOCK_BYTES = 0x40000000, 512
"""Where every SQLite takes its locks: pending, reserved and shared bytes, together its exclusive lock."""
_PATIENCE = 3.0
"""Seconds. The host gives up after one when it finds the database locked."""


class Stamp(msgspec.Struct, frozen=True):
    """By what a file shows that nobody has written to it."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int


def stamp(path: Path) -> Stamp:
    """The stamp of the file, which is not opened: closing it again would give up SQLite's locks on it."""
    return _stamp(path.lstat())


def make_private_file(folder: Directory, name: str) -> Path:
    """An empty file that nobody else may read. Raises ``FileExistsError``."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(effects.open_file(name, flags, 0o600, dir_fd=folder.descriptor))
    return folder.path / name


def seal(folder: Directory, name: str, like: os.stat_result) -> None:
    """Give a file of ours the owner and mode of another, and make its content durable.

    Raises ``PermissionError`` when that owner or group cannot be given. No connection to it may be open.
    """
    descriptor = effects.open_file(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.descriptor)
    try:
        status = os.fstat(descriptor)
        if (status.st_uid, status.st_gid) != (like.st_uid, like.st_gid):
            effects.fchown(descriptor, like.st_uid, like.st_gid)
        effects.fchmod(descriptor, stat.S_IMODE(like.st_mode))
        effects.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_unused(path: Path) -> None:
    """Raise ``DatabaseInUse`` when any process, this one too, has the database or what is beside it open."""
    found = occupants(_with_sides(path))
    if found:
        raise in_use(path, f"{_list(found)} {'has' if len(found) == 1 else 'have'} it open")
    with Directory.open(path.parent) as home, locked(home, path.name):
        pass  # whoever cannot be seen from here shows by its lock


def swap(home: Directory, folder: Directory, unchanged: Stamp) -> None:
    """Put ``NEW`` out of ``folder`` in the place of the database, which stays in ``folder`` as ``OLD``.

    Raises ``DatabaseInUse`` when somebody opened the database or wrote to it since ``unchanged``, and
    ``CompactionRefused`` when the file system cannot do it; the database is in its place then. Killed at any
    instant, the database is there under its name, the old or the new one, and ``recover`` clears up.
    """
    with locked(home, DATABASE) as old, locked(folder, NEW):
        _require_unchanged(home, old, unchanged)
        _keep_old(home, folder)
        try:
            take_place(folder, NEW, home, DATABASE)
            # Nobody can open the old file any more. Whoever did so at the last moment still waits for our
            # lock, and would then look for the log of the new one.
            _wait_until_left(home.path / DATABASE, folder.path / OLD)
        except BaseException:
            _put_old_back(home, folder)
            raise


def recover(home: Directory, folder: Directory) -> None:
    """Clear up what a process that was killed left in ``folder``.

    Raises ``CompactionRefused`` when the old database must be kept: the one in its place is damaged, or a
    process still has the old one open. Nothing is removed then.
    """
    old, current = folder.status(OLD), home.status(DATABASE)
    if old is not None and current is None:
        give_second_name(folder, OLD, home, DATABASE)
    elif old is not None and current is not None and current.st_ino != old.st_ino:
        _require_old_unneeded(home.path / DATABASE, folder.path / OLD)
    for name in (OLD, *temporaries()):
        remove_own_entry(folder, name)


def clear(folder: Directory) -> None:
    """Remove the copies in ``folder``, finished or not. The old database stays."""
    for name in temporaries():
        remove_own_entry(folder, name)


def temporaries() -> list[str]:
    """The names in the folder that may always go."""
    return [name + side for name in (NEW, SCRATCH) for side in ("", *SIDES)]


def _require_old_unneeded(database: Path, old: Path) -> None:
    found = occupants([old])
    if found:
        raise CompactionRefused(
            str(database),
            f"{_list(found)} still has the file open that was there before an earlier compaction",
            consequence="both are kept",
            cure="Stop that process, then run it again.",
        )
    try:
        require_in_place(database)
    except RetentionError as error:
        raise CompactionRefused(
            str(database),
            error.why,
            consequence=f"the database from before an earlier compaction is kept as {old}",
            cure="Stop the host, compare the two, and remove or move back the one that was kept.",
        ) from error


@contextlib.contextmanager
def locked(directory: Directory, name: str) -> Iterator[os.stat_result]:
    """Hold SQLite's exclusive lock on a database; gives what it is.

    Raises ``DatabaseInUse`` when a process has a lock on it, ``CompactionRefused`` when it cannot be opened.
    This process may have no connection to it, and none before the block ends.
    """
    path = directory.path / name
    try:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = effects.open_file(name, flags, dir_fd=directory.descriptor)
    except OSError as error:
        raise _refused(path, f"it cannot be opened for writing ({words(error)})") from error
    try:
        _lock(descriptor, path)
        yield os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_BYTES, _LOCK_START)
    except (BlockingIOError, PermissionError) as error:
        found = [one for one in occupants(_with_sides(path)) if one.pid != os.getpid()]
        who = _list(found) or "a process that cannot be seen from here"
        raise in_use(path, f"{who} works with it") from error
    except OSError as error:
        raise _refused(path, f"its file system has no locks ({words(error)})") from error


def _require_unchanged(home: Directory, old: os.stat_result, unchanged: Stamp) -> None:
    named = home.status(DATABASE)
    sides = [home.status(DATABASE + side) for side in ("-wal", "-journal")]
    if (
        named is None
        or _stamp(named) != unchanged
        or _stamp(old) != unchanged
        or any(side is not None and side.st_size > 0 for side in sides)
    ):
        raise in_use(home.path / DATABASE, "another process wrote to it while it was copied")


def _keep_old(home: Directory, folder: Directory) -> None:
    try:
        give_second_name(home, DATABASE, folder, OLD)
    except OSError as error:
        remove_own_entry(folder, OLD)
        why = f"it cannot get a second name in {folder.path} ({words(error)})"
        raise _refused(home.path / DATABASE, why) from error
    except BaseException:
        remove_own_entry(folder, OLD)
        raise


def _put_old_back(home: Directory, folder: Directory) -> None:
    """Exactly what was there before, under its only name; the copy is under its own again."""
    old, current = folder.status(OLD), home.status(DATABASE)
    if old is not None and current is not None and current.st_ino != old.st_ino:
        with contextlib.suppress(OSError):  # only so that it can be looked for
            give_second_name(home, DATABASE, folder, NEW)
        take_place(folder, OLD, home, DATABASE)
        with contextlib.suppress(CompactionRefused):
            _wait(folder.path / NEW)
    remove_own_entry(folder, OLD)


def _wait_until_left(database: Path, old: Path) -> None:
    found = _wait(old)
    if found:
        raise in_use(database, f"{_list(found)} opened it at the last moment")


def _wait(path: Path) -> list[Occupant]:
    """Who still has the file open when patience is over."""
    deadline = time.monotonic() + _PATIENCE
    while found := [one for one in occupants([path]) if one.pid != os.getpid()]:
        if time.monotonic() >= deadline:
            break
        time.sleep(0.05)
    return found


def _with_sides(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + side) for side in SIDES)]


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _list(found: list[Occupant]) -> str:
    return ", ".join(map(str, found))


def _refused(path: Path, why: str) -> CompactionRefused:
    cure = "Run it as the user who owns the home, on a file system of its own machine."
    return CompactionRefused(str(path), why, consequence=NOTHING, cure=cure)
