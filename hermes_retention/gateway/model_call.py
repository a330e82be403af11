"""One call of the model, as far as limits of a session care. Imported by every process of a host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelCall:
    """What is known once the model has answered."""

    number: int
    """Within its turn, from 1; 0 when nobody knows."""
    tokens: float = 0
    tool_calls: int = 0
    """How many the model asks for."""
