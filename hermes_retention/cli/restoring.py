"""``restore`` and ``undo``: from the archive back into the store, or elsewhere."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hermes_retention.cli.context import Context
from hermes_retention.errors import ExitCode
from hermes_retention.ledger import SweepRow
from hermes_retention.lookup import resolve_archived
from hermes_retention.names import printable
from hermes_retention.report.page import Column, Page, Style, Table
from hermes_retention.report.sweep import show_some
from hermes_retention.report.words import counted, minute
from hermes_retention.restore import (
    RestoreReport,
    export_sessions,
    restore_sessions,
    undo,
    undoable_sweeps,
)
from hermes_retention.site import Site
from hermes_retention.units import format_size


def run_restore(context: Context, arguments: argparse.Namespace) -> int:
    """Put sessions back, or write their files into a directory."""
    if arguments.to is not None:
        return export(context, arguments.sessions, arguments.to)
    site = context.site
    report = restore_sessions(site, resolve_archived(site, arguments.sessions), now=context.clock())
    show_restore(context.page, report, every=context.verbose)
    if report.sessions == 1:
        context.page.line("Its time starts anew: no sweep takes it until it is due again.")
    elif report.sessions:
        context.page.line("Their time starts anew: no sweep takes them until they are due again.")
    return report.exit_code


def export(context: Context, sessions: Sequence[str], directory: str) -> int:
    """Write the files of archived sessions into ``directory``; the store stays as it is."""
    site = context.site
    report = export_sessions(site, resolve_archived(site, sessions), Path(directory).expanduser())
    show_restore(context.page, report, done="exported", every=context.verbose)
    return report.exit_code


def run_undo(context: Context, arguments: argparse.Namespace) -> int:
    """Show what would come back, ask, and put it back."""
    site = context.site
    sweeps = undoable_sweeps(site, arguments.sweep, all_sweeps=arguments.all)
    _show_sweeps(context.page, site, sweeps)
    cure = "Run it with --yes to put all of this back."
    if not context.require_yes(yes=arguments.yes, question="Put all of this back?", cure=cure):
        return ExitCode.DONE
    report = undo(site, sweeps, now=context.clock())
    show_restore(context.page, report, every=context.verbose)
    return report.exit_code


def show_restore(page: Page, report: RestoreReport, *, done: str = "back", every: bool) -> None:
    """What is back, what was there already, and what could not be written."""
    placed = [one for one in report.results if one.error is None and not one.already_there]
    size = format_size(sum(one.artifact.size_bytes for one in placed))
    there = sum(one.already_there for one in report.results)
    if placed or not there:
        page.line(
            f"{counted(report.sessions, 'session')} {done}: {counted(len(placed), 'file')} ({size}) written "
            f"into {printable(report.directory)}, each compared with its checksum.",
            Style.GOOD if not report.failures else Style.NORMAL,
        )
    if there:
        nothing = "" if placed else "Nothing was written: "
        page.line(f"{nothing}{counted(there, 'file')} had the same content there already.")
    if report.failures:
        page.line(f"{counted(len(report.failures), 'file')} could not be written:", Style.BAD)
        errors = Counter(str(one.error) for one in report.failures)
        lines = [f"{error} ({times:,} files)" if times > 1 else error for error, times in errors.items()]
        show_some(page, lines, every=every)
    for damage in report.damages:
        page.line(f"A part of the archive could not be searched: {damage}", Style.BAD)


def _show_sweeps(page: Page, site: Site, sweeps: Sequence[SweepRow]) -> None:
    rows = []
    for sweep in sweeps:
        artifacts = site.workspace.vault.find([], sweep=sweep.id)
        rows.append(
            (
                sweep.id,
                minute(sweep.started_at),
                sweep.origin,
                f"{len({artifact.session_id for artifact in artifacts}):,}",
                f"{len(artifacts):,}",
                format_size(sum(artifact.size_bytes for artifact in artifacts)),
            )
        )
    columns = (
        Column("sweep"),
        Column("when"),
        Column("by"),
        Column("sessions", right=True),
        Column("files", right=True),
        Column("size", right=True),
    )
    page.table(Table(columns, rows))


HANDLERS = {"restore": run_restore, "undo": run_undo}
