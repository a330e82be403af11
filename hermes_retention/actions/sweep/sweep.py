"""One sweep: scan, plan, execute, and note it. A dry run walks the same way with no effects.

What must not live here: output, questions to people, settings.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from hermes_retention.actions.inspect.stats import take_picture
from hermes_retention.actions.sweep.execute import Effects, NoEffects, StoreEffects, execute
from hermes_retention.actions.sweep.recovery import LAST_DRILL, drill, recover
from hermes_retention.actions.sweep.report import (
    Observer,
    Silent,
    SweepNotes,
    SweepReport,
    TellingPlugins,
    looked_through,
    report_on,
    settle,
)
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import FIRST_REMOVAL, STORE, Ledger, Outcome
from hermes_retention.home.workspace import ASIDE
from hermes_retention.model.errors import RetentionError, Stop, StoreUnreadable, never
from hermes_retention.model.plan import Plan, Step
from hermes_retention.model.session import Inventory, Usage
from hermes_retention.policy.clock import check_clock, stamp
from hermes_retention.policy.decide import dead_routes, decide
from hermes_retention.stores.base import DatabaseSpace, RouteIndex

CHANGED_ROWS = "changed_rows"
"""The fact in the ledger that says how many rows were changed since the host's database was last tidied."""
_NOTED_EVERY = 2.0
"""Seconds. Each note is synced to disk; what a killed sweep did not note is in the vault all the same."""


Clock = Callable[[], float]
"""Gives Unix seconds; ``time.time`` but in tests."""


def _since(start: float) -> float:
    """How many seconds ago that was, by a clock that nobody can set."""
    return round(time.perf_counter() - start, 3)


def preview(home: Home, *, clock: Clock, observer: Observer | None = None) -> SweepReport:
    """What ``sweep`` would do now. Changes nothing, makes no folder, takes no lock."""
    start, now = time.perf_counter(), clock()
    inventory, plan = _plan(home, now=now)
    observer = observer or Silent()
    observer.planned(inventory, plan)
    outcomes = _carry_out(plan.removals(), NoEffects(), observer)
    gain = sum(step.expected_gain for step in plan.steps)
    after = inventory.usage.total_bytes - gain
    return report_on(
        plan,
        inventory,
        home.policy,
        outcomes,
        sweep=None,
        dry_run=True,
        after=after,
        database=home.store.database_space(),
        seconds=_since(start),
        routes_dropped=len(dead_routes(inventory, plan)),
    )


def sweep(  # noqa: PLR0913 - a home, a clock, and who else has a say
    home: Home,
    *,
    clock: Clock,
    origin: str,
    observer: Observer | None = None,
    index: RouteIndex | None = None,
    stop: Stop = never,
) -> SweepReport:
    """Scan, decide, archive, remove, note it all in the ledger, and tell plugins, the queue and monitors.

    Dead routes then leave ``index``, and the metrics file is written. All of that follows every sweep, so
    whoever asks for one has nothing to add. A stop ends it between two batches: the report then has no steps
    but those that were carried out, and the next sweep goes on.

    Raises ``SweepRunning`` when another process is at it, ``StoreUnreadable`` when liveness cannot be read
    (nothing was removed), ``RetentionError`` when the workspace cannot be used. One bad file is an outcome,
    not an error. If the process dies, the next sweep completes the work.
    """
    start, observer = time.perf_counter(), observer or Silent()
    home.workspace.check()
    with home.workspace.locked(), SweepNotes(home.workspace) as notes:
        stuck = recover(home)
        now = clock()
        inventory, plan = _plan(home, now=now)
        observer.planned(inventory, plan)
        run = Run(home, inventory, plan, notes, origin, observer, index, stop)
        chance = random.Random()  # noqa: S311 - chooses a sample, keeps no secret
        drilled = drill(home.workspace.vault, home.policy.drill_sample, chance=chance, now=now)
        report = _swept(run, stuck)
        known = check_clock(inventory.clock, (it.last_activity for it in inventory.sessions), now=now)
        notes.write(lambda ledger: ledger.remember_clock(known.memory))
        if drilled is not None:
            notes.write(lambda ledger: ledger.remember(LAST_DRILL, msgspec.json.encode(drilled).decode()))
        if report.sweep is not None:
            is_whole = not _left_out(plan, report.outcomes)
            notes.finish(report, finished_at=clock(), is_whole=is_whole)
        damages = () if drilled is None else drilled.damages
        warnings = (*stuck, *report.warnings, *map(_of_drill, damages), *notes.complaints())
        seconds = _since(start)
    if not stop():
        warnings = (*warnings, *_write_metrics(home.regular or home, clock))
    return msgspec.structs.replace(report, warnings=warnings, drill=drilled, seconds=seconds)


def _write_metrics(home: Home, clock: Clock) -> list[str]:
    """Tell whoever watches how the home is doing, if there is a file for it. Trouble is only a warning."""
    if home.metrics_file is None:
        return []
    from hermes_retention.actions.inspect.status import write_metrics

    try:
        write_metrics(home, home.metrics_file, now=clock())
    except RetentionError as error:
        return [str(error)]
    except Exception as error:  # noqa: BLE001 - what a sweep did must not be hidden by what follows it
        return [f"the metrics could not be written ({type(error).__name__})"]
    return []


def _of_drill(damage: str) -> str:
    return f"restore drill: {damage} 'hermes-retention archive verify' looks at all of the archive."


class Run(msgspec.Struct, frozen=True):
    """What a sweep is made of, once its plan stands."""

    home: Home
    inventory: Inventory
    plan: Plan
    notes: SweepNotes
    origin: str
    observer: Observer
    index: RouteIndex | None
    stop: Stop


def _swept(run: Run, stuck: list[str]) -> SweepReport:
    """Carry the plan out and measure what is left; without removals nothing is touched."""
    home, inventory, plan = run.home, run.inventory, run.plan
    sweep_id, outcomes = None, tuple[Outcome, ...]()
    if plan.removals():
        sweep_id = run.notes.begin(started_at=plan.now, origin=run.origin)
        outcomes = _removed(run, sweep_id)
    settle_time = home.policy.settle_time
    run.notes.write(lambda ledger: settle(ledger.queue, plan, outcomes, settle_time=settle_time))
    forgotten = 0 if run.stop() else _forget_routes(run.index, inventory, plan, stuck)
    if outcomes:
        # Once before measuring, so that the ledger has the room for it, and once more with the figures.
        _keep_picture(run, inventory, outcomes)
        usage, space = _measured(home, inventory, outcomes)
    else:
        usage, space = inventory.usage, home.store.database_space()
    _keep_picture(run, msgspec.structs.replace(inventory, usage=usage), outcomes)
    return report_on(
        _without_what_was_left(plan, outcomes),
        inventory,
        home.policy,
        outcomes,
        sweep=sweep_id,
        dry_run=False,
        after=usage.total_bytes,
        database=space,
        routes_dropped=forgotten,
    )


def _removed(run: Run, sweep_id: str) -> tuple[Outcome, ...]:
    home, notes, plan = run.home, run.notes, run.plan
    if notes.fact(FIRST_REMOVAL) is None:
        notes.write(lambda ledger: ledger.remember(FIRST_REMOVAL, sweep_id))
    if notes.fact(STORE) != home.store.name:
        notes.write(lambda ledger: ledger.remember(STORE, home.store.name))
    with home.store.moving_files(*ASIDE) as files:
        effects = StoreEffects(
            home.store,
            home.workspace.vault,
            files,
            tool_output_above=home.policy.tool_output_above,
            changed_rows=int(notes.fact(CHANGED_ROWS) or 0),
            sweep=sweep_id,
            now=plan.now,
            archived_at=stamp(run.inventory.clock, now=plan.now),
            stop=run.stop,
        )
        observer = TellingPlugins(run.observer, home, run.inventory)
        outcomes = _carry_out(plan.removals(), effects, observer, notes, sweep_id)
    notes.write(lambda ledger: ledger.remember(CHANGED_ROWS, str(effects.changed_rows)))
    looked = tuple(looked_through(outcomes, home.policy.tool_output_above))
    notes.write(lambda ledger: ledger.note_looked_through(looked))
    return outcomes


def _left_out(plan: Plan, outcomes: Sequence[Outcome]) -> list[Step]:
    """The removals that have no outcome, because the sweep was stopped."""
    told = {(it.step.session_id, it.step.verdict, it.step.partition) for it in outcomes}
    return [it for it in plan.removals() if (it.session_id, it.verdict, it.partition) not in told]


def _without_what_was_left(plan: Plan, outcomes: Sequence[Outcome]) -> Plan:
    left = set(map(id, _left_out(plan, outcomes)))
    if not left:
        return plan
    return msgspec.structs.replace(plan, steps=tuple(it for it in plan.steps if id(it) not in left))


def _plan(home: Home, *, now: float) -> tuple[Inventory, Plan]:
    inventory = home.take_inventory(now=now)
    return inventory, decide(inventory, home.policy, now=now)


def _carry_out(
    steps: Sequence[Step],
    effects: Effects,
    observer: Observer,
    notes: SweepNotes | None = None,
    sweep_id: str = "",
) -> tuple[Outcome, ...]:
    outcomes: list[Outcome] = []
    start, noted, noted_at = time.perf_counter(), 0, 0.0
    try:
        for outcome in execute(steps, effects):
            outcomes.append(outcome)
            observer.done(outcome)
            if notes is not None and _since(start) - noted_at >= _NOTED_EVERY:
                notes.write(partial(Ledger.note, sweep=sweep_id, outcomes=outcomes[noted:]))
                noted, noted_at = len(outcomes), _since(start)
    finally:
        if notes is not None and noted < len(outcomes):
            notes.write(partial(Ledger.note, sweep=sweep_id, outcomes=outcomes[noted:]))
    return tuple(outcomes)


def _forget_routes(index: RouteIndex | None, inventory: Inventory, plan: Plan, complaints: list[str]) -> int:
    """How many dead routes left the index. They cost nobody a session, so trouble with them is a warning."""
    routes = dead_routes(inventory, plan)
    if index is None or not routes:
        return 0
    try:
        return len(index.drop_routes(routes))
    except RetentionError as error:
        complaints.append(str(error))
    except Exception as error:  # noqa: BLE001 - a host that is not what it was must not hide what was done
        complaints.append(f"{len(routes)} dead routes stay in the host's index ({type(error).__name__})")
    return 0


def _measured(
    home: Home, inventory: Inventory, outcomes: Sequence[Outcome]
) -> tuple[Usage, DatabaseSpace | None]:
    """What is stored after a sweep. A database that is locked just now must not hide what was done."""
    try:
        return home.usage(), home.store.database_space()
    except StoreUnreadable:
        freed = sum(outcome.freed_bytes for outcome in outcomes)
        before = inventory.usage
        return msgspec.structs.replace(before, sessions_bytes=before.sessions_bytes - freed), None


def _keep_picture(run: Run, inventory: Inventory, outcomes: Sequence[Outcome]) -> None:
    """Remember what the home looks like now. Warnings may name sessions; the picture holds numbers only.

    Whose policy or store was that of one run has not seen the home as it is: it is looked at once more.
    """
    plan = run.plan
    if run.home.regular is not None:
        try:
            inventory, plan = _plan(run.home.regular, now=plan.now)
        except StoreUnreadable:
            return  # what was done must not be hidden, and the picture of another sweep does for now
        outcomes = ()
    picture = msgspec.structs.replace(take_picture(inventory, plan, outcomes), warnings=())
    content = msgspec.json.encode(picture).decode()
    run.notes.write(lambda ledger: ledger.keep_picture(content, taken_at=plan.now))
