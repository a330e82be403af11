"""``prune``: one sweep of files with an age of its own, shown before it is done."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hermes_retention.cli.options import CLASS, DRY_RUN, YES, Command, Option, age
from hermes_retention.cli.output.page import Style
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.text import counted, format_duration

if TYPE_CHECKING:
    from hermes_retention.actions.sweep.report import SweepReport
    from hermes_retention.cli.context import Context
    from hermes_retention.home.home import Home

COMMAND = Command(
    "archive files older than an age, once, whatever the settings say",
    about="""\
Shows what would go and asks. It is about session files only: nothing of the
host's database goes. FILES_AFTER and ON_RESET are set aside for this run: live
and held sessions stay, and so does what KEEP_LAST, KEEP_FAILED and MIN_AGE
keep. 'undo' puts it back.""",
    examples="""\
  %(prog)s --older-than 2d --dry-run
  %(prog)s --older-than 12h --class cron --class hook --yes""",
    options=(
        Option(
            "--older-than",
            metavar="AGE",
            type=age,
            required=True,
            help="without activity for this long: 12h, 7d, 2w",
        ),
        CLASS,
        DRY_RUN,
        YES,
    ),
)

_STILL_KEPT = (
    "Live and held sessions stay, and what KEEP_LAST, KEEP_FAILED and MIN_AGE keep; request dumps of live "
    "sessions, state.db and archived copies are not touched by this run."
)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Preview, ask, sweep."""
    from hermes_retention.actions.sweep.sweep import preview
    from hermes_retention.cli.output.sweep import Watch, show_totals
    from hermes_retention.cli.output.words import DRY_RUN_ASKED, OBSERVING, SWITCHED_OFF, sentence
    from hermes_retention.settings.forms import Mode

    mode = context.settings.values.mode
    if mode is Mode.OFF:
        context.page.line(sentence(SWITCHED_OFF), Style.WARNING)
        return ExitCode.DONE
    home = _one_off(context.home, arguments)
    watch = Watch()
    report = preview(home, clock=context.clock, observer=watch)
    show_totals(context.page, report, watch.found)
    context.page.line()
    context.page.line(_age_of_this_run(arguments))
    context.page.line(_STILL_KEPT)
    if report.keeps_all:
        context.page.line(
            f"Nothing is older than {format_duration(arguments.older_than)} and free to go.", Style.GOOD
        )
        return _finish(context, report)
    if arguments.dry_run or mode is Mode.OBSERVE:
        context.page.line(sentence(DRY_RUN_ASKED if arguments.dry_run else OBSERVING), Style.WARNING)
        return _finish(context, report)
    _name_final_removals(context, report)
    cure = "Look with --dry-run, then run it with --yes."
    if not context.require_yes(yes=arguments.yes, question=_question(report), cure=cure):
        return ExitCode.DONE
    return _sweep(context, home)


def _one_off(home: Home, arguments: argparse.Namespace) -> Home:
    from hermes_retention.actions.upkeep.prune import prune_policy
    from hermes_retention.model.session import SessionClass

    classes = [SessionClass(name) for name in arguments.classes or list(SessionClass)]
    return home.for_one_run(prune_policy(home.policy, classes, older_than=arguments.older_than))


def _age_of_this_run(arguments: argparse.Namespace) -> str:
    """The reasons above speak of ``FILES_AFTER``, and in this run that is not what the settings say."""
    age = format_duration(arguments.older_than)
    if not arguments.classes:
        return f"In this run FILES_AFTER is {age} for every class."
    chosen = ", ".join(dict.fromkeys(arguments.classes))
    return f"In this run FILES_AFTER is {age} for {chosen} and never for every other class."


def _name_final_removals(context: Context, report: SweepReport) -> None:
    if report.counts.deleted:
        context.page.line(
            f"{counted(report.counts.deleted, 'session')} would be deleted for good (ARCHIVE=false).",
            Style.BAD,
        )


def _question(report: SweepReport) -> str:
    number = report.counts.files_archived + report.counts.deleted
    return f"Remove the files of {counted(number, 'session')} from the store?"


def _sweep(context: Context, home: Home) -> int:
    from hermes_retention.actions.sweep.sweep import sweep
    from hermes_retention.cli.commands.sweep import watched
    from hermes_retention.cli.output.sweep import Details, show_sweep

    context.page.line()
    with watched(context) as watch:
        report = sweep(home, clock=context.clock, origin="prune", observer=watch)
    show_sweep(
        context.page,
        report,
        watch.found,
        Details(every_failure=context.verbose, steps=context.verbose),
        compact_above=context.settings.values.compact_above,
    )
    context.warn([*report.warnings, *context.store.host_warnings()])
    return report.exit_code


def _finish(context: Context, report: SweepReport) -> int:
    from hermes_retention.cli.output.sweep import show_failures

    show_failures(context.page, report, every=context.verbose)
    context.warn([*report.warnings, *context.store.host_warnings()])
    return report.exit_code
