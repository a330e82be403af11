"""Why a session must stay: liveness, lineage and holds (invariant 2).

When two facts disagree the session is live. Every answer carries the fact that made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from hermes_retention.model import ONE_SHOT, Inventory, Lineage, Record, Route, Session, SessionClass
from hermes_retention.names import printable
from hermes_retention.plan import Liveness
from hermes_retention.policy.lifecycle import Lifecycle, Policy
from hermes_retention.units import format_duration

SUPERSEDING_REASONS = frozenset({"new_session", "session_reset", "session_switch", "suspended", "idle", "daily"})
"""``end_reason`` values with which a gateway gives a chat's route to another session."""


class Assessment(msgspec.Struct, frozen=True, gc=False):
    """A session's liveness, the guard or fact behind it, and that fact in words."""

    liveness: Liveness
    rule: str
    reason: str


def assess(
    inventory: Inventory, policy: Policy, activity: Mapping[str, float], *, now: float
) -> dict[str, Assessment]:
    """The liveness of every session of ``inventory``, after its lineage has been taken into account.

    ``activity`` is the last activity of each session itself, in Unix seconds.
    """
    own = {
        session.id: _assess_one(session, inventory.holds, policy, age(activity[session.id], now=now), now=now)
        for session in inventory.sessions
    }
    return _spread_over_lineage(inventory.sessions, own)


def age(activity: float, *, now: float) -> float:
    """Seconds since ``activity``. A time in the future counts as now (a clock was wrong once)."""
    return max(0.0, now - activity)


def _assess_one(
    session: Session, holds: Mapping[str, str], policy: Policy, idle: float, *, now: float
) -> Assessment:
    held = holds.get(session.id)
    if held is not None:
        return _live("held", f"held: {printable(held)}" if held else "held")
    record = session.record
    if record is not None and record.busy is not None:
        return _live("busy", f"the host is at work on it: {record.busy}")
    if idle < policy.settle_time:
        return _live("min_age", f"active {format_duration(idle)} ago")
    if session.routes:
        return _assess_routed(session, policy.lifecycles[session.session_class], idle, now=now)
    if record is None:
        return Assessment(Liveness.ORPHAN, "orphan", "no record and no route knows it")
    if session.successor is not None:
        return Assessment(Liveness.SUPERSEDED, "superseded", f"superseded by {printable(session.successor)}")
    return _assess_unrouted(session, record, policy.lifecycles[session.session_class], idle, now=now)


def _live(rule: str, reason: str) -> Assessment:
    return Assessment(Liveness.LIVE, rule, reason)


def _assess_routed(session: Session, lifecycle: Lifecycle, idle: float, *, now: float) -> Assessment:
    route = f"routed from {printable(_first(session.routes).key)}"
    if session.session_class not in ONE_SHOT:
        return _live("routed", route)
    record = session.record
    if record is not None and record.ended_at is not None:
        return Assessment(Liveness.ENDED, "ended", f"its one run ended ({printable(record.end_reason or 'no reason')})")
    over = _counts_as_over(session, lifecycle, idle, now=now)
    if over is None:
        return _live("routed", route)
    return Assessment(Liveness.STALE, "stale", f"its one run is over: {over}")


def _assess_unrouted(
    session: Session, record: Record, lifecycle: Lifecycle, idle: float, *, now: float
) -> Assessment:
    if record.ended_at is not None:
        reason = printable(record.end_reason or "no reason")
        if session.session_class is SessionClass.CHAT and record.end_reason in SUPERSEDING_REASONS:
            return Assessment(Liveness.SUPERSEDED, "superseded", f"superseded ({reason})")
        return Assessment(Liveness.ENDED, "ended", f"ended ({reason})")
    over = _counts_as_over(session, lifecycle, idle, now=now)
    if over is None:
        return _live("running", f"never ended, idle for only {format_duration(idle)}")
    return Assessment(Liveness.STALE, "stale", f"never ended, {over}")


def _counts_as_over(session: Session, lifecycle: Lifecycle, idle: float, *, now: float) -> str | None:
    if lifecycle.idle_after is not None and idle >= lifecycle.idle_after:
        return f"idle for {format_duration(idle)}"
    started = session.record.started_at if session.record is not None else session.last_activity
    if lifecycle.max_age is not None and now - started >= lifecycle.max_age:
        return f"{format_duration(now - started)} old"
    return None


def _first(routes: tuple[Route, ...]) -> Route:
    return min(routes, key=lambda route: route.key)


def _spread_over_lineage(sessions: Iterable[Session], own: dict[str, Assessment]) -> dict[str, Assessment]:
    """A live session makes everything that is linked to it live: parents, children, and theirs."""
    families = _Families()
    for session in sessions:
        parent = session.record.parent_id if session.record is not None else None
        if parent is not None and parent in own:
            families.join(session.id, parent)
    for members in families.all():
        alive = next((member for member in members if own[member].liveness is Liveness.LIVE), None)
        if alive is None:
            continue
        for member in members:
            if own[member].liveness is not Liveness.LIVE:
                own[member] = _live("lineage", f"linked to {printable(alive)}, which is live")
    return own


def compression_ends(sessions: Iterable[Session], activity: Mapping[str, float]) -> dict[str, float]:
    """Session id → last activity of its whole compression lineage, for members of one.

    A compression child continues its parent: together they are one conversation and age as one.
    """
    families = _Families()
    for session in sessions:
        record = session.record
        parent = record.parent_id if record is not None and record.lineage is Lineage.COMPRESSION else None
        if parent is not None and parent in activity:
            families.join(session.id, parent)
    ends: dict[str, float] = {}
    for members in families.all():
        newest = max(activity[member] for member in members)
        ends.update(dict.fromkeys(members, newest))
    return ends


class _Families:
    """Union-find over session ids; only linked sessions take part. Survives cycles."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def _root(self, member: str) -> str:
        parent = self._parent
        parent.setdefault(member, member)
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    def join(self, left: str, right: str) -> None:
        self._parent[self._root(left)] = self._root(right)

    def all(self) -> list[list[str]]:
        """Every family with its members in sorted order."""
        families: dict[str, list[str]] = {}
        for member in sorted(self._parent):
            families.setdefault(self._root(member), []).append(member)
        return list(families.values())
