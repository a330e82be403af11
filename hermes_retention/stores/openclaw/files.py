"""The agents of a home, and in the directory of each the names, sorted to the sessions they belong to.

Two agents may have a session of the same id, so an id carries its agent: ``main/3f2c…``. Session files are
never opened here. What must not live here: the index, and decisions.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from hermes_retention.disk.directories import Directory
from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.session import Artifact, ArtifactKind, Unknown
from hermes_retention.model.text import is_text, printable, words
from hermes_retention.stores.base import Folder
from hermes_retention.stores.files import BLOCK, look_at, why_unknown

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
        raise _unreadable(home / AGENTS, error) from error
    for name in names:
        path = home / AGENTS / name / SESSIONS
        if not os.path.lexists(path):
            continue
        try:
            Directory.open(home, *folder_of(name).below).close()
        except StoreUnreadable as error:
            left.append(f"{error.what}: {error.why}; its sessions were left alone")
        except OSError as error:
            raise _unreadable(path, error) from error
        else:
            if is_text(name):
                found.append(name)
            else:
                left.append(
                    f"{printable(str(path))}: its name is no valid text; its sessions were left alone"
                )
    return found, left


def _unreadable(path: Path, error: OSError) -> StoreUnreadable:
    return StoreUnreadable(
        str(path),
        f"the directory cannot be read ({words(error)})",
        consequence="nothing was removed",
        cure="Run hermes-retention as the user that the host runs as.",
    )


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
