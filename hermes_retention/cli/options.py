"""How a parser is made of what a command takes, and options that mean the same everywhere.

Global options are accepted before and after a command. Their names in the namespace carry a prefix, so that
they never meet those of a host whose sub-command this is. What must not live here: which commands there are.
"""

from __future__ import annotations

import argparse
import functools
from typing import TYPE_CHECKING, Any, TypeAlias

from hermes_retention.home.find import STORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLASSES = ("chat", "cron", "subagent", "hook", "api", "cli", "other")
"""``SessionClass`` without importing it; a test compares."""
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name
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


class Option:
    """An option or argument: what argparse is told of it."""

    def __init__(self, *names: str, **how: Any) -> None:  # noqa: ANN401 - they are argparse's own
        self._names, self._how = names, how

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Let ``parser`` take it."""
        parser.add_argument(*self._names, **self._how)


class OneOf:
    """Options of which only one may be given."""

    def __init__(self, *options: Option) -> None:
        self._options = options

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Let ``parser`` take one of them."""
        group = parser.add_mutually_exclusive_group()
        for option in self._options:
            option.add_to(group)


class Command:
    """What a command takes. One with commands ``below`` it, by their names, does nothing by itself."""

    def __init__(
        self,
        summary: str,
        *,
        about: str = "",
        examples: str = "",
        options: Sequence[Option | OneOf] = (),
        below: Mapping[str, Command] | None = None,
    ) -> None:
        self.summary, self.about, self.examples, self.options = summary, about, examples, options
        self.below = below or {}


def add_command(commands: Commands, name: str, command: Command) -> None:
    """Add the parser of a command by its whole name, such as ``hold add``, and those of the commands below.

    One that only holds others shows its help when called alone.
    """
    summary = command.summary
    parser = commands.add_parser(
        name.rsplit(maxsplit=1)[-1],
        help=summary,
        description="\n\n".join(filter(None, (f"{summary[0].upper()}{summary[1:]}.", command.about))),
        epilog=f"examples:\n{command.examples}" if command.examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # an abbreviation in somebody's script breaks when a new option begins like it
        add_help=False,
        parents=[_help_option(), global_options()],
    )
    parser.set_defaults(retention_complain=parser.error)  # with the usage of this command, not of all
    for option in command.options:
        option.add_to(parser)
    if not command.below:
        parser.set_defaults(retention_command=name)
        return
    show_help_without_command(parser)
    inner = commands_of(parser)
    for below, other in command.below.items():
        add_command(inner, f"{name} {below}", other)


def commands_of(parser: argparse.ArgumentParser) -> Commands:
    """What the commands of ``parser`` are added to."""
    return parser.add_subparsers(title="commands", metavar="COMMAND")


def show_help_without_command(parser: argparse.ArgumentParser) -> None:
    """Without one of its commands there is nothing that ``parser`` could do."""
    parser.set_defaults(retention_command=None, retention_show_help=parser.print_help)


# -- options of several commands ----------------------------------------------------------------------


def age(text: str) -> int:
    """The seconds in a time such as ``12h``."""
    from hermes_retention.model.text import parse_duration

    try:
        return parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


class Moment:
    """A day, or a time so long ago. ``day_at`` is when the day begins, in Unix seconds."""

    def __init__(self, *, day_at: float | None = None, age_seconds: int = 0) -> None:
        self.day_at, self.age_seconds = day_at, age_seconds

    def begin(self, now: float) -> float:
        """The first moment that is meant."""
        return now - self.age_seconds if self.day_at is None else self.day_at

    def end(self, now: float) -> float:
        """What comes right after the last moment that is meant."""
        return now - self.age_seconds if self.day_at is None else self.day_at + 86_400


def moment(text: str) -> Moment:
    """A day in UTC (``2026-11-20``) or an age (``30d``)."""
    from datetime import UTC, datetime

    try:
        return Moment(age_seconds=age(text))
    except argparse.ArgumentTypeError:
        pass
    try:
        return Moment(day_at=datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        why = f"{text!r} is neither a day such as 2026-11-20 nor an age such as 30d"
        raise argparse.ArgumentTypeError(why) from error


def share(text: str) -> float:
    """A share such as ``25%`` or ``0.25``, from 0 to 1."""
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if rest or not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 25% or 0.25")
    return value


def whole_number(text: str) -> int:
    """A whole number from 1."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 10**6):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def days(text: str) -> int:
    """A number of days from 1 to 3650."""
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of days from 1 to {_MOST_DAYS}")
    return int(text)


DRY_RUN = Option("--dry-run", action="store_true", help="show what would happen; change nothing")
JSON = Option("--json", action="store_true", help="print one JSON object and nothing else")
YES = Option("--yes", action="store_true", help="do not ask")
CLASS = Option(
    "--class",
    dest="classes",
    metavar="CLASS",
    action="append",
    choices=CLASSES,
    default=None,
    help=f"only sessions of this class: {', '.join(CLASSES)}; may be given several times",
)
DAYS = Option("--days", metavar="N", type=days, default=90, help="how far back, and ahead (default: 90)")
