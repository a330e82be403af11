"""``metrics``: how the home is doing, for programs that watch."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from hermes_retention.cli.options import Command, Option
from hermes_retention.model.errors import ExitCode

if TYPE_CHECKING:
    from hermes_retention.cli.context import Context

COMMAND = Command(
    "print how the home is doing, for Prometheus",
    about="""\
In the text format of Prometheus. With HERMES_RETENTION_METRICS_FILE each sweep
writes the same into that file, for the node exporter's textfile collector.""",
    examples="""\
  %(prog)s
  %(prog)s --to /srv/textfile/retention.prom""",
    options=(Option("--to", metavar="FILE", help="write it into FILE, all at once, for everybody to read"),),
)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Print the metrics, or write them into a file."""
    from pathlib import Path

    from hermes_retention.actions.inspect.status import measure, text_of, write_metrics

    now = context.clock()
    if arguments.to is None:
        sys.stdout.write(text_of(measure(context.home, now=now), context.home.path))
    else:
        write_metrics(context.home, Path(arguments.to).expanduser(), now=now)
    return ExitCode.DONE
