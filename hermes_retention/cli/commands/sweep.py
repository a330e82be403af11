"""``sweep``: whether it may remove anything, the sweep itself, and its report."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hermes_retention.cli.options import DRY_RUN, JSON, YES, Command, Option
from hermes_retention.cli.output.page import RichPage, Style
from hermes_retention.model.errors import ExitCode

if TYPE_CHECKING:
    from hermes_retention.actions.sweep.report import SweepReport
    from hermes_retention.cli.context import Context
    from hermes_retention.cli.output.sweep import Found, Watch
    from hermes_retention.home.home import Home
    from hermes_retention.model.plan import Step

COMMAND = Command(
    "archive and remove what is due",
    about="""\
Of each session that is over goes what has reached its age: its files
(FILES_AFTER), and out of the host's state.db large tool output
(TOOL_OUTPUT_AFTER), messages (MESSAGES_AFTER) and the record (RECORD_AFTER).
The gateway may run meanwhile. state.db stays as large as it is and fills again;
'compact' makes it smaller.

The first sweep that would remove something shows its plan and asks. Without a
terminal it only reports, unless HERMES_RETENTION_MODE=enforce is set or --yes
is given. With HERMES_RETENTION_MODE=observe no sweep removes anything, with off
there is none.""",
    examples="""\
  %(prog)s --dry-run
  %(prog)s --yes --json
  %(prog)s --dry-run --all    every session with its reason
  HERMES_RETENTION_CHAT__MESSAGES_AFTER=never %(prog)s --dry-run""",
    options=(
        DRY_RUN,
        JSON,
        Option("--all", action="store_true", help="list every session, the kept ones too"),
        YES,
    ),
)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Sweep, or say why not."""
    from hermes_retention.actions.sweep.mode import may_remove
    from hermes_retention.cli.output.sweep import Found
    from hermes_retention.cli.output.words import DRY_RUN_ASKED, OBSERVING, SWITCHED_OFF, sentence
    from hermes_retention.settings.forms import Mode

    home = context.home
    mode = context.settings.values.mode
    if mode is Mode.OFF and not context.json:
        context.page.line(sentence(SWITCHED_OFF), Style.WARNING)
        return ExitCode.DONE
    if mode is Mode.OFF:
        return _finish(context, arguments, _no_sweep(home), Found(), why=SWITCHED_OFF)
    if arguments.dry_run:
        return _preview(context, arguments, why=DRY_RUN_ASKED)
    if mode is Mode.OBSERVE:
        return _preview(context, arguments, why=OBSERVING)
    if arguments.yes or may_remove(home):
        return _sweep(context, arguments)
    return _first_sweep(context, arguments)


def watched(context: Context) -> Watch:
    """Who watches a sweep: a progress bar where colours are welcome."""
    from hermes_retention.cli.output.sweep import BarWatch, Watch

    if context.json or not isinstance(context.page, RichPage):
        return Watch()
    return BarWatch(context.page.console)


def _first_sweep(context: Context, arguments: argparse.Namespace) -> int:
    """Before anything is removed from this home for the first time, a person looks at it."""
    import msgspec

    from hermes_retention.actions.sweep.sweep import preview
    from hermes_retention.cli.output.sweep import Watch, show_totals
    from hermes_retention.cli.output.words import UNASKED

    watch = Watch()
    report = preview(context.home, clock=context.clock, observer=watch)
    if report.keeps_all:
        # Nothing to agree to. What became due in this very moment waits for the next sweep.
        return _finish(context, arguments, msgspec.structs.replace(report, dry_run=False), watch.found)
    if not context.is_interactive:
        return _finish(context, arguments, report, watch.found, why=UNASKED)
    show_totals(context.page, report, watch.found)
    context.page.line()
    context.page.line(
        "This would be the first sweep of this home. 'hermes-retention undo' can put it all back."
    )
    context.warn(report.warnings)
    if not context.ask("Go on?"):
        context.page.line("Nothing was removed.", Style.WARNING)
        return ExitCode.DONE
    context.page.line()
    return _sweep(context, arguments)


def _sweep(context: Context, arguments: argparse.Namespace) -> int:
    from hermes_retention.actions.sweep.sweep import sweep

    with watched(context) as watch:
        report = sweep(
            context.home, clock=context.clock, origin="command line", observer=watch, index=context.index
        )
    return _finish(context, arguments, report, watch.found)


def _preview(context: Context, arguments: argparse.Namespace, *, why: str) -> int:
    from hermes_retention.actions.sweep.sweep import preview
    from hermes_retention.cli.output.sweep import Watch

    watch = Watch()
    report = preview(context.home, clock=context.clock, observer=watch)
    return _finish(context, arguments, report, watch.found, why=why)


def _finish(
    context: Context,
    arguments: argparse.Namespace,
    report: SweepReport,
    found: Found,
    *,
    why: str | None = None,
) -> int:
    """Show the report; ``why`` says why nothing was removed."""
    import msgspec

    from hermes_retention.cli.context import print_object
    from hermes_retention.cli.output.sweep import Details, show_sweep
    from hermes_retention.cli.output.words import DRY_RUN_ASKED, sentence

    warnings = [*report.warnings, *context.store.host_warnings()]
    if context.json:
        if why not in (None, DRY_RUN_ASKED):  # who asked for a dry run need not be told; `dry_run` says it
            warnings.insert(0, why)
        report = msgspec.structs.replace(report, warnings=tuple(warnings))
        print_object(sweep_object(report, kept_too=arguments.all))
        return report.exit_code
    details = Details(
        every_failure=context.verbose, steps=context.verbose or arguments.all, kept_steps=arguments.all
    )
    show_sweep(context.page, report, found, details, compact_above=context.settings.values.compact_above)
    if why is not None:
        context.page.line(sentence(why), Style.WARNING)
    context.warn(warnings)
    return report.exit_code


def _no_sweep(home: Home) -> SweepReport:
    from hermes_retention.actions.sweep.report import Counts, SweepReport

    used = home.usage().total_bytes
    return SweepReport(
        sweep=None,
        dry_run=True,
        home=str(home.path),
        seconds=0.0,
        sessions=0,
        bytes_before=used,
        bytes_after=used,
        counts=Counts(),
        steps=(),
        outcomes=(),
        unknown=(),
        warnings=(),
        database=None,
    )


def sweep_object(report: SweepReport, *, kept_too: bool, more_warnings: Iterable[str] = ()) -> dict[str, Any]:
    """``report`` as plain JSON data; every text in it is valid Unicode on one line."""
    import msgspec

    from hermes_retention.model.plan import Action

    return {
        "sweep": report.sweep,
        "dry_run": report.dry_run,
        "home": report.home,
        "seconds": report.seconds,
        "sessions": report.sessions,
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
        "bytes_freed": report.bytes_freed,
        "drill": _drill_object(report),
        "database": msgspec.to_builtins(report.database),
        "routes_dropped": report.routes_dropped,
        "counts": msgspec.structs.asdict(report.counts),
        "steps": [_step_object(step) for step in report.steps if kept_too or step.action is not Action.KEEP],
        "failures": [
            {"session_id": outcome.step.session_id, "error": str(error)}
            for outcome in report.failures
            for error in outcome.errors
        ],
        "unknown": [{"name": one.name, "why": one.why} for one in report.unknown],
        "warnings": [*report.warnings, *more_warnings],
    }


def _drill_object(report: SweepReport) -> dict[str, Any] | None:
    drill = report.drill
    if drill is None:
        return None
    return {
        "sessions": drill.sessions,
        "bytes": drill.bytes,
        "damages": list(drill.damages),
    }


def _step_object(step: Step) -> dict[str, Any]:
    return {
        "session_id": step.session_id,
        "class": step.session_class.value,
        "liveness": step.liveness.value,
        "verdict": step.verdict,
        "rule": step.rule,
        "reason": step.reason,
        "bytes": step.bytes,
    }
