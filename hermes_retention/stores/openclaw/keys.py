"""What a session key says: whose it is, what kind of work, and which series it belongs to.

Keys are written by the host: ``agent:<agent>:<kind>:…``. What must not live here: entries and files.
"""

from __future__ import annotations

import msgspec

from hermes_retention.model.session import SessionClass

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
