"""Which routes lead to nothing that anybody will come back to.

What must not live here: how a host forgets a route.
"""

from __future__ import annotations

from hermes_retention.model import Inventory
from hermes_retention.plan import Liveness, Plan

_OVER = frozenset({Liveness.SUPERSEDED, Liveness.ENDED, Liveness.STALE, Liveness.ORPHAN})
"""Not ``ARCHIVED``, which is said of a copy: its session may live on in the store."""


def dead_routes(inventory: Inventory, plan: Plan) -> dict[str, str]:
    """Key → session of every route whose session is over all the same: a run that is made once, or a chat
    whose host has ended it and will not go on there.

    A route holds every other session, so whatever is routed and not live has been judged already. What has
    several routes has all of them here; those that leave along with their session are no matter of their own.
    ``plan`` is about ``inventory``.
    """
    over = {step.session_id for step in plan.steps if step.liveness in _OVER}
    return {
        route.key: session.id
        for session in inventory.sessions
        if session.routes and session.id in over
        for route in session.routes
        if not route.leaves_along
    }
