"""``restore``: from the archive back into the store, or elsewhere."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from hermes_retention.cli.options import ID_OR_PREFIX, Command, Option
from hermes_retention.cli.output.page import Page, Style, show_some
from hermes_retention.model.text import counted, format_size

if TYPE_CHECKING:
    from hermes_retention.actions.restore.place import Restored
    from hermes_retention.actions.restore.restore import RestoreReport
    from hermes_retention.cli.context import Context

COMMAND = Command(
    "put sessions back from the archive",
    about="""\
Files get the bytes, time and mode that they had; messages, tool output and the
record go back into the host's database. Nothing is overwritten, the archived
copy stays, and the time of a restored session starts anew, so that the next
sweep leaves it alone.""",
    examples="  %(prog)s 20261120_101500_1a2b3c4d\n  %(prog)s 20261120_1015 --to ~/found",
    options=(
        Option("sessions", metavar="SESSION", nargs="+", help=ID_OR_PREFIX),
        Option("--to", metavar="DIR", help="write it all into DIR, as files, instead of the store"),
    ),
)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Put sessions back, or write them into a directory."""
    from hermes_retention.actions.inspect.lookup import resolve_archived
    from hermes_retention.actions.restore.restore import restore_sessions

    if arguments.to is not None:
        return export(context, arguments.sessions, arguments.to)
    home = context.home
    report = restore_sessions(home, resolve_archived(home, arguments.sessions), now=context.clock())
    show_restore(context.page, report, every=context.verbose)
    if report.sessions == 1:
        context.page.line("Its time starts anew: no sweep takes it until it is due again.")
    elif report.sessions:
        context.page.line("Their time starts anew: no sweep takes them until they are due again.")
    return report.exit_code


def export(context: Context, sessions: Sequence[str], directory: str) -> int:
    """Write archived sessions into ``directory``; the store stays as it is."""
    from pathlib import Path

    from hermes_retention.actions.inspect.lookup import resolve_archived
    from hermes_retention.actions.restore.restore import export_sessions

    home = context.home
    report = export_sessions(home, resolve_archived(home, sessions), Path(directory).expanduser())
    show_restore(context.page, report, done="exported", every=context.verbose)
    return report.exit_code


def show_restore(page: Page, report: RestoreReport, *, done: str = "back", every: bool) -> None:
    """What is back, what was there already, and what could not be written."""
    came = [*_written_files(report), *_written_rows(report)]
    there = [*_known_files(report), *_known_rows(report)]
    if came or not there:
        style = Style.GOOD if not report.failures else Style.NORMAL
        what = f": {'; '.join(came)}" if came else ""
        page.line(f"{counted(report.sessions, 'session')} {done}{what}.", style)
    if there:
        nothing = "" if came else "Nothing was written: "
        page.line(f"{nothing}{'; '.join(there)}.")
    show_some(page, report.rows.notes, every=every)
    _show_failures(page, report, every=every)
    for damage in report.damages:
        page.line(f"A part of the archive could not be searched: {damage}", Style.BAD)


def _written_files(report: RestoreReport) -> Iterator[str]:
    placed = [one for one in report.files if one.error is None and not one.already_there]
    if placed:
        size = format_size(sum(one.artifact.size_bytes for one in placed))
        yield (
            f"{_counted(placed)} ({size}) written into {report.directory}, each compared with its checksum"
        )


def _written_rows(report: RestoreReport) -> Iterator[str]:
    rows = report.rows
    words = [
        counted(number, one, many)
        for number, one, many in (
            (rows.records, "record", "records"),
            (rows.messages, "message", "messages"),
            (rows.tool_output, "output of a tool", "outputs of tools"),
        )
        if number
    ]
    if words:
        yield f"{', '.join(words)} put back into the host's database, each with the values that it had"


def _known_files(report: RestoreReport) -> Iterator[str]:
    there = [one for one in report.files if one.already_there]
    if there:
        yield f"{_counted(there)} had the same content there already"


def _counted(some: Iterable[Restored]) -> str:
    from hermes_retention.cli.output.words import files_counted

    return files_counted(one.artifact.kind for one in some)


def _known_rows(report: RestoreReport) -> Iterator[str]:
    results = report.rows.results
    new = {one.artifact.session_id for one in results if not one.already_there}
    there = {one.artifact.session_id for one in results} - new
    if there:
        yield f"the database had the rows of {counted(len(there), 'session')} already"


def _show_failures(page: Page, report: RestoreReport, *, every: bool) -> None:
    failed_files = [one for one in report.files if one.error is not None]
    if failed_files:
        files = Counter(str(one.error) for one in failed_files)
        page.line(f"{_counted(failed_files)} could not be written:", Style.BAD)
        lines = [f"{error} ({times:,} files)" if times > 1 else error for error, times in files.items()]
        show_some(page, lines, every=every)
    failed = {
        (str(one.error), one.artifact.session_id) for one in report.rows.results if one.error is not None
    }
    if failed:
        sessions = len({session_id for _, session_id in failed})
        page.line(f"The rows of {counted(sessions, 'session')} could not be put back:", Style.BAD)
        rows = Counter(error for error, _ in sorted(failed))
        lines = [f"{error} ({times:,} sessions)" if times > 1 else error for error, times in rows.items()]
        show_some(page, lines, every=every)
