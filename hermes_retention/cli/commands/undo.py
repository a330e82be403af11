"""``undo``: puts back all that a sweep archived."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hermes_retention.cli.options import YES, Command, OneOf, Option
from hermes_retention.cli.output.page import Page, Table, titled
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.text import counted, format_size, minute

if TYPE_CHECKING:
    from hermes_retention.archive.entries import ArchivedArtifact
    from hermes_retention.cli.context import Context
    from hermes_retention.home.home import Home
    from hermes_retention.home.ledger import SweepRow

COMMAND = Command(
    "put back all that a sweep archived",
    about="""\
Without an argument the last sweep that archived something and was not undone
yet. Shows what would come back and asks.""",
    examples="""\
  %(prog)s
  %(prog)s 20261120-101500
  %(prog)s --all --yes""",
    options=(
        OneOf(
            Option("sweep", metavar="SWEEP", nargs="?", help="id of a sweep; 'status' lists the last ones"),
            Option("--all", action="store_true", help="every sweep that was not undone yet"),
        ),
        YES,
    ),
)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Show what would come back, ask, and put it back."""
    from hermes_retention.actions.restore.restore import undo, undoable_sweeps
    from hermes_retention.cli.commands.restore import show_restore

    home = context.home
    sweeps = undoable_sweeps(home, arguments.sweep, all_sweeps=arguments.all)
    _show_sweeps(context.page, home, sweeps)
    cure = "Run it with --yes to put all of this back."
    if not context.require_yes(yes=arguments.yes, question="Put all of this back?", cure=cure):
        return ExitCode.DONE
    report = undo(home, sweeps, now=context.clock())
    show_restore(context.page, report, every=context.verbose)
    return report.exit_code


def _show_sweeps(page: Page, home: Home, sweeps: Sequence[SweepRow]) -> None:
    rows = []
    for sweep in sweeps:
        artifacts = home.workspace.vault.find([], sweep=sweep.id)
        rows.append(
            (
                sweep.id,
                minute(sweep.started_at),
                sweep.origin,
                f"{len({artifact.session_id for artifact in artifacts}):,}",
                format_size(sum(artifact.size_bytes for artifact in artifacts)),
                _contents(artifacts),
            )
        )
    columns = titled("sweep", "when", "by", ">sessions", ">size", "what…")
    page.table(Table(columns, rows))


def _contents(artifacts: Sequence[ArchivedArtifact]) -> str:
    """``3 files, messages of 2 sessions, 1 record``."""
    from hermes_retention.cli.output.words import files_counted
    from hermes_retention.model.session import ArtifactKind

    kinds = Counter(artifact.kind for artifact in artifacts)
    outputs, messages = kinds.pop(ArtifactKind.TOOL_OUTPUT, 0), kinds.pop(ArtifactKind.MESSAGES, 0)
    records = kinds.pop(ArtifactKind.RECORD, 0)
    words = [
        files_counted(kinds.elements()),
        f"tool output of {counted(outputs, 'session')}" if outputs else "",
        f"messages of {counted(messages, 'session')}" if messages else "",
        counted(records, "record") if records else "",
    ]
    return ", ".join(filter(None, words))
