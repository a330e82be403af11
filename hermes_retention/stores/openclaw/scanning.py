"""The sessions of one agent: its index and its directory joined.

What must not live here: the text of an index, names of files, and decisions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

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
from hermes_retention.stores.openclaw.entries import RUNNING, IndexEntry, file_in, read_entry
from hermes_retention.stores.openclaw.files import (
    INDEX,
    LOCK,
    NOBODYS,
    AgentListing,
    assign,
    joined,
    list_directory,
    transcripts,
)
from hermes_retention.stores.openclaw.index import SessionIndex
from hermes_retention.stores.openclaw.index_file import IndexFile
from hermes_retention.stores.openclaw.lock import holder_of

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
        files.sort(key=lambda it: it.name)
        if not entries:
            return self._orphan(session_id, files)
        entry = max(entries, key=lambda it: (it.key.is_main, it.key.session_class is SessionClass.CHAT))
        kind = entry.key.session_class
        updated = max((it.updated_at for it in entries if it.updated_at is not None), default=None)
        known = (entry_artifact(session_id, self._index, (it.text for it in entries), updated), *files)
        return Session(
            joined(self._agent, session_id),
            kind,
            known,
            self._record(session_id, entries, entry, files),
            tuple(Route(it.text, it.active_at, leaves_along=not it.key.is_main) for it in entries),
            group=None if entry.key.series is None else f"{self._agent}:{entry.key.series}",
            failed=any(it.failed for it in entries),
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
        started = [it.started_at for it in entries if it.started_at > 0]
        ends = [it.ended_at for it in entries if it.ended_at is not None]
        ended = max(ends) if len(ends) == len(entries) and entry.key.session_class in _ENDING else None
        if any(it.status == RUNNING for it in entries):
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
        if not any(it.status == RUNNING for it in entries):
            return None
        signs = [it.active_at for it in entries if it.active_at is not None]
        signs += [it.mtime_ns / 1e9 for it in files if it.kind is not ArtifactKind.LEFTOVER]
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
