"""The one function that decides: inventory, policy and time in, plan out.

Order of precedence: guards, then what a person put back, then ``keep_last`` and ``keep_failed``, then the
lifecycle, and last the budget, which may take what is not due yet but nothing that anything above protects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from typing import TypeAlias

import msgspec

from hermes_retention.model import Artifact, ArtifactKind, Inventory, Session, SessionClass
from hermes_retention.names import printable
from hermes_retention.plan import Liveness, Plan, Rule, Step, Verdict
from hermes_retention.policy.budget import Need, expected_gain, needs
from hermes_retention.policy.expiry import expiring
from hermes_retention.policy.fates import Fate, fates, removal
from hermes_retention.policy.guards import Assessment, age, assess
from hermes_retention.policy.lifecycle import Lifecycle, Policy
from hermes_retention.policy.lineage import families
from hermes_retention.units import format_duration, format_size

_CLOCK_SLACK = 60.0
"""Seconds by which a time may lie ahead of ours before it is worth a warning."""

_Because: TypeAlias = tuple[Rule, str]
"""Rule and reason of a verdict."""


def decide(inventory: Inventory, policy: Policy, *, now: float) -> Plan:
    """Every session's verdict, in order of execution.

    ``now`` is in Unix seconds. Pure: equal arguments give an equal plan. Never raises on data; what it does
    not understand it keeps.
    """
    decision = _Decision(inventory, policy, now=now)
    expired = decision.expired() if inventory.archived else []
    steps = decision.steps()
    gained = sum(map(expected_gain, expired)) + sum(map(expected_gain, steps))
    warnings = (
        *inventory.warnings,
        *decision.clock_warnings(),
        *decision.reclaim(steps, needs(inventory.usage, policy, gained_bytes=gained)),
    )
    kept = [step for step in steps if step.verdict is Verdict.KEEP]
    # Steps are in the order of their ids, and sorting is stable: equal times leave them there.
    removals = [step for step in steps if step.verdict is not Verdict.KEEP]
    removals.sort(key=attrgetter("last_activity"))
    return Plan(inventory.home, now, (*expired, *removals, *kept), warnings)


class _Decision:
    """The tables that one decision looks things up in; lists go by the place of a session among all ids."""

    def __init__(self, inventory: Inventory, policy: Policy, *, now: float) -> None:
        self._policy, self._now = policy, now
        self._sessions = tuple(sorted(inventory.sessions, key=attrgetter("id")))
        self._inventory = msgspec.structs.replace(inventory, sessions=self._sessions)
        # Not a number, and times before all times, are no times: 0.0 stands for "nobody knows".
        own = [newest if (newest := session.last_activity) > 0 else 0.0 for session in self._sessions]
        related = families(self._sessions)
        self._assessments = assess(self._inventory, policy, own, related.linked, now=now)
        self._activity = _aged_as_one(own, related.continued)
        self._ranks = self._newest_of_series()
        self._fates = fates(policy)
        self._waiting: list[int] = []
        self._texts: dict[str, str] = {}

    def expired(self) -> list[Step]:
        """What becomes of the archived copies."""
        assessed = zip(self._sessions, self._assessments, strict=True)
        live = (session.id for session, assessment in assessed if assessment.liveness is Liveness.LIVE)
        return expiring(
            self._inventory.archived,
            self._policy,
            protected={*self._inventory.holds, *live},
            restored={it.id: it.restored_at for it in self._sessions if it.restored_at is not None},
            now=self._now,
        )

    def steps(self) -> list[Step]:
        """What happens to the files of every session, before any budget."""
        return [self._step(place, session) for place, session in enumerate(self._sessions)]

    def _step(self, place: int, session: Session) -> Step:
        if not session.artifacts:
            return self._keep(place, Rule.NO_FILES, "no files in the store")
        assessment = self._assessments[place]
        lifecycle = self._policy.lifecycles[session.session_class]
        idle = age(self._activity[place], now=self._now)
        failed = self._kept_as_failed(lifecycle, idle) if session.failed else None
        if assessment.guard is not None:
            because = assessment.guard, assessment.reason
        elif (wish := self._kept_by_wish(place, session, lifecycle) or failed) is not None:
            because = wish
        else:
            fate = self._fates[session.session_class, assessment.liveness]
            if fate.after is not None and idle >= fate.after:
                idle_for = format_duration(idle)
                reason = f"{assessment.reason}; idle for {idle_for} (due after {fate.limit})"
                return self._remove(place, fate.verdict, fate.rule, reason, session.artifacts)
            because = self._not_due(place, assessment, fate, idle)
        # A failed run's dumps tell why it failed.
        dumps = () if failed is not None else self._expired_dumps(session, assessment)
        if not dumps:
            return self._keep(place, *because)
        limit = format_duration(self._policy.dumps_after or 0)
        reason = f"request dump older than {limit}; the session itself stays: {because[1]}"
        return self._remove(place, removal(lifecycle, assessment.liveness), Rule.DUMPS_AFTER, reason, dumps)

    def _not_due(self, place: int, assessment: Assessment, fate: Fate, idle: float) -> _Because:
        if fate.after is None:
            return fate.rule, f"{assessment.reason}; files_after is never"
        self._waiting.append(place)
        wait = format_duration(fate.after - idle)
        return fate.rule, f"{assessment.reason}; due in {wait} ({fate.rule}: {fate.limit})"

    def _kept_by_wish(self, place: int, session: Session, lifecycle: Lifecycle) -> _Because | None:
        if session.restored_at is not None:
            since = age(session.restored_at, now=self._now)
            wait = lifecycle.files_after
            if wait is None or since < max(wait, self._policy.settle_time):
                return Rule.RESTORED, f"restored {format_duration(since)} ago: its time starts anew"
        rank = self._ranks.get(place)
        if rank is not None:
            series = printable(session.group or "")
            return Rule.KEEP_LAST, f"number {rank} of the newest {lifecycle.keep_last} of {series}"
        return None

    @staticmethod
    def _kept_as_failed(lifecycle: Lifecycle, idle: float) -> _Because | None:
        if lifecycle.keep_failed is None:
            return Rule.KEEP_FAILED, "it failed; failed ones are kept"
        if idle < lifecycle.keep_failed:
            return Rule.KEEP_FAILED, f"it failed; kept for {format_duration(lifecycle.keep_failed)}"
        return None

    def _expired_dumps(self, session: Session, assessment: Assessment) -> tuple[Artifact, ...]:
        """The old request dumps of a session whose other files stay: a dump is no conversation."""
        after = self._policy.dumps_after
        if after is None or assessment.keeps_dumps:
            return ()
        limit = max(after, self._policy.settle_time)
        if session.restored_at is not None and age(session.restored_at, now=self._now) < limit:
            return ()
        return tuple(
            artifact
            for artifact in session.artifacts
            if artifact.kind is ArtifactKind.REQUEST_DUMP
            and artifact.mtime_ns > 0
            and self._now - artifact.mtime_ns / 1e9 >= limit
        )

    def _newest_of_series(self) -> dict[int, int]:
        """Place of each session that ``keep_last`` keeps → 1 for the newest of its series, 2 for the next."""
        wanted = {name: lifecycle.keep_last for name, lifecycle in self._policy.lifecycles.items()}
        series: defaultdict[tuple[SessionClass, str], list[int]] = defaultdict(list)
        for place, session in enumerate(self._sessions):
            if session.group is not None and wanted[session.session_class]:
                series[session.session_class, session.group].append(place)
        ranks: dict[int, int] = {}
        for (session_class, _), members in series.items():
            # Ids of a series tell the time as well: of equally old ones the last id is the newest.
            members.sort(key=self._activity.__getitem__)
            newest = members[: -wanted[session_class] - 1 : -1]
            ranks.update((place, rank) for rank, place in enumerate(newest, 1))
        return ranks

    def reclaim(self, steps: list[Step], asked: Sequence[Need]) -> list[str]:
        """Replace ``steps`` of waiting sessions until the needs are met; a line for each need that is not."""
        candidates = iter(sorted(self._waiting, key=self._budget_order) if asked else ())
        warnings: list[str] = []
        freed = 0
        for need in asked:
            while freed < need.target_bytes and (place := next(candidates, None)) is not None:
                step = self._taken(place, need)
                gain = expected_gain(step) - expected_gain(steps[place])
                if gain > 0:
                    steps[place] = step
                    freed += gain
            if freed < need.least_bytes:
                warnings.append(_unmet(need, need.least_bytes - freed))
        return warnings

    def _budget_order(self, place: int) -> tuple[bool, float, int]:
        """Superseded and ended sessions first; of those the oldest first."""
        settled = self._assessments[place].liveness in (Liveness.SUPERSEDED, Liveness.ENDED)
        return not settled, self._activity[place], place

    def _taken(self, place: int, need: Need) -> Step:
        session, assessment = self._sessions[place], self._assessments[place]
        verdict = self._fates[session.session_class, assessment.liveness].verdict
        reason = f"{assessment.reason}; {need.reason}"
        return self._remove(place, verdict, need.rule, reason, session.artifacts)

    def clock_warnings(self) -> list[str]:
        """One line when sessions claim to come from the future: a clock was wrong once, or is now."""
        latest = self._now + _CLOCK_SLACK
        ahead = [place for place, time in enumerate(self._activity) if time > latest]
        if not ahead:
            return []
        example = printable(self._sessions[ahead[0]].id)
        warning = (
            f"{len(ahead)} session(s) have a time in the future, such as {example}: they count as active now "
            "and are kept. Check the clock of this machine."
        )
        return [warning]

    def _keep(self, place: int, rule: Rule, reason: str) -> Step:
        size = _allocated_bytes(self._sessions[place].artifacts)
        return self._build(place, Verdict.KEEP, (rule, reason), (), size)

    def _remove(
        self, place: int, verdict: Verdict, rule: Rule, reason: str, artifacts: tuple[Artifact, ...]
    ) -> Step:
        return self._build(place, verdict, (rule, reason), artifacts, _allocated_bytes(artifacts))

    def _build(
        self, place: int, verdict: Verdict, because: _Because, artifacts: tuple[Artifact, ...], size: int
    ) -> Step:
        session = self._sessions[place]
        rule, reason = because
        return Step(
            session.id,
            session.session_class,
            self._assessments[place].liveness,
            verdict,
            rule,
            self._texts.setdefault(reason, reason),  # equal texts are one object, among a million steps
            artifacts,
            size,
            min(self._activity[place], self._now),
        )


def _aged_as_one(activity: Sequence[float], continued: Sequence[Sequence[int]]) -> list[float]:
    """Last activity by place; all parts of a conversation that goes on under other ids have the newest's."""
    ages = list(activity)
    for family in continued:
        newest = max(activity[place] for place in family)
        for place in family:
            ages[place] = newest
    return ages


def _allocated_bytes(artifacts: tuple[Artifact, ...]) -> int:
    if len(artifacts) == 1:  # nearly always; and no new number for each
        return artifacts[0].allocated_bytes
    return sum(artifact.allocated_bytes for artifact in artifacts)


def _unmet(need: Need, missing_bytes: int) -> str:
    return (
        f"{need.rule}: {need.reason}, and about {format_size(missing_bytes)} of it cannot be reclaimed: all "
        "other sessions are live, held or kept by a setting. Lower keep_last, keep_failed or files_after, "
        "let old archives expire with archive_after, or raise the limit."
    )
