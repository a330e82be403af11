"""``demo``: the whole program, shown on a home that is made up for it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hermes_retention.cli.options import Command, Option

if TYPE_CHECKING:
    from hermes_retention.cli.context import Context

COMMAND = Command(
    "show it all on a home that is made up for this, in a temporary directory",
    options=(
        Option("--keep", action="store_true", help="leave that home there to try other commands on it"),
    ),
)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """The demonstration."""
    from hermes_retention.cli.demo.tour import run_demo

    return run_demo(context.page, clock=context.clock, keep=arguments.keep)
