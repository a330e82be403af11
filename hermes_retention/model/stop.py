"""How long work is told that it should come to an end. What must not live here: what is done about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Stop: TypeAlias = Callable[[], bool]
"""Whether work should end at its next safe place. Once it says so it says so for ever: what comes later
relies on it that what came before may have been left out."""


def never() -> bool:
    """Work goes on to its end."""
    return False
