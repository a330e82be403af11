"""What a gateway that starts should find no more: sessions in error, broken transcripts, stale marks.

Only while the gateway is down: what its index calls running is not. What must not live here: how many
interrupted sessions are gone on with (``gateway.resume``), and the way into the vault.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Collection, Iterable

import msgspec

from hermes_retention.disk import effects
from hermes_retention.disk.directories import Directory
from hermes_retention.model.session import Record, Session, SessionClass
from hermes_retention.model.text import printable
from hermes_retention.policy.resume import ResumeCandidate
from hermes_retention.stores.base import Scan
from hermes_retention.stores.openclaw.agents import find_agents, folder_of, joined, parted
from hermes_retention.stores.openclaw.entries import RUNNING, Entry, read_entry
from hermes_retention.stores.openclaw.files import LOCK
from hermes_retention.stores.openclaw.index import Index
from hermes_retention.stores.openclaw.index_file import Changes
from hermes_retention.stores.openclaw.lock import holder_of
from hermes_retention.stores.openclaw.scanning import SHOWING_ACTIVITY
from hermes_retention.stores.openclaw.store import OpenClawStore

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


class Interrupted(msgspec.Struct, frozen=True):
    """A session that a gateway would go on with when it starts."""

    candidate: ResumeCandidate
    agent: str
    is_main: bool
    is_broken: bool
    """Whether its transcript was read and is broken; one that cannot be read may be sound."""


class StartingStore(OpenClawStore):
    """A home whose gateway is down, seen as if it held only what must not be resumed at all."""

    def scan(self, *, now: float) -> Scan:
        """The sessions that ended in error, chats apart, and those whose transcript is broken.

        All of them count as ended. Raises ``StoreUnreadable`` as ever. The transcripts of interrupted
        sessions are read, all others are not.
        """
        found = super().scan(now=now)
        interrupted = {it.candidate.session_id: it for it in self.interrupted(now=now)}
        warnings = list(found.warnings)
        sessions = []
        for session in found.sessions:
            one = interrupted.get(session.id)
            broken = one is not None and one.is_broken
            if broken and one is not None and one.is_main:
                warnings.append(
                    f"{printable(session.id)}: the transcript of a main session is broken; it is kept"
                )
            elif broken or (
                session.failed and session.routes and session.session_class is not SessionClass.CHAT
            ):
                sessions.append(_ended(session))
        return msgspec.structs.replace(found, sessions=tuple(sessions), warnings=tuple(warnings))

    def interrupted(self, *, now: float) -> list[Interrupted]:
        """The sessions that a gateway would go on with, by agent."""
        found: list[Interrupted] = []
        for agent in find_agents(self.home)[0]:
            entries = [
                it for it in self.scan_agent(agent, now=now).entries if it.resumable and it.doubt is None
            ]
            with Directory.open(self.home, *folder_of(agent).below) as directory:
                found += [_interrupted(agent, entry, directory) for entry in entries]
        return found

    def clear_resume_marks(self, session_ids: Iterable[str]) -> list[str]:
        """Take the mark off these sessions that makes a gateway resume them; returns those that had it.

        Everything else in their entries stays as it is, byte for byte. A session whose transcript somebody
        has locked keeps its mark. Raises ``StoreUnreadable`` when an index cannot be read, locked or written.
        """
        wanted: dict[str, set[str]] = {}
        for session_id in session_ids:
            agent, own = parted(session_id)
            wanted.setdefault(agent, set()).add(own)
        cleared: list[str] = []
        for agent, ids in sorted(wanted.items()):
            with Directory.open(self.home, *folder_of(agent).below) as directory:
                now = self.waiting.now()
                free = {own for own in ids if holder_of(directory, f"{own}.jsonl{LOCK}", now=now) is None}
                marks = _Marks(free)
                self.open_index(directory).update(marks.changes_to)
            cleared += [joined(agent, own) for own in sorted(marks.cleared)]
        return cleared


class _Marks:
    """What has to change in an index, and whose entries that are."""

    def __init__(self, session_ids: Collection[str]) -> None:
        self._wanted = session_ids
        self.cleared: set[str] = set()

    def changes_to(self, index: Index) -> Changes:
        self.cleared.clear()
        changes: dict[str, bytes | None] = {}
        for key in index.members:
            entry = read_entry(key, index.value(key))
            if entry is not None and entry.session_id in self._wanted and entry.resumable:
                changes[key] = _unmarked(index.value(key), entry)
                self.cleared.add(entry.session_id)
        return changes


def _unmarked(value: bytes, entry: Entry) -> bytes:
    """An entry is an object like an index: the same cut changes two of its fields and no other byte."""
    fields = Index.split(value)
    changes: dict[str, bytes | None] = {}
    if "abortedLastRun" in fields:
        changes["abortedLastRun"] = b"false"
    if entry.status == RUNNING:
        changes["status"] = _STOPPED
    return fields.changed(changes).content


def _interrupted(agent: str, entry: Entry, directory: Directory) -> Interrupted:
    transcript = look_at_transcript(directory, f"{entry.session_id}.jsonl")
    candidate = ResumeCandidate(
        joined(agent, entry.session_id),
        entry.text,
        entry.active_at or 0.0,
        ended_in_error=entry.failed,
        readable=transcript is Transcript.SOUND,
    )
    return Interrupted(candidate, agent, entry.key.is_main, is_broken=transcript is Transcript.BROKEN)


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


def _ended(session: Session) -> Session:
    record = session.record or Record(source="", started_at=0.0)
    busy = record.busy if record.busy != SHOWING_ACTIVITY else None
    record = msgspec.structs.replace(record, ended_at=session.last_activity, busy=busy)
    return msgspec.structs.replace(session, record=record)
