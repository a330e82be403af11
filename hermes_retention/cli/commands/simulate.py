"""``simulate`` and ``report``: what was, what would have been, and what will be."""

from __future__ import annotations

import argparse

from hermes_retention.cli.context import Context
from hermes_retention.cli.output.json_output import print_object
from hermes_retention.model.errors import ExitCode, UsageError


def run_simulate(context: Context, arguments: argparse.Namespace) -> int:
    """The history of the home under other settings."""
    from hermes_retention.actions.inspect.history import read_history
    from hermes_retention.actions.inspect.simulate import simulate
    from hermes_retention.cli.output.simulate import show_simulation, simulation_object

    now, site = context.clock(), context.site
    changes = _changes(arguments.changes)
    proposed = context.loader.settings_with(changes).policy() if changes else None
    history = read_history(site, now=now)
    simulation = simulate(history, site.policy, proposed, days=arguments.days, now=now)
    lines = [f"{name}={value}" for name, value in changes.items()]
    if context.json:
        print_object(simulation_object(simulation, lines, str(site.path)))
    else:
        usage = history.inventory.usage
        show_simulation(context.page, simulation, lines, str(site.path), usage=usage)
        context.warn([str(damage) for damage in history.damages])
    return ExitCode.VAULT_DAMAGED if history.damages else ExitCode.DONE


def _changes(texts: list[str]) -> dict[str, str]:
    """The settings in ``NAME=VALUE`` by their whole names. Whether they exist is told when they are read."""
    from hermes_retention.settings.fields import PREFIX

    changes = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UsageError(
                f"--set {text}",
                "it is not NAME=VALUE",
                consequence="nothing was simulated",
                cure="Write it as --set CRON__MESSAGES_AFTER=24h; 'hermes-retention settings' lists all.",
            )
        name = name.strip().upper()
        changes[name if name.startswith(PREFIX) else PREFIX + name] = value.strip()
    return changes


def run_report(context: Context, arguments: argparse.Namespace) -> int:
    """The report as a page of HTML."""
    from pathlib import Path

    from hermes_retention.actions.inspect.report_data import take_overview
    from hermes_retention.cli.output.html import html_report
    from hermes_retention.disk.writing import replace_private_file
    from hermes_retention.model.text import printable

    now, path = context.clock(), Path(arguments.html).expanduser()
    overview = take_overview(context.site, days=arguments.days, now=now)
    if path.is_dir():
        raise UsageError(
            f"--html {printable(str(path))}",
            "it is a directory",
            consequence="nothing was written",
            cure="Name a file in it, such as report.html.",
        )
    replace_private_file(path, html_report(overview, now=now))
    context.page.line(f"Written: {printable(str(path))}")
    damage = overview.status.vault_damage
    context.warn([] if damage is None else [str(damage)])
    return ExitCode.DONE if damage is None else ExitCode.VAULT_DAMAGED


HANDLERS = {"simulate": run_simulate, "report": run_report}
