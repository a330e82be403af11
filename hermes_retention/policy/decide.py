"""The one function that decides: inventory, policy and time in, plan out.

Order of precedence: guards, then what a person put back, then ``keep_last`` and ``keep_failed``, then the
lifecycle, then ``max_sessions``, and last the budget: both may take what is not due yet but nothing that
anything above protects.
Records leave together: a conversation that compression continued, with all that it delegated. A record that
went while its children stay would leave them without the parent that they point to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from operator import attrgetter

import msgspec

from hermes_retention.model.plan import Action, Liveness, Plan, Rule, Step, Tier
from hermes_retention.model.session import ArchivedSession, Inventory, Lineage, Session, SessionClass
from hermes_retention.model.text import format_duration, printable
from hermes_retention.policy.budget import needs, reclaim, thin_out
from hermes_retention.policy.case import Because, Case, World, has_messages
from hermes_retention.policy.clock import SETTLED_SECONDS, check_clock
from hermes_retention.policy.lifecycle import Due, OnReset, Policy, schedules
from hermes_retention.policy.liveness import assess, families

_CLOCK_SLACK = 60.0
"""Seconds by which a time may lie ahead of ours before it is worth a warning."""
_OVER = frozenset({Liveness.SUPERSEDED, Liveness.ENDED, Liveness.STALE, Liveness.ORPHAN})
"""Not ``ARCHIVED``, which is said of a copy: its session may live on in the store."""


class Assessed(msgspec.Struct, frozen=True):
    """Every session with what is known of it, in the order of their ids; nothing is decided yet."""

    cases: Sequence[Case]
    continued: Sequence[Sequence[int]]
    """Conversations that go on under other ids, by place in ``cases``."""
    doubt: str | None
    """Why the clock is not believed."""


class Decision(msgspec.Struct, frozen=True):
    """What was decided about every session, with all that led to it."""

    cases: Sequence[Case]
    """In the order of their ids."""
    expired: Sequence[Step]
    """What becomes of archived copies."""
    warnings: tuple[str, ...]


def decide(inventory: Inventory, policy: Policy, *, now: float) -> Plan:
    """What happens to every session, in order of execution.

    ``now`` is in Unix seconds. Pure: equal arguments give an equal plan. Never raises on data; what it does
    not understand it keeps.
    """
    decision = decide_each(inventory, policy, now=now)
    steps = (*decision.expired, *_in_order(_steps(decision.cases)))
    return Plan(inventory.home, now, steps, decision.warnings)


def decide_each(inventory: Inventory, policy: Policy, *, now: float) -> Decision:
    """The same, session by session: for whoever wants to know more than what happens."""
    assessed = assess_all(inventory, policy, now=now)
    cases = assessed.cases
    expired = _expired(cases, inventory, policy, now=now) if assessed.doubt is None else []
    due_records = {place for place, case in enumerate(cases) if _settle(case)}
    if due_records:
        _release_records(assessed, due_records)
    crowded = list(thin_out(cases, policy.max_sessions))
    asked = needs(inventory.usage, policy, (*expired, *_steps(cases)))
    warnings = (*inventory.warnings, *_clock_warnings(assessed, policy, now=now), *crowded)
    warnings += tuple(reclaim(cases, asked))
    return Decision(cases, expired, warnings)


def dead_routes(inventory: Inventory, plan: Plan) -> dict[str, str]:
    """Key → session of every route whose session is over all the same: a run that is made once, or a chat
    whose host has ended it and will not go on there.

    A route holds every other session, so whatever is routed and not live has been judged already. What has
    several routes has all of them here; those that leave along with their session are no matter of their own.
    ``plan`` is about ``inventory``.
    """
    over = {step.session_id for step in plan.steps if step.liveness in _OVER}
    return {
        route.key: session.id
        for session in inventory.sessions
        if session.routes and session.id in over
        for route in session.routes
        if not route.leaves_along
    }


def assess_all(inventory: Inventory, policy: Policy, *, now: float) -> Assessed:
    """Who is live, what is kept, and when each part of the others is due."""
    sessions = tuple(sorted(inventory.sessions, key=attrgetter("id")))
    inventory = msgspec.structs.replace(inventory, sessions=sessions)
    own = own_activity(sessions)
    related = families(sessions)
    found = assess(inventory, policy, own, related.linked, now=now)
    activity = list(own)
    for family in related.continued:
        newest = max(own[place] for place in family)
        for place in family:
            activity[place] = newest
    ranks = _newest_of_series(sessions, policy, activity)
    clock = check_clock(inventory.clock, own, now=now)
    world = World(policy, inventory.bytes_per_message, now=now, trusted=clock.doubt is None)
    table = schedules(policy, trusted=world.trusted)
    cases = [
        Case(world, session, known, active, table[session.session_class, known.liveness], ranks.get(place))
        for place, (session, known, active) in enumerate(zip(sessions, found, activity, strict=True))
    ]
    return Assessed(cases, related.continued, clock.doubt)


def own_activity(sessions: Sequence[Session]) -> list[float]:
    """When each session itself was last active, in Unix seconds; 0.0 when nobody knows."""
    # Not a number, and times before all times, are no times.
    return [newest if (newest := session.last_activity) > 0 else 0.0 for session in sessions]


def _newest_of_series(
    sessions: Sequence[Session], policy: Policy, activity: Sequence[float]
) -> dict[int, int]:
    """Place of each session that ``keep_last`` keeps → 1 for the newest of its series, 2 for the next."""
    wanted = {name: lifecycle.keep_last for name, lifecycle in policy.lifecycles.items()}
    series: defaultdict[tuple[SessionClass, str], list[int]] = defaultdict(list)
    for place, session in enumerate(sessions):
        if session.group is not None and wanted[session.session_class]:
            series[session.session_class, session.group].append(place)
    ranks: dict[int, int] = {}
    for (session_class, _), members in series.items():
        # Ids of a series tell the time as well: of equally old ones the last id is the newest.
        members.sort(key=activity.__getitem__)
        ranks.update(
            (place, rank) for rank, place in enumerate(members[: -wanted[session_class] - 1 : -1], 1)
        )
    return ranks


def _settle(case: Case) -> bool:
    """Say what happens to the session as if its record never left, and whether that is due as well."""
    if case.protection is not None:
        case.keep(case.protection)
        return False
    session, schedule = case.session, case.schedule
    if session.artifacts and case.is_due(schedule.files):
        case.take(case.take_files(case.why_due(schedule.files)))
    rows = _due_rows(case)
    if rows is not None:
        case.take(case.take_rows(rows.action, rows.tier, case.why_due(rows)))
    if case.files_step is None and case.rows_step is None:
        case.keep(case.why_all_stays())
    # Where an index entry is all the record there is, it has left with the files.
    has_record = session.record is not None and session.scope is None
    return has_record and case.is_due(schedule.record) and case.loses_all_files


def _due_rows(case: Case) -> Due | None:
    if not has_messages(case.session):
        return None
    if case.is_due(case.schedule.messages):
        return case.schedule.messages
    is_left = not case.session.tool_output_done and case.is_due(case.schedule.tool_output)
    return case.schedule.tool_output if is_left else None


def _release_records(assessed: Assessed, due: set[int]) -> None:
    """Let the records go that are due, with everything that is left of their sessions."""
    cases = assessed.cases

    def stays(place: int) -> bool:
        case = cases[place]
        return (
            not case.loses_all_files or case.protection is not None or case.is_put_back(case.schedule.record)
        )

    sessions = [case.session for case in cases]
    for unit in leaving_together(sessions, assessed.continued, due, stays=stays):
        _release(unit, cases, due)


def _release(unit: RecordUnit, cases: Sequence[Case], due: set[int]) -> None:
    archives = any(cases[place].lifecycle.archive for place in unit.members)
    action = Action.ARCHIVE if archives else Action.DELETE
    leader = cases[unit.leader]
    why = leader.why_due(leader.schedule.record)[1]
    follows: Because = (
        Rule.RECORD_AFTER,
        f"goes with {printable(leader.session.id)}, whose record is due: {why}",
    )
    for place in unit.members:
        case = cases[place]
        if place in due:
            case.take(case.take_rows(action, Tier.RECORD, case.why_due(case.schedule.record)))
        elif case.session.record is not None:
            case.take(case.take_rows(action, Tier.RECORD, follows, leader.session.session_class))


class RecordUnit(msgspec.Struct, frozen=True):
    """Sessions whose records go together."""

    leader: int
    """The first of those that are due by themselves and bring the others along."""
    members: list[int]
    """All of them, in ascending order."""


def leaving_together(
    sessions: Sequence[Session],
    continued: Sequence[Sequence[int]],
    due: AbstractSet[int],
    *,
    stays: Callable[[int], bool],
) -> list[RecordUnit]:
    """What goes of the records that are due, in the order of the leaders; no session is in two units.

    Sessions are numbered by their place in the inventory. ``continued`` are the families that compression
    made, ``due`` the places of the sessions whose records are due by themselves, ``stays`` says of any
    session that something keeps its record. A conversation goes when all its parts are due and nothing keeps
    any of them, or of what they delegated and that in its turn.
    """
    return _Units(sessions, continued).leaving(due, stays)


class _Units:
    """Conversations, each named by the first place in it, and which of them delegated which.

    Every session has one parent at most, so every conversation was delegated by one other at most: going down
    never meets the same one on two ways. A lineage may go in circles all the same.
    """

    def __init__(self, sessions: Sequence[Session], continued: Sequence[Sequence[int]]) -> None:
        self._parts = {family[0]: family for family in continued}
        self._names = {place: family[0] for family in continued for place in family}
        self._delegated: defaultdict[int, list[int]] = defaultdict(list)
        self._delegator: dict[int, int] = {}
        self._read_lineage(sessions)

    def _read_lineage(self, sessions: Sequence[Session]) -> None:
        links = [
            (place, record.parent_id)
            for place, session in enumerate(sessions)
            if (record := session.record) is not None
            and record.parent_id
            and record.lineage is Lineage.DELEGATION
        ]
        parents = {parent for _, parent in links}
        places = {session.id: place for place, session in enumerate(sessions) if session.id in parents}
        for child, parent in links:
            if parent in places:
                above, below = self._name(places[parent]), self._name(child)
                self._delegated[above].append(below)
                self._delegator[below] = above

    def leaving(self, due: AbstractSet[int], stays: Callable[[int], bool]) -> list[RecordUnit]:
        ready = sorted({name for place in due if due >= {*self._members(name := self._name(place))}})
        kept = self._with_all_above(
            name for name in self._below(ready) | {*ready} if any(map(stays, self._members(name)))
        )
        leaders = [name for name in ready if name not in kept]
        brought = self._below(leaders)
        units: list[RecordUnit] = []
        gone: set[int] = set()
        # What goes with another has no unit of its own; those in a circle are all below one another.
        for name in sorted(leaders, key=lambda leader: (leader in brought, leader)):
            if name not in gone:
                unit = self._below([name]) | {name}
                gone |= unit
                units.append(
                    RecordUnit(name, sorted(place for below in unit for place in self._members(below)))
                )
        return sorted(units, key=attrgetter("leader"))

    def _below(self, names: Iterable[int]) -> set[int]:
        """All that these conversations delegated, and what that delegated; themselves in a circle only."""
        found: set[int] = set()
        left = [*names]
        while left:
            below = [name for name in self._delegated.get(left.pop(), ()) if name not in found]
            found.update(below)
            left += below
        return found

    def _with_all_above(self, names: Iterable[int]) -> set[int]:
        found: set[int] = set()
        for name in names:
            above: int | None = name
            while above is not None and above not in found:
                found.add(above)
                above = self._delegator.get(above)
        return found

    def _name(self, place: int) -> int:
        return self._names.get(place, place)

    def _members(self, name: int) -> Sequence[int]:
        return self._parts.get(name, (name,))


def _steps(cases: Iterable[Case]) -> Iterator[Step]:
    return (step for case in cases for step in case.steps)


def _in_order(steps: Iterable[Step]) -> list[Step]:
    """Oldest first, kept sessions last. Records leave when nothing else of their sessions is left.

    The steps come in the order of their ids, and sorting is stable: equal times leave them there.
    """
    removals: list[Step] = []
    records: list[Step] = []
    kept: list[Step] = []
    for step in steps:
        if step.action is Action.KEEP:
            kept.append(step)
        else:
            (records if step.tier is Tier.RECORD else removals).append(step)
    removals.sort(key=attrgetter("last_activity"))
    records.sort(key=attrgetter("last_activity"))
    return [*removals, *records, *kept]


def _expired(cases: Iterable[Case], inventory: Inventory, policy: Policy, *, now: float) -> list[Step]:
    """A step for each archived copy whose time is over, partition by partition.

    An expired copy is gone for good, so everything that keeps a session in the store keeps its copy as well.
    """
    if not inventory.archived:
        return []
    protected = {*inventory.holds}
    restored: dict[str, float] = {}
    for case in cases:
        if case.assessment.liveness is Liveness.LIVE:
            protected.add(case.session.id)
        if case.session.restored_at is not None:
            restored[case.session.id] = case.session.restored_at
    steps = [
        step
        for copy in inventory.archived
        if copy.id not in protected
        and (step := _expiry(copy, policy, restored.get(copy.id, 0.0), now=now)) is not None
    ]
    return sorted(steps, key=attrgetter("partition", "session_id"))


def _expiry(copy: ArchivedSession, policy: Policy, restored_at: float, *, now: float) -> Step | None:
    after = policy.lifecycles[copy.session_class].archive_after
    # What a person put back starts its time anew, in the vault as well.
    old = now - max(copy.archived_at, restored_at)
    # A time that is no time says nothing about an age.
    if after is None or not (copy.archived_at > 0 and old >= max(after, policy.settle_time)):
        return None
    return Step(
        session_id=copy.id,
        session_class=copy.session_class,
        liveness=Liveness.ARCHIVED,
        action=Action.EXPIRE,
        tier=None,
        rule=Rule.ARCHIVE_AFTER,
        reason=f"archived {format_duration(old)} ago, expires after {format_duration(after)}",
        bytes=copy.stored_bytes,
        partition=copy.partition,
    )


def _clock_warnings(assessed: Assessed, policy: Policy, *, now: float) -> Iterator[str]:
    """A line when something may go for good some day and must not today, and one when sessions claim to come
    from the future: a clock was wrong once, or is now.
    """
    lifecycles = policy.lifecycles.values()
    is_final = policy.on_reset is OnReset.DELETE or any(
        lifecycle.archive_after is not None or not lifecycle.archive for lifecycle in lifecycles
    )
    if assessed.doubt is not None and is_final:
        yield (
            f"the clock of this machine is in doubt: {assessed.doubt}. What would be removed for good waits "
            f"until a sweep finds that it has run evenly for {format_duration(SETTLED_SECONDS)}; all else "
            "goes on. Set it right if it is wrong."
        )
    ahead = [case for case in assessed.cases if case.activity > now + _CLOCK_SLACK]
    if ahead:
        yield (
            f"{len(ahead)} session(s) have a time in the future, such as {printable(ahead[0].session.id)}: "
            "they count as active now and are kept. Check the clock of this machine."
        )
