"""What other settings would have made of this home, and what they will.

The history of the home runs once under today's settings, once under the proposed ones, and once without any
sweep; then it is taken to repeat itself. What must not live here: output, and how a policy decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from hermes_retention.actions.inspect.history import History
from hermes_retention.model.session import Session
from hermes_retention.policy.lifecycle import Policy
from hermes_retention.policy.replay import Past, Point, Scale, replay

_DAY = 86400.0
_SHARE_OF_WORK = 400_000
"""Sessions that are decided about in all sweeps of one run, more or less: some ten seconds."""
_LONGEST_STEP_DAYS = 7


class Course(msgspec.Struct, frozen=True):
    """One policy over time."""

    points: tuple[Point, ...]
    now: float

    @property
    def today(self) -> Point:
        """The last point that is not in the future."""
        return [point for point in self.points if point.at <= self.now][-1]

    @property
    def peak(self) -> Point:
        """The point at which most was stored."""
        return max(self.points, key=lambda point: (point.total_bytes, -point.at))

    def full_at(self, capacity_bytes: int | None) -> float | None:
        """When all of it no longer fits on the disk; ``None`` when it does to the end."""
        if capacity_bytes is None:
            return None
        return next((point.at for point in self.points if point.total_bytes > capacity_bytes), None)


class Simulation(msgspec.Struct, frozen=True):
    """The courses, which have the same times."""

    now: float
    days: int
    step_days: float
    """Days between two sweeps: more than one in very large homes."""
    without: Course
    """If nothing ever removed anything."""
    current: Course
    proposed: Course | None
    """``None`` when nothing was proposed."""
    scale: Scale

    @property
    def capacity_bytes(self) -> int | None:
        """What the disk has for all of this."""
        return self.scale.capacity_bytes


def simulate(
    history: History, current: Policy, proposed: Policy | None, *, days: int, now: float
) -> Simulation:
    """``days`` back, and as many ahead in which the same comes again. Pure: equal arguments, equal answer.

    What comes again are the days that anything is known of, ``days`` at most, as often as there is room.
    """
    step = _step_days(len(history.past), days)
    count = max(1, round(days / step))
    times = [now + number * step * _DAY for number in range(-count, count + 1)]
    known = min((one.began for one in history.past if one.began > 0), default=now)
    window = min(days, max(1, math.ceil((now - known) / _DAY)))
    again = math.ceil(days / window)
    past = list(repeated(history.past, window=window * _DAY, times=again, now=now))

    def course(policy: Policy | None) -> Course:
        holds = history.inventory.holds
        return Course(replay(past, policy, times=times, scale=history.scale, holds=holds), now)

    return Simulation(
        now,
        days,
        step,
        without=course(None),
        current=course(current),
        proposed=None if proposed is None else course(proposed),
        scale=history.scale,
    )


def _step_days(sessions: int, days: int) -> float:
    """A day where that is quick enough; otherwise a divisor of the whole, a week at most."""
    sweeps = max(1, min(days, _SHARE_OF_WORK // max(1, 2 * sessions)))
    sweeps = max(sweeps, -(-days // _LONGEST_STEP_DAYS))
    return days / sweeps


def repeated(past: Sequence[Past], *, window: float, times: int, now: float) -> Iterator[Past]:
    """``past``, and what began in the ``window`` seconds before ``now`` that many ``times`` more after it.

    Each repetition comes ``window`` later than the one before, under ids of its own; a route leads to the
    newest.
    """
    again = {one.session.id for one in past if now - window < one.began <= now}
    named = [again]
    for _ in range(1, times):
        named.append({_renamed(name) for name in named[-1]})
    for one in past:
        if one.session.id not in again:
            yield one
            continue
        session, began = one.session, one.began
        for names in named:
            next_began = began + window
            yield Past(session, began, one.messages, routed_until=min(one.routed_until, next_began))
            session, began = _later(session, window, names), next_began
        yield Past(session, began, one.messages)


def _later(session: Session, seconds: float, again: set[str]) -> Session:
    record = session.record
    if record is not None:
        parent = record.parent_id
        record = msgspec.structs.replace(
            record,
            started_at=record.started_at + seconds,
            ended_at=None if record.ended_at is None else record.ended_at + seconds,
            last_message_at=None if record.last_message_at is None else record.last_message_at + seconds,
            parent_id=_renamed(parent) if parent in again and parent is not None else parent,
            busy=None,
        )
    artifacts = tuple(
        msgspec.structs.replace(
            artifact, name=_renamed(artifact.name), mtime_ns=artifact.mtime_ns + round(seconds * 1e9)
        )
        for artifact in session.artifacts
    )
    routes = tuple(
        msgspec.structs.replace(
            route, updated_at=None if route.updated_at is None else route.updated_at + seconds
        )
        for route in session.routes
    )
    successor = session.successor
    return msgspec.structs.replace(
        session,
        id=_renamed(session.id),
        record=record,
        artifacts=artifacts,
        routes=routes,
        successor=_renamed(successor) if successor in again and successor is not None else successor,
        restored_at=None,
    )


def _renamed(name: str) -> str:
    return f"{name} again"
