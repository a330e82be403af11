"""What an entry of the index and its key say, as far as decisions need it; what is unclear keeps its session.

Keys are written by the host: ``agent:<agent>:<kind>:…``. They say whose a session is, what kind of work, and
which series it belongs to. What must not live here: files, locks, and the text of an index.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import Any

import msgspec

from hermes_retention.model.session import SessionClass
from hermes_retention.model.text import is_text
from hermes_retention.stores.base import SessionMetadata
from hermes_retention.stores.files import decode

MAIN = frozenset({"main", "global"})
_KINDS = {
    "hook": SessionClass.HOOK,
    "cron": SessionClass.CRON,
    "subagent": SessionClass.SUBAGENT,
    "dashboard": SessionClass.CHAT,
    "webchat": SessionClass.CHAT,
    "openai": SessionClass.API,
    "openai-user": SessionClass.API,
    "openresponses": SessionClass.API,
    "openresponses-user": SessionClass.API,
    "acp": SessionClass.CLI,
}
_PEOPLE = frozenset({"direct", "dm", "group", "channel", "thread", "topic", "room"})


class Key(msgspec.Struct, frozen=True):
    """A session key, read."""

    session_class: SessionClass
    source: str
    """The kind of work, or the platform that a chat is on."""
    is_main: bool = False
    """Whether it is the agent's primary session, which is never touched."""
    series: str | None = None
    """The job or chat that it belongs to."""


def read_key(key: str) -> Key:
    """What ``key`` says; a form that nobody knows is of class ``other``."""
    parts = key.split(":")
    rest = parts[2:] if parts[0] == "agent" and len(parts) > 2 else parts  # noqa: PLR2004 - agent, its name, more
    first = rest[0]
    if first in MAIN and len(rest) == 1:
        return Key(SessionClass.CHAT, first, is_main=True)
    if "subagent" in rest:  # also below the session that started it
        return Key(SessionClass.SUBAGENT, "subagent")
    kind = _KINDS.get(first)
    if kind is SessionClass.CRON:
        return Key(kind, first, series=f"cron:{rest[1]}" if len(rest) > 1 else None)
    if kind is not None:
        return Key(kind, first)
    if first in MAIN or any(part in _PEOPLE for part in rest[1:]):  # a thread of the main session is a chat
        return Key(SessionClass.CHAT, first, series=key)
    return Key(SessionClass.OTHER, first)


FAILED = frozenset({"failed", "timeout", "killed"})
RUNNING = "running"
_EARLIEST_MS, _LATEST_MS = 1e11, 1e14
"""What lies outside is no time in milliseconds: seconds of today are below."""


class _Facts(msgspec.Struct, rename="camel"):
    """The fields that are read, with whatever type they have."""

    session_id: Any = None
    session_file: Any = None
    updated_at: Any = None
    last_interaction_at: Any = None
    session_started_at: Any = None
    started_at: Any = None
    ended_at: Any = None
    status: Any = None
    aborted_last_run: Any = None
    channel: Any = None
    last_channel: Any = None
    display_name: Any = None
    label: Any = None
    subject: Any = None
    model: Any = None


class _Id(msgspec.Struct, rename="camel", gc=False):
    session_id: str


_READER = msgspec.json.Decoder(_Facts)
_ID_READER = msgspec.json.Decoder(_Id)


class IndexEntry(msgspec.Struct, frozen=True, gc=False):
    """One entry. Times are Unix seconds."""

    text: str
    """Its key, as it stands in the index."""
    key: Key
    session_id: str
    updated_at: float | None
    active_at: float | None
    """The newest time at which it was used."""
    started_at: float
    """0.0 when nobody knows."""
    ended_at: float | None
    status: str
    resumable: bool
    """Whether a host that starts would go on with it."""
    file: str | None
    """The path of the transcript that it names."""
    doubt: str | None
    """Why it cannot be judged; its session is kept then."""

    @property
    def failed(self) -> bool:
        """Whether its last run ended in error."""
        return self.status in FAILED


def read_entry(key: str, value: bytes) -> IndexEntry | None:
    """The entry ``value`` of ``key``; ``None`` when it names no session."""
    facts = _facts(value)
    if facts is None or not isinstance(facts.session_id, str) or not facts.session_id:
        return None
    updated = _seconds(facts.updated_at)
    used = [time for time in (updated, _seconds(facts.last_interaction_at)) if time is not None]
    status = _status(facts)
    return IndexEntry(
        key,
        read_key(key),
        facts.session_id,
        updated,
        max(used, default=None),
        _started(facts),
        _seconds(facts.ended_at),
        status,
        status == RUNNING or facts.aborted_last_run is True,
        facts.session_file if isinstance(facts.session_file, str) else None,
        _doubt(key, facts, updated),
    )


def metadata_of(key: str, value: bytes) -> SessionMetadata:
    """What a listing of the archive shows of an entry."""
    facts = _facts(value) or _Facts()
    title = next((name for name in (facts.display_name, facts.label, facts.subject) if _is_name(name)), None)
    channel = next((name for name in (facts.channel, facts.last_channel) if _is_name(name)), None)
    return SessionMetadata(
        source=channel or read_key(key).source,
        title=title,
        model=facts.model if _is_name(facts.model) else None,
        route_key=key,
        started_at=_started(facts) or None,
        ended_at=_seconds(facts.ended_at),
        end_reason=_status(facts) or None,
    )


def session_id_in(value: bytes) -> str | None:
    """The session that an entry leads to; ``None`` when it names none."""
    try:
        return _ID_READER.decode(value).session_id
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        facts = _facts(value)
    return facts.session_id if facts is not None and isinstance(facts.session_id, str) else None


def file_in(path: str, directory: str, agent: str) -> str | None:
    """The name that a ``sessionFile`` has in the directory of its agent; ``None`` when it lies elsewhere.

    The host writes absolute paths, and may see the home under another one than we do, as in a container: it
    is the same place when its last parts are.
    """
    start, slash, name = path.rpartition("/")
    if start == directory and slash and name not in ("", ".", "..") and "\0" not in path:
        return name  # as nearly all are
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or "\0" in path:
        return None
    if len(parts) == 1:
        return parts[0]
    inside = str(PurePosixPath(*parts[:-1])) == directory or parts[-4:-1] == ("agents", agent, "sessions")
    return parts[-1] if inside else None


def _facts(value: bytes) -> _Facts | None:
    try:
        return _READER.decode(value)
    except msgspec.ValidationError:  # it is no object
        return None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:
        read = decode(value)
        return msgspec.convert(read, _Facts) if isinstance(read, dict) else None
    except (ValueError, msgspec.ValidationError):
        return None


def _doubt(key: str, facts: _Facts, updated: float | None) -> str | None:
    if not is_text(key) or not is_text(facts.session_id):
        return "its key or session id is no valid text"
    if "/" in facts.session_id or facts.session_id in (".", ".."):
        return "its session id is no file name"
    if facts.updated_at is None:
        return "it has no updatedAt"
    return "its updatedAt is no time in milliseconds" if updated is None else None


def _started(facts: _Facts) -> float:
    return _seconds(facts.session_started_at) or _seconds(facts.started_at) or 0.0


def _status(facts: _Facts) -> str:
    return facts.status if isinstance(facts.status, str) else ""


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value / 1000 if _EARLIEST_MS <= value < _LATEST_MS else None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value) and is_text(value)
