"""``status``, ``explain``, ``settings`` and ``demo``: what only looks."""

from __future__ import annotations

import argparse

from hermes_retention.cli.context import Context
from hermes_retention.cli.output.json_output import print_object
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.text import printable


def run_status(context: Context, arguments: argparse.Namespace) -> int:
    """How the home is doing; exit code 5 when the vault is damaged."""
    from hermes_retention.actions.inspect.explain import alerts_of
    from hermes_retention.actions.inspect.status import LARGE, NEVER_LARGE, take_status
    from hermes_retention.cli.output.caps import alert_object, show_alerts
    from hermes_retention.cli.output.status import show_status, status_object

    now = context.clock()
    status = take_status(context.site, now=now, large=NEVER_LARGE if arguments.fresh else LARGE)
    alerts = alerts_of(context.site)
    mode = context.settings.values.mode
    if context.json:
        print_object(status_object(status, mode) | {"alerts": [alert_object(alert) for alert in alerts]})
    else:
        show_status(context.page, status, mode, compact_above=context.settings.values.compact_above, now=now)
        show_alerts(context.page, alerts, now=now)
        context.warn(status.warnings)
        if status.vault_damage is not None:
            context.warn([str(status.vault_damage)])
    return ExitCode.DONE if status.vault_damage is None else ExitCode.VAULT_DAMAGED


def run_explain(context: Context, arguments: argparse.Namespace) -> int:
    """All about one session."""
    from hermes_retention.actions.inspect.explain import explain, stand_with_caps
    from hermes_retention.cli.output.caps import standing_facts, standing_object
    from hermes_retention.cli.output.explain import explanation_object, show_explanation

    now = context.clock()
    explanation = explain(context.site, arguments.session, now=now)
    standing = stand_with_caps(
        context.site, explanation.session_id, explanation.session_class, context.settings.caps(), now=now
    )
    if context.json:
        print_object(explanation_object(explanation) | {"caps": standing_object(standing)})
    else:
        facts = standing_facts(standing, explanation.session_class)
        show_explanation(context.page, explanation, facts)
        context.warn([str(damage) for damage in explanation.damages])
    return ExitCode.VAULT_DAMAGED if explanation.damages else ExitCode.DONE


def run_settings(context: Context, _arguments: argparse.Namespace) -> int:
    """Every setting with its value and where it came from."""
    from hermes_retention.cli.output.settings import show_settings

    lines = context.settings.describe()
    if context.json:
        settings = [
            {
                "name": line.name,
                "value": line.value,
                "origin": printable(line.origin),
                "description": line.description,
            }
            for line in lines
        ]
        print_object({"settings": settings})
    else:
        show_settings(context.page, lines, descriptions=context.verbose)
    return ExitCode.DONE


def run_demo(context: Context, arguments: argparse.Namespace) -> int:
    """The demonstration."""
    from hermes_retention.cli.demo.tour import run_demo as demonstrate

    return demonstrate(context.page, clock=context.clock, keep=arguments.keep)


HANDLERS = {"status": run_status, "explain": run_explain, "settings": run_settings, "demo": run_demo}
