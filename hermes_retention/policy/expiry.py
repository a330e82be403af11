"""When archived copies expire: tier 5, the only one that takes something out of the vault.

An expired copy is gone for good, so everything that keeps a session in the store keeps its copy as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from operator import attrgetter

from hermes_retention.model.plan import Action, Liveness, Rule, Step
from hermes_retention.model.session import ArchivedSession
from hermes_retention.model.units import format_duration
from hermes_retention.policy.lifecycle import Policy


def expiring(
    archived: Iterable[ArchivedSession],
    policy: Policy,
    *,
    protected: Collection[str],
    restored: Mapping[str, float],
    now: float,
) -> list[Step]:
    """A step for each copy whose time is over, partition by partition.

    ``protected`` are the ids of sessions that are held or live, ``restored`` says when a person put a session
    back: its time starts anew.
    """
    steps = [
        step
        for one in archived
        if one.id not in protected
        and (step := _expiry(one, policy, restored.get(one.id, 0.0), now=now)) is not None
    ]
    return sorted(steps, key=attrgetter("partition", "session_id"))


def _expiry(archived: ArchivedSession, policy: Policy, restored_at: float, *, now: float) -> Step | None:
    after = policy.lifecycles[archived.session_class].archive_after
    old = now - max(archived.archived_at, restored_at)
    # A time that is no time says nothing about an age.
    if after is None or not (archived.archived_at > 0 and old >= max(after, policy.settle_time)):
        return None
    return Step(
        session_id=archived.id,
        session_class=archived.session_class,
        liveness=Liveness.ARCHIVED,
        action=Action.EXPIRE,
        tier=None,
        rule=Rule.ARCHIVE_AFTER,
        reason=f"archived {format_duration(old)} ago, expires after {format_duration(after)}",
        bytes=archived.stored_bytes,
        partition=archived.partition,
    )
