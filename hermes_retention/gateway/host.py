"""What a live host can do for us, and what it tells of a call of its model.

A host that can do nothing passes ``None``; then these things do not happen. Imported by every process of a
host. What must not live here: anything about one host, and imports that cost time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class HostGateway(Protocol):
    """The running gateway, through its own objects. Called on the worker's thread only, never on the loop.

    Methods may raise: that costs one warning, and is tried again where it makes sense.
    """

    def drop_routes(self, routes: Mapping[str, str]) -> list[str]:
        """Make the host forget these routes (key → session id), through its own store; the keys of those that
        it really dropped.

        A route that leads elsewhere by now, or was used lately, stays.
        """

    def clear_resume_marks(self, session_ids: Sequence[str]) -> list[str]:
        """Take the mark off these sessions that makes the host resume them; returns those that had it."""

    def suspend(self, session_id: str) -> bool:
        """Let the next message start a fresh session, and say whether that was possible.

        The running turn finishes.
        """

    def can_stop(self) -> bool:
        """Whether this version asks before each call of the model, so that a turn can be stopped there."""

    def tell(self, session_id: str, text: str) -> bool:
        """Say something to the person in the chat of this session, and whether that was possible."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """What is known of one call once the model has answered, as far as caps care."""

    number: int
    """Within its turn, from 1; 0 when nobody knows."""
    tokens: float = 0
    tool_calls: int = 0
    """How many the model asks for."""
