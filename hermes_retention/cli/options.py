"""What several commands have in common: how a command is made, and options that mean the same everywhere.

Global options are accepted before and after a command. Their names in the namespace carry a prefix, so that
they never meet those of a host whose sub-command this is. What must not live here: which commands there are.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple, TypeAlias

from hermes_retention.home.find import STORES

CLASSES = ("chat", "cron", "subagent", "hook", "api", "cli", "other")
"""``SessionClass`` without importing it; a test compares."""
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name


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


def command(  # noqa: PLR0913 - a command is all of these
    commands: Commands,
    name: str,
    summary: str,
    *,
    about: str = "",
    examples: str = "",
    handler: str | None = None,
) -> argparse.ArgumentParser:
    """A command. Those without a handler only hold others, and show their help when called alone."""
    parser = commands.add_parser(
        name,
        help=summary,
        description="\n\n".join(filter(None, (f"{summary[0].upper()}{summary[1:]}.", about))),
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # an abbreviation in somebody's script breaks when a new option begins like it
    )
    # Without a default: what was given before the command must not be overwritten by one after it.
    add_globals(parser, default=argparse.SUPPRESS)
    parser.set_defaults(retention_complain=parser.error)  # with the usage of this command, not of all
    if handler is None:
        show_help_without_command(parser)
    else:
        parser.set_defaults(retention_command=handler)
    return parser


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


def add_session(parser: argparse.ArgumentParser, help_text: str, *, several: bool = False) -> None:
    """The argument ``SESSION``, one or more than one."""
    if several:
        parser.add_argument("sessions", metavar="SESSION", nargs="+", help=help_text)
    else:
        parser.add_argument("session", metavar="SESSION", help=help_text)


def add_classes(parser: argparse.ArgumentParser, help_text: str) -> None:
    """``--class``, any number of times."""
    parser.add_argument(
        "--class",
        dest="classes",
        metavar="CLASS",
        action="append",
        choices=CLASSES,
        default=None,
        help=f"{help_text}: {', '.join(CLASSES)}; may be given several times",
    )


_MOST_DAYS = 3650
ID_OR_PREFIX = "session id, or at least 6 characters that only one id begins with"
EXACT_ID = "the whole session id"


def age(text: str) -> int:
    """The seconds in ``text``, for the ``type`` of an argument."""
    from hermes_retention.model.units import parse_duration

    try:
        return parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def days(text: str) -> int:
    """A number of days from 1 to 3650, for ``argparse``."""
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of days from 1 to {_MOST_DAYS}")
    return int(text)


def share(text: str) -> float:
    """A share such as ``25%`` or ``0.25``, from 0 to 1, for ``argparse``."""
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if rest or not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 25% or 0.25")
    return value


class Moment(NamedTuple):
    """A day, or a time so long ago."""

    day_at: float | None = None
    """When it begins, in Unix seconds."""
    age_seconds: int = 0

    def begin(self, now: float) -> float:
        """The first moment that is meant."""
        return now - self.age_seconds if self.day_at is None else self.day_at

    def end(self, now: float) -> float:
        """What comes right after the last moment that is meant."""
        return now - self.age_seconds if self.day_at is None else self.day_at + 86_400


def moment(text: str) -> Moment:
    """A day in UTC (``2026-11-20``) or an age (``30d``), for the ``type`` of an argument."""
    from datetime import UTC, datetime

    from hermes_retention.model.units import parse_duration

    try:
        return Moment(age_seconds=parse_duration(text))
    except (ValueError, OverflowError):
        pass
    try:
        return Moment(day_at=datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        why = f"{text!r} is neither a day such as 2026-11-20 nor an age such as 30d"
        raise argparse.ArgumentTypeError(why) from error


def count(text: str) -> int:
    """A whole number from 1, for ``argparse``."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 10**6):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)
