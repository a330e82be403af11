"""The host's lock on an index: ``sessions.json.lock``, made when nobody has it, removed by who made it.

We wait as long as the host does, and take a lock away only when the host itself would and nothing says that
its holder lives. What must not live here: what is done while the lock is held.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hermes_retention.disk import effects
from hermes_retention.disk.directories import Directory, write_all
from hermes_retention.disk.moving import remove_lock, take_stale_lock
from hermes_retention.model.errors import StoreUnreadable

WAIT_SECONDS = 10.0
"""How long the host waits for its own lock."""
STALE_SECONDS = 30.0
"""The age from which the host takes a lock of an index for one that nobody holds."""
TRANSCRIPT_STALE_SECONDS = 30 * 60.0
"""The same for the lock of a transcript."""
_POLL_SECONDS = 0.025
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Waiting:
    """How time passes while a lock is waited for; tests have a faster one."""

    now: Callable[[], float] = time.time
    """Unix seconds, to compare with the times of files."""
    sleep: Callable[[float], None] = time.sleep
    seconds: float = WAIT_SECONDS


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock that we made."""

    directory: Directory
    name: str
    inode: int

    def is_ours(self) -> bool:
        """Whether nobody took it for stale and away from us meanwhile."""
        status = self.directory.status(self.name)
        return status is not None and status.st_ino == self.inode


@contextmanager
def locked(directory: Directory, name: str, waiting: Waiting | None = None) -> Iterator[HeldLock]:
    """Hold the lock ``name`` in ``directory``.

    Raises ``StoreUnreadable`` when its holder does not let go of it in time; nothing was changed then.
    """
    waiting = waiting or Waiting()
    lock = _acquire(directory, name, waiting)
    try:
        yield lock
    finally:
        remove_lock(directory, name, inode=lock.inode)


def _acquire(directory: Directory, name: str, waiting: Waiting) -> HeldLock:
    waited = 0.0
    while True:
        lock = _try(directory, name, waiting.now())
        if lock is not None:
            return lock
        # Whoever takes a stale lock away does not have it yet: the host may be as quick, so it is tried anew.
        if _is_stale(directory, name, waiting.now()):
            continue
        if waited >= waiting.seconds:
            raise StoreUnreadable(
                str(directory.path / name),
                f"the host has not let go of this lock for {waited:.0f} s",
                consequence="nothing that it guards was changed",
                cure="Sweep again later. If no gateway runs, remove the file.",
            )
        waiting.sleep(_POLL_SECONDS)
        waited += _POLL_SECONDS


def _try(directory: Directory, name: str, now: float) -> HeldLock | None:
    # O_EXCL makes it: of two processes one gets the file, whatever they see before.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = effects.open_file(name, flags, 0o600, dir_fd=directory.descriptor)
    except FileExistsError:
        return None
    try:
        inode = os.fstat(descriptor).st_ino
        try:
            write_all(descriptor, json.dumps({"pid": os.getpid(), "startedAt": int(now * 1000)}).encode())
        except OSError:  # a full disk: a lock that says nothing must not stay
            remove_lock(directory, name, inode=inode)
            raise
    finally:
        os.close(descriptor)
    return HeldLock(directory, name, inode)


def _is_stale(directory: Directory, name: str, now: float) -> bool:
    """Take the lock away if nobody can hold it any more, and say whether it is worth trying again at once."""
    status = directory.status(name)
    if status is None:
        return True
    # Old alone is not enough: a host that writes a large index holds its lock for long, and it lives.
    if now - status.st_mtime <= STALE_SECONDS or _is_alive(_pid_in(directory, name)):
        return False
    # By its inode: in the meantime another process may have taken the stale one away and made its own.
    return take_stale_lock(directory, name, inode=status.st_ino)


def holder_of(directory: Directory, name: str, *, now: float) -> str | None:
    """Who holds the lock ``name`` of a transcript, in words; ``None`` when nobody does.

    A lock that is young is held, whatever process it names: that may be one of another container.
    """
    status = directory.status(name)
    if status is None or now - status.st_mtime >= TRANSCRIPT_STALE_SECONDS:
        return None
    pid = _pid_in(directory, name)
    return "its transcript is locked" if pid is None else f"its transcript is locked by process {pid}"


def _pid_in(directory: Directory, name: str) -> int | None:
    try:
        descriptor = effects.open_file(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory.descriptor
        )
    except OSError:
        return None
    try:
        said = json.loads(os.read(descriptor, _LONGEST))
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)
    pid = said.get("pid") if isinstance(said, dict) else None
    return pid if isinstance(pid, int) and not isinstance(pid, bool) and pid > 0 else None


def _is_alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it lives, and belongs to somebody else
        return True
    return True
