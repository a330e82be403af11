"""The agents of a home, and in the directory of each the names, sorted to the sessions they belong to.

Two agents may have a session of the same id, so an id carries its agent: ``main/3f2c…``. Session files are
never opened here. The host's locks lie among them: ``sessions.json.lock`` is made when nobody has it, and
removed by who made it. We wait as long as the host does, and take a lock away only when the host itself would
and nothing says that its holder lives. What must not live here: the index, what is done while a lock is held,
and decisions.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec

from hermes_retention.disk import effects
from hermes_retention.disk.directories import Directory, write_all
from hermes_retention.disk.writing import remove_lock, take_stale_lock
from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.session import Artifact, ArtifactKind, Unknown
from hermes_retention.model.text import is_text, printable
from hermes_retention.stores.base import Folder
from hermes_retention.stores.files import BLOCK, look_at, unreadable_directory, why_unknown

AGENTS = "agents"
SESSIONS = "sessions"


def folder_of(agent: str) -> Folder:
    """Where the sessions of an agent lie."""
    return Folder((AGENTS, agent, SESSIONS), (agent,))


def joined(agent: str, session_id: str) -> str:
    """The id that is unique in the home."""
    return f"{agent}/{session_id}"


def parted(session_id: str) -> tuple[str, str]:
    """Agent and the id that the host knows."""
    agent, _, own = session_id.partition("/")
    return agent, own


def find_agents(home: Path) -> tuple[list[str], list[str]]:
    """The agents that have a directory of sessions, by name, and a line for each that is left alone.

    Raises ``StoreUnreadable`` when the directories cannot be listed.
    """
    found: list[str] = []
    left: list[str] = []
    try:
        with Directory.open(home, AGENTS) as above:
            names = sorted(os.listdir(above.descriptor))
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise unreadable_directory(home / AGENTS, error) from error
    for name in names:
        path = home / AGENTS / name / SESSIONS
        if not os.path.lexists(path):
            continue
        try:
            Directory.open(home, *folder_of(name).below).close()
        except StoreUnreadable as error:
            left.append(f"{error.what}: {error.why}; its sessions were left alone")
        except OSError as error:
            raise unreadable_directory(path, error) from error
        else:
            if is_text(name):
                found.append(name)
            else:
                left.append(
                    f"{printable(str(path))}: its name is no valid text; its sessions were left alone"
                )
    return found, left


INDEX = "sessions.json"
LOCK = ".lock"
NOBODYS = "sessions.json"
"""Stands in the place of a session id for leftovers of the index itself."""
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OF_HOST = re.compile(_UUID, re.IGNORECASE)
_SET_ASIDE = re.compile(r"(?P<file>.+)\.(?:deleted|reset|bak)\.[^/]*")
_INDEX_COPY = re.compile(
    r"sessions\.json\.(?:bak|migrated)[^/]*|sessions\.json\.[^/]*\.tmp|sessions\.json\.tmp"
)
_SIDECAR = re.compile(rf"(?P<id>.+?)\.(?:trajectory\.jsonl|trajectory-path\.json|checkpoint\.{_UUID}\.jsonl)")
_TOPIC = re.compile(r"(?P<id>.+)-topic-[^/]+")
_KNOWN_DIRECTORIES = frozenset({"skills-prompts"})
"""What is in it is shared by many sessions."""

AgentFiles: TypeAlias = dict[str, list[Artifact]]
"""Files by the session id that their names hold."""


class AgentListing(msgspec.Struct, frozen=True, gc=False):
    """One reading of the directory."""

    files: dict[str, Artifact]
    """Every regular file but the index and locks, by name."""
    locks: frozenset[str]
    """Names of lock files, without their ending."""
    links: frozenset[str]
    """Names of symbolic links."""
    unknown: list[Unknown]
    other_bytes: int


def list_directory(directory: Directory) -> AgentListing:
    """What lies in ``directory``. Raises ``OSError``; files that vanish meanwhile are left out."""
    files: dict[str, Artifact] = {}
    locks, links, other_bytes = set(), set(), 0
    unknown: list[Unknown] = []
    with os.scandir(directory.descriptor) as entries:
        for name, status in look_at(entries, unknown):
            mode, allocated = status.st_mode, status.st_blocks * BLOCK
            if stat.S_ISREG(mode) and name.endswith(LOCK):
                locks.add(name.removesuffix(LOCK))
                other_bytes += allocated
            elif stat.S_ISREG(mode) and name == INDEX:
                other_bytes += allocated
            elif stat.S_ISREG(mode):
                files[name] = Artifact(
                    ArtifactKind.TRANSCRIPT,
                    name,
                    status.st_size,
                    allocated,
                    status.st_mtime_ns,
                    status.st_ino,
                    mode & 0o7777,
                )
            elif stat.S_ISDIR(mode) and name in _KNOWN_DIRECTORIES:
                other_bytes += allocated
            else:
                if stat.S_ISLNK(mode):
                    links.add(name)
                unknown.append(Unknown(name, why_unknown(mode), allocated))
    return AgentListing(files, frozenset(locks), frozenset(links), unknown, other_bytes)


def assign(
    listing: AgentListing, known: Collection[str], named: Mapping[str, str]
) -> tuple[AgentFiles, list[Unknown]]:
    """Every file to the session that its name or an entry speaks of; the others are unknown and stay.

    ``known`` are the ids in the index, ``named`` the files that entries name, with the id of the entry. A
    file that belongs to nobody is an orphan's only when the host makes names of this form.
    """
    files: AgentFiles = {}
    unknown: list[Unknown] = []
    for name, artifact in listing.files.items():
        owner = named.get(name)
        kind, part = (ArtifactKind.TRANSCRIPT, owner) if owner is not None else split_name(name, known)
        if part is None:
            unknown.append(Unknown(name, why_unknown(stat.S_IFREG), artifact.allocated_bytes))
            continue
        found = artifact if kind is artifact.kind else msgspec.structs.replace(artifact, kind=kind)
        files.setdefault(part, []).append(found)
    return files, unknown


def split_name(name: str, known: Collection[str] = ()) -> tuple[ArtifactKind, str | None]:
    """Kind and session id of a file name; no id when it is none of the host's.

    An id that the index knows may have any form; of others only those that the host makes.
    """
    if _INDEX_COPY.fullmatch(name):
        return ArtifactKind.LEFTOVER, NOBODYS
    set_aside = _SET_ASIDE.fullmatch(name)
    if set_aside is not None and not name.endswith((".jsonl", ".json")):
        _, part = split_name(set_aside["file"], known)
        return ArtifactKind.LEFTOVER, part
    if name.endswith(".tmp"):
        part = next((one for one in _ids_before(name) if one in known or _OF_HOST.fullmatch(one)), None)
        return ArtifactKind.LEFTOVER, part
    stem = name.removesuffix(".jsonl")
    if stem != name and stem in known:
        return ArtifactKind.TRANSCRIPT, stem
    sidecar = _SIDECAR.fullmatch(name)
    if sidecar is not None:
        return ArtifactKind.SIDECAR, _session(sidecar["id"], known)
    return ArtifactKind.TRANSCRIPT, None if stem == name else _session(stem, known)


def _session(stem: str, known: Collection[str]) -> str | None:
    """The id in the stem of a transcript: all of it, or what stands before a topic."""
    topic = _TOPIC.fullmatch(stem)
    for part in (stem, topic["id"] if topic is not None else ""):
        if part and (part in known or _OF_HOST.fullmatch(part)):
            return part
    return None


def _ids_before(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts)))


def transcripts(artifacts: Iterable[Artifact]) -> Iterator[str]:
    """Names of the transcripts among these files."""
    return (artifact.name for artifact in artifacts if artifact.kind is ArtifactKind.TRANSCRIPT)


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
