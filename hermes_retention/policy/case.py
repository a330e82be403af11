"""One session under decision: what protects it, which of its parts are due, and the steps taken so far.

What must not live here: which sessions there are, and the budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from hermes_retention.model.plan import Action, Rule, Step, Tier
from hermes_retention.model.session import Artifact, ArtifactKind, Session, SessionClass
from hermes_retention.model.text import format_duration, printable
from hermes_retention.policy.lifecycle import Due, Lifecycle, Policy, Schedule, removal
from hermes_retention.policy.liveness import Assessment, age

Because: TypeAlias = tuple[Rule, str]
"""Rule and reason of a step."""


class World:
    """What is the same for all cases of one decision."""

    __slots__ = ("bytes_per_message", "now", "policy", "texts", "trusted")

    def __init__(self, policy: Policy, bytes_per_message: float, *, now: float, trusted: bool) -> None:
        self.policy, self.now, self.trusted = policy, now, trusted
        self.bytes_per_message = bytes_per_message
        self.texts: dict[str, str] = {}
        """Equal reasons are one object, among a million steps."""


class Case(msgspec.Struct, gc=False, eq=False):
    """A session, what is known of it, and at most one step about its files and one about its rows.

    A step that keeps all of the session stands where that about its files would, and gives way to any other.
    """

    # A struct outside the garbage collector, as the inventory: there may be a million, and none leads back.
    world: World
    session: Session
    assessment: Assessment
    activity: float
    schedule: Schedule
    rank: int | None
    """1 for the newest of a series that ``keep_last`` keeps, 2 for the next."""
    idle: float = 0.0
    """Seconds without activity."""
    protection: Because | None = None
    """What keeps every part of the session; ``None`` when the age of each part decides."""
    files_step: Step | None = None
    rows_step: Step | None = None

    def __post_init__(self) -> None:
        self.idle = age(self.activity, now=self.world.now)
        self.protection = self._protection()

    # -- what is asked ----------------------------------------------------------------------------------

    @property
    def lifecycle(self) -> Lifecycle:
        """What is asked for its class."""
        return self.world.policy.lifecycles[self.session.session_class]

    def is_due(self, part: Due) -> bool:
        """Whether a part that nothing protects has reached its age."""
        return self.is_older(part, part.after)

    def is_older(self, part: Due, after: int | None) -> bool:
        """Whether the session is idle for so long, in seconds, and nobody put this part of it back lately."""
        return after is not None and self.idle >= after and not self.is_put_back(part)

    def is_waiting(self, part: Due) -> bool:
        """Whether only its age keeps a part: the budget may take it early."""
        return part.after is not None and self.protection is None and not self.is_put_back(part)

    def is_put_back(self, part: Due) -> bool:
        """Whether a person put the session back so lately that this part of it stays."""
        restored_at = self.session.restored_at
        if restored_at is None:
            return False
        return part.own_after is None or age(restored_at, now=self.world.now) < part.own_after

    def keep_last(self) -> Because | None:
        """That it is one of the newest of its series."""
        if self.rank is None:
            return None
        series, wanted = printable(self.session.group or ""), self.lifecycle.keep_last
        return Rule.KEEP_LAST, f"number {self.rank} of the newest {wanted} of {series}"

    def keep_failed(self) -> Because | None:
        """That it failed not long ago."""
        kept = self.lifecycle.keep_failed
        if not self.session.failed or (kept is not None and self.idle >= kept):
            return None
        how_long = "failed ones are kept" if kept is None else f"kept for {format_duration(kept)}"
        return Rule.KEEP_FAILED, f"it failed; {how_long}"

    def _protection(self) -> Because | None:
        if self.assessment.guard is not None:
            return self.assessment.guard, self.assessment.reason
        wanted = self.keep_last() or self.keep_failed()
        if wanted is None:
            return None
        first = next(self._parts(), None)
        if first is None or (first is self.schedule.record and first.after is None):
            return self._nothing_left()
        return self._restored() if self.is_put_back(first) else wanted

    # -- why it stays -----------------------------------------------------------------------------------

    def why_all_stays(self) -> Because:
        """Why nothing of a session that nothing protects is due: the age that it reaches first."""
        waits = [(wait, part) for part in self._parts() if 0 < (wait := self._wait(part)) < math.inf]
        if waits:
            # A record whose time has come stays because of another's: nothing foretells when that goes.
            return self.why_it_stays(min(waits, key=lambda one: one[0])[1])
        if self.session.artifacts:
            return self.why_it_stays(self.schedule.files)
        return (
            self.why_it_stays(self.schedule.messages) if has_messages(self.session) else self._nothing_left()
        )

    def why_it_stays(self, part: Due) -> Because:
        """Why this part of a session that nothing protects is not due."""
        wait, reason = self._wait(part), self.assessment.reason
        if self.is_put_back(part) or (wait == math.inf and self.session.restored_at is not None):
            return self._restored()
        if wait < math.inf:
            return part.rule, f"{reason}; due in {format_duration(wait)} ({part.rule}: {part.limit})"
        if part.rule is Rule.CLOCK:
            return self.clock_in_doubt()
        return part.rule, f"{reason}; {part.tier}_after is never"

    def clock_in_doubt(self) -> Because:
        """That nothing of it goes for good today."""
        reason = f"{self.assessment.reason}; it would go for good, and the clock is in doubt"
        return Rule.CLOCK, reason

    def _parts(self) -> Iterator[Due]:
        """What is there of it and has an age of its own."""
        session, schedule = self.session, self.schedule
        if session.artifacts:
            yield schedule.files
        if has_messages(session):
            if not session.tool_output_done:
                yield schedule.tool_output
            yield schedule.messages
        if session.record is not None and not session.artifacts:  # it leaves last, whatever its age
            yield schedule.record

    def _wait(self, part: Due) -> float:
        """Seconds until this part is due."""
        restored_at = self.session.restored_at
        if part.after is None or (restored_at is not None and part.own_after is None):
            return math.inf
        wait = part.after - self.idle
        if restored_at is None or part.own_after is None:
            return wait
        return max(wait, part.own_after - age(restored_at, now=self.world.now))

    def _restored(self) -> Because:
        since = age(self.session.restored_at or 0.0, now=self.world.now)
        return Rule.RESTORED, f"restored {format_duration(since)} ago: its time starts anew"

    def _nothing_left(self) -> Because:
        what = "nothing of it is in the store"
        return Rule.NOTHING_LEFT, what if self.session.record is None else "nothing but its record is left"

    # -- steps ------------------------------------------------------------------------------------------

    @property
    def steps(self) -> Iterator[Step]:
        """What is said about files before what is said about rows."""
        return (step for step in (self.files_step, self.rows_step) if step is not None)

    @property
    def loses_all_files(self) -> bool:
        """Whether no file of the session is left after its steps."""
        gone = 0 if self.files_step is None else len(self.files_step.artifacts)
        return gone == len(self.session.artifacts)

    @property
    def loses_messages(self) -> bool:
        """Whether no message of the session is left after its steps."""
        return self.rows_step is not None and self.rows_step.tier is not Tier.TOOL_OUTPUT

    def keep(self, because: Because) -> None:
        """Nothing of the session goes but old request dumps, and what the host set aside."""
        rest = f"the session itself stays: {because[1]}"
        self.files_step = (
            self._dumps(rest) or self._leftovers(rest) or self._step(Action.KEEP, None, because, self._size())
        )

    def take_files(self, because: Because) -> Step:
        """The step that takes all files of the session, in the way of its class."""
        artifacts = self.session.artifacts
        return self._step(self.schedule.files.action, Tier.FILES, because, self._size(), artifacts)

    def take_rows(
        self, action: Action, tier: Tier, because: Because, due_by: SessionClass | None = None
    ) -> Step:
        """The step that takes the rows of this part of the session."""
        record, size = self.session.record, 0
        if record is not None and record.has_messages and tier is not Tier.TOOL_OUTPUT:
            size = round(max(record.message_count, 1) * self.world.bytes_per_message)
        return self._step(action, tier, because, size, seen=self.session, due_by=due_by)

    def take(self, step: Step) -> None:
        """A part of the session goes as ``step`` says, and nothing says any longer that all of it stays."""
        if step.seen is None:
            self.files_step = step
            return
        self.rows_step = step
        files = self.files_step
        if files is None or files.rule is Rule.DUMPS_AFTER or files.action is Action.KEEP:
            self.files_step = self._dumps_beside_rows()

    def gain(self, step: Step) -> int:
        """Bytes that are expected of ``step`` beyond what the step gives that it would replace."""
        before = self.files_step if step.seen is None else self.rows_step
        return step.expected_gain - (0 if before is None else before.expected_gain)

    def why_due(self, part: Due) -> Because:
        """Why a part that is due goes."""
        idle = format_duration(self.idle)
        return part.rule, f"{self.assessment.reason}; idle for {idle} (due after {part.limit})"

    def old_dumps(self) -> tuple[Artifact, ...]:
        """The old request dumps of a session whose other files stay: a dump is no conversation."""
        # A failed run's dumps tell why it failed.
        if not self.session.artifacts or self.keep_failed() is not None:
            return ()
        return self._old(ArtifactKind.REQUEST_DUMP, self.world.policy.dumps_after)

    def old_leftovers(self) -> tuple[Artifact, ...]:
        """What the host itself set aside or left half written, where it is old."""
        if self.session.scope is None:  # no other host leaves any
            return ()
        return self._old(ArtifactKind.LEFTOVER, self.world.policy.leftovers_after)

    def _dumps(self, rest: str) -> Step | None:
        return self._some(
            self.old_dumps(), Rule.DUMPS_AFTER, "request dump", self.world.policy.dumps_after, rest
        )

    def _leftovers(self, rest: str) -> Step | None:
        after = self.world.policy.leftovers_after
        return self._some(self.old_leftovers(), Rule.LEFTOVERS_AFTER, "set aside by the host,", after, rest)

    def _dumps_beside_rows(self) -> Step | None:
        if not self.session.artifacts:
            return None
        if len(self.old_dumps()) == len(self.session.artifacts):
            return self._dumps("no other files are there")
        return self._dumps(f"other files stay: {self.why_it_stays(self.schedule.files)[1]}")

    def _some(
        self, some: tuple[Artifact, ...], rule: Rule, what: str, after: int | None, rest: str
    ) -> Step | None:
        if not some:
            return None
        because = rule, f"{what} older than {format_duration(after or 0)}; {rest}"
        size = sum(artifact.allocated_bytes for artifact in some)
        return self._step(self._removal(), Tier.FILES, because, size, some)

    def _old(self, kind: ArtifactKind, after: int | None) -> tuple[Artifact, ...]:
        world, session = self.world, self.session
        if after is None or not session.artifacts or self.assessment.keeps_dumps:
            return ()
        if not world.trusted and self._removal() is Action.DELETE:
            return ()
        limit = max(after, world.policy.settle_time)
        if session.restored_at is not None and age(session.restored_at, now=world.now) < limit:
            return ()
        return tuple(
            artifact
            for artifact in session.artifacts
            if artifact.kind is kind
            and artifact.mtime_ns > 0
            and world.now - artifact.mtime_ns / 1e9 >= limit
        )

    def _removal(self) -> Action:
        return removal(self.lifecycle, self.assessment.liveness)

    def _size(self) -> int:
        artifacts = self.session.artifacts
        if len(artifacts) == 1:  # nearly always; and no new number for each
            return artifacts[0].allocated_bytes
        return sum(artifact.allocated_bytes for artifact in artifacts)

    def _step(  # noqa: PLR0913, PLR0917 - the parts of a step
        self,
        action: Action,
        tier: Tier | None,
        because: Because,
        size: int,
        artifacts: tuple[Artifact, ...] = (),
        seen: Session | None = None,
        due_by: SessionClass | None = None,
    ) -> Step:
        rule, reason = because
        return Step(
            self.session.id,
            self.session.session_class,
            self.assessment.liveness,
            action,
            tier,
            rule,
            self.world.texts.setdefault(reason, reason),
            artifacts,
            size,
            min(self.activity, self.world.now),
            None,
            seen,
            due_by,
        )


def has_messages(session: Session) -> bool:
    """Whether the host's database has messages of the session."""
    return session.record is not None and session.record.has_messages
