"""How one session stands with its caps: what was told of it, and the limit that it is closest to.

What must not live here: output, and what happens at a limit.
"""

from __future__ import annotations

import msgspec

from hermes_retention.home.home import Home
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.caps import Alert, Cap, Caps, CapSettings, nearest


class CapStanding(msgspec.Struct, frozen=True):
    """Alerts are newest first."""

    alerts: tuple[Alert, ...] = ()
    cap: Cap | None = None
    """The one that is used up most; ``None`` when nothing can be counted."""
    count: float = 0.0
    limit: float = 0.0


def stand_with_caps(
    site: Home, session_id: str, session_class: SessionClass | None, caps: CapSettings, *, now: float
) -> CapStanding:
    """How a session stands now. Reads only; raises ``StoreUnreadable`` and ``LedgerUnusable``."""
    alerts = alerts_of(site, session_id)
    if session_class is None:
        return CapStanding(alerts)
    limits = caps.classes[session_class.value]
    counts = _counts(site, session_id, now=now)
    closest = nearest(counts, limits)
    if closest is None:
        return CapStanding(alerts)
    cap = closest[0]
    return CapStanding(alerts, cap, counts[cap], _limit(limits, cap))


def alerts_of(site: Home, session_id: str | None = None) -> tuple[Alert, ...]:
    """Those of one session, or of all; none without a ledger."""
    ledger = site.workspace.ledger_if_any()
    if ledger is None:
        return ()
    with ledger:
        return tuple(ledger.caps.alerts(session_id))


def _limit(limits: Caps, cap: Cap) -> float:
    return limits.limits[cap].at


def _counts(site: Home, session_id: str, *, now: float) -> dict[Cap, float]:
    """What the host's database tells; nothing of a session that has left it."""
    counter = site.store.counter()
    try:
        size = counter.look(session_id, None, now=now)
    finally:
        counter.close()
    if size is None or not size.stored.messages:
        return {}
    counts: dict[Cap, float] = {
        Cap.MESSAGES: size.stored.messages,
        Cap.BYTES: size.stored.bytes + size.files_bytes,
    }
    if size.tokens is not None:
        counts[Cap.TOKENS] = size.tokens
    if size.cost_usd is not None:
        counts[Cap.COST_USD] = size.cost_usd
    return counts
