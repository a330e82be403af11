"""From arguments to an exit code: finds the command, runs it, and turns every failure into one clear line.

What must not live here: what commands do.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from hermes_retention.cli.parsers import add_commands
from hermes_retention.model.errors import ExitCode, RetentionError
from hermes_retention.model.text import printable_lines

if TYPE_CHECKING:
    from hermes_retention.cli.context import Context

Handler: TypeAlias = "Callable[[Context, argparse.Namespace], int]"

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


def main(argv: Sequence[str] | None = None, *, clock: Callable[[], float] = time.time) -> int:
    """The program ``hermes-retention``; returns its exit code, never raises. ``clock`` gives Unix seconds."""
    parser = _Parser(prog="hermes-retention", allow_abbrev=False)
    add_commands(parser)
    try:
        namespace, unknown = parser.parse_known_args(argv)
        if unknown:
            namespace.retention_complain(f"unrecognized arguments: {' '.join(unknown)}")
    except SystemExit as stop:  # argparse has said what it had to say
        return stop.code if isinstance(stop.code, int) else ExitCode.USAGE
    _let_large_memory_be_given_back()
    return run(namespace, clock=clock)


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

    handler = _handler(namespace.retention_command)
    return handler(Context.of(namespace, clock), namespace)


def _handler(command: str) -> Handler:  # noqa: C901, PLR0911 - one for each module of commands
    """The function behind a command; only its own module is imported."""
    if command == "sweep":
        from hermes_retention.cli.commands.sweep import run_sweep

        return run_sweep
    if command == "prune":
        from hermes_retention.cli.commands.prune import run_prune

        return run_prune
    if command == "prestart":
        from hermes_retention.cli.commands.prestart import run_prestart

        return run_prestart
    if command == "compact":
        from hermes_retention.cli.commands.compact import run_compact

        return run_compact
    if command == "forget":
        from hermes_retention.cli.commands.forget import run_forget

        return run_forget
    if command in ("doctor", "metrics"):
        from hermes_retention.cli.commands import doctor as checking

        return checking.HANDLERS[command]
    if command == "search":
        from hermes_retention.cli.commands.search import run_search

        return run_search
    if command in ("simulate", "report"):
        from hermes_retention.cli.commands import simulate as simulating

        return simulating.HANDLERS[command]
    if command in ("restore", "undo"):
        from hermes_retention.cli.commands import restore as restoring

        return restoring.HANDLERS[command]
    if command.startswith("hold "):
        from hermes_retention.cli.commands import hold as holding

        return holding.HANDLERS[command]
    if command.startswith("archive "):
        from hermes_retention.cli.commands import archive

        return archive.HANDLERS[command]
    from hermes_retention.cli.commands import status as showing

    return showing.HANDLERS[command]


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
            from hermes_retention.cli.output.json_output import error_object, print_object

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
    from hermes_retention.cli.failures import as_retention_error

    return _report_error(namespace, as_retention_error(error))


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
