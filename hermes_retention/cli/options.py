"""What several commands have in common: how a command is made, and options that mean the same everywhere.

Global options are accepted before and after a command. Their names in the namespace carry a prefix, so that
they never meet those of a host whose sub-command this is. What must not live here: which commands there are.
"""

from __future__ import annotations

import argparse
import functools
from typing import TYPE_CHECKING, TypeAlias

from hermes_retention.home.find import STORES

if TYPE_CHECKING:
    from collections.abc import Callable

    from hermes_retention.cli.context import Context

CLASSES = ("chat", "cron", "subagent", "hook", "api", "cli", "other")
"""``SessionClass`` without importing it; a test compares."""
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name
Run: TypeAlias = "Callable[[Context, argparse.Namespace], int]"
"""What a command does; returns an exit code."""
ID_OR_PREFIX = "session id, or at least 6 characters that only one id begins with"
EXACT_ID = "the whole session id"
_MOST_DAYS = 3650


def add_globals(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    """``--home``, ``--store`` and ``-v``. ``default`` is for what is not given: ``None`` or ``SUPPRESS``."""
    options = parser.add_argument_group("global options, before or after the command")
    options.add_argument(
        "--home",
        dest="retention_home",
        metavar="DIR",
        default=default,
        help="the host's home (default: $HERMES_HOME, else ~/.hermes)",
    )
    options.add_argument(
        "--store",
        dest="retention_store",
        metavar="STORE",
        default=default,
        help=f"layout of the home: {', '.join(STORES)}, or a plugin's (default: auto, which looks)",
    )
    options.add_argument(
        "-v",
        "--verbose",
        dest="retention_verbose",
        action="store_true",
        default=default,
        help="list everything that a summary leaves out, and show a traceback when the program itself fails",
    )


@functools.cache
def global_options() -> argparse.ArgumentParser:
    """A parser of the global options alone, for every command: making them for each would slow every start.

    Without a default: what was given before the command must not be overwritten by one after it. Raises
    ``ArgumentError`` where options are wrong.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    add_globals(parser, default=argparse.SUPPRESS)
    return parser


@functools.cache
def _help_option() -> argparse.ArgumentParser:
    """A parser of ``--help`` alone, for the same reason."""
    return argparse.ArgumentParser()


def command(  # noqa: PLR0913 - a command is all of these
    commands: Commands,
    name: str,
    summary: str,
    *,
    about: str = "",
    examples: str = "",
    run: Run | None = None,
) -> argparse.ArgumentParser:
    """A command by its whole name, such as ``hold add``.

    One without ``run`` only holds others, and shows its help when called alone.
    """
    parser = commands.add_parser(
        name.rsplit(maxsplit=1)[-1],
        help=summary,
        description="\n\n".join(filter(None, (f"{summary[0].upper()}{summary[1:]}.", about))),
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # an abbreviation in somebody's script breaks when a new option begins like it
        add_help=False,
        parents=[_help_option(), global_options()],
    )
    parser.set_defaults(retention_complain=parser.error)  # with the usage of this command, not of all
    if run is None:
        show_help_without_command(parser)
    else:
        parser.set_defaults(retention_command=name, retention_run=run)
    return parser


def commands_of(parser: argparse.ArgumentParser) -> Commands:
    """What the commands of ``parser`` are added to."""
    return parser.add_subparsers(title="commands", metavar="COMMAND")


def show_help_without_command(parser: argparse.ArgumentParser) -> None:
    """Without one of its commands there is nothing that ``parser`` could do."""
    parser.set_defaults(retention_command=None, retention_show_help=parser.print_help)


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """``--dry-run``."""
    parser.add_argument("--dry-run", action="store_true", help="show what would happen; change nothing")


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """``--yes``."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def add_session(parser: argparse.ArgumentParser, help_text: str) -> None:
    """The argument ``SESSION``."""
    parser.add_argument("session", metavar="SESSION", help=help_text)


def add_sessions(parser: argparse.ArgumentParser, help_text: str, *, nargs: str = "+") -> None:
    """The argument ``SESSION``, as often as wanted."""
    parser.add_argument("sessions", metavar="SESSION", nargs=nargs, help=help_text)


def add_classes(parser: argparse.ArgumentParser) -> None:
    """``--class``, any number of times."""
    parser.add_argument(
        "--class",
        dest="classes",
        metavar="CLASS",
        action="append",
        choices=CLASSES,
        default=None,
        help=f"only sessions of this class: {', '.join(CLASSES)}; may be given several times",
    )


def add_user(parser: argparse.ArgumentParser, *, user: str, platform: str) -> None:
    """``--user`` and ``--platform``, with the help text of each."""
    parser.add_argument("--user", metavar="U", help=user)
    parser.add_argument("--platform", metavar="P", help=platform)


def add_days(parser: argparse.ArgumentParser) -> None:
    """``--days``, for what looks back and ahead."""
    parser.add_argument(
        "--days", metavar="N", type=_days, default=90, help="how far back, and ahead (default: 90)"
    )


def _days(text: str) -> int:
    """A number of days from 1 to 3650."""
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of days from 1 to {_MOST_DAYS}")
    return int(text)
