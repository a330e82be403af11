"""``prestart``: what to run before a gateway starts, while nothing uses its home."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hermes_retention.cli.options import DRY_RUN, JSON, YES, Command, Option
from hermes_retention.cli.output.page import Style
from hermes_retention.model.errors import ExitCode, UsageError
from hermes_retention.model.text import counted

if TYPE_CHECKING:
    from hermes_retention.actions.sweep.report import SweepReport
    from hermes_retention.actions.upkeep.prestart import PrestartReport
    from hermes_retention.cli.context import Context
    from hermes_retention.stores.base import StartingStore

COMMAND = Command(
    "put a home in order before its gateway starts",
    about="""\
Hermes Agent: compacts state.db when HERMES_RETENTION_COMPACT_ON_START=true and
enough of it is free (COMPACT_ABOVE); all else the plugin does while it runs.

OpenClaw: a gateway goes on with every session that it left open, however old.
While it is down this archives what is over (as a sweep does), what ended in
error or has a broken transcript, and takes the resume mark off all interrupted
sessions but the newest few of each agent. The main session of an agent stays as
it is, and so do chats, unless an age is set for them.""",
    examples="""\
  %(prog)s --dry-run
  %(prog)s --resume-max 3
  ExecStartPre=-/usr/bin/env %(prog)s      in a systemd unit""",
    options=(
        Option(
            "--resume-max",
            metavar="N",
            type=int,
            help="OpenClaw: how many of each agent may be resumed (default: RESUME_MAX)",
        ),
        DRY_RUN,
        JSON,
        YES,
    ),
)

_NOT_COMPACTED = "HERMES_RETENTION_COMPACT_ON_START is not set, so there is nothing to do before this gateway"


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Put the home in order, or say what that would change."""
    from hermes_retention.cli.output.words import SWITCHED_OFF
    from hermes_retention.settings.forms import Mode

    if context.settings.values.mode is Mode.OFF:
        return _nothing_done(context, SWITCHED_OFF)
    store = context.store.before_start()
    return _compact(context, arguments) if store is None else _put_in_order(context, arguments, store)


def _compact(context: Context, arguments: argparse.Namespace) -> int:
    """Compact the database. What to resume, the plugin tells the gateway itself."""
    from hermes_retention.settings.forms import Mode

    if arguments.resume_max is not None:
        raise UsageError(
            "--resume-max",
            "it is for OpenClaw gateways: Hermes Agent is told by the plugin what to resume",
            consequence="nothing was done",
            cure="Set HERMES_RETENTION_RESUME_MAX instead.",
        )
    if not context.settings.values.compact_on_start:
        return _nothing_done(context, _NOT_COMPACTED)
    from hermes_retention.cli.commands.compact import look, rewrite

    only_look = arguments.dry_run or context.settings.values.mode is Mode.OBSERVE
    act = look if only_look else rewrite
    return act(context, context.settings.values.compact_above)


def _put_in_order(context: Context, arguments: argparse.Namespace, store: StartingStore) -> int:
    """Sweep, drop what is broken, and take the marks off what shall not be gone on with."""
    from hermes_retention.actions.upkeep.prestart import ResumeLimits, prestart, preview_prestart
    from hermes_retention.cli.context import print_object
    from hermes_retention.cli.output.words import sentence

    home = context.home
    values = context.settings.values
    limits = ResumeLimits(
        most=values.resume_max if arguments.resume_max is None else arguments.resume_max,
        max_age=values.resume_max_age,
    )
    why = _why_not(context, arguments)
    act = prestart if why is None else preview_prestart
    report = act(home, store, limits=limits, clock=context.clock)
    if context.json:
        print_object(_object(report, why))
        return report.exit_code
    _show(context, report)
    if why is not None:
        context.page.line(sentence(why), Style.WARNING)
    context.warn(_warnings(report))
    return report.exit_code


def _why_not(context: Context, arguments: argparse.Namespace) -> str | None:
    """Why nothing may be removed; the same rules as for a sweep."""
    from hermes_retention.actions.sweep.mode import may_remove
    from hermes_retention.cli.output.words import DRY_RUN_ASKED, OBSERVING, UNASKED
    from hermes_retention.settings.forms import Mode

    mode = context.settings.values.mode
    if arguments.dry_run:
        return DRY_RUN_ASKED
    if mode is Mode.OBSERVE:
        return OBSERVING
    return None if arguments.yes or may_remove(context.home) else UNASKED


def _nothing_done(context: Context, why: str) -> int:
    from hermes_retention.cli.context import print_object
    from hermes_retention.cli.output.words import sentence

    if context.json:
        print_object({"home": str(context.home.path), "dry_run": True, "warnings": [why]})
    else:
        context.page.line(sentence(why), Style.WARNING)
    return ExitCode.DONE


def _removed(report: SweepReport) -> int:
    return report.counts.files_archived + report.counts.deleted


def _show(context: Context, report: PrestartReport) -> None:
    from hermes_retention.cli.output.sweep import show_failures

    would = "would " if report.dry_run else ""
    page = context.page
    page.line(f"Before the gateway of {report.home} starts", Style.TITLE)
    page.line(f"{counted(_removed(report.swept), 'session')} {would}leave: over, and old enough.")
    dropped = counted(_removed(report.dropped), "session")
    page.line(f"{dropped} {would}leave: ended in error, or with a broken transcript.")
    page.line(
        f"{counted(len(report.resumed), 'interrupted session')} may be resumed; "
        f"{counted(len(report.cleared), 'older one')} {would}{'lose' if would else 'lost'} the mark."
    )
    for one in (report.swept, report.dropped):
        show_failures(page, one, every=context.verbose)
        if one.sweep is not None:
            page.line(f"To put it back: hermes-retention undo {one.sweep}")


def _warnings(report: PrestartReport) -> list[str]:
    return list(dict.fromkeys((*report.swept.warnings, *report.dropped.warnings)))


def _object(report: PrestartReport, why: str | None) -> dict[str, object]:
    from hermes_retention.cli.output.words import DRY_RUN_ASKED

    warnings = _warnings(report)
    return {
        "home": report.home,
        "dry_run": report.dry_run,
        "sweeps": [one.sweep for one in (report.swept, report.dropped) if one.sweep is not None],
        "expired": _removed(report.swept),
        "dropped": _removed(report.dropped),
        "failed": report.swept.counts.failed + report.dropped.counts.failed,
        "resumed": list(report.resumed),
        "cleared": list(report.cleared),
        "warnings": warnings if why in (None, DRY_RUN_ASKED) else [why, *warnings],
    }
