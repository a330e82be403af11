"""The one function that decides: inventory, policy and time in, plan out.

Order of precedence: guards, then what a person put back, then ``keep_last`` and ``keep_failed``, then the
lifecycle, then ``max_sessions``, and last the budget: both may take what is not due yet but nothing that
anything above protects.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

import msgspec

from hermes_retention.model import Inventory, Session
from hermes_retention.names import printable
from hermes_retention.plan import Liveness, Plan, Rule, Step, Verdict
from hermes_retention.policy.budget import needs
from hermes_retention.policy.clocks import SETTLED_SECONDS
from hermes_retention.policy.crowds import thin_out
from hermes_retention.policy.draft import Draft
from hermes_retention.policy.expiry import expiring
from hermes_retention.policy.fates import Fate, Fates
from hermes_retention.policy.lifecycle import OnReset, Policy
from hermes_retention.policy.reclaim import reclaim
from hermes_retention.policy.records import Unit, leaving_together
from hermes_retention.policy.standing import Standing, has_messages
from hermes_retention.policy.wishes import Because
from hermes_retention.units import format_duration

_CLOCK_SLACK = 60.0
"""Seconds by which a time may lie ahead of ours before it is worth a warning."""
_OF_RECORDS = frozenset({Verdict.ARCHIVE_RECORD, Verdict.DELETE_RECORD})


def decide(inventory: Inventory, policy: Policy, *, now: float) -> Plan:
    """Every session's verdicts, in order of execution.

    ``now`` is in Unix seconds. Pure: equal arguments give an equal plan. Never raises on data; what it does
    not understand it keeps.
    """
    sessions = tuple(sorted(inventory.sessions, key=attrgetter("id")))
    standing = Standing(msgspec.structs.replace(inventory, sessions=sessions), policy, now=now)
    trusted = standing.clock.doubt is None
    expired = _expired(standing, inventory) if inventory.archived and trusted else []
    draft = Draft(standing, inventory.bytes_per_message)
    decision = _Decision(standing, draft)
    for place in range(len(sessions)):
        decision.settle(place)
    decision.release_records()
    crowded = thin_out(standing, draft)
    asked = needs(inventory.usage, policy, (*expired, *draft.steps()))
    warnings = (*inventory.warnings, *_clock_warnings(standing), *crowded, *reclaim(standing, draft, asked))
    return Plan(inventory.home, now, (*expired, *_in_order(draft.steps())), warnings)


def _in_order(steps: Iterable[Step]) -> list[Step]:
    """Oldest first, kept sessions last. Records leave when nothing else of their sessions is left.

    The steps come in the order of their ids, and sorting is stable: equal times leave them there.
    """
    removals: list[Step] = []
    records: list[Step] = []
    kept: list[Step] = []
    for step in steps:
        if step.verdict is Verdict.KEEP:
            kept.append(step)
        else:
            (records if step.verdict in _OF_RECORDS else removals).append(step)
    removals.sort(key=attrgetter("last_activity"))
    records.sort(key=attrgetter("last_activity"))
    return [*removals, *records, *kept]


class _Decision:
    """What the guards, wishes and the lifecycle say, before any budget."""

    def __init__(self, standing: Standing, draft: Draft) -> None:
        self._standing = standing
        self._draft = draft
        self._due_records: set[int] = set()

    def settle(self, place: int) -> None:
        """Say what happens to the session, as if its record never left."""
        standing, draft = self._standing, self._draft
        protection = standing.protection(place)
        if protection is not None:
            draft.keep(place, protection)
            return
        session, fates, idle = standing.sessions[place], standing.fates(place), standing.idle(place)
        if session.artifacts and standing.is_due(place, fates.files, idle):
            draft.take(place, draft.files_step(place, self._because(place, fates.files, idle)))
        rows = self._due_rows(place, session, fates, idle)
        if rows is not None:
            draft.take(place, draft.rows_step(place, rows.verdict, self._because(place, rows, idle)))
        if not draft.says_anything(place):
            draft.keep(place, standing.why_all_stays(place))
        # Where an index entry is all the record there is, it has left with the files.
        has_record = session.record is not None and session.scope is None
        is_due = has_record and standing.is_due(place, fates.record, idle)
        if is_due and draft.loses_all_files(place):
            self._due_records.add(place)

    def _due_rows(self, place: int, session: Session, fates: Fates, idle: float) -> Fate | None:
        if not has_messages(session):
            return None
        if self._standing.is_due(place, fates.messages, idle):
            return fates.messages
        if not session.tool_output_done and self._standing.is_due(place, fates.tool_output, idle):
            return fates.tool_output
        return None

    def release_records(self) -> None:
        """Let the records go that are due, with everything that is left of their sessions."""
        if self._due_records:
            standing = self._standing
            for unit in leaving_together(
                standing.sessions, standing.continued, self._due_records, stays=self._keeps_record
            ):
                self._release(unit)

    def _keeps_record(self, place: int) -> bool:
        standing = self._standing
        if not self._draft.loses_all_files(place) or standing.protection(place) is not None:
            return True
        return standing.is_put_back(place, standing.fates(place).record)

    def _release(self, unit: Unit) -> None:
        standing, draft = self._standing, self._draft
        lifecycles = standing.policy.lifecycles
        archives = any(lifecycles[standing.sessions[it].session_class].archive for it in unit.members)
        verdict = Verdict.ARCHIVE_RECORD if archives else Verdict.DELETE_RECORD
        leader = standing.sessions[unit.leader]
        led_by = self._because_of_record(unit.leader)[1]
        follows = Rule.RECORD_AFTER, f"goes with {printable(leader.id)}, whose record is due: {led_by}"
        for place in unit.members:
            if place in self._due_records:
                draft.take(place, draft.rows_step(place, verdict, self._because_of_record(place)))
            elif standing.sessions[place].record is not None:
                draft.take(place, draft.rows_step(place, verdict, follows, leader.session_class))

    def _because_of_record(self, place: int) -> Because:
        return self._because(place, self._standing.fates(place).record, self._standing.idle(place))

    def _because(self, place: int, fate: Fate, idle: float) -> Because:
        reason = self._standing.assessments[place].reason
        return fate.rule, f"{reason}; idle for {format_duration(idle)} (due after {fate.limit})"


def _expired(standing: Standing, inventory: Inventory) -> list[Step]:
    """What becomes of the archived copies."""
    assessed = zip(standing.sessions, standing.assessments, strict=True)
    live = (session.id for session, assessment in assessed if assessment.liveness is Liveness.LIVE)
    return expiring(
        inventory.archived,
        standing.policy,
        protected={*inventory.holds, *live},
        restored={it.id: it.restored_at for it in standing.sessions if it.restored_at is not None},
        now=standing.now,
    )


def _clock_warnings(standing: Standing) -> list[str]:
    """One line when sessions claim to come from the future: a clock was wrong once, or is now."""
    latest = standing.now + _CLOCK_SLACK
    warnings = _doubts(standing)
    ahead = [place for place, time in enumerate(standing.activity) if time > latest]
    if not ahead:
        return warnings
    example = printable(standing.sessions[ahead[0]].id)
    future = (
        f"{len(ahead)} session(s) have a time in the future, such as {example}: they count as active now "
        "and are kept. Check the clock of this machine."
    )
    return [*warnings, future]


def _doubts(standing: Standing) -> list[str]:
    """One line when something may go for good some day, and must not today."""
    lifecycles = standing.policy.lifecycles.values()
    is_final = standing.policy.on_reset is OnReset.DELETE or any(
        it.archive_after is not None or not it.archive for it in lifecycles
    )
    if standing.clock.doubt is None or not is_final:
        return []
    warning = (
        f"the clock of this machine is in doubt: {standing.clock.doubt}. What would be removed for good "
        f"waits until a sweep finds that it has run evenly for {format_duration(SETTLED_SECONDS)}; all else "
        "goes on. Set it right if it is wrong."
    )
    return [warning]
