"""The port to what a host itself can tell about its health and configuration, for ``doctor``.

A store need not have it. What must not live here: what is asked of every home alike.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import msgspec


class Level(enum.StrEnum):
    """How bad something is."""

    GOOD = "good"
    NOTE = "note"
    """Worth knowing; nothing is wrong."""
    WARNING = "warning"
    """Somebody should look at it."""
    ERROR = "error"
    """Something does not work."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: a stable name, how it is, what was found, and what helps."""

    check: str
    level: Level
    what: str
    cure: str = ""


@runtime_checkable
class CheckedStore(Protocol):
    """A store that knows how its host should be set up."""

    def checkup(self) -> Iterator[Finding]:
        """What can be told of the host: version, configuration, plugin. Reads only, raises nothing."""
