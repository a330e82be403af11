"""The first sweep of a home whose mode nobody has set: it is announced, and carried out a day later.

Nobody is surprised, and nobody who did nothing is left with a plugin that does nothing. What must not live
here: sweeping.
"""

from __future__ import annotations

import msgspec

from hermes_retention.actions.inspect.status import ANNOUNCEMENT, Announcement
from hermes_retention.home.ledger import Ledger
from hermes_retention.model.plan import Plan
from hermes_retention.model.text import counted
from hermes_retention.model.units import format_duration


def announce(ledger: Ledger, plan: Plan, *, delay: float) -> Announcement:
    """Remember that a first sweep would carry out ``plan``, and that it acts after ``delay`` seconds."""
    sessions = len({step.session_id for step in plan.removals()})
    made = Announcement(plan.now, plan.now + delay, sessions)
    ledger.remember(ANNOUNCEMENT, msgspec.json.encode(made).decode())
    return made


def postpone(ledger: Ledger, made: Announcement, *, delay: float) -> Announcement:
    """The same announcement, should the setting have changed since."""
    acts_at = made.announced_at + delay
    if acts_at == made.acts_at:
        return made
    changed = msgspec.structs.replace(made, acts_at=acts_at)
    ledger.remember(ANNOUNCEMENT, msgspec.json.encode(changed).decode())
    return changed


def text_of(plan: Plan, made: Announcement, *, home: str, now: float) -> str:
    """The announcement in one paragraph, for a log."""
    parts: dict[str, set[str]] = {}
    for step in plan.removals():
        what = "archived copies" if step.tier is None else step.tier.words
        parts.setdefault(what, set()).add(step.session_id)
    what = ", ".join(f"{part} of {counted(len(ids), 'session')}" for part, ids in parts.items())
    return (
        f"the first sweep of {home} is due in {format_duration(max(0.0, made.acts_at - now))} and would now "
        f"take {what}. 'hermes-retention sweep --dry-run' shows all of it, 'hermes-retention undo' puts back "
        "what was archived. HERMES_RETENTION_MODE=enforce starts at once, observe only reports, off does "
        "nothing."
    )
