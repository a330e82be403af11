"""``compact``: free pages of the host's database back to the file system."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hermes_retention.cli.options import Commands, add_dry_run, add_json, command
from hermes_retention.cli.output.json_output import print_object
from hermes_retention.cli.output.page import Style
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.text import format_size

if TYPE_CHECKING:
    from hermes_retention.actions.upkeep.compact import CompactReport
    from hermes_retention.cli.context import Context
    from hermes_retention.stores.base import CompactStage


def add(commands: Commands) -> None:
    """The parser."""
    parser = command(
        commands,
        "compact",
        "give free pages of the host's database back to the disk",
        run=run,
        about="""\
The host reuses the pages that rows leave free, but state.db never shrinks by
itself. This writes a copy without them, proves that it holds the same, and puts
it in the place of the old one. Stop the gateway first: it refuses while any
process has the database open. Nothing is done unless enough of it is free.""",
        examples="""\
  %(prog)s --dry-run      how much is free, what is in the way
  %(prog)s --above 10%%    even if only a tenth is free""",
    )
    parser.add_argument(
        "--above",
        metavar="SHARE",
        type=_share,
        help="the share of free pages from which it is worth it, such as 10%% (default: COMPACT_ABOVE)",
    )
    add_dry_run(parser)
    add_json(parser)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Look, and unless ``--dry-run`` was given, compact."""
    above = context.settings.values.compact_above if arguments.above is None else arguments.above
    act = look if arguments.dry_run else rewrite
    return act(context, above)


def _share(text: str) -> float:
    """A share such as ``25%`` or ``0.25``, from 0 to 1."""
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if rest or not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 25% or 0.25")
    return value


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
