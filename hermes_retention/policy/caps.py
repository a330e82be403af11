"""Words about sessions that grow too large: which limit, what is done about it, and the alert that tells.

Light on purpose: whoever carries these through a hook loads nothing else.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Cap(enum.StrEnum):
    """A limit on one session while it lives; the values are the names of the settings."""

    MAX_MESSAGES = "max_messages"
    MAX_BYTES = "max_bytes"
    MAX_TOKENS = "max_tokens"
    MAX_COST_USD = "max_cost_usd"
    MAX_TOOL_CALLS = "max_tool_calls"
    MAX_MESSAGES_PER_MINUTE = "max_messages_per_minute"


class CapAction(enum.StrEnum):
    """What happens to a session that is over a cap."""

    ALERT = "alert"
    RESET = "reset"
    """The running turn finishes; the next message starts a fresh session."""
    STOP = "stop"
    """The running turn ends within one call of the model."""


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that a person should know about a session. Never holds text of the conversation."""

    session_id: str
    text: str
    """One line for people."""
    cap: Cap | None = None
    value: float = 0.0
    """What was counted, in the unit of the cap."""
    limit: float = 0.0
    action: CapAction = CapAction.ALERT
