"""``demo``: all of it on a home that is made up for this."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hermes_retention.cli.options import Commands, command

if TYPE_CHECKING:
    from hermes_retention.cli.context import Context


def add(commands: Commands) -> None:
    """The parser."""
    parser = command(
        commands,
        "demo",
        "show it all on a home that is made up for this, in a temporary directory",
        run=run,
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave that home there to try other commands on it"
    )


def run(context: Context, arguments: argparse.Namespace) -> int:
    """The demonstration."""
    from hermes_retention.cli.demo.tour import run_demo

    return run_demo(context.page, clock=context.clock, keep=arguments.keep)
