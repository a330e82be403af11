"""What a gateway that starts should find no more: sessions in error, broken transcripts, stale marks.

Only while the gateway is down: what its index calls running is not. What must not live here: how many
interrupted sessions are gone on with (``policy.resume``), reading and writing the index (``store``), and the
way into the vault.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Collection, Iterable

import msgspec

from hermes_retention.disk import effects
from hermes_retention.disk.directories import Directory
from hermes_retention.model.session import Record, Session
from hermes_retention.policy.resume import ResumeCandidate
from hermes_retention.stores.base import InterruptedSession
from hermes_retention.stores.openclaw.entries import RUNNING, IndexEntry, read_entry
from hermes_retention.stores.openclaw.files import joined
from hermes_retention.stores.openclaw.index import SessionIndex
from hermes_retention.stores.openclaw.index_file import Changes
from hermes_retention.stores.openclaw.scanning import SHOWING_ACTIVITY

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
