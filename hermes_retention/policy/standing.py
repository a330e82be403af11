"""Where each session stands: what protects it, and which of its parts are due, now or later.

Everything here answers questions about one session and changes nothing. What must not live here: steps, and
the budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from hermes_retention.model import Artifact, ArtifactKind, Inventory, Session
from hermes_retention.plan import Rule, Verdict
from hermes_retention.policy.clocks import judge
from hermes_retention.policy.fates import Fate, Fates, fates, held_back, removal
from hermes_retention.policy.guards import Assessment, age, assess
from hermes_retention.policy.lifecycle import Policy
from hermes_retention.policy.lineage import families
from hermes_retention.policy.wishes import Because, Wishes
from hermes_retention.units import format_duration


class Standing:
    """The sessions of an inventory by their places, with all that is known and asked for."""

    def __init__(self, inventory: Inventory, policy: Policy, *, now: float) -> None:
        """``inventory`` has its sessions in the order of their ids; ``now`` is in Unix seconds."""
        self.sessions: Sequence[Session] = inventory.sessions
        self.policy = policy
        self.now = now
        # Not a number, and times before all times, are no times: 0.0 stands for "nobody knows".
        own = [newest if (newest := session.last_activity) > 0 else 0.0 for session in self.sessions]
        related = families(self.sessions)
        self.continued = related.continued
        self.assessments: Sequence[Assessment] = assess(inventory, policy, own, related.linked, now=now)
        self.activity: Sequence[float] = _aged_as_one(own, related.continued)
        self._wishes = Wishes(self.sessions, policy, self.activity, now=now)
        self.clock = judge(inventory.clock, own, now=now)
        table = fates(policy)
        self._fates = table if self.clock.doubt is None else held_back(table, policy)

    def idle(self, place: int) -> float:
        """Seconds since the last activity of the session and what continues it."""
        return age(self.activity[place], now=self.now)

    def fates(self, place: int) -> Fates:
        """What becomes of the session once it is over."""
        return self._fates[self.sessions[place].session_class, self.assessments[place].liveness]

    def protection(self, place: int) -> Because | None:
        """What keeps every part of the session; ``None`` when the age of each part decides."""
        session, assessment = self.sessions[place], self.assessments[place]
        if assessment.guard is not None:
            return assessment.guard, assessment.reason
        wish = self._wishes.keeping(place, session)
        if wish is None:
            return None
        fates = self.fates(place)
        first = next(_parts(session, fates), None)
        if first is None or (first is fates.record and first.after is None):
            return _nothing_left(session)
        return self._restored(session) if self.is_put_back(place, first) else wish

    def is_due(self, place: int, fate: Fate, idle: float) -> bool:
        """Whether a part of a session that nothing protects has reached its age; ``idle`` is in seconds."""
        return fate.after is not None and idle >= fate.after and not self.is_put_back(place, fate)

    def is_waiting(self, place: int, fate: Fate) -> bool:
        """Whether only its age keeps a part of the session: the budget may take it early."""
        if fate.after is None or self.assessments[place].guard is not None:
            return False
        return not self.is_put_back(place, fate) and self.protection(place) is None

    def is_put_back(self, place: int, fate: Fate) -> bool:
        """Whether a person put the session back so lately that this part of it stays."""
        restored_at = self.sessions[place].restored_at
        if restored_at is None:
            return False
        return fate.restored_after is None or age(restored_at, now=self.now) < fate.restored_after

    def why_all_stays(self, place: int) -> Because:
        """Why nothing of a session that nothing protects is due: the age that it reaches first."""
        session, fates = self.sessions[place], self.fates(place)
        soonest: Fate | None = None
        shortest = math.inf
        for fate in _parts(session, fates):
            wait = self._wait(place, fate)
            # A record whose time has come stays because of another's: nothing foretells when that goes.
            if wait is not None and 0 < wait < shortest:
                soonest, shortest = fate, wait
        if soonest is not None:
            return self._why_it_waits(place, soonest, shortest)
        if session.artifacts:
            return self.why_it_stays(place, fates.files)
        if has_messages(session):
            return self.why_it_stays(place, fates.messages)
        return _nothing_left(session)

    def why_it_stays(self, place: int, fate: Fate) -> Because:
        """Why this part of a session that nothing protects is not due."""
        wait = self._wait(place, fate)
        if wait is not None:
            return self._why_it_waits(place, fate, wait)
        session = self.sessions[place]
        if session.restored_at is not None:
            return self._restored(session)
        if fate.rule is Rule.CLOCK:
            return (
                fate.rule,
                f"{self.assessments[place].reason}; it would go for good, and the clock is in doubt",
            )
        return fate.rule, f"{self.assessments[place].reason}; {fate.setting} is never"

    def old_dumps(self, place: int) -> tuple[Artifact, ...]:
        """The old request dumps of a session whose other files stay: a dump is no conversation."""
        session = self.sessions[place]
        # A failed run's dumps tell why it failed.
        if not session.artifacts or self._wishes.keeping_failed(place, session) is not None:
            return ()
        return self._old(place, ArtifactKind.REQUEST_DUMP, self.policy.dumps_after)

    def old_leftovers(self, place: int) -> tuple[Artifact, ...]:
        """What the host itself set aside long ago, of a session whose other files stay."""
        if self.sessions[place].scope is None:  # no other host leaves any
            return ()
        return self._old(place, ArtifactKind.LEFTOVER, self.policy.leftovers_after)

    def _old(self, place: int, kind: ArtifactKind, after: int | None) -> tuple[Artifact, ...]:
        session = self.sessions[place]
        if after is None or not session.artifacts or self.assessments[place].keeps_dumps:
            return ()
        if self.clock.doubt is not None and self._go_for_good(place):
            return ()
        limit = max(after, self.policy.settle_time)
        if session.restored_at is not None and age(session.restored_at, now=self.now) < limit:
            return ()
        return tuple(
            artifact
            for artifact in session.artifacts
            if artifact.kind is kind and artifact.mtime_ns > 0 and self.now - artifact.mtime_ns / 1e9 >= limit
        )

    def _go_for_good(self, place: int) -> bool:
        lifecycle = self.policy.lifecycles[self.sessions[place].session_class]
        return removal(lifecycle, self.assessments[place].liveness) is Verdict.DELETE_FILES

    def _wait(self, place: int, fate: Fate) -> float | None:
        """Seconds until this part is due; ``None`` is for ever."""
        if fate.after is None:
            return None
        wait = fate.after - self.idle(place)
        restored_at = self.sessions[place].restored_at
        if restored_at is None:
            return wait
        if fate.restored_after is None:
            return None
        return max(wait, fate.restored_after - age(restored_at, now=self.now))

    def _why_it_waits(self, place: int, fate: Fate, wait: float) -> Because:
        if self.is_put_back(place, fate):
            return self._restored(self.sessions[place])
        reason = self.assessments[place].reason
        return fate.rule, f"{reason}; due in {format_duration(wait)} ({fate.rule}: {fate.limit})"

    def _restored(self, session: Session) -> Because:
        since = age(session.restored_at or 0.0, now=self.now)
        return Rule.RESTORED, f"restored {format_duration(since)} ago: its time starts anew"


def _parts(session: Session, fates: Fates) -> Iterator[Fate]:
    """What is there of a session and has an age of its own."""
    if session.artifacts:
        yield fates.files
    if has_messages(session):
        if not session.tool_output_done:
            yield fates.tool_output
        yield fates.messages
    if session.record is not None and not session.artifacts:  # it leaves after the files, whatever its age
        yield fates.record


def has_messages(session: Session) -> bool:
    """Whether the host's database has messages of the session."""
    return session.record is not None and session.record.has_messages


def _nothing_left(session: Session) -> Because:
    if session.record is None:
        return Rule.NOTHING_LEFT, "nothing of it is in the store"
    return Rule.NOTHING_LEFT, "nothing but its record is left"


def _aged_as_one(activity: Sequence[float], continued: Sequence[Sequence[int]]) -> list[float]:
    """Last activity by place; all parts of a conversation that goes on under other ids have the newest's."""
    ages = list(activity)
    for family in continued:
        newest = max(activity[place] for place in family)
        for place in family:
            ages[place] = newest
    return ages
