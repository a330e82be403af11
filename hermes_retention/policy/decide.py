"""The one function that decides: inventory, policy and time in, plan out.

Order of precedence: guards, then what a person put back, then ``keep_last`` and ``keep_failed``, then the
lifecycle, and last the budget, which may take what is not due yet but nothing that a guard protects.
"""

from __future__ import annotations

from collections.abc import Iterable

from hermes_retention.model import ArchivedSession, Artifact, ArtifactKind, Inventory, Session, SessionClass
from hermes_retention.names import printable
from hermes_retention.plan import Liveness, Plan, Step, Verdict
from hermes_retention.policy.budget import Need, bytes_needed, expected_gain
from hermes_retention.policy.guards import Assessment, age, assess, compression_ends
from hermes_retention.policy.lifecycle import OnReset, Policy
from hermes_retention.units import format_duration, format_size

_NOT_FOR_BUDGET = frozenset({"keep_last", "keep_failed", "restored", "never", "on_reset", "no_files"})
"""Rules behind a ``keep`` that the budget respects as well: somebody asked for exactly this."""


def decide(inventory: Inventory, policy: Policy, *, now: float) -> Plan:
    """Every session's verdict, in order of execution.

    ``now`` is in Unix seconds. Pure: equal arguments give an equal plan. Never raises on data; what it does
    not understand it keeps.
    """
    decision = _Decision(inventory, policy, now=now)
    expiring = [step for archived in inventory.archived if (step := decision.expiry(archived)) is not None]
    steps = [decision.step(session) for session in inventory.sessions]
    need = bytes_needed(inventory.usage, policy)
    warnings = list(inventory.warnings) + _clock_warnings(inventory, now=now)
    if need is not None:
        warnings.extend(decision.reclaim(steps, need, already=sum(map(expected_gain, expiring))))
    removals = [step for step in steps if step.verdict is not Verdict.KEEP]
    removals.sort(key=lambda step: (decision.activity[step.session_id], step.session_id))
    kept = [step for step in steps if step.verdict is Verdict.KEEP]
    return Plan(inventory.home, now, (*expiring, *removals, *kept), tuple(warnings))


class _Decision:
    """The tables that one decision looks things up in."""

    def __init__(self, inventory: Inventory, policy: Policy, *, now: float) -> None:
        self._policy = policy
        self._now = now
        self.activity = {session.id: session.last_activity for session in inventory.sessions}
        self._assessments = assess(inventory, policy, self.activity, now=now)
        self.activity.update(compression_ends(inventory.sessions, self.activity))
        self._rank = _ranks(inventory.sessions, self.activity)
        self._holds = inventory.holds
        self._sessions = {session.id: session for session in inventory.sessions}

    def step(self, session: Session) -> Step:
        """What happens to the files of ``session``, before any budget."""
        assessment = self._assessments[session.id]
        if not session.artifacts:
            return _keep(session, assessment, "no_files", "no files in the store")
        if assessment.liveness is Liveness.LIVE:
            return self._dumps_only(session, assessment) or _keep(
                session, assessment, assessment.rule, assessment.reason
            )
        guard = self._kept_by_wish(session)
        if guard is not None:
            return self._dumps_only(session, assessment) or _keep(session, assessment, *guard)
        due_after, rule = self._files_due(session, assessment)
        idle = age(self.activity[session.id], now=self._now)
        if due_after is None:
            keeping = _keep(session, assessment, "never", f"{assessment.reason}; {rule} is never")
        elif idle >= due_after:
            return self._remove(session, assessment, session.artifacts, rule, _due_reason(assessment, idle, due_after))
        else:
            wait = format_duration(due_after - idle)
            keeping = _keep(session, assessment, rule, f"{assessment.reason}; {rule} comes in {wait}")
        return self._dumps_only(session, assessment) or keeping

    def expiry(self, archived: ArchivedSession) -> Step | None:
        """The step that drops an archived copy, when its class says so and no hold speaks against it."""
        after = self._policy.lifecycles[archived.session_class].archive_after
        old = self._now - archived.archived_at
        if after is None or old < max(after, self._policy.settle_time) or archived.id in self._holds:
            return None
        return Step(
            session_id=archived.id,
            session_class=archived.session_class,
            liveness=Liveness.ARCHIVED,
            verdict=Verdict.EXPIRE_ARCHIVE,
            rule="archive_after",
            reason=f"archived {format_duration(old)} ago, expires after {format_duration(after)}",
            bytes=archived.stored_bytes,
            partition=archived.partition,
        )

    def reclaim(self, steps: list[Step], need: Need, *, already: int) -> list[str]:
        """Turn keeps into removals in ``steps``, oldest superseded and ended first, until ``need`` is met."""
        missing = need.bytes - already - sum(map(expected_gain, steps))
        candidates = sorted(
            (index for index, step in enumerate(steps) if self._budget_may_take(step)),
            key=lambda index: self._budget_order(steps[index]),
        )
        for index in candidates:
            if missing <= 0:
                break
            session = self._sessions[steps[index].session_id]
            assessment = self._assessments[session.id]
            reason = f"{assessment.reason}; {need.reason}"
            before = expected_gain(steps[index])
            steps[index] = self._remove(session, assessment, session.artifacts, need.rule, reason)
            missing -= expected_gain(steps[index]) - before
        if missing <= 0:
            return []
        return [
            f"{need.rule}: {need.reason}, and about {format_size(missing)} of it cannot be reclaimed: all other "
            "sessions are live, held or kept by a setting. Lower keep_last, keep_failed or files_after, let old "
            "archives expire with archive_after, or raise the limit."
        ]

    def _budget_may_take(self, step: Step) -> bool:
        if step.liveness is Liveness.LIVE or step.rule in _NOT_FOR_BUDGET:
            return False
        if step.verdict is Verdict.KEEP:
            return True
        # Its expired dumps go already; the rest of the files may go as well if nothing else protects them.
        session = self._sessions[step.session_id]
        return len(step.artifacts) < len(session.artifacts) and self._kept_by_wish(session) is None

    def _budget_order(self, step: Step) -> tuple[int, float, str]:
        first = step.liveness in (Liveness.SUPERSEDED, Liveness.ENDED)
        return (0 if first else 1, self.activity[step.session_id], step.session_id)

    def _kept_by_wish(self, session: Session) -> tuple[str, str] | None:
        lifecycle = self._policy.lifecycles[session.session_class]
        if session.restored_at is not None:
            since = age(session.restored_at, now=self._now)
            wait = lifecycle.files_after
            if wait is None or since < max(wait, self._policy.settle_time):
                return "restored", f"restored {format_duration(since)} ago: its time starts anew"
        rank = self._rank.get(session.id)
        if rank is not None and rank < lifecycle.keep_last:
            return "keep_last", f"number {rank + 1} of the newest {lifecycle.keep_last} of {printable(session.group or '')}"
        if session.failed:
            idle = age(self.activity[session.id], now=self._now)
            if lifecycle.keep_failed is None:
                return "keep_failed", "it failed; failed ones are kept"
            if idle < lifecycle.keep_failed:
                return "keep_failed", f"it failed; kept for {format_duration(lifecycle.keep_failed)}"
        return None

    def _files_due(self, session: Session, assessment: Assessment) -> tuple[int | None, str]:
        """After how long without activity the files go, and the setting that says so."""
        policy = self._policy
        lifecycle = policy.lifecycles[session.session_class]
        if assessment.liveness is Liveness.SUPERSEDED and policy.on_reset is not OnReset.KEEP:
            return policy.settle_time, "on_reset"
        if not lifecycle.persist and assessment.liveness in (Liveness.ENDED, Liveness.STALE):
            return policy.settle_time, "persist"
        if lifecycle.files_after is None:
            return None, "files_after"
        return max(lifecycle.files_after, policy.settle_time), "files_after"

    def _dumps_only(self, session: Session, assessment: Assessment) -> Step | None:
        """The expired request dumps of a session whose other files stay. Held and busy ones keep all."""
        after = self._policy.dumps_after
        if after is None or assessment.rule in {"held", "busy"}:
            return None
        limit = max(after, self._policy.settle_time)
        dumps = tuple(
            artifact
            for artifact in session.artifacts
            if artifact.kind is ArtifactKind.REQUEST_DUMP and self._now - artifact.mtime_ns / 1e9 >= limit
        )
        restored = session.restored_at
        if not dumps or (restored is not None and self._now - restored < limit):
            return None
        reason = f"request dump older than {format_duration(after)}; the session itself stays ({assessment.reason})"
        return self._remove(session, assessment, dumps, "dumps_after", reason)

    def _remove(
        self, session: Session, assessment: Assessment, artifacts: tuple[Artifact, ...], rule: str, reason: str
    ) -> Step:
        return Step(
            session_id=session.id,
            session_class=session.session_class,
            liveness=assessment.liveness,
            verdict=self._removal(session, assessment),
            rule=rule,
            reason=reason,
            artifacts=artifacts,
            bytes=sum(artifact.allocated_bytes for artifact in artifacts),
            last_activity=min(self.activity[session.id], self._now),
        )

    def _removal(self, session: Session, assessment: Assessment) -> Verdict:
        if assessment.liveness is Liveness.ORPHAN:
            # Nobody knows whose it is: never deleted outright, whatever the class says.
            return Verdict.ARCHIVE_FILES
        if assessment.liveness is Liveness.SUPERSEDED and self._policy.on_reset is OnReset.DELETE:
            return Verdict.DELETE_FILES
        archive = self._policy.lifecycles[session.session_class].archive
        return Verdict.ARCHIVE_FILES if archive else Verdict.DELETE_FILES


def _keep(session: Session, assessment: Assessment, rule: str, reason: str) -> Step:
    return Step(
        session_id=session.id,
        session_class=session.session_class,
        liveness=assessment.liveness,
        verdict=Verdict.KEEP,
        rule=rule,
        reason=reason,
        bytes=session.allocated_bytes,
    )


def _due_reason(assessment: Assessment, idle: float, due_after: int) -> str:
    return f"{assessment.reason}, idle for {format_duration(idle)} (due after {format_duration(due_after)})"


def _ranks(sessions: Iterable[Session], activity: dict[str, float]) -> dict[str, int]:
    """Session id → 0 for the newest of its group, 1 for the next …; sessions without a group have none."""
    groups: dict[tuple[SessionClass, str], list[str]] = {}
    for session in sessions:
        if session.group is not None:
            groups.setdefault((session.session_class, session.group), []).append(session.id)
    ranks: dict[str, int] = {}
    for members in groups.values():
        members.sort(key=lambda member: (-activity[member], member))
        ranks.update((member, rank) for rank, member in enumerate(members))
    return ranks


def _clock_warnings(inventory: Inventory, *, now: float) -> list[str]:
    """One line when files claim to come from the future: a clock was wrong when they were written, or is now."""
    slack = 60.0
    ahead = [
        artifact.name
        for session in inventory.sessions
        for artifact in session.artifacts
        if artifact.mtime_ns / 1e9 > now + slack
    ]
    if not ahead:
        return []
    return [
        f"{len(ahead)} file(s) have a time in the future, such as {printable(min(ahead))}: counted as changed now "
        "and kept. Check the clock of this machine."
    ]
