"""The sessions of one agent: its index and directory joined, also as a gateway that starts would see them.

Such a gateway should find no sessions in error, broken transcripts and stale marks. They are told only while
it is down, for what its index calls running is not then. What must not live here: the text of an index, names
of files, and decisions.
"""

from __future__ import annotations

import enum
import hashlib
import os
from collections.abc import Collection, Iterable

import msgspec

from hermes_retention.disk import effects
from hermes_retention.disk.directories import Directory
from hermes_retention.model.session import (
    Artifact,
    ArtifactKind,
    Record,
    Route,
    Session,
    SessionClass,
    Unknown,
)
from hermes_retention.model.text import is_text, printable
from hermes_retention.policy.resume import ResumeCandidate
from hermes_retention.stores.base import InterruptedSession
from hermes_retention.stores.openclaw.entries import RUNNING, IndexEntry, file_in, read_entry
from hermes_retention.stores.openclaw.files import (
    INDEX,
    LOCK,
    NOBODYS,
    AgentListing,
    assign,
    holder_of,
    joined,
    list_directory,
    transcripts,
)
from hermes_retention.stores.openclaw.index import Changes, IndexFile, SessionIndex

SHOWS_ACTIVITY = 3600.0
"""Seconds. A run that the index calls running is believed for so long after its last sign of life."""
SHOWING_ACTIVITY = "a run that showed activity within the hour"
ENTRY_SUFFIX = ".entry.json"
_ENDING = frozenset({SessionClass.CRON, SessionClass.SUBAGENT})
"""Classes whose run ends once; a hook may be called again under its key, and a chat goes on."""


class AgentScan(msgspec.Struct, frozen=True):
    """What one agent has."""

    sessions: list[Session]
    unknown: list[Unknown]
    other_bytes: int
    warnings: list[str]
    entries: list[IndexEntry]


def scan_agent(agent: str, directory: Directory, index_file: IndexFile, *, now: float) -> AgentScan:
    """Read names, sizes, times and the index.

    Raises ``StoreUnreadable`` for an index that cannot be read, ``OSError`` for the directory.
    """
    listing = list_directory(directory)  # first: what is listed has its entry by the time the index is read
    snapshot = index_file.load()
    return _AgentScanner(agent, directory, listing, snapshot.index, now=now).scan()


def entry_artifact(
    session_id: str, index: SessionIndex, keys: Iterable[str], updated_at: float | None
) -> Artifact:
    """The entries of a session as an artifact. Its ``inode`` is a piece of the hash of its bytes."""
    content = index.excerpt(keys)
    return Artifact(
        ArtifactKind.ENTRY,
        session_id + ENTRY_SUFFIX,
        len(content),
        len(content),
        int((updated_at or 0.0) * 1000) * 1_000_000,
        fingerprint(content),
    )


def fingerprint(content: bytes) -> int:
    """63 bits of a hash, in the place of an inode: changed bytes are another entry."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest()) >> 1


class _AgentScanner:
    def __init__(
        self, agent: str, directory: Directory, listing: AgentListing, index: SessionIndex, *, now: float
    ) -> None:
        self._agent, self._directory, self._listing, self._index = agent, directory, listing, index
        self._now = now
        self._entries: dict[str, list[IndexEntry]] = {}
        self._nameless: list[str] = []
        self._doubts: dict[str, tuple[str, str]] = {}
        """Session id → an entry and why it cannot be judged."""

    def scan(self) -> AgentScan:
        self._read_entries()
        files, unknown = assign(self._listing, self._entries.keys(), self._named_files())
        ids = sorted(files.keys() | self._entries.keys())
        return AgentScan(
            [self._session(session_id, files.get(session_id, [])) for session_id in ids],
            [*self._listing.unknown, *unknown],
            max(0, self._listing.other_bytes - len(self._index.content)),
            self._warnings(),
            [entry for entries in self._entries.values() for entry in entries],
        )

    def _read_entries(self) -> None:
        for key in self._index.members:
            entry = read_entry(key, self._index.value(key))
            if entry is None:
                self._nameless.append(key)
                continue
            self._entries.setdefault(entry.session_id, []).append(entry)
            if entry.doubt is not None:
                self._doubts.setdefault(entry.session_id, (key, entry.doubt))

    def _named_files(self) -> dict[str, str]:
        """File → the session whose entry names it; what two sessions name is nobody's, and both stay."""
        named: dict[str, str] = {}
        path = str(self._directory.path)
        for session_id, entries in self._entries.items():
            for entry in entries:
                name = f"{session_id}.jsonl" if entry.file is None else file_in(entry.file, path, self._agent)
                why = None
                if name is None:
                    why = "its sessionFile lies outside its directory"
                elif name in self._listing.links:
                    why = "its transcript is a symbolic link"
                elif named.setdefault(name, session_id) != session_id:
                    why = "another entry has the same transcript"
                    self._doubts.setdefault(named[name], (entry.text, why))
                if why is not None:
                    self._doubts.setdefault(session_id, (entry.text, why))
        return named

    def _session(self, session_id: str, files: list[Artifact]) -> Session:
        entries = self._entries.get(session_id, [])
        files.sort(key=lambda file: file.name)
        if not entries:
            return self._orphan(session_id, files)
        entry = max(entries, key=lambda one: (one.key.is_main, one.key.session_class is SessionClass.CHAT))
        kind = entry.key.session_class
        updated = max((one.updated_at for one in entries if one.updated_at is not None), default=None)
        known = (entry_artifact(session_id, self._index, (one.text for one in entries), updated), *files)
        return Session(
            joined(self._agent, session_id),
            kind,
            known,
            self._record(session_id, entries, entry, files),
            tuple(Route(one.text, one.active_at, leaves_along=not one.key.is_main) for one in entries),
            group=None if entry.key.series is None else f"{self._agent}:{entry.key.series}",
            failed=any(one.failed for one in entries),
            scope=self._agent,
        )

    def _orphan(self, session_id: str, files: list[Artifact]) -> Session:
        busy = self._lock_on(files)
        if busy is None and self._nameless and session_id != NOBODYS:
            busy = "unclear index: an entry that names no session may lead to it"
        record = None if busy is None else Record(source="", started_at=0.0, busy=busy)
        own = joined(self._agent, session_id)
        return Session(own, SessionClass.OTHER, tuple(files), record, scope=self._agent)

    def _record(
        self, session_id: str, entries: list[IndexEntry], entry: IndexEntry, files: list[Artifact]
    ) -> Record:
        started = [one.started_at for one in entries if one.started_at > 0]
        ends = [one.ended_at for one in entries if one.ended_at is not None]
        ended = max(ends) if len(ends) == len(entries) and entry.key.session_class in _ENDING else None
        if any(one.status == RUNNING for one in entries):
            ended = None
        return Record(
            source=entry.key.source,
            started_at=min(started, default=0.0),
            ended_at=ended,
            end_reason=entry.status or None,
            busy=self._busy(session_id, entries, files),
        )

    def _busy(self, session_id: str, entries: list[IndexEntry], files: list[Artifact]) -> str | None:
        if not is_text(session_id):
            return "unclear entry: its session id is no valid text"
        doubt = self._doubts.get(session_id)
        if doubt is not None:
            return f"unclear entry: {doubt[1]}"
        held = self._lock_on(files)
        if held is not None:
            return held
        if not any(one.status == RUNNING for one in entries):
            return None
        signs = [one.active_at for one in entries if one.active_at is not None]
        signs += [file.mtime_ns / 1e9 for file in files if file.kind is not ArtifactKind.LEFTOVER]
        seen = max(signs, default=0.0)
        return SHOWING_ACTIVITY if self._now - seen < SHOWS_ACTIVITY else None

    def _lock_on(self, files: list[Artifact]) -> str | None:
        for name in transcripts(files):
            if name in self._listing.locks:
                held = holder_of(self._directory, name + LOCK, now=self._now)
                if held is not None:
                    return held
        return None

    def _warnings(self) -> list[str]:
        path = printable(str(self._directory.path / INDEX))
        lines = []
        if self._nameless:
            what = f"{path}: {len(self._nameless)} entries name no session, such as"
            lines.append(
                f"{what} {printable(min(self._nameless))}; orphans of this agent are kept. "
                "Stop the host and remove these entries."
            )
        if self._doubts:
            key, why = min(self._doubts.values())
            lines.append(
                f"{path}: the entries of {len(self._doubts)} session(s) cannot be judged, such as "
                f"{printable(key)}: {why}; these sessions are kept."
            )
        return lines


_STOPPED = b'"killed"'
"""What the host itself writes of a run that somebody ended."""


class _Line(msgspec.Struct):
    type: str


_LINE = msgspec.json.Decoder(_Line)


class Transcript(enum.Enum):
    """What is known of a transcript."""

    SOUND = enum.auto()
    BROKEN = enum.auto()
    """It was read, and no host could go on with it."""
    UNREADABLE = enum.auto()
    """The system did not let it be read, which says nothing of what is in it."""


class ResumeMarks:
    """What has to change in an index, and whose entries that are."""

    def __init__(self, session_ids: Collection[str]) -> None:
        self._wanted = session_ids
        self.cleared: set[str] = set()

    def changes_to(self, index: SessionIndex) -> Changes:
        """What takes the marks off, for ``IndexFile.update``; ``cleared`` is told anew."""
        self.cleared.clear()
        changes: dict[str, bytes | None] = {}
        for key in index.members:
            entry = read_entry(key, index.value(key))
            if entry is not None and entry.session_id in self._wanted and entry.resumable:
                changes[key] = _unmarked(index.value(key), entry)
                self.cleared.add(entry.session_id)
        return changes


def _unmarked(value: bytes, entry: IndexEntry) -> bytes:
    """An entry is an object like an index: the same cut changes two of its fields and no other byte."""
    fields = SessionIndex.split(value)
    changes: dict[str, bytes | None] = {}
    if "abortedLastRun" in fields:
        changes["abortedLastRun"] = b"false"
    if entry.status == RUNNING:
        changes["status"] = _STOPPED
    return fields.changed(changes).content


def interrupted_session(agent: str, entry: IndexEntry, directory: Directory) -> InterruptedSession:
    """The session of an entry that carries such a mark; its transcript is read."""
    transcript = look_at_transcript(directory, f"{entry.session_id}.jsonl")
    candidate = ResumeCandidate(
        joined(agent, entry.session_id),
        entry.text,
        entry.active_at or 0.0,
        ended_in_error=entry.failed,
        readable=transcript is Transcript.SOUND,
    )
    return InterruptedSession(candidate, agent, entry.key.is_main, is_broken=transcript is Transcript.BROKEN)


def look_at_transcript(directory: Directory, name: str) -> Transcript:
    """Whether a host can go on with this transcript: a header, then whole lines but the last.

    One that does not exist is no obstacle: the host begins it.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = effects.open_file(name, flags, dir_fd=directory.descriptor)
    except FileNotFoundError:
        return Transcript.SOUND
    except OSError:
        return Transcript.UNREADABLE
    try:
        with open(descriptor, "rb") as lines:
            return Transcript.SOUND if _reads_as_transcript(lines) else Transcript.BROKEN
    except OSError:
        return Transcript.UNREADABLE


def _reads_as_transcript(lines: Iterable[bytes]) -> bool:
    is_first = True
    for line in lines:
        try:
            kind = _LINE.decode(line).type
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            kind = None
            if not is_first and not line.endswith(b"\n"):
                return True  # a host that died while it wrote; it drops such a line itself
        if kind is None or (is_first and kind != "session"):
            return False
        is_first = False
    return not is_first


def as_ended(session: Session) -> Session:
    """The session of which the index says that it runs, while no gateway does."""
    record = session.record or Record(source="", started_at=0.0)
    busy = record.busy if record.busy != SHOWING_ACTIVITY else None
    record = msgspec.structs.replace(record, ended_at=session.last_activity, busy=busy)
    return msgspec.structs.replace(session, record=record)
