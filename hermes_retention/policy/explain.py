"""What is to be told about one session: what every rule says of it, and what comes if only time passes.

``decide`` stops at the first thing that keeps a session; people want to see all of them. What comes is asked
of ``decide`` itself, at the times at which some limit is reached. What must not live here: words for people.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

import msgspec

from hermes_retention.model.plan import GUARDS, Action, Liveness, Rule, Step, Tier
from hermes_retention.model.session import ArchivedSession, ArtifactKind, Inventory, Session, Usage
from hermes_retention.model.text import format_duration
from hermes_retention.policy.case import Case, has_messages
from hermes_retention.policy.decide import decide, decide_each, own_activity
from hermes_retention.policy.lifecycle import Due, OnReset, Policy
from hermes_retention.policy.liveness import Answer, age, examine, families

_TICK = 0.001
"""Seconds past a limit at which is asked, so that rounding cannot hide that it is reached."""
_NEVER_REACHED = 2**62
"""Seconds."""
KEEP_ALL = GUARDS | {Rule.KEEP_LAST, Rule.KEEP_FAILED}
"""Guards, and wishes that concern all parts of a session."""


class Coming(msgspec.Struct, frozen=True):
    """A removal and its time in Unix seconds; a time that is not after now means that it is due."""

    at: float
    step: Step
    before: Step | None = None
    """What keeps all of the session until then; ``None`` when it is due already, when other parts of it go
    before, and for expiry."""


class Outlook(msgspec.Struct, frozen=True):
    """What comes to one session. ``None`` stands for never."""

    files: Coming | None = None
    """When all of its files in the store go."""
    dumps: Coming | None = None
    """When its request dumps go, if that is before the other files."""
    tool_output: Coming | None = None
    """When its tool output goes, if that is before the messages."""
    messages: Coming | None = None
    """When its messages go, by themselves or with the record."""
    record: Coming | None = None
    """When its record goes, the last of it."""
    expiry: Coming | None = None
    """When the first of its archived copies is dropped."""
    kept_by: Step | None = None
    """The guard or wish that keeps all of it for good; ``None`` when there is none, or an age decides."""


def look_ahead(
    inventory: Inventory,
    policy: Policy,
    session_id: str,
    *,
    copies: Sequence[ArchivedSession] = (),
    now: float,
) -> Outlook:
    """What comes to the session of this id, of which the vault has ``copies``.

    Without the disk budget: what that takes depends on all that is yet to be stored.
    """
    return _Outlook(inventory, policy, session_id, copies, now=now).ask()


class _Outlook:
    def __init__(
        self,
        inventory: Inventory,
        policy: Policy,
        session_id: str,
        copies: Sequence[ArchivedSession],
        *,
        now: float,
    ) -> None:
        family = _family(inventory.sessions, session_id)
        self._session = next((one for one in family if one.id == session_id), None)
        self._id = session_id
        self._policy = msgspec.structs.replace(policy, max_disk=None, keep_free=None)
        self._without_dumps = msgspec.structs.replace(self._policy, dumps_after=None)
        self._inventory = msgspec.structs.replace(
            inventory,
            sessions=tuple(_with_series(inventory.sessions, family)),
            archived=tuple(copies),
            usage=Usage(sessions_bytes=0),
            clock=None,  # of a time to come nobody can doubt anything
        )
        turns = {turn + _TICK for turn in _turning_points(family, copies, policy)}
        self._times = [now, *sorted(turn for turn in turns if turn > now)]

    def ask(self) -> Outlook:
        expiry = self._first(_expiring)
        session = self._session
        if session is None or not (session.artifacts or session.record):
            return Outlook(expiry=expiry)
        files, messages = self._first(self._all_files), self._first(_messages)
        return Outlook(
            files=files,
            dumps=_if_before(self._first(_any_files), files),
            tool_output=_if_before(self._first(_tool_output), messages),
            messages=messages,
            record=self._first(_record),
            expiry=expiry,
            kept_by=self._kept_by(),
        )

    def _first(self, which: Callable[[list[Step]], Step | None]) -> Coming | None:
        """When a removal comes for which ``which`` looks.

        The older a session, the less keeps it: what goes at one time goes at every later one.
        """
        place = bisect_left(self._times, x=True, key=lambda time: which(self._steps(time)) is not None)
        if place == len(self._times):
            return None
        step = which(self._steps(self._times[place]))
        before = _kept(self._steps(self._times[place - 1], self._without_dumps)) if place else None
        return None if step is None else Coming(self._times[place], step, before)

    def _all_files(self, steps: list[Step]) -> Step | None:
        files = _any_files(steps)
        whole = len(self._session.artifacts) if self._session is not None else 0
        return files if files is not None and len(files.artifacts) == whole else None

    def _kept_by(self) -> Step | None:
        """What is said at the end of all limits, if no part had an age."""
        kept = _kept(self._steps(self._times[-1], _ageless(self._without_dumps)))
        return kept if kept is not None and kept.rule in KEEP_ALL else None

    def _steps(self, time: float, policy: Policy | None = None) -> list[Step]:
        steps = decide(self._inventory, policy or self._policy, now=time).steps
        return [step for step in steps if step.session_id == self._id]


def _if_before(coming: Coming | None, other: Coming | None) -> Coming | None:
    return coming if coming is not None and (other is None or coming.at < other.at) else None


def _ageless(policy: Policy) -> Policy:
    """``policy`` with ages that nothing ever reaches, so that only guards and wishes are heard."""
    lifecycles = {
        kind: msgspec.structs.replace(
            lifecycle,
            files_after=_NEVER_REACHED,
            tool_output_after=_NEVER_REACHED,
            messages_after=_NEVER_REACHED,
            record_after=_NEVER_REACHED,
            persist=True,
        )
        for kind, lifecycle in policy.lifecycles.items()
    }
    return msgspec.structs.replace(policy, lifecycles=lifecycles, on_reset=OnReset.KEEP)


def _kept(steps: list[Step]) -> Step | None:
    return next((step for step in steps if step.action is Action.KEEP), None)


def _any_files(steps: list[Step]) -> Step | None:
    return _taking(steps, Tier.FILES)


def _tool_output(steps: list[Step]) -> Step | None:
    return _taking(steps, Tier.TOOL_OUTPUT) or _messages(steps)


def _messages(steps: list[Step]) -> Step | None:
    taking = _taking(steps, Tier.MESSAGES) or _record(steps)
    return taking if taking is not None and taking.seen is not None and has_messages(taking.seen) else None


def _record(steps: list[Step]) -> Step | None:
    return _taking(steps, Tier.RECORD)


def _taking(steps: list[Step], tier: Tier) -> Step | None:
    return next((step for step in steps if step.tier is tier), None)


def _expiring(steps: list[Step]) -> Step | None:
    return next((step for step in steps if step.action is Action.EXPIRE), None)


def _family(sessions: Sequence[Session], session_id: str) -> list[Session]:
    """The session and those that lineage links to it; empty when the store does not know it."""
    place = next((place for place, one in enumerate(sessions) if one.id == session_id), None)
    if place is None:
        return []
    members = next((members for members in families(sessions).linked if place in members), [place])
    return [sessions[member] for member in members]


def _with_series(sessions: Sequence[Session], family: Sequence[Session]) -> Iterator[Session]:
    """The family with those that took over its routes, and all of its members' series.

    Guards look at a successor's start, and how many of a series are newer decides about ``keep_last``, which
    keeps the records of the whole family.
    """
    ids = {one.id for one in family} | {one.successor for one in family}
    series = {(one.session_class, one.group) for one in family if one.group is not None}
    for one in sessions:
        if one.id in ids or (one.session_class, one.group) in series:
            yield one


def _turning_points(
    family: Sequence[Session], copies: Sequence[ArchivedSession], policy: Policy
) -> Iterator[float]:
    """Every time at which some limit may be reached: each limit after each time that is known."""
    classes = {one.session_class for one in family} | {copy.session_class for copy in copies}
    limits = {policy.settle_time, policy.dumps_after}
    for lifecycle in map(policy.lifecycles.__getitem__, classes):
        limits |= {lifecycle.keep_failed, lifecycle.idle_after, lifecycle.max_age, lifecycle.archive_after}
        limits |= {lifecycle.after(tier) for tier in Tier}
    starts = {copy.archived_at for copy in copies}
    for one in family:
        starts |= {one.last_activity, one.restored_at or 0.0}
        starts.add(one.record.started_at if one.record is not None else one.last_activity)
        dumps = (file for file in one.artifacts if file.kind is ArtifactKind.REQUEST_DUMP)
        starts |= {dump.mtime_ns / 1e9 for dump in dumps}
    for start in starts:
        yield from (start + max(limit, policy.settle_time) for limit in limits if limit is not None)


class Reasons(msgspec.Struct, frozen=True):
    """What was decided about one session, and what every rule says of it."""

    steps: tuple[Step, ...]
    """Those of the plan, but for its archived copies."""
    answers: tuple[Answer, ...]
    """In order of precedence. The rule of each step is among them."""


def reasons_for(inventory: Inventory, policy: Policy, session_id: str, *, now: float) -> Reasons | None:
    """All reasons for what is decided about a session; ``None`` when the store does not know it.

    What ``decide`` did not need to ask, since another rule had spoken before, is asked of the very same case.
    """
    cases = decide_each(inventory, policy, now=now).cases
    place = next((place for place, case in enumerate(cases) if case.session.id == session_id), None)
    if place is None:
        return None
    case = cases[place]
    told: dict[Rule, Answer] = {}
    for answer in (*_guards(inventory, policy, cases, place), *_wishes(case, cases), *_ages(case)):
        known = told.get(answer.rule)
        if known is None or not known.is_yes:  # one rule may take several parts
            told[answer.rule] = answer
    for step in case.steps:
        known = told.get(step.rule)
        # A budget, another's record, or what is not there: only the whole decision knows of these.
        if known is None or (step.action is not Action.KEEP and not known.is_yes):
            told[step.rule] = Answer(step.rule, is_yes=True, fact=step.reason)
    return Reasons(tuple(case.steps), tuple(told.values()))


def _guards(inventory: Inventory, policy: Policy, cases: Sequence[Case], place: int) -> Iterator[Answer]:
    sessions = tuple(case.session for case in cases)
    inventory = msgspec.structs.replace(inventory, sessions=sessions)
    family = next((members for members in families(sessions).linked if place in members), [place])
    return examine(inventory, policy, own_activity(sessions), family, place, now=cases[place].world.now)


def _wishes(case: Case, cases: Sequence[Case]) -> Iterator[Answer]:
    session, lifecycle, restored = case.session, case.lifecycle, case.session.restored_at
    fact = "never put back"
    if restored is not None:
        ago = format_duration(age(restored, now=case.world.now))
        fact = f"put back {ago} ago: each part waits for its age"
    yield Answer(Rule.RESTORED, restored is not None, fact)
    if session.group is None:
        yield Answer(Rule.KEEP_LAST, is_yes=False, fact="it belongs to no job or chat")
    else:
        newer = sum(_series(other) == _series(case) and other.activity > case.activity for other in cases)
        rank = newer + 1 if case.rank is None else case.rank
        kept = f"{lifecycle.keep_last} of them are kept"
        fact = f"number {rank} of its job or chat, counted from the newest; {kept}"
        yield Answer(Rule.KEEP_LAST, case.keep_last() is not None, fact)
    failed = case.keep_failed()
    fact = "nothing says that it failed"
    if failed is not None:
        fact = failed[1]
    elif session.failed:
        limit = "" if lifecycle.keep_failed is None else format_duration(lifecycle.keep_failed)
        fact = f"it failed {format_duration(case.idle)} ago; such are kept for {limit}"
    yield Answer(Rule.KEEP_FAILED, failed is not None, fact)


def _series(case: Case) -> tuple[str | None, str]:
    return case.session.group, case.session.session_class


def _ages(case: Case) -> Iterator[Answer]:
    session, schedule = case.session, case.schedule
    dumps, leftovers = case.old_dumps(), case.old_leftovers()
    fact = f"{len(dumps)} old request dump(s)" if dumps else "no old request dump"
    yield Answer(Rule.DUMPS_AFTER, bool(dumps), fact)
    if session.scope is not None:
        fact = f"{len(leftovers)} old leftover(s) of the host" if leftovers else "no old leftover of the host"
        yield Answer(Rule.LEFTOVERS_AFTER, bool(leftovers), fact)
    messages = has_messages(session)
    for part, is_there, otherwise in (
        (schedule.files, bool(session.artifacts), "no files"),
        (schedule.tool_output, messages and not session.tool_output_done, "none left"),
        (schedule.messages, messages, "no messages"),
        (schedule.record, session.record is not None, "no record"),
    ):
        if is_there:
            yield from _ages_of(case, part)
        else:
            yield Answer(part.own_rule, is_yes=False, fact=f"{otherwise} in the store")


def _ages_of(case: Case, part: Due) -> Iterator[Answer]:
    """The age of the part itself, and before it the rule that counts in its place."""
    is_over = case.assessment.liveness is not Liveness.LIVE
    ages = {part.own_rule: part.own_after}
    if part.rule is Rule.CLOCK:
        yield Answer(Rule.CLOCK, is_over, case.clock_in_doubt()[1])
    elif part.rule not in (part.own_rule, Rule.NEVER):
        ages = {part.rule: part.after, **ages}
    for rule, after in ages.items():
        limit = "never" if after is None else f"after {format_duration(after)}"
        fact = f"idle for {format_duration(case.idle)}, due {limit}"
        fact += "" if is_over else "; it is live, so nothing is due"
        is_due = is_over and part.rule is not Rule.CLOCK and case.is_older(part, after)
        yield Answer(rule, is_due, fact)
