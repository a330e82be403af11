"""What people are told about caps. Nothing here holds a word of a conversation.

Loaded by every process of a host, so it imports as little as ``policy.caps``. What must not live here:
decisions, and where the words go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hermes_retention.model.text import printable
from hermes_retention.model.units import format_duration, format_size
from hermes_retention.policy.caps import Action, Cap, Stage

if TYPE_CHECKING:
    from hermes_retention.policy.caps import Finding

_WITH_COMMAND = frozenset({"chat", "cli", "other"})
"""Classes in which a person can type ``/new``."""
NEXT = {
    Action.ALERT: "nothing else happens",
    Action.RESET: "the next message starts a new session",
    Action.STOP: "the session is stopped",
}
"""What happens after a limit was reached."""


def amount(cap: Cap, count: float) -> str:
    """A count with its unit: ``1,004 messages``, ``10.2 MB``, ``$2.50``."""
    if cap is Cap.BYTES:
        return format_size(count)
    if cap is Cap.COST_USD:
        return f"${count:,.2f}"
    return f"{count:,.0f} {_unit(cap)}"


def portion(cap: Cap, count: float, limit: float) -> str:
    """A count beside its limit: ``1,004 of 1,000 messages``, ``10.2 MB of 10.0 MB``."""
    if cap in {Cap.BYTES, Cap.COST_USD}:
        return f"{amount(cap, count)} of {amount(cap, limit)}"
    return f"{count:,.0f} of {amount(cap, limit)}"


def _unit(cap: Cap) -> str:
    return {
        Cap.TOKENS: "tokens",
        Cap.TOOL_CALLS: "tool calls in one turn",
        Cap.MESSAGES_PER_MINUTE: "messages in one minute",
    }.get(cap, "messages")


def setting(cap: Cap, session_class: str) -> str:
    """The variable that holds this limit."""
    return f"HERMES_RETENTION_{session_class}__CAPS__{cap}".upper()


def alert_line(session_id: str, session_class: str, platform: str, finding: Finding, done: Action) -> str:
    """One line for whoever runs the gateway."""
    who = f"session {printable(session_id)} ({', '.join(filter(None, (session_class, printable(platform))))})"
    what = f"{portion(finding.cap, finding.count, finding.limit)} ({setting(finding.cap, session_class)})"
    if finding.stage is Stage.NEAR:
        return f"{who} is near a cap: {what}"
    return f"{who} reached a cap: {what}; {NEXT[done]}"


def chat_line(finding: Finding, action: Action) -> str:
    """The same for the person in the chat. ``action`` is what happens at the limit."""
    limit = amount(finding.cap, finding.limit)
    then = {
        Action.ALERT: "Long conversations answer more slowly: /new starts a new one.",
        Action.RESET: "Your next message starts a new one.",
        Action.STOP: "It pauses now: /new starts a new one.",
    }
    if finding.stage is Stage.REACHED:
        return f"This conversation has reached its limit of {limit}. {then[action]}"
    soon = {
        Action.ALERT: "",
        Action.RESET: " At the limit a new one starts by itself.",
        Action.STOP: " At the limit it pauses; /new starts a new one.",
    }
    return f"This conversation is at {portion(finding.cap, finding.count, finding.limit)}.{soon[action]}"


def stop_notice(cap: Cap, limit: float, session_class: str, cooldown: float | None) -> str:
    """What a stopped session answers: which cap, and what to do."""
    ways = []
    if session_class in _WITH_COMMAND:
        ways.append("send /new to start a new session")
    if session_class == "api":
        ways.append("use another session id")
    if cooldown is not None:
        ways.append(f"wait {format_duration(cooldown)}")
    if not ways:
        ways.append(f"raise {setting(cap, session_class)}")
    what_to_do = " or ".join(ways)
    return f"Stopped: this session reached its limit of {amount(cap, limit)} ({cap}). To go on, {what_to_do}."
