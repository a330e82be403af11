"""``simulate``: what would have been under other settings, and what will be."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hermes_retention.cli.output.json_output import print_object
from hermes_retention.model.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from hermes_retention.cli.context import Context


def run(context: Context, arguments: argparse.Namespace) -> int:
    """The history of the home under other settings."""
    from hermes_retention.actions.inspect.simulate import read_history, simulate
    from hermes_retention.cli.output.simulate import show_simulation, simulation_object

    now, home = context.clock(), context.home
    changes = _changes(arguments.changes)
    proposed = context.loader.settings_with(changes).policy() if changes else None
    history = read_history(home, now=now)
    simulation = simulate(history, home.policy, proposed, days=arguments.days, now=now)
    lines = [f"{name}={value}" for name, value in changes.items()]
    if context.json:
        print_object(simulation_object(simulation, lines, str(home.path)))
    else:
        usage = history.inventory.usage
        show_simulation(context.page, simulation, lines, str(home.path), usage=usage)
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
