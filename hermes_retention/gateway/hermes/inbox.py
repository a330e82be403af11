"""What the host's hooks tell, until somebody has time for it. Putting something in takes microseconds.

What must not live here: what anything of it means, and imports that cost time.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MOST = 10_000
"""In memory while nobody takes them out; the oldest give way, and sweeps find what they said."""


@dataclass(frozen=True, slots=True)
class Told:
    """One call of a hook, reduced to what matters. No text of a conversation is in it."""

    hook: str
    session_id: str
    platform: str
    facts: Mapping[str, object]


class Inbox:
    """A queue of what was told, in order. Any thread may put in, one takes out."""

    def __init__(self) -> None:
        self._told: deque[Told] = deque(maxlen=_MOST)
        self._arrived = threading.Event()

    def put(self, told: Told) -> None:
        """Leave this here. Never waits."""
        self._told.append(told)
        self._arrived.set()

    def wait(self, seconds: float) -> None:
        """Return when something is here, or after that time."""
        self._arrived.wait(seconds)
        self._arrived.clear()

    def wake(self) -> None:
        """Let ``wait`` return."""
        self._arrived.set()

    def take(self) -> Iterator[Told]:
        """Everything that is here, oldest first; what comes meanwhile too."""
        while True:
            try:
                told = self._told.popleft()
            except IndexError:  # others put in meanwhile, so looking and taking are one
                return
            yield told
