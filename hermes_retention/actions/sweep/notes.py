"""What a sweep writes into the ledger. It is a record, so no sweep stops because it cannot be written.

That includes the queue: which of its lines a sweep has seen to, and which wait for a later one. What must not
live here: what is done with the store.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

import msgspec

from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.home.ledger import DONE, STOPPED, Ledger, LookedThrough, Outcome, sweep_id
from hermes_retention.home.queue import Occasion, Pending, Queue
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.errors import LedgerFull, LedgerUnusable
from hermes_retention.model.plan import Action, Plan, Rule, Tier

Note = Callable[[Ledger], object]
_PASSING = frozenset({Rule.MIN_AGE, Rule.BUSY, Rule.RUNNING, Rule.ROUTED, Rule.LINEAGE})
"""Guards that may be gone in a moment: a host's last writes, a route that is about to move."""
_GIVE_UP_SECONDS = 86400.0
"""After that long a line is nothing that regular sweeps would not find as early."""
_CLOCK_SLACK = 60.0


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

    def finish(self, report: SweepReport, *, finished_at: float, is_whole: bool) -> None:
        """Note how the sweep came to its end; ``is_whole`` unless a stop left something out."""
        totals = {
            **msgspec.structs.asdict(report.counts),
            "bytes_before": report.bytes_before,
            "bytes_after": report.bytes_after,
        }
        sweep, state = report.sweep or "", DONE if is_whole else STOPPED
        self.write(
            lambda ledger: ledger.finish_sweep(sweep, finished_at=finished_at, totals=totals, state=state)
        )

    def complaints(self) -> list[str]:
        """A line when something of this sweep could not be noted at all."""
        if self._trouble is None:
            return []
        return [f"{self._trouble} What this sweep did is done, but 'undo' may not know all of it."]

    def _open(self) -> Ledger:
        if self._ledger is None:
            self._ledger = self._workspace.ledger()
        return self._ledger


def settle(queue: Queue, plan: Plan, outcomes: Sequence[Outcome], *, settle_time: float) -> None:
    """Take from ``queue`` what the sweep with this plan has seen to, and postpone what came too early."""
    lines = queue.lines()
    if lines:
        done, later = _sorted(lines, plan, outcomes, settle_time=settle_time)
        queue.remove(done)
        queue.postpone(later)


def _sorted(
    lines: Iterable[Pending], plan: Plan, outcomes: Sequence[Outcome], *, settle_time: float
) -> tuple[list[Pending], list[Pending]]:
    told = {(outcome.step.session_id, outcome.step.verdict) for outcome in outcomes}
    left_out: set[str] = set()
    early: set[str] = set()
    for step in plan.steps:
        if step.action is Action.KEEP:
            if step.rule in _PASSING:
                early.add(step.session_id)
        elif (step.session_id, step.verdict) not in told:
            left_out.add(step.session_id)
    done: list[Pending] = []
    later: list[Pending] = []
    for line in lines:
        if not isinstance(line.occasion, Occasion):  # a newer version knows what it means
            continue
        waited = abs(plan.now - line.noted_at)  # abs: a clock may have been ahead when it was noted
        if line.session_id in left_out or plan.now < line.noted_at <= plan.now + _CLOCK_SLACK:
            continue
        if line.due_at is not None and line.session_id in early and waited < _GIVE_UP_SECONDS:
            later.append(dataclasses.replace(line, due_at=plan.now + max(settle_time, waited)))
        else:
            done.append(line)
    return done, later


def looked_through(outcomes: Sequence[Outcome], above_bytes: int) -> Iterator[LookedThrough]:
    """The sessions in which no long tool output is left."""
    for outcome in outcomes:
        step = outcome.step
        if step.tier is Tier.TOOL_OUTPUT and not outcome.errors:
            record = step.seen.record if step.seen is not None else None
            if record is not None and record.last_message_at is not None:
                yield LookedThrough(step.session_id, record.last_message_at, above_bytes)
