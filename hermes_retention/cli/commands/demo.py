"""``demo``: all of it on a home that is made up for this."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hermes_retention.cli.context import Context


def run(context: Context, arguments: argparse.Namespace) -> int:
    """The demonstration."""
    from hermes_retention.cli.demo.tour import run_demo

    return run_demo(context.page, clock=context.clock, keep=arguments.keep)
