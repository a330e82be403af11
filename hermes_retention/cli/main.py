"""From arguments to an exit code: finds the command, runs it, and turns every failure into one clear line.

A command is a module of ``commands``: its ``COMMAND`` says what it takes, and its ``run`` does it, for
``hold add`` its ``run_add``. Parsers assume nothing about the program that they are part of: a host may hang
them below a sub-command of its own. What must not live here: what commands do.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from hermes_retention.cli.options import (
    Command,
    add_command,
    add_globals,
    commands_of,
    global_options,
    show_help_without_command,
)
from hermes_retention.model.errors import ExitCode, RetentionError
from hermes_retention.model.text import printable_lines

_DESCRIPTION = """\
Keeps the session storage of an AI-agent gateway bounded. What is over moves
into a compressed archive: the files of a session, later the tool output,
messages and record that the host's database holds of it. Each copy is read back
before its original is removed, and can be put back as it was."""

_EPILOG = """\
examples:
  %(prog)s sweep --dry-run      what would happen now, and why
  %(prog)s sweep                archive what is due
  %(prog)s undo                 put back what the last sweep archived
  %(prog)s explain SESSION      where a session is, and what keeps it

exit codes:
  0  done                          3  another sweep is running
  1  done, but some items failed   4  store unreadable, nothing removed
  2  wrong usage or settings       5  something in the archive is damaged"""
COMMANDS = (
    *("sweep", "status", "explain", "search", "simulate", "report", "restore", "undo", "hold"),
    *("archive", "forget", "prune", "prestart", "compact", "doctor", "metrics", "settings", "demo"),
)
"""Each is a module of ``commands``. As help lists them: what people need first comes first."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
READER_GONE = 141
"""Exit code when whoever read the output stopped reading, as shells have it."""
_MMAP_THRESHOLD = -3
"""``M_MMAP_THRESHOLD`` of glibc's ``malloc.h``."""
_LARGE_BYTES = 2**20


class _Parser(argparse.ArgumentParser):
    """argparse repeats what it was given; a terminal must not obey that."""

    def error(self, message: str) -> NoReturn:
        super().error(printable_lines(message))


class _ShowVersion(argparse.Action):
    """``--version``, without asking for it where nobody wants it: that reads what pip installed."""

    def __call__(self, parser: argparse.ArgumentParser, *_arguments: object) -> None:
        from hermes_retention import __version__

        sys.stdout.write(f"hermes-retention {__version__}\n")
        parser.exit()


def main(argv: Sequence[str] | None = None, *, clock: Callable[[], float] = time.time) -> int:
    """The program ``hermes-retention``; returns its exit code, never raises. ``clock`` gives Unix seconds."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = _Parser(prog="hermes-retention", allow_abbrev=False)
    # Where no command is named none can run: help would make the options of all in vain.
    _fill(parser, _asked_for(arguments), with_options=any(name in arguments for name in COMMANDS))
    try:
        namespace, unknown = parser.parse_known_args(arguments)
        if unknown:
            namespace.retention_complain(f"unrecognized arguments: {' '.join(unknown)}")
    except SystemExit as stop:  # argparse has said what it had to say
        return stop.code if isinstance(stop.code, int) else ExitCode.USAGE
    _let_large_memory_be_given_back()
    return run(namespace, clock=clock)


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` all options and commands. Hand what it parses to ``run``."""
    _fill(parser, COMMANDS)


def _fill(parser: argparse.ArgumentParser, names: Sequence[str], *, with_options: bool = True) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = parser.description or _DESCRIPTION
    parser.epilog = parser.epilog or _EPILOG
    add_globals(parser, default=None)
    parser.add_argument(
        "--version",
        action=_ShowVersion,
        nargs=0,
        default=argparse.SUPPRESS,
        help="show program's version number and exit",
    )
    parser.set_defaults(retention_complain=parser.error)
    show_help_without_command(parser)
    commands = commands_of(parser)
    for name in names:
        command: Command = _module_of(name).COMMAND
        if with_options:
            add_command(commands, name, command)
        else:
            commands.add_parser(name, help=command.summary, add_help=False)


def _asked_for(arguments: Sequence[str]) -> Sequence[str]:
    """The one command that will run, so that no other is loaded; all of them for help and for slips."""
    try:
        _, rest = global_options().parse_known_args(arguments)
    except argparse.ArgumentError:  # the parser of all commands meets it too, and says it better
        return COMMANDS
    return [name for name in rest[:1] if name in COMMANDS] or COMMANDS


def _module_of(command: str) -> ModuleType:
    return import_module(f"hermes_retention.cli.commands.{command}")


def run(namespace: argparse.Namespace, *, clock: Callable[[], float] = time.time) -> int:
    """Run the command in ``namespace``, which parsers filled by ``add_commands`` have made.

    Returns an exit code. Every error has been reported then, none is raised.
    """
    if namespace.retention_command is None:
        namespace.retention_show_help()
        return ExitCode.USAGE
    _put_something_behind_closed_outputs()
    _let_every_name_be_printed()
    try:
        return _run_and_report(namespace, clock)
    except BrokenPipeError:
        return _forget_output()
    except KeyboardInterrupt:
        _complain(
            "interrupted; nothing is lost: all is in the store or the archive, and the next sweep goes on"
        )
        return INTERRUPTED


def _run_and_report(namespace: argparse.Namespace, clock: Callable[[], float]) -> int:
    try:
        code = _run_command(namespace, clock)
        sys.stdout.flush()
    except RetentionError as error:
        return _report_error(namespace, error)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the last resort: a person gets one line, never a traceback
        return _report_failure(namespace, error)
    return code


def _run_command(namespace: argparse.Namespace, clock: Callable[[], float]) -> int:
    from hermes_retention.disk.directories import require_supported_platform

    require_supported_platform()
    from hermes_retention.cli.context import Context

    command, *below = namespace.retention_command.split()
    code: int = getattr(_module_of(command), "_".join(("run", *below)))(
        Context.of(namespace, clock), namespace
    )
    return code


def _let_large_memory_be_given_back() -> None:
    """Keep large blocks apart from small ones, so that each goes back to the system when nobody needs it.

    After the first one glibc would put them among the small ones, where holes stay. Of other C libraries
    nothing is asked. Only for a process of our own.
    """
    import ctypes

    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


def _put_something_behind_closed_outputs() -> None:
    """A job may close them (``>&-``); then Python has no stream at all, and nobody reads what is written."""
    import os

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def _let_every_name_be_printed() -> None:
    """A terminal that lacks a character gets an escape in its place instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _report_error(namespace: argparse.Namespace, error: RetentionError) -> int:
    _complain(str(error))
    try:
        if getattr(namespace, "json", False):
            from hermes_retention.cli.context import error_object, print_object

            print_object(error_object(error))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:  # a full disk below the output may be the very error, and Python tries again at its end
        _forget_output()
    return error.exit_code


def _report_failure(namespace: argparse.Namespace, error: Exception) -> int:
    if namespace.retention_verbose:
        import traceback

        sys.stderr.write(printable_lines("".join(traceback.format_exception(error))))
    return _report_error(namespace, _as_retention_error(error))


def _as_retention_error(error: Exception) -> RetentionError:
    """The error that a person can act on: the system's word where it refused, else a plea to report.

    Messages of unknown exceptions are not repeated: they may hold a piece of a conversation.
    """
    import sqlite3

    from hermes_retention.model.errors import refusal

    if isinstance(error, sqlite3.Error) or (isinstance(error, OSError) and error.strerror):
        return refusal(error)
    return RetentionError(
        "hermes-retention itself",
        f"it failed in a way that nobody foresaw ({type(error).__name__})",
        consequence="nothing leaves the store before its archived copy is verified, and the next sweep "
        "completes the rest",
        cure="Please report this, with the traceback that -v shows.",
    )


def _forget_output() -> int:
    """Nobody reads on (``| head``). Without this, Python would complain once more when it ends."""
    import os

    try:
        output = sys.stdout.fileno()
    except (OSError, ValueError):  # no file behind it, so nothing to complain about either
        return READER_GONE
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, output)
    os.close(devnull)
    return READER_GONE


def _complain(text: str) -> None:
    sys.stderr.write(f"hermes-retention: {printable_lines(text)}\n")
