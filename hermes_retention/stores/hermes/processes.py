"""Who has a file open, and whether a gateway runs over a home.

Only looks: sends no signal and changes nothing. psutil is imported only where it is asked. What must not live
here: SQLite, and what follows from it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec

GATEWAY_LOCK = "gateway.lock"
GATEWAY_PID = "gateway.pid"
_PROC = "/proc"
_START_TIME = 19  # field 22 of /proc/<pid>/stat, counted behind the name

FileId: TypeAlias = tuple[int, int]
"""Device and inode: the same file under every name and mount."""


class Occupant(msgspec.Struct, frozen=True, order=True):
    """A process that stands in the way; ``pid`` is 0 when it cannot be seen from here."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})" if self.pid else self.name


def occupants(paths: Iterable[Path]) -> list[Occupant]:
    """The processes, this one among them, that have one of these files open, whatever they call it.

    Processes of other users are only seen by root.
    """
    import psutil

    wanted = {_file_id(os.stat(path)) for path in paths if os.path.lexists(path)}
    if not wanted:
        return []
    open_files = _from_proc if os.path.isdir(f"{_PROC}/self/fd") else _from_psutil
    found = [pid for pid in psutil.pids() if any(file in wanted for file in open_files(pid))]
    return [Occupant(pid, _name(pid)) for pid in sorted(found)]


def is_alive(pid: int, *, began_before: float | None = None) -> bool:
    """Whether there is such a process, and, where it matters, began before that Unix time: numbers return."""
    import psutil

    try:
        return psutil.pid_exists(pid) and (
            began_before is None or psutil.Process(pid).create_time() < began_before
        )
    except (psutil.Error, OverflowError):
        return False


def running_gateway(home: Path) -> Occupant | None:
    """The gateway of ``home``, by the two files with which the host itself tells. Not this process."""
    record = _pid_record(home / GATEWAY_LOCK) or _pid_record(home / GATEWAY_PID)
    pid, started = record if record is not None else (0, None)
    if pid == os.getpid():
        return None
    if _is_locked(home / GATEWAY_LOCK):
        return Occupant(pid, "the gateway")
    if pid and started is not None and _start_time(pid) == started:
        return Occupant(pid, "the gateway")
    return None


def _file_id(status: os.stat_result) -> FileId:
    return status.st_dev, status.st_ino


def _from_proc(pid: int) -> Iterator[FileId]:
    """What the process has open. A process that ended, or that we may not look into, has nothing.

    Not by psutil: it leaves out files that have no name any more, such as a database that was replaced.
    """
    folder = f"{_PROC}/{pid}/fd"
    try:
        descriptors = os.listdir(folder)
    except OSError:
        return
    for descriptor in descriptors:
        link = f"{folder}/{descriptor}"
        try:
            if os.readlink(link).startswith("/"):  # no socket or pipe
                yield _file_id(os.stat(link))
        except OSError:
            continue


def _from_psutil(pid: int) -> Iterator[FileId]:
    """The same where there is no ``/proc``."""
    import psutil

    try:
        opened = psutil.Process(pid).open_files()
    except psutil.Error:
        return
    for file in opened:
        with contextlib.suppress(OSError):
            yield _file_id(os.stat(file.path))


def _name(pid: int) -> str:
    """The program, and the script that an interpreter runs. Further arguments may be private."""
    import psutil

    try:
        process = psutil.Process(pid)
        name, words = process.name(), [word for word in process.cmdline()[1:] if word]
    except psutil.Error:
        return "a process"
    if name.startswith("python") and words and words[0] not in ("-c", "-"):
        script = words[1] if words[0] == "-m" and len(words) > 1 else words[0]
        name = f"{name} {os.path.basename(script)}"
    return name or "a process"


def _start_time(pid: int) -> int | None:
    """When the process started, as the host writes it down; with the pid this names it for good.

    On Linux clock ticks from boot, elsewhere hundredths of a second since 1970.
    """
    import psutil

    try:
        if sys.platform != "linux":
            return round(psutil.Process(pid).create_time() * 100)
        with open(f"{_PROC}/{pid}/stat", "rb") as stream:
            return int(stream.read().rpartition(b")")[2].split()[_START_TIME])
    except (OSError, IndexError, psutil.Error):
        return None


def _pid_record(path: Path) -> tuple[int, int | None] | None:
    """Process id and start time out of a pid file: the host's JSON, or a bare number as older hosts wrote."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    values = (record.get("pid"), record.get("start_time")) if isinstance(record, dict) else (record, None)
    pid, started = (value if type(value) is int else None for value in values)
    return (pid, started) if pid is not None and pid > 0 else None


def _is_locked(path: Path) -> bool:
    """Whether a process holds the host's lock. Ours is shared and gone at once, as when the host asks."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: the pid file is left
        return False
    finally:
        os.close(descriptor)
    return False
