"""``metrics``: how the home is doing, for programs that watch."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hermes_retention.actions.inspect.status import measure, text_of, write_metrics
from hermes_retention.cli.context import Context
from hermes_retention.model.errors import ExitCode


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Print the metrics, or write them into a file."""
    now = context.clock()
    if arguments.to is None:
        sys.stdout.write(text_of(measure(context.home, now=now), context.home.path))
    else:
        write_metrics(context.home, Path(arguments.to).expanduser(), now=now)
    return ExitCode.DONE
