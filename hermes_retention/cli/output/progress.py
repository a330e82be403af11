"""How far a sweep has got, on a terminal; and what it found, for the report at its end.

What must not live here: the report itself.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from hermes_retention.home.ledger import Outcome
from hermes_retention.model.plan import Plan
from hermes_retention.model.session import Inventory

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class Found(msgspec.Struct, frozen=True):
    """What a scan found in the store."""

    sessions: int = 0
    files: int = 0
    bytes: int = 0
    """Allocated ones, of session files only."""
    database_bytes: int = 0
    """Used pages of the host's database."""


class Watch:
    """Observes a sweep, shows nothing, and remembers what was found. A context manager around the sweep."""

    def __init__(self) -> None:
        self.found = Found()

    def planned(self, inventory: Inventory, plan: Plan) -> None:
        """The plan stands."""
        self.found = count(inventory)

    def done(self, outcome: Outcome) -> None:
        """One more step is done."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""


class BarWatch(Watch):
    """Shows a bar that disappears when the sweep is over."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        super().__init__()
        self._progress: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("Reading", total=None)

    def planned(self, inventory: Inventory, plan: Plan) -> None:
        """From here on there is a number to count to."""
        super().planned(inventory, plan)
        self._progress.update(self._task, description="Archiving", total=len(plan.removals()))

    def done(self, outcome: Outcome) -> None:
        """One further."""
        self._progress.advance(self._task)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def count(inventory: Inventory) -> Found:
    """How much there is in an inventory."""
    sessions = inventory.sessions
    return Found(
        sessions=len(sessions),
        files=sum(len(session.artifacts) for session in sessions),
        bytes=sum(session.allocated_bytes for session in sessions),
        database_bytes=inventory.usage.database_bytes,
    )
