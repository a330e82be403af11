"""What a session may grow to while it lives, what follows from its counts, and what people are told of it.

Every process of a host loads this module, so it imports as little as it can, and a class of sessions is its
name here. No text holds a word of a conversation. Who counts is said in ``gateway.cap_job``, who acts in
``gateway.cap_watch``.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from hermes_retention.model.text import format_duration, format_size, printable


class Cap(enum.StrEnum):
    """What is counted; the value is the name of its setting."""

    MESSAGES = "max_messages"
    """Stored messages, active and inactive."""
    BYTES = "max_bytes"
    """What the session stores: rows and files."""
    TOKENS = "max_tokens"
    COST_USD = "max_cost_usd"
    TOOL_CALLS = "max_tool_calls"
    """Within one turn."""
    MESSAGES_PER_MINUTE = "max_messages_per_minute"


class Reaction(enum.StrEnum):
    """What a cap does when it is reached."""

    ALERT = "alert"
    RESET = "reset"
    """The turn finishes, and the next message starts a fresh session."""
    STOP = "stop"
    """The turn ends at its next call of the model, and the session answers with a notice for a while."""


RESETTABLE = frozenset({"chat"})
"""Classes whose next message may start a fresh session: those with a route that is used again."""
PASSING = frozenset({Cap.TOOL_CALLS, Cap.MESSAGES_PER_MINUTE})
"""Caps whose count goes down again by itself; the others only grow."""
EVERYTHING = frozenset(Reaction)
"""The abilities of a host that can do all of it."""


_CLOCK_SLACK_SECONDS = 60


class CapStage(enum.StrEnum):
    """How far a count has come."""

    NEAR = "near"
    REACHED = "reached"


@dataclass(frozen=True, slots=True)
class Limit:
    """A number that a count must stay below, and what happens when it does not."""

    at: float
    action: Reaction


@dataclass(frozen=True, slots=True)
class Caps:
    """The limits of one class of sessions. A cap that is off is missing."""

    limits: Mapping[Cap, Limit]
    alert_at: float = 0.8
    """The share of a limit from which it is near."""


@dataclass(frozen=True, slots=True)
class CapSettings:
    """Everything that people set about caps."""

    classes: Mapping[str, Caps]
    alert_in_chat: bool = False
    stop_cooldown: int | None = 900
    """Seconds until a stopped session answers again; ``None``: only a new one does."""


@dataclass(frozen=True, slots=True)
class CapFinding:
    """A count that is near its limit, or has reached it."""

    cap: Cap
    stage: CapStage
    count: float
    limit: float
    action: Reaction


@dataclass(frozen=True, slots=True)
class CapStop:
    """A session that answers with a notice. Times are Unix seconds."""

    cap: Cap
    at: float
    until: float | None
    """``None``: this session stays stopped, only a new one answers."""
    count: float
    """What was counted then. When the stop is over, a cap that only grows counts anew from here."""

    def holds(self, now: float) -> bool:
        """Whether it is still in force; a clock that was put back ends it rather than making it longer."""
        return self.at - _CLOCK_SLACK_SECONDS <= now and (self.until is None or now < self.until)


@dataclass(frozen=True, slots=True)
class CapAction:
    """What a gateway is to do about a session that has reached a cap, and what to tell its person."""

    action: Reaction
    cap: Cap
    text: str


@dataclass(frozen=True, slots=True)
class Alert:
    """What the receivers of alerts get: a session has come near a limit or reached it."""

    session_id: str
    session_class: str
    platform: str
    finding: CapFinding
    done: Reaction
    """What was done: where the action of the cap was not possible, the next weaker one."""
    at: float
    """Unix seconds."""
    text: str
    """One line for people. It holds nothing of the conversation."""


def judge(
    counts: Mapping[Cap, float], caps: Caps, since: Mapping[Cap, float] | None = None
) -> tuple[CapFinding, ...]:
    """What is near or reached, in the order of ``Cap``. A count that is missing is unknown and never is.

    ``since`` holds counts from which a cap counts anew, because a stop of this session is over.
    """
    return tuple(_findings(counts, caps, since or {}))


def _findings(counts: Mapping[Cap, float], caps: Caps, since: Mapping[Cap, float]) -> Iterable[CapFinding]:
    for cap, limit in caps.limits.items():
        if cap not in counts:
            continue
        # What was counted at a stop that is over does not count again: the next word would stop it anew.
        count = counts[cap] - since.get(cap, 0)
        if count >= limit.at:
            yield CapFinding(cap, CapStage.REACHED, count, limit.at, limit.action)
        elif count >= limit.at * caps.alert_at:
            # Near a limit nothing happens yet, whatever happens at it.
            yield CapFinding(cap, CapStage.NEAR, count, limit.at, Reaction.ALERT)


def possible(action: Reaction, session_class: str, abilities: Container[Reaction]) -> Reaction:
    """``action``, or the next weaker one that this class and a host with these abilities can do."""
    # From the strongest down, so that what cannot be stopped is reset where that is possible.
    if action is Reaction.STOP and action not in abilities:
        action = Reaction.RESET
    if action is Reaction.RESET and (action not in abilities or session_class not in RESETTABLE):
        return Reaction.ALERT
    return action


def nearest(counts: Mapping[Cap, float], caps: Caps) -> tuple[Cap, float] | None:
    """The cap that the session is closest to, with the share of it that is used up."""
    shares = ((cap, counts[cap] / limit.at) for cap, limit in caps.limits.items() if cap in counts)
    return max(shares, key=lambda pair: pair[1], default=None)


_WITH_COMMAND = frozenset({"chat", "cli", "other"})
"""Classes in which a person can type ``/new``."""
NEXT = {
    Reaction.ALERT: "nothing else happens",
    Reaction.RESET: "the next message starts a new session",
    Reaction.STOP: "the session is stopped",
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


def alert_line(
    session_id: str, session_class: str, platform: str, finding: CapFinding, done: Reaction
) -> str:
    """One line for whoever runs the gateway."""
    who = f"session {printable(session_id)} ({', '.join(filter(None, (session_class, printable(platform))))})"
    what = f"{portion(finding.cap, finding.count, finding.limit)} ({setting(finding.cap, session_class)})"
    if finding.stage is CapStage.NEAR:
        return f"{who} is near a cap: {what}"
    return f"{who} reached a cap: {what}; {NEXT[done]}"


def alert_words(alert: Alert) -> str:
    """What came near which limit, or reached it, and what was done."""
    finding = alert.finding
    used = portion(finding.cap, finding.count, finding.limit)
    return f"near {used}" if finding.stage is CapStage.NEAR else f"reached {used}; {NEXT[alert.done]}"


def chat_line(finding: CapFinding, action: Reaction) -> str:
    """The same for the person in the chat. ``action`` is what happens at the limit."""
    limit = amount(finding.cap, finding.limit)
    then = {
        Reaction.ALERT: "Long conversations answer more slowly: /new starts a new one.",
        Reaction.RESET: "Your next message starts a new one.",
        Reaction.STOP: "It pauses now: /new starts a new one.",
    }
    if finding.stage is CapStage.REACHED:
        return f"This conversation has reached its limit of {limit}. {then[action]}"
    soon = {
        Reaction.ALERT: "",
        Reaction.RESET: " At the limit a new one starts by itself.",
        Reaction.STOP: " At the limit it pauses; /new starts a new one.",
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
