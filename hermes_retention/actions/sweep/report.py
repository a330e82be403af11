"""What is told of a sweep: to observers, plugins and the ledger while it runs, and in its report at the end.

The report says what met which end, and how much is stored before and after. The notes in the ledger are a
record, so no sweep stops because they cannot be written. What must not live here: words for people, and what
is done with the store.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, Self

import msgspec

from hermes_retention.actions.sweep.recovery import Drill
from hermes_retention.archive.entries import partition_name
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import DONE, STOPPED, Ledger, LookedThrough, Outcome, sweep_id
from hermes_retention.home.queue import Occasion, Pending, Queue
from hermes_retention.home.workspace import Workspace
from hermes_retention.hookspecs import Location
from hermes_retention.model.errors import ExitCode, LedgerFull, LedgerUnusable, VaultDamaged
from hermes_retention.model.plan import Action, Plan, Rule, Step, Tier
from hermes_retention.model.session import Inventory, Session, Unknown
from hermes_retention.policy.decide import decide
from hermes_retention.policy.lifecycle import Policy
from hermes_retention.stores.base import DatabaseSpace

_ARCHIVED = {
    Tier.FILES: "files_archived",
    Tier.TOOL_OUTPUT: "tool_output_archived",
    Tier.MESSAGES: "messages_archived",
    Tier.RECORD: "records_archived",
}
_ENDS = (*_ARCHIVED.values(), "deleted", "expired", "failed")


class Counts(msgspec.Struct, frozen=True):
    """How many sessions met which end: each once under every name, but kept ones under no other."""

    kept: int = 0
    files_archived: int = 0
    tool_output_archived: int = 0
    messages_archived: int = 0
    records_archived: int = 0
    deleted: int = 0
    expired: int = 0
    failed: int = 0


class SweepReport(msgspec.Struct, frozen=True):
    """What a sweep did, or what a dry run would do.

    Sizes are bytes that the file system allocates, and bytes of pages that the host's database uses.
    """

    sweep: str | None
    """Its id for ``undo``; ``None`` for a dry run and when there was nothing to do."""
    dry_run: bool
    home: str
    seconds: float
    sessions: int
    bytes_before: int
    bytes_after: int
    """Measured after a sweep; estimated, with a cautious guess at compression, after a dry run."""
    counts: Counts
    steps: tuple[Step, ...]
    """After a sweep without those that turned out to have nothing to do; their sessions may be kept instead.
    """
    outcomes: tuple[Outcome, ...]
    unknown: tuple[Unknown, ...]
    warnings: tuple[str, ...]
    drill: Drill | None = None
    """What reading back a few archived sessions found; ``None`` without any."""
    database: DatabaseSpace | None = None
    """How full the host's database is afterwards; ``None`` without one."""
    routes_dropped: int = 0
    """Dead routes that left the host's index, or would leave it."""

    @property
    def bytes_freed(self) -> int:
        """What the file system has got back; negative when the vault grew by more than was removed."""
        return self.bytes_before - self.bytes_after

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The outcomes that kept something which the plan wanted gone."""
        return tuple(outcome for outcome in self.outcomes if outcome.errors)

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is, or would be, removed."""
        return all(step.action is Action.KEEP for step in self.steps)

    @property
    def exit_code(self) -> ExitCode:
        """0 when all went well, 5 when a partition of the vault is damaged, 1 for any other failure."""
        errors = [error for outcome in self.outcomes for error in outcome.errors]
        drilled_badly = self.drill is not None and self.drill.damages
        if drilled_badly or any(isinstance(error, VaultDamaged) for error in errors):
            return ExitCode.VAULT_DAMAGED
        return ExitCode.SOME_FAILED if errors else ExitCode.DONE


def report_on(  # noqa: PLR0913 - a report is all of these
    plan: Plan,
    inventory: Inventory,
    policy: Policy,
    outcomes: Sequence[Outcome],
    *,
    sweep: str | None,
    dry_run: bool,
    after: int,
    database: DatabaseSpace | None,
    seconds: float = 0.0,
    routes_dropped: int = 0,
) -> SweepReport:
    """What became of ``plan``. ``after`` is what is stored now, in bytes."""
    steps = _settled(plan, inventory, policy, outcomes)
    return SweepReport(
        sweep=sweep,
        dry_run=dry_run,
        home=plan.home,
        seconds=seconds,
        sessions=len(inventory.sessions),
        bytes_before=inventory.usage.total_bytes,
        bytes_after=after,
        counts=_count(steps, outcomes),
        steps=steps,
        outcomes=tuple(outcomes),
        unknown=inventory.unknown,
        warnings=plan.warnings,
        database=database,
        routes_dropped=routes_dropped,
    )


def _settled(
    plan: Plan, inventory: Inventory, policy: Policy, outcomes: Sequence[Outcome]
) -> tuple[Step, ...]:
    """The steps of ``plan`` as they turned out: tool output with its size, and without idle ones.

    What has no other step is kept, for the reason that it has now.
    """
    looked = {it.step.session_id: it for it in outcomes if it.step.tier is Tier.TOOL_OUTPUT}
    idle = {session_id for session_id, outcome in looked.items() if outcome.idle}
    left = [
        looked[step.session_id].step if step.tier is Tier.TOOL_OUTPUT else step
        for step in plan.steps
        if step.tier is not Tier.TOOL_OUTPUT or step.session_id not in idle
    ]
    if not idle:
        return tuple(left)
    others = {step.session_id for step in left if step.action is not Action.EXPIRE}
    sessions = tuple(
        msgspec.structs.replace(session, tool_output_done=True) if session.id in idle else session
        for session in inventory.sessions
    )
    again = decide(msgspec.structs.replace(inventory, sessions=sessions), policy, now=plan.now)
    alone = idle - others
    return (*left, *(it for it in again.steps if it.session_id in alone and it.action is Action.KEEP))


def _count(steps: Sequence[Step], outcomes: Sequence[Outcome]) -> Counts:
    met: dict[str, set[tuple[str, str | None]]] = {name: set() for name in _ENDS}
    for outcome in outcomes:
        if not outcome.idle:
            met[_end(outcome)].add((outcome.step.session_id, outcome.step.partition))
    kept = sum(step.action is Action.KEEP for step in steps)
    return Counts(kept=kept, **{name: len(sessions) for name, sessions in met.items()})


def _end(outcome: Outcome) -> str:
    """Under which name of ``Counts`` it counts."""
    step = outcome.step
    if outcome.errors:
        return "failed"
    if step.action is Action.ARCHIVE and step.tier is not None:
        return _ARCHIVED[step.tier]
    return "expired" if step.action is Action.EXPIRE else "deleted"


class Observer(Protocol):
    """Who wants to know how a sweep gets on."""

    def planned(self, inventory: Inventory, plan: Plan) -> None:
        """The plan stands; ``plan.removals()`` will be carried out next."""

    def done(self, outcome: Outcome) -> None:
        """One more step was carried out, or failed."""


class Silent:
    """An observer that does nothing."""

    def planned(self, inventory: Inventory, plan: Plan) -> None:
        """Nothing to say."""

    def done(self, outcome: Outcome) -> None:
        """Nothing to say."""


class TellingPlugins:
    """An observer that also tells plugins what went to the archive."""

    def __init__(self, observer: Observer, home: Home, inventory: Inventory) -> None:
        self._observer, self._home = observer, home
        self._sessions: dict[str, Session] = {session.id: session for session in inventory.sessions}

    def planned(self, inventory: Inventory, plan: Plan) -> None:
        """Nothing to add."""
        self._observer.planned(inventory, plan)

    def done(self, outcome: Outcome) -> None:
        """Everything of the step is gone, and was archived: then plugins hear of it."""
        step = outcome.step
        session = self._sessions.get(step.session_id)
        if step.action is Action.ARCHIVE and not outcome.errors and not outcome.idle and session is not None:
            path = self._home.workspace.vault.partition_path(partition_name(step.last_activity))
            self._home.extensions.archived(session, Location(path, str(step.tier)))
        self._observer.done(outcome)


# -- notes in the ledger, and its queue: which lines a sweep has seen to, and which wait for a later one ----

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

    def __exit__(self, *_: object) -> None:
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
