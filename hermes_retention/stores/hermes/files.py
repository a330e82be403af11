"""The directory ``sessions``, sorted to the sessions that files belong to, and what ids and keys say by form.

Session files are never opened here: their names count, and what ``lstat`` says. Ids come from the host, from
clients of its API and from whatever lies in a directory: any string is possible. The class of a session
follows from its source, its lineage, its routes, or the form of its id. What must not live here: databases,
reading routes, and decisions.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TypeAlias

import msgspec

from hermes_retention.disk.directories import Directory
from hermes_retention.model.session import (
    Artifact,
    ArtifactKind,
    Lineage,
    Record,
    Route,
    SessionClass,
    Unknown,
)
from hermes_retention.model.text import is_kept_as_is, printable, safe_name, storable
from hermes_retention.stores.files import BLOCK, look_at, unreadable_directory, why_unknown

DIRECTORY = "sessions"
INDEX = "sessions.json"

_NAMES_ARE_UTF8 = sys.getfilesystemencoding() == "utf-8"
_SNAPSHOT, _DUMP = "session_", "request_dump_"
_MICROSECONDS = len("_000001")
_TEMPORARY = (".sessions_", ".session_", ".request_dump_")
"""Prefixes of what the host writes before it renames it to an index, a snapshot, a dump."""


FilesBySession: TypeAlias = dict[str, Artifact | list[Artifact]]
"""Files by session. Most sessions have one: a list for each would cost more than the scan itself."""


class DirectoryListing(msgspec.Struct, frozen=True, gc=False):
    """One reading of the directory. ``files`` is keyed by the part of the name that stands for a session."""

    files: FilesBySession
    unknown: list[Unknown]
    other_bytes: int


def list_directory(home: Path) -> DirectoryListing:
    """What lies in the ``sessions`` of ``home``; empty when there is no such directory.

    Raises ``StoreUnreadable`` when it is a symbolic link, no directory, or may not be read. Files that vanish
    meanwhile are left out.
    """
    try:
        with Directory.open(home, DIRECTORY) as directory, os.scandir(directory.descriptor) as entries:
            return _list(entries)
    except FileNotFoundError:
        return DirectoryListing({}, [], 0)
    except OSError as error:
        raise unreadable_directory(home / DIRECTORY, error) from error


def _list(entries: Iterable[os.DirEntry[str]]) -> DirectoryListing:
    files: FilesBySession = {}
    unknown: list[Unknown] = []
    other_bytes = 0
    shared: dict[int, int] = {}  # one int object per number of blocks and per mode, not one per file
    for name, status in look_at(entries, unknown):
        mode = status.st_mode
        allocated = status.st_blocks * BLOCK
        parts = split_name(_as_written(name)) if stat.S_ISREG(mode) else None
        if parts is not None:
            kind, part = parts
            allocated = shared.setdefault(allocated, allocated)
            permissions = shared.setdefault(mode & 0o7777, mode & 0o7777)
            artifact = Artifact(
                kind, name, status.st_size, allocated, status.st_mtime_ns, status.st_ino, permissions
            )
            _add(files, part, artifact)
        elif stat.S_ISREG(mode) and is_of_no_session(name):
            other_bytes += allocated
        else:
            unknown.append(Unknown(name, why_unknown(mode), allocated))
    return DirectoryListing(files, unknown, other_bytes)


def _as_written(name: str) -> str:
    """``name`` as the host meant it, which writes UTF-8, whatever the locale of this process."""
    if name.isascii() or _NAMES_ARE_UTF8:
        return name
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def split_name(name: str) -> tuple[ArtifactKind, str] | None:
    """Kind and session part of a file name; ``None`` when no version of the host writes such names."""
    if name.endswith(".json"):
        if name.startswith(_SNAPSHOT):
            part = name[len(_SNAPSHOT) : -len(".json")]
            return (ArtifactKind.SNAPSHOT, part) if part else None
        if name.startswith(_DUMP):
            part = _without_stamp(name[len(_DUMP) : -len(".json")])
            return (ArtifactKind.REQUEST_DUMP, part) if part else None
    elif name.endswith(".jsonl"):
        part = name[: -len(".jsonl")]
        return (ArtifactKind.TRANSCRIPT, part) if part else None
    return None


def _without_stamp(text: str) -> str:
    """What stands before ``_YYYYmmdd_HHMMSS_ffffff``; empty when there is no such stamp at the very end.

    Anchored there, so that the dumps of ``foo_bar`` are not taken for dumps of ``foo``, and an id that itself
    ends in a stamp keeps it.
    """
    microseconds = text[-_MICROSECONDS:]
    if microseconds[:1] != "_" or not (microseconds.isascii() and microseconds[1:].isdigit()):
        return ""
    stamped = text[:-_MICROSECONDS]
    return stamped[:-STAMP_LENGTH] if has_stamp(stamped) else ""


def is_of_no_session(name: str) -> bool:
    """Whether this is the index or a temporary file of the host: known, but nobody's."""
    return name == INDEX or (name.startswith(_TEMPORARY) and name.endswith(".tmp"))


def _add(files: FilesBySession, key: str, artifact: Artifact) -> None:
    known = files.setdefault(key, artifact)
    if known is not artifact:
        if isinstance(known, list):
            known.append(artifact)
        else:
            files[key] = [known, artifact]


def take(files: FilesBySession, key: str) -> tuple[Artifact, ...]:
    """The files of one session, by name. They are taken out, so that memory never holds all of this twice."""
    found = files.pop(key, None)
    if found is None:
        return ()
    return tuple(sorted(found, key=lambda artifact: artifact.name)) if isinstance(found, list) else (found,)


class Ownership(msgspec.Struct, frozen=True, gc=False):
    """Files by the session that they belong to, and those that belong to none or perhaps to two."""

    by_session: FilesBySession
    """An orphan has the part of the file name as its id."""
    unknown: list[Unknown]


def assign_owners(files: FilesBySession, known: Collection[str]) -> Ownership:
    """Every file to exactly one of the ``known`` ids, to an orphan, or to nobody.

    A file may hold an id as the host makes it safe, or the id itself (host 0.13 and 0.14). Where these two
    readings lead to different sessions the file is unknown. ``files`` is used up.
    """
    aliases = _aliases(known)
    unknown: list[Unknown] = []
    moved: list[tuple[str, Artifact]] = []
    # Nearly all files are in their place already: only the others are looked at one by one.
    for part in [part for part in files if part not in known or part in aliases]:
        found = take(files, part)
        owners = ((part,) if part in known else ()) + aliases.get(part, ())
        if len(owners) > 1:
            unknown.extend(_disputed(artifact, owners) for artifact in found)
        elif owners:
            moved.extend((owners[0], artifact) for artifact in found)
        else:
            orphaned, strangers = _orphaned(part, found)
            moved.extend((storable(part), artifact) for artifact in orphaned)
            unknown.extend(strangers)
    for owner, artifact in moved:
        _add(files, owner, artifact)
    return Ownership(files, unknown)


def _aliases(known: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Safe name → the ids that the host writes that way, for ids that it does not write as they are."""
    aliases: dict[str, tuple[str, ...]] = {}
    for session_id in itertools.filterfalse(is_kept_as_is, known):
        safe = safe_name(session_id)
        aliases[safe] = (*aliases.get(safe, ()), session_id)
    return aliases


def _disputed(artifact: Artifact, owners: tuple[str, ...]) -> Unknown:
    names = " or ".join(sorted(map(printable, owners)))
    return Unknown(artifact.name, f"it may belong to {names}", artifact.allocated_bytes)


def _orphaned(part: str, found: tuple[Artifact, ...]) -> tuple[list[Artifact], list[Unknown]]:
    """The files of an orphan, and those that carry too common a name to be taken for the host's.

    Any program may leave a ``notes.jsonl`` here; the host names transcripts after ids of its own making.
    """
    if class_by_shape(part) is not None:
        return list(found), []
    why = "no session has this id, and the host makes no ids of this form"
    foreign = [artifact for artifact in found if artifact.kind is ArtifactKind.TRANSCRIPT]
    kept = [artifact for artifact in found if artifact.kind is not ArtifactKind.TRANSCRIPT]
    return kept, [Unknown(artifact.name, why, artifact.allocated_bytes) for artifact in foreign]


_STAMP = re.compile(r"_[0-9]{8}_[0-9]{6}")
STAMP_LENGTH = len("_20261120_101500")

_SHAPES = (
    (SessionClass.API, re.compile(r"api-[0-9a-f]{16}|api_[0-9]+_[0-9a-f]{8}|run_[0-9a-f]+")),
    (SessionClass.CHAT, re.compile(r"[0-9]{8}_[0-9]{6}_[0-9a-f]{8}")),
    (SessionClass.CLI, re.compile(r"[0-9]{8}_[0-9]{6}_[0-9a-f]{6}")),
    (SessionClass.OTHER, re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")),
)


def has_stamp(text: str) -> bool:
    """Whether ``text`` ends in ``_YYYYmmdd_HHMMSS``."""
    return _STAMP.fullmatch(text, len(text) - STAMP_LENGTH) is not None


def cron_job(session_id: str) -> str | None:
    """The job in ``cron_<job>_<stamp>``; ``None`` when the id has another form. Jobs may contain ``_``."""
    if not session_id.startswith("cron_") or not has_stamp(session_id):
        return None
    return session_id[len("cron_") : -STAMP_LENGTH] or None


def class_by_shape(session_id: str) -> SessionClass | None:
    """The class that the form of an id speaks for; ``None`` when the host makes no ids of this form."""
    if cron_job(session_id) is not None:
        return SessionClass.CRON
    return next((kind for kind, shape in _SHAPES if shape.fullmatch(session_id)), None)


_SOURCES = {
    "cli": SessionClass.CLI,
    "tui": SessionClass.CLI,
    "acp": SessionClass.CLI,
    "desktop": SessionClass.CLI,
    "oneshot": SessionClass.CLI,
    "webui": SessionClass.CLI,
    "cron": SessionClass.CRON,
    "api_server": SessionClass.API,
    "a2a": SessionClass.API,
    "webhook": SessionClass.HOOK,
    "msgraph_webhook": SessionClass.HOOK,
    "subagent": SessionClass.SUBAGENT,
    **dict.fromkeys(("batch", "curator", "kanban", "tool"), SessionClass.OTHER),
}
_SOURCELESS = frozenset({"", "recovered", "unknown"})
"""What stands there when the host itself does not know where a session came from."""
_BUILT_IN = """
    local telegram discord whatsapp whatsapp_cloud slack signal mattermost matrix homeassistant email sms
    dingtalk feishu wecom wecom_callback weixin bluebubbles qqbot yuanbao relay
"""
_PLUGINS = "buzz google_chat irc line ntfy photon raft simplex teams"
"""Platforms that come with the host as plugins."""


def platform_of(key: str) -> str | None:
    """The platform in ``agent:<namespace>:<platform>:…``."""
    parts = key.split(":", 3)
    return parts[2] if len(parts) > 2 and parts[0] == "agent" and parts[2] else None  # noqa: PLR2004 - it is the third


class Classifier:
    """Knows every source that is a platform: those of the host, and those that routes speak of."""

    def __init__(self, platforms: Iterable[str]) -> None:
        self._by_source = (
            dict.fromkeys({*_BUILT_IN.split(), *_PLUGINS.split(), *platforms}, SessionClass.CHAT) | _SOURCES
        )

    def of_record(self, session_id: str, record: Record, key: str | None) -> SessionClass:
        """The class of a session with a row. ``key`` is the route key in it: only a gateway writes one."""
        if record.lineage is Lineage.DELEGATION:
            return SessionClass.SUBAGENT
        known = self._by_source.get(record.source)
        if known is not None:
            return known
        if record.source in _SOURCELESS:
            return self.of_orphan(session_id)
        return SessionClass.OTHER if key is None or platform_of(key) is None else SessionClass.CHAT

    def knows(self, source: str) -> bool:
        """Whether a host writes it, or a gateway that serves this home."""
        return source in self._by_source or source in _SOURCELESS

    def of_routed(self, session_id: str, routes: tuple[Route, ...]) -> SessionClass:
        """The class of a session that only routes know."""
        platform = platform_of(routes[0].key)
        return self.of_orphan(session_id) if platform is None else self._by_source[platform]

    @staticmethod
    def of_orphan(session_id: str) -> SessionClass:
        """The class of a session that nobody knows."""
        return class_by_shape(session_id) or SessionClass.OTHER
