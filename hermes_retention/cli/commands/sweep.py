"""``sweep``: whether it may remove anything, the sweep itself, and its report."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hermes_retention.cli.output.json_output import print_object
from hermes_retention.cli.output.page import Style
from hermes_retention.model.errors import ExitCode

if TYPE_CHECKING:
    from hermes_retention.actions.sweep.report import SweepReport
    from hermes_retention.cli.context import Context
    from hermes_retention.cli.output.progress import Found, Watch
    from hermes_retention.home.home import Home

OBSERVING = "nothing was removed: HERMES_RETENTION_MODE is observe, so sweeps only report"
SWITCHED_OFF = "nothing was done: HERMES_RETENTION_MODE is off, so there are no sweeps"
UNASKED = (
    "nothing was removed: the first sweep of a home needs a person's word, and there is no terminal to ask "
    "on. Look at this report, then run it with --yes once, or set HERMES_RETENTION_MODE=enforce"
)
DRY_RUN = "nothing was removed: this is a dry run"


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Sweep, or say why not."""
    from hermes_retention.cli.output.progress import Found
    from hermes_retention.settings.forms import Mode

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
    if arguments.yes or _is_agreed(home):
        return _sweep(context, arguments)
    return _first_sweep(context, arguments)


def _is_agreed(home: Home) -> bool:
    from hermes_retention.actions.sweep.mode import may_remove

    return may_remove(home)


def watched(context: Context) -> Watch:
    """Who watches a sweep: a progress bar where colours are welcome."""
    from hermes_retention.cli.output.page import RichPage
    from hermes_retention.cli.output.progress import BarWatch, Watch

    if context.json or not isinstance(context.page, RichPage):
        return Watch()
    return BarWatch(context.page.console)


def sentence(words: str) -> str:
    """``words`` with a capital letter and a full stop."""
    return f"{words[0].upper()}{words[1:]}."


def _first_sweep(context: Context, arguments: argparse.Namespace) -> int:
    """Before anything is removed from this home for the first time, a person looks at it."""
    import msgspec

    from hermes_retention.actions.sweep.sweep import preview
    from hermes_retention.cli.output.progress import Watch
    from hermes_retention.cli.output.sweep import show_totals

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
    from hermes_retention.cli.output.progress import Watch

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

    from hermes_retention.cli.output.sweep import Details, show_sweep, sweep_object

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
