"""What caps have done, for people and as data.

What must not live here: what a cap does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hermes_retention.actions.inspect.explain import CapStanding
from hermes_retention.cli.output.page import Page, Style
from hermes_retention.model.text import counted, printable
from hermes_retention.model.units import minute
from hermes_retention.policy.caps import NEXT, Alert, CapStage, portion, setting

_DAYS = 7
_SHOWN = 3


def standing_facts(standing: CapStanding, session_class: str | None) -> list[tuple[str, str]]:
    """The limit that a session is closest to, and the alerts about it: names and texts for ``explain``."""
    facts = []
    if standing.cap is not None and session_class is not None:
        used = portion(standing.cap, standing.count, standing.limit)
        share = standing.count / standing.limit
        facts.append(("closest cap", f"{used}, {share:.0%} [{setting(standing.cap, session_class)}]"))
    return [*facts, *(("alert", f"{minute(alert.at)} {alert_words(alert)}") for alert in standing.alerts)]


def show_alerts(page: Page, alerts: Sequence[Alert], *, now: float) -> None:
    """The newest alerts of the last days; nothing when there are none."""
    recent = [alert for alert in alerts if 0 <= now - alert.at < _DAYS * 86400]
    if not recent:
        return
    page.line()
    page.line(f"Caps: {counted(len(recent), 'alert')} in the last {_DAYS} days", Style.TITLE)
    for alert in recent[:_SHOWN]:
        page.line(f"  {minute(alert.at)} {printable(alert.session_id)} {alert_words(alert)}")
    if len(recent) > _SHOWN:
        page.line(f"  … and {len(recent) - _SHOWN} more; 'explain SESSION' shows those of one", Style.FAINT)


def alert_words(alert: Alert) -> str:
    """What came near which limit, or reached it, and what was done."""
    finding = alert.finding
    used = portion(finding.cap, finding.count, finding.limit)
    return f"near {used}" if finding.stage is CapStage.NEAR else f"reached {used}; {NEXT[alert.done]}"


def standing_object(standing: CapStanding) -> dict[str, Any]:
    """The standing as plain JSON data. Times are Unix seconds; counts are in the unit of the cap."""
    closest = None
    if standing.cap is not None:
        closest = {"cap": standing.cap.value, "count": standing.count, "limit": standing.limit}
    return {"closest": closest, "alerts": [alert_object(alert) for alert in standing.alerts]}


def alert_object(alert: Alert) -> dict[str, Any]:
    """An alert as plain JSON data."""
    return {
        "session_id": printable(alert.session_id),
        "class": alert.session_class,
        "platform": printable(alert.platform),
        "cap": alert.finding.cap.value,
        "stage": alert.finding.stage.value,
        "count": alert.finding.count,
        "limit": alert.finding.limit,
        "done": alert.done.value,
        "at": alert.at,
    }
