"""Who has a file open, and whether a gateway runs over a home.

Only looks: sends no signal and changes nothing. What must not live here: SQLite, and what follows from it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from hermes_retention.model.text import printable

GATEWAY_LOCK = "gateway.lock"
GATEWAY_PID = "gateway.pid"
_PROC = "/proc"
_START_TIME = 19  # field 22 of /proc/<pid>/stat, counted behind the name
_LSOF_SECONDS = 30

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

    Processes of other users are only seen by root. Where the system can tell nothing (no /proc, no lsof) the
    list is empty.
    """
    there = [path for path in paths if os.path.lexists(path)]
    if os.path.isdir(f"{_PROC}/self/fd"):
        return _from_proc({_file_id(os.stat(path)) for path in there})
    return _from_lsof(there)


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


def _from_proc(wanted: set[FileId]) -> list[Occupant]:
    pids = [int(name) for name in os.listdir(_PROC) if name.isdigit()]
    found = [pid for pid in pids if wanted and any(file in wanted for file in _open_files(pid))]
    return [Occupant(pid, _name(pid)) for pid in sorted(found)]


def _open_files(pid: int) -> Iterator[FileId]:
    """What the process has open. A process that ended, or that we may not look into, has nothing."""
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


def _name(pid: int) -> str:
    """The program, and the script that an interpreter runs. Further arguments may be private."""
    name = _read(f"{_PROC}/{pid}/comm").strip() or "a process"
    words = [word for word in _read(f"{_PROC}/{pid}/cmdline").split("\0")[1:] if word]
    if name.startswith("python") and words and words[0] not in ("-c", "-"):
        script = words[1] if words[0] == "-m" and len(words) > 1 else words[0]
        name = f"{name} {os.path.basename(script)}"
    return printable(name)


def _read(path: str) -> str:
    try:
        with open(path, errors="surrogateescape") as stream:
            return stream.read(4096)
    except OSError:
        return ""


def _start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of the process; with the pid this names it for good."""
    fields = _read(f"{_PROC}/{pid}/stat").rpartition(")")[2].split()
    return int(fields[_START_TIME]) if len(fields) > _START_TIME else None


def _from_lsof(paths: Sequence[Path]) -> list[Occupant]:
    lsof = shutil.which("lsof", path=f"{os.defpath}:/usr/sbin")
    if lsof is None or not paths:
        return []
    command: list[str | Path] = [lsof, "-w", "-F", "pc", "--", *paths]
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed program; the paths stand behind "--"
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_LSOF_SECONDS, check=False
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return []
    return _parse_lsof(answer)


def _parse_lsof(answer: str) -> list[Occupant]:
    """Lines ``p<pid>`` and ``c<command>``, then one for each file."""
    found: dict[int, str] = {}
    pid = 0
    for line in answer.splitlines():
        if line[:1] == "p" and line[1:].isdigit():
            pid = int(line[1:])
        elif line[:1] == "c" and pid:
            found[pid] = printable(line[1:])
    return [Occupant(pid, name) for pid, name in sorted(found.items())]


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
