"""The parser of all commands. What a command does is said in the module that ``entry`` names.

The parsers assume nothing about the program that they are part of: a host may hang them below a sub-command
of its own.
"""

from __future__ import annotations

import argparse

from hermes_retention import __version__
from hermes_retention.cli.changing_parsers import CHANGING
from hermes_retention.cli.looking_parsers import LOOKING
from hermes_retention.cli.options import add_globals, show_help_without_command

DESCRIPTION = """\
Keeps the session storage of an AI-agent gateway bounded. What is over moves
into a compressed archive: the files of a session, later the tool output,
messages and record that the host's database holds of it. Each copy is read back
before its original is removed, and can be put back as it was."""

EPILOG = """\
examples:
  %(prog)s sweep --dry-run      what would happen now, and why
  %(prog)s sweep                archive what is due
  %(prog)s undo                 put back what the last sweep archived
  %(prog)s explain SESSION      where a session is, and what keeps it

exit codes:
  0  done                          3  another sweep is running
  1  done, but some items failed   4  store unreadable, nothing removed
  2  wrong usage or settings       5  something in the archive is damaged"""

_ALL = LOOKING | CHANGING
_ORDER = (
    *("sweep", "status", "explain", "search", "simulate", "report", "restore", "undo", "hold"),
    *("archive", "forget", "prune", "prestart", "compact", "doctor", "metrics", "settings", "demo"),
)
"""As help lists them: what people need first comes first."""


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` all options and commands. Hand what it parses to ``run``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = parser.description or DESCRIPTION
    parser.epilog = parser.epilog or EPILOG
    add_globals(parser, default=None)
    parser.add_argument("--version", action="version", version=f"hermes-retention {__version__}")
    parser.set_defaults(retention_complain=parser.error)
    show_help_without_command(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name in _ORDER:
        _ALL[name](commands)
