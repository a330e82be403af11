"""What a sweep writes into the ledger. It is a record, so no sweep stops because it cannot be written.

What must not live here: what is noted, and what is done with the store.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from hermes_retention.home.ledger import Ledger, sweep_id
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.errors import LedgerFull, LedgerUnusable

Note = Callable[[Ledger], object]


class SweepNotes:
    """The notes of one sweep, in order. Those that the ledger refuses wait for the next, or for the end."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._ledger: Ledger | None = None
        self._waiting: list[Note] = []
        self._trouble: LedgerUnusable | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ledger is not None:
            self._ledger.close()

    def begin(self, *, started_at: float, origin: str) -> str:
        """Note that a sweep starts and return its id.

        Raises ``LedgerUnusable`` unless only the disk is full: sweeping is what helps then, and the notes
        wait until it has.
        """
        try:
            sweep = self._open().free_id(started_at)
        except LedgerFull:
            sweep = sweep_id(started_at)
        self.write(lambda ledger: ledger.begin_sweep(started_at=started_at, origin=origin, sweep=sweep))
        if self._trouble is not None and not isinstance(self._trouble, LedgerFull):
            raise self._trouble
        return sweep

    def fact(self, key: str) -> str | None:
        """A remembered fact; ``None`` too when the ledger cannot be read."""
        try:
            return self._open().fact(key)
        except LedgerUnusable:
            return None

    def write(self, note: Note) -> None:
        """Let ``note`` write into the ledger, after all that waits; what is refused waits."""
        self._waiting.append(note)
        self._trouble = None
        try:
            while self._waiting:
                self._waiting[0](self._open())
                del self._waiting[0]
        except LedgerUnusable as error:
            self._trouble = error

    def complaints(self) -> list[str]:
        """A line when something of this sweep could not be noted at all."""
        if self._trouble is None:
            return []
        return [f"{self._trouble} What this sweep did is done, but 'undo' may not know all of it."]

    def _open(self) -> Ledger:
        if self._ledger is None:
            self._ledger = self._workspace.ledger()
        return self._ledger
