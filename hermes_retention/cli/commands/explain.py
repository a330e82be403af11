"""``explain``: where one session is, what keeps it, and when what of it is due."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from hermes_retention.cli.commands.status import alert_object
from hermes_retention.cli.output.json_output import print_object
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.text import minute

if TYPE_CHECKING:
    from hermes_retention.actions.inspect.explain import CapStanding
    from hermes_retention.cli.context import Context


def run(context: Context, arguments: argparse.Namespace) -> int:
    """All about one session."""
    from hermes_retention.actions.inspect.explain import explain, stand_with_caps
    from hermes_retention.cli.output.explain import explanation_object, show_explanation

    now = context.clock()
    explanation = explain(context.home, arguments.session, now=now)
    standing = stand_with_caps(
        context.home, explanation.session_id, explanation.session_class, context.settings.caps(), now=now
    )
    if context.json:
        print_object(explanation_object(explanation) | {"caps": _standing_object(standing)})
    else:
        facts = _standing_facts(standing, explanation.session_class)
        show_explanation(context.page, explanation, facts)
        context.warn([str(damage) for damage in explanation.damages])
    return ExitCode.VAULT_DAMAGED if explanation.damages else ExitCode.DONE


def _standing_facts(standing: CapStanding, session_class: str | None) -> list[tuple[str, str]]:
    """The limit that a session is closest to, and the alerts about it: names and texts."""
    from hermes_retention.policy.caps import alert_words, portion, setting

    facts = []
    if standing.cap is not None and session_class is not None:
        used = portion(standing.cap, standing.count, standing.limit)
        share = standing.count / standing.limit
        facts.append(("closest cap", f"{used}, {share:.0%} [{setting(standing.cap, session_class)}]"))
    return [*facts, *(("alert", f"{minute(alert.at)} {alert_words(alert)}") for alert in standing.alerts)]


def _standing_object(standing: CapStanding) -> dict[str, Any]:
    """The standing as plain JSON data. Times are Unix seconds; counts are in the unit of the cap."""
    closest = None
    if standing.cap is not None:
        closest = {"cap": standing.cap.value, "count": standing.count, "limit": standing.limit}
    return {"closest": closest, "alerts": [alert_object(alert) for alert in standing.alerts]}
