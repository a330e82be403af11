"""What a sweep means for the queue: which lines it has seen to, and which wait for a later one.

What must not live here: reading what is due, and sweeping.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from hermes_retention.home.ledger import Outcome
from hermes_retention.home.queue import Occasion, Pending, Queue
from hermes_retention.model.plan import Action, Plan, Rule

_PASSING = frozenset({Rule.MIN_AGE, Rule.BUSY, Rule.RUNNING, Rule.ROUTED, Rule.LINEAGE})
"""Guards that may be gone in a moment: a host's last writes, a route that is about to move."""
_GIVE_UP_SECONDS = 86400.0
"""After that long a line is nothing that regular sweeps would not find as early."""
_CLOCK_SLACK = 60.0


def settle(queue: Queue, plan: Plan, outcomes: Sequence[Outcome], *, settle_time: float) -> None:
    """Take from ``queue`` what the sweep with this plan has seen to, and postpone what came too early."""
    lines = queue.lines()
    if lines:
        done, later = _sorted(lines, plan, outcomes, settle_time=settle_time)
        queue.remove(done)
        queue.postpone(later)


def _sorted(
    lines: Iterable[Pending], plan: Plan, outcomes: Sequence[Outcome], *, settle_time: float
) -> tuple[list[Pending], list[Pending]]:
    told = {(outcome.step.session_id, outcome.step.verdict) for outcome in outcomes}
    left_out: set[str] = set()
    early: set[str] = set()
    for step in plan.steps:
        if step.action is Action.KEEP:
            if step.rule in _PASSING:
                early.add(step.session_id)
        elif (step.session_id, step.verdict) not in told:
            left_out.add(step.session_id)
    done: list[Pending] = []
    later: list[Pending] = []
    for line in lines:
        if not isinstance(line.occasion, Occasion):  # a newer version knows what it means
            continue
        waited = abs(plan.now - line.noted_at)  # abs: a clock may have been ahead when it was noted
        if line.session_id in left_out or plan.now < line.noted_at <= plan.now + _CLOCK_SLACK:
            continue
        if line.due_at is not None and line.session_id in early and waited < _GIVE_UP_SECONDS:
            later.append(dataclasses.replace(line, due_at=plan.now + max(settle_time, waited)))
        else:
            done.append(line)
    return done, later
