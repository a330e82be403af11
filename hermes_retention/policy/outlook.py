"""What will be decided about one session if nothing but time happens.

No rule is repeated here: ``decide`` itself is asked what it would say at the times at which some limit is
reached. What must not live here: words for people.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

import msgspec

from hermes_retention.model import ArchivedSession, ArtifactKind, Inventory, Session, Usage
from hermes_retention.plan import Step, Verdict
from hermes_retention.policy.decide import decide
from hermes_retention.policy.lifecycle import Policy
from hermes_retention.policy.lineage import families

_TICK = 0.001
"""Seconds past a limit at which is asked, so that rounding cannot hide that it is reached."""


class Coming(msgspec.Struct, frozen=True):
    """A removal and its time in Unix seconds; a time that is not after now means that it is due."""

    at: float
    step: Step
    before: Step | None = None
    """What is said until then; ``None`` when it is due already, and for expiry."""


class Outlook(msgspec.Struct, frozen=True):
    """What comes to one session. ``None`` stands for never."""

    files: Coming | None = None
    """When all of its files in the store go."""
    dumps: Coming | None = None
    """When its request dumps go, if that is before the other files."""
    expiry: Coming | None = None
    """When the first of its archived copies is dropped."""
    kept_by: Step | None = None
    """What keeps its files for good, when they never go."""


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
        self._inventory = msgspec.structs.replace(
            inventory,
            sessions=tuple(_with_series(inventory.sessions, family, self._session)),
            archived=tuple(copies),
            usage=Usage(sessions_bytes=0),
        )
        turns = {turn + _TICK for turn in _turning_points(family, self._session, copies, policy)}
        self._times = [now, *sorted(turn for turn in turns if turn > now)]

    def ask(self) -> Outlook:
        expiry = self._first(lambda steps: _expiring(steps) is not None, _expiring)
        if self._session is None or not self._session.artifacts:
            return Outlook(expiry=expiry)
        whole = len(self._session.artifacts)
        files = self._first(lambda steps: len(_removal(steps).artifacts) == whole, _removal)
        dumps = self._first(lambda steps: _removal(steps).verdict is not Verdict.KEEP, _removal)
        return Outlook(
            files=files,
            dumps=dumps if dumps is not None and (files is None or dumps.at < files.at) else None,
            expiry=expiry,
            kept_by=self._kept_by() if files is None else None,
        )

    def _first(
        self, is_so: Callable[[list[Step]], bool], which: Callable[[list[Step]], Step | None]
    ) -> Coming | None:
        """The older a session, the less keeps it: what is so at one time is so at every later one."""
        place = bisect_left(self._times, x=True, key=lambda time: is_so(self._steps(time)))
        if place == len(self._times):
            return None
        step = which(self._steps(self._times[place]))
        before = which(self._steps(self._times[place - 1])) if place else None
        return None if step is None else Coming(self._times[place], step, before)

    def _kept_by(self) -> Step:
        """What is said at the end of all limits of everything but the dumps."""
        policy = msgspec.structs.replace(self._policy, dumps_after=None)
        return _removal(self._steps(self._times[-1], policy))

    def _steps(self, time: float, policy: Policy | None = None) -> list[Step]:
        steps = decide(self._inventory, policy or self._policy, now=time).steps
        return [step for step in steps if step.session_id == self._id]


def _removal(steps: list[Step]) -> Step:
    return next(step for step in steps if step.verdict is not Verdict.EXPIRE_ARCHIVE)


def _expiring(steps: list[Step]) -> Step | None:
    return next((step for step in steps if step.verdict is Verdict.EXPIRE_ARCHIVE), None)


def _family(sessions: Sequence[Session], session_id: str) -> list[Session]:
    """The session and those that lineage links to it; empty when the store does not know it."""
    place = next((place for place, one in enumerate(sessions) if one.id == session_id), None)
    if place is None:
        return []
    members = next((members for members in families(sessions).linked if place in members), [place])
    return [sessions[member] for member in members]


def _with_series(
    sessions: Sequence[Session], family: Sequence[Session], session: Session | None
) -> Iterator[Session]:
    """The family with those that took over its routes, and all of the session's series.

    Guards look at a successor's start, and how many of a series are newer decides about ``keep_last``.
    """
    ids = {one.id for one in family} | {one.successor for one in family}
    series = None if session is None or session.group is None else (session.session_class, session.group)
    for one in sessions:
        if one.id in ids or (series is not None and (one.session_class, one.group) == series):
            yield one


def _turning_points(
    family: Sequence[Session], session: Session | None, copies: Sequence[ArchivedSession], policy: Policy
) -> Iterator[float]:
    """Every time at which some limit may be reached: each limit after each time that is known."""
    classes = {one.session_class for one in family} | {copy.session_class for copy in copies}
    limits = {policy.settle_time, policy.dumps_after}
    for lifecycle in map(policy.lifecycles.__getitem__, classes):
        limits |= {lifecycle.files_after, lifecycle.keep_failed, lifecycle.idle_after, lifecycle.max_age}
        limits.add(lifecycle.archive_after)
    starts = {copy.archived_at for copy in copies}
    for one in family:
        starts |= {one.last_activity, one.restored_at or 0.0}
        starts.add(one.record.started_at if one.record is not None else one.last_activity)
    for artifact in session.artifacts if session is not None else ():
        if artifact.kind is ArtifactKind.REQUEST_DUMP:
            starts.add(artifact.mtime_ns / 1e9)
    for start in starts:
        yield from (start + max(limit, policy.settle_time) for limit in limits if limit is not None)
