"""One sweep: scan, plan, execute, and the report of it. A dry run walks the same way with no effects.

What must not live here: output, questions to people, settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from hermes_retention import compact, fsops
from hermes_retention.errors import CompactionRefused, ExitCode, VaultDamaged
from hermes_retention.execute import Effects, NoEffects, StoreEffects, execute
from hermes_retention.fsops import Directory
from hermes_retention.ledger import Ledger, Outcome
from hermes_retention.model import Inventory, Unknown
from hermes_retention.plan import Plan, Step, Verdict
from hermes_retention.policy.budget import expected_gain
from hermes_retention.policy.decide import decide
from hermes_retention.site import Site
from hermes_retention.workspace import FOLDER

FIRST_REMOVAL = "first_removal"
"""The fact in the ledger that says when this home first lost something to a sweep."""
_NOTED_EVERY = 2.0
"""Seconds. Each note is synced to disk; what a killed sweep did not note is in the vault all the same."""
_COUNTED_AS = {
    Verdict.ARCHIVE_FILES: "files_archived",
    Verdict.DELETE_FILES: "deleted",
    Verdict.EXPIRE_ARCHIVE: "expired",
}


class Counts(msgspec.Struct, frozen=True):
    """How many sessions met which end. Those for tiers that this version does not serve are always 0."""

    kept: int = 0
    files_archived: int = 0
    tool_output_archived: int = 0
    messages_archived: int = 0
    records_archived: int = 0
    deleted: int = 0
    expired: int = 0
    failed: int = 0


class SweepReport(msgspec.Struct, frozen=True):
    """What a sweep did, or what a dry run would do. Sizes are bytes that the file system allocates."""

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
    outcomes: tuple[Outcome, ...]
    unknown: tuple[Unknown, ...]
    warnings: tuple[str, ...]

    @property
    def bytes_freed(self) -> int:
        """What the file system has got back; negative when the vault grew by more than was removed."""
        return self.bytes_before - self.bytes_after

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The outcomes that kept something which the plan wanted gone."""
        return tuple(outcome for outcome in self.outcomes if outcome.errors)

    @property
    def exit_code(self) -> ExitCode:
        """0 when all went well, 5 when a partition of the vault is damaged, 1 for any other failure."""
        errors = [error for outcome in self.outcomes for error in outcome.errors]
        if any(isinstance(error, VaultDamaged) for error in errors):
            return ExitCode.VAULT_DAMAGED
        return ExitCode.SOME_FAILED if errors else ExitCode.DONE


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


Clock = Callable[[], float]
"""Gives Unix seconds; ``time.time`` but in tests."""


def preview(site: Site, *, clock: Clock, observer: Observer | None = None) -> SweepReport:
    """What ``sweep`` would do now. Changes nothing, makes no folder, takes no lock."""
    watch, now = _Stopwatch(), clock()
    inventory, plan = _plan(site, now=now)
    observer = observer or Silent()
    observer.planned(inventory, plan)
    outcomes = _carry_out(plan.removals(), NoEffects(), observer)
    gain = sum(map(expected_gain, plan.steps))
    after = inventory.usage.total_bytes - gain
    return _report(plan, inventory, outcomes, sweep=None, dry_run=True, after=after, watch=watch)


def sweep(site: Site, *, clock: Clock, origin: str, observer: Observer | None = None) -> SweepReport:
    """Scan, decide, archive, remove, and note it all in the ledger.

    Raises ``SweepRunning`` when another process is at it, ``StoreUnreadable`` when liveness cannot be read
    (nothing was removed), ``RetentionError`` when the workspace cannot be used. One bad file is an outcome,
    not an error. If the process dies, the next sweep completes the work.
    """
    watch, observer = _Stopwatch(), observer or Silent()
    site.workspace.check()
    with site.workspace.locked():
        stuck = recover(site)
        now = clock()
        inventory, plan = _plan(site, now=now)
        observer.planned(inventory, plan)
        removals = plan.removals()
        if not removals:
            after = inventory.usage.total_bytes
            return _report(
                plan, inventory, (), sweep=None, dry_run=False, after=after, watch=watch, also=stuck
            )
        with site.workspace.ledger() as ledger:
            sweep_id = ledger.begin_sweep(started_at=now, origin=origin)
            if ledger.fact(FIRST_REMOVAL) is None:
                ledger.remember(FIRST_REMOVAL, sweep_id)
            with Directory.create(site.home, *_below_home(site)) as files, site.workspace.aside() as aside:
                effects = StoreEffects(
                    site.store, site.workspace.vault, files, aside, sweep=sweep_id, now=now
                )
                outcomes = _carry_out(removals, effects, observer, ledger, sweep_id)
            after = site.usage().total_bytes
            report = _report(
                plan, inventory, outcomes, sweep=sweep_id, dry_run=False, after=after, watch=watch, also=stuck
            )
            totals = {
                **msgspec.structs.asdict(report.counts),
                "bytes_before": report.bytes_before,
                "bytes_after": after,
            }
            ledger.finish_sweep(sweep_id, finished_at=clock(), totals=totals)
            return report


def has_removed_before(site: Site) -> bool:
    """Whether a sweep ever removed anything from this home; the first one asks before it does."""
    ledger = site.workspace.ledger_if_any()
    if ledger is None:
        return False
    with ledger:
        return ledger.fact(FIRST_REMOVAL) is not None


def recover(site: Site) -> list[str]:
    """Put right what a dead process left half done; a line for each thing that a person must settle."""
    return [*_recover_files(site), *_recover_database(site)]


def _recover_database(site: Site) -> list[str]:
    """A compaction that died leaves copies as large as the database: they must not wait for the next one."""
    try:
        compact.recover(site)
    except CompactionRefused as error:
        return [str(error)]
    return []


def _recover_files(site: Site) -> list[str]:
    try:
        files = Directory.open(site.home, *_below_home(site))
    except FileNotFoundError:
        return []
    with files, site.workspace.aside() as aside:
        fsops.sweep_temporaries(files)
        for below in (FOLDER,), (FOLDER, "archive"):
            with Directory.open(site.home, *below) as own:
                fsops.sweep_temporaries(own)
        return fsops.recover(files, aside)


def _below_home(site: Site) -> tuple[str, ...]:
    return site.store.files_directory.relative_to(site.home).parts


def _plan(site: Site, *, now: float) -> tuple[Inventory, Plan]:
    inventory = site.take_inventory(now=now)
    return inventory, decide(inventory, site.policy, now=now)


def _carry_out(
    steps: Sequence[Step],
    effects: Effects,
    observer: Observer,
    ledger: Ledger | None = None,
    sweep_id: str = "",
) -> tuple[Outcome, ...]:
    outcomes: list[Outcome] = []
    watch, noted, noted_at = _Stopwatch(), 0, 0.0
    try:
        for outcome in execute(steps, effects):
            outcomes.append(outcome)
            observer.done(outcome)
            if ledger is not None and watch.seconds() - noted_at >= _NOTED_EVERY:
                ledger.note(sweep_id, outcomes[noted:])
                noted, noted_at = len(outcomes), watch.seconds()
    finally:
        if ledger is not None and noted < len(outcomes):
            ledger.note(sweep_id, outcomes[noted:])
    return tuple(outcomes)


def _report(  # noqa: PLR0913 - a report is all of these
    plan: Plan,
    inventory: Inventory,
    outcomes: Sequence[Outcome],
    *,
    sweep: str | None,
    dry_run: bool,
    after: int,
    watch: _Stopwatch,
    also: Iterable[str] = (),
) -> SweepReport:
    return SweepReport(
        sweep=sweep,
        dry_run=dry_run,
        home=plan.home,
        seconds=watch.seconds(),
        sessions=len(inventory.sessions),
        bytes_before=inventory.usage.total_bytes,
        bytes_after=after,
        counts=_count(plan, outcomes),
        steps=plan.steps,
        outcomes=tuple(outcomes),
        unknown=inventory.unknown,
        warnings=(*also, *plan.warnings),
    )


def _count(plan: Plan, outcomes: Sequence[Outcome]) -> Counts:
    numbers = dict.fromkeys((*_COUNTED_AS.values(), "failed"), 0)
    for outcome in outcomes:
        numbers["failed" if outcome.errors else _COUNTED_AS[outcome.step.verdict]] += 1
    return Counts(kept=len(plan.steps) - len(plan.removals()), **numbers)


class _Stopwatch:
    """How long something takes, by a clock that nobody can set."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        return round(time.perf_counter() - self._start, 3)
