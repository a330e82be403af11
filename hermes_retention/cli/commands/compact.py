"""``compact``: free pages of the host's database back to the file system."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hermes_retention.cli.options import DRY_RUN, JSON, Command, Option, share
from hermes_retention.cli.output.page import Style
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.text import format_size

if TYPE_CHECKING:
    from hermes_retention.actions.upkeep.compact import CompactReport
    from hermes_retention.cli.context import Context
    from hermes_retention.stores.base import CompactStage

COMMAND = Command(
    "give free pages of the host's database back to the disk",
    about="""\
The host reuses the pages that rows leave free, but state.db never shrinks by
itself. This writes a copy without them, proves that it holds the same, and puts
it in the place of the old one. Stop the gateway first: it refuses while any
process has the database open. Nothing is done unless enough of it is free.""",
    examples="""\
  %(prog)s --dry-run      how much is free, what is in the way
  %(prog)s --above 10%%    even if only a tenth is free""",
    options=(
        Option(
            "--above",
            metavar="SHARE",
            type=share,
            help="the share of free pages from which it is worth it, such as 10%% (default: COMPACT_ABOVE)",
        ),
        DRY_RUN,
        JSON,
    ),
)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Look, and unless ``--dry-run`` was given, compact."""
    above = context.settings.values.compact_above if arguments.above is None else arguments.above
    act = look if arguments.dry_run else rewrite
    return act(context, above)


def look(context: Context, above: float) -> int:
    """Say what compacting would do."""
    from hermes_retention.actions.upkeep.compact import preview

    return _tell(context, preview(context.home, above=above, environ=context.environ))


def rewrite(context: Context, above: float) -> int:
    """Compact, and say what became of it."""
    from hermes_retention.actions.upkeep.compact import compact

    report = compact(
        context.home,
        above=above,
        environ=context.environ,
        observer=lambda stage: _show_stage(context, stage),
    )
    return _tell(context, report)


def _tell(context: Context, report: CompactReport) -> int:
    import msgspec

    from hermes_retention.cli.context import print_object

    if context.json:
        print_object(msgspec.structs.asdict(report))
    else:
        _show(context, report)
    context.warn(report.warnings)
    return ExitCode.DONE


def _show(context: Context, report: CompactReport) -> None:
    """What became of the database, in one or two lines."""
    page = context.page
    page.line(f"{report.database}: {format_size(report.bytes_before)}, {report.free_share:.0%} of it free.")
    if not report.worthwhile:
        page.line(
            f"Not worth it below {report.above:.0%} (COMPACT_ABOVE, or --above): the host fills free pages "
            "first. Nothing was changed.",
            Style.GOOD,
        )
    elif report.compacted:
        freed = format_size(report.bytes_before - report.bytes_after)
        page.line(
            f"Now {format_size(report.bytes_after)}: {freed} freed in {report.seconds:.1f} s. "
            "Every table and search index was compared.",
            Style.GOOD,
        )
    else:
        page.line(
            f"Compacting would leave {format_size(report.bytes_after)} or less. "
            "This is a dry run: nothing was changed.",
            Style.WARNING,
        )


def _show_stage(context: Context, stage: CompactStage) -> None:
    if context.verbose:
        context.notes.line(f"{stage} …", Style.FAINT)
