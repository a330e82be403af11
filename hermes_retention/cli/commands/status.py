"""``status``: how the home is doing, in figures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hermes_retention.cli.options import JSON, Command, Option
from hermes_retention.cli.output.page import Page, Style
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.text import counted, minute

if TYPE_CHECKING:
    from hermes_retention.cli.context import Context
    from hermes_retention.policy.caps import Alert

COMMAND = Command(
    "show sessions, archive, growth, last sweeps and warnings",
    about="""\
Shows what lies in the home by class and by what is left of it, what is due, the
archive, how fast all of it grows, and the last sweeps. A home of 20,000
sessions and more is shown as the last sweep left it, which takes no time.""",
    examples="  %(prog)s\n  %(prog)s --fresh\n  %(prog)s --json",
    options=(
        JSON,
        Option("--fresh", action="store_true", help="look through a very large home again"),
    ),
)

_DAYS = 7
_SHOWN = 3


def run(context: Context, arguments: argparse.Namespace) -> int:
    """How the home is doing; exit code 5 when the vault is damaged."""
    from hermes_retention.actions.inspect.explain import alerts_of
    from hermes_retention.actions.inspect.status import LARGE, NEVER_LARGE, take_status
    from hermes_retention.cli.context import print_object
    from hermes_retention.cli.output.status import show_status, status_object

    now = context.clock()
    status = take_status(context.home, now=now, large=NEVER_LARGE if arguments.fresh else LARGE)
    alerts = alerts_of(context.home)
    if context.json:
        print_object(status_object(status) | {"alerts": [alert_object(alert) for alert in alerts]})
    else:
        show_status(context.page, status, compact_above=context.settings.values.compact_above, now=now)
        _show_alerts(context.page, alerts, now=now)
        context.warn(status.warnings)
        if status.vault_damage is not None:
            context.warn([str(status.vault_damage)])
    return ExitCode.DONE if status.vault_damage is None else ExitCode.VAULT_DAMAGED


def alert_object(alert: Alert) -> dict[str, Any]:
    """An alert as plain JSON data."""
    return {
        "session_id": alert.session_id,
        "class": alert.session_class,
        "platform": alert.platform,
        "cap": alert.finding.cap.value,
        "stage": alert.finding.stage.value,
        "count": alert.finding.count,
        "limit": alert.finding.limit,
        "done": alert.done.value,
        "at": alert.at,
    }


def _show_alerts(page: Page, alerts: Sequence[Alert], *, now: float) -> None:
    """The newest alerts of the last days; nothing when there are none."""
    from hermes_retention.policy.caps import alert_words

    recent = [alert for alert in alerts if 0 <= now - alert.at < _DAYS * 86400]
    if not recent:
        return
    page.line()
    page.line(f"Caps: {counted(len(recent), 'alert')} in the last {_DAYS} days", Style.TITLE)
    for alert in recent[:_SHOWN]:
        page.line(f"  {minute(alert.at)} {alert.session_id} {alert_words(alert)}")
    if len(recent) > _SHOWN:
        page.line(f"  … and {len(recent) - _SHOWN} more; 'explain SESSION' shows those of one", Style.FAINT)
