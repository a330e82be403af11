"""Sessions whose rows wait for their turn: cut into what fits into one transaction, and what became of them.

What must not live here: databases.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

import msgspec

from hermes_retention.model.text import printable
from hermes_retention.stores.hermes.rows.read import Seen

_SESSION_WEIGHT = 500
"""What a session costs to check, at least, told in bytes of rows."""


class State(enum.StrEnum):
    """What became of a session's rows."""

    DONE = "done"
    CHANGED = "changed"
    """The session is not what was read; nothing of it was touched."""
    INTERRUPTED = "interrupted"
    """It changed, or the database failed, after a part had gone. What is gone is what was read; put it back,
    or read the rest."""


class Change(msgspec.Struct, frozen=True):
    """The outcome for one session: how many rows were changed, and why not all."""

    session_id: str
    state: State
    rows: int
    why: str = ""


class Progress:
    """A session on its way: rows before ``position`` are done."""

    def __init__(self, seen: Seen) -> None:
        if not seen.complete:
            message = f"session {printable(seen.session_id)} was not read to its end"
            raise ValueError(message)
        self.seen = seen
        self.position = 0
        self.is_told = False
        """Whether its outcome is out; nothing more happens to it then."""

    @property
    def is_done(self) -> bool:
        """Whether all its rows are."""
        return self.position == len(self.seen)

    def change(self, why: str = "") -> Change:
        """The outcome, to be told now that all is done or that ``why`` keeps the rest."""
        self.is_told = True
        state = State.DONE
        if why:
            state = State.INTERRUPTED if self.position else State.CHANGED
        return Change(self.seen.session_id, state, self.position, why)


class Piece(msgspec.Struct):
    """Consecutive rows of one session that a transaction takes."""

    progress: Progress
    start: int
    end: int
    weight: int

    @property
    def ids(self) -> Sequence[int]:
        """Of its messages, ascending."""
        return self.progress.seen.ids[self.start : self.end]

    @property
    def begins_a_long_one(self) -> bool:
        """Whether it is the first of several."""
        return self.start == 0 and self.end < len(self.progress.seen)


class Queue:
    """Cuts sessions into what fits into one transaction."""

    def __init__(self, sessions: Iterable[Seen]) -> None:
        self._waiting = iter(sessions)
        self._current: Progress | None = None

    def pieces(self, budget: int, rows: int) -> list[Piece]:
        """Pieces of sessions, each session once, with at least one row; empty when all is done."""
        found: list[Piece] = []
        while (budget > 0 and rows > 0) or not found:
            progress = self._next()
            if progress is None:
                break
            piece = _cut(progress, budget, rows)
            found.append(piece)
            budget, rows = budget - piece.weight, rows - max(1, len(piece.ids))
            if piece.end < len(progress.seen):
                break
            self._current = None
        return found

    def drop(self, progress: Progress) -> None:
        """Nothing more of this session."""
        if self._current is progress:
            self._current = None

    def _next(self) -> Progress | None:
        if self._current is None:
            seen = next(self._waiting, None)
            self._current = None if seen is None else Progress(seen)
        return self._current


def _cut(progress: Progress, budget: int, rows: int) -> Piece:
    """As many rows as fit, at least one if there are any."""
    weights = progress.seen.weights
    start = end = progress.position
    weight = 0
    while end < len(weights) and end - start < rows and (end == start or weight + weights[end] <= budget):
        weight += weights[end]
        end += 1
    return Piece(progress, start, end, max(weight, _SESSION_WEIGHT))
