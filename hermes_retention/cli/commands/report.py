"""``report``: what is stored, was, and will be, as a page of HTML."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hermes_retention.model.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from hermes_retention.cli.context import Context


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write the page; exit code 5 when the vault is damaged."""
    from pathlib import Path

    from hermes_retention.actions.inspect.report_data import take_overview
    from hermes_retention.cli.output.html import html_report
    from hermes_retention.disk.writing import replace_private_file

    now, path = context.clock(), Path(arguments.html).expanduser()
    overview = take_overview(context.home, days=arguments.days, now=now)
    if path.is_dir():
        raise UsageError(
            f"--html {path}",
            "it is a directory",
            consequence="nothing was written",
            cure="Name a file in it, such as report.html.",
        )
    replace_private_file(path, html_report(overview, now=now))
    context.page.line(f"Written: {path}")
    damage = overview.status.vault_damage
    context.warn([] if damage is None else [str(damage)])
    return ExitCode.DONE if damage is None else ExitCode.VAULT_DAMAGED
