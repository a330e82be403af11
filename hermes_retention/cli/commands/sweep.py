"""``sweep``: whether it may remove anything, the sweep itself, and its report."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

import msgspec

from hermes_retention.actions.sweep.mode import may_remove
from hermes_retention.actions.sweep.recovery import Drill
from hermes_retention.actions.sweep.report import Counts, SweepReport
from hermes_retention.actions.sweep.sweep import preview, sweep
from hermes_retention.cli.context import Context, print_object
from hermes_retention.cli.output.page import RichPage, Style
from hermes_retention.cli.output.sweep import (
    BarWatch,
    Details,
    Found,
    Watch,
    show_sweep,
    show_totals,
)
from hermes_retention.cli.output.words import DRY_RUN, OBSERVING, SWITCHED_OFF, UNASKED, sentence
from hermes_retention.home.home import Home
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.plan import Action, Step
from hermes_retention.settings.forms import Mode


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Sweep, or say why not."""
    home = context.home
    mode = context.settings.values.mode
    if mode is Mode.OFF and not context.json:
        context.page.line(sentence(SWITCHED_OFF), Style.WARNING)
        return ExitCode.DONE
    if mode is Mode.OFF:
        return _finish(context, arguments, _no_sweep(home), Found(), why=SWITCHED_OFF)
    if arguments.dry_run:
        return _preview(context, arguments, why=DRY_RUN)
    if mode is Mode.OBSERVE:
        return _preview(context, arguments, why=OBSERVING)
    if arguments.yes or may_remove(home):
        return _sweep(context, arguments)
    return _first_sweep(context, arguments)


def watched(context: Context) -> Watch:
    """Who watches a sweep: a progress bar where colours are welcome."""
    if context.json or not isinstance(context.page, RichPage):
        return Watch()
    return BarWatch(context.page.console)


def _first_sweep(context: Context, arguments: argparse.Namespace) -> int:
    """Before anything is removed from this home for the first time, a person looks at it."""
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
    with watched(context) as watch:
        report = sweep(
            context.home, clock=context.clock, origin="command line", observer=watch, index=context.index
        )
    return _finish(context, arguments, report, watch.found)


def _preview(context: Context, arguments: argparse.Namespace, *, why: str) -> int:
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
    warnings = [*report.warnings, *context.store.host_warnings()]
    if context.json:
        if why not in (None, DRY_RUN):  # who asked for a dry run need not be told; `dry_run` says it
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
    return {
        "sweep": report.sweep,
        "dry_run": report.dry_run,
        "home": report.home,
        "seconds": report.seconds,
        "sessions": report.sessions,
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
        "bytes_freed": report.bytes_freed,
        "drill": None if report.drill is None else _drill_object(report.drill),
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


def _drill_object(drill: Drill) -> dict[str, Any]:
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
