"""A sweep on one screen: what was found, what happened and why, before and after, and how to undo it."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from hermes_retention.actions.sweep.report import Counts, SweepReport
from hermes_retention.cli.output.page import Page, Style, show_some
from hermes_retention.cli.output.sweep_tables import by_class, by_reason, step_by_step
from hermes_retention.home.ledger import Outcome
from hermes_retention.model.plan import Action, Plan, Tier
from hermes_retention.model.session import Inventory
from hermes_retention.model.text import counted, format_size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_COUNTED = "Session files, the used part of state.db, archive and ledger"
_ESTIMATED = frozenset({Tier.MESSAGES, Tier.RECORD})


class Details(msgspec.Struct, frozen=True):
    """What a person wants to see beyond the summary."""

    every_failure: bool = False
    steps: bool = False
    kept_steps: bool = False


def show_sweep(
    page: Page, report: SweepReport, found: Found, details: Details, *, compact_above: float
) -> None:
    """The whole screen. ``compact_above`` is the share of free pages from which compacting is worth it."""
    show_totals(page, report, found)
    if details.steps or details.kept_steps:
        _show_steps(page, report, kept_too=details.kept_steps)
    show_failures(page, report, every=details.every_failure)
    _show_unknown(page, report, every=details.every_failure)
    _show_balance(page, report, compact_above)


def show_totals(page: Page, report: SweepReport, found: Found) -> None:
    """What was found, the tables by class and by reason."""
    page.line(f"{_title(report)} of {report.home}", Style.TITLE)
    files = f"{counted(found.files, 'file')}, {format_size(found.bytes)}"
    database = f"; {format_size(found.database_bytes)} used in state.db" if found.database_bytes else ""
    page.line(f"{counted(found.sessions, 'session')} with {files}{database}")
    if not report.steps:
        return
    page.line()
    page.table(by_class(report))
    page.line()
    page.table(by_reason(report))
    _show_notes(page, report)


def _title(report: SweepReport) -> str:
    return "Preview of a sweep" if report.dry_run else "Sweep"


def _show_notes(page: Page, report: SweepReport) -> None:
    """What the tables cannot say about parts of the database."""
    done = [outcome.step for outcome in report.outcomes if not outcome.errors and not outcome.idle]
    tiers = {step.tier for step in done}
    if tiers - {None, Tier.FILES}:
        page.line()
    if tiers & _ESTIMATED:
        page.line("What messages and records take in state.db is estimated.", Style.FAINT)
    if report.dry_run and Tier.TOOL_OUTPUT in tiers:
        page.line(
            "Tool output is looked through by the sweep itself: only large output goes, the messages stay.",
            Style.FAINT,
        )
    if any(step.action is Action.ARCHIVE and step.tier is Tier.MESSAGES for step in done):
        page.line(
            "The host still lists conversations without their messages; 'hermes-retention restore SESSION' "
            "puts the messages back.",
            Style.FAINT,
        )


def _show_steps(page: Page, report: SweepReport, *, kept_too: bool) -> None:
    table = step_by_step(report, kept_too=kept_too)
    if table.rows:
        page.line()
        page.table(table)


def show_failures(page: Page, report: SweepReport, *, every: bool) -> None:
    """What was kept although it was due, and each error once."""
    sessions: dict[str, dict[str, None]] = {}
    for outcome in report.failures:
        for error in outcome.errors:
            sessions.setdefault(str(error), {})[outcome.step.session_id] = None
    lines = [
        f"{first}{f' and {len(more):,} more' if more else ''}: {error}"
        for error, (first, *more) in sessions.items()
    ]
    if not lines:
        return
    page.line()
    failed = len({outcome.step.session_id for outcome in report.failures})
    page.line(f"{counted(failed, 'session')} failed and kept what is named here:", Style.BAD)
    show_some(page, lines, every=every)


def _show_unknown(page: Page, report: SweepReport, *, every: bool) -> None:
    if not report.unknown:
        return
    size = format_size(sum(unknown.allocated_bytes for unknown in report.unknown))
    page.line()
    page.line(
        f"{counted(len(report.unknown), 'unknown entry', 'unknown entries')} left alone ({size}):",
        Style.FAINT,
    )
    show_some(page, [f"{one.name}: {one.why}" for one in report.unknown], every=every, few=3)


def _show_balance(page: Page, report: SweepReport, compact_above: float) -> None:
    page.line()
    before, after = format_size(report.bytes_before), format_size(report.bytes_after)
    if report.keeps_all:
        page.line("Nothing is due.", Style.GOOD)
    elif not _something_went(report.counts):
        page.line("Nothing was removed.", Style.GOOD)
    elif report.dry_run:
        page.line(
            f"{_COUNTED} take {before} now and would take about {after}: {_freed(report)}, as far as can be "
            "told before compressing.",
        )
    else:
        page.line(
            f"{_COUNTED} took {before} and take {after} now: {_freed(report)} in {report.seconds:.1f} s.",
            Style.GOOD,
        )
        _show_free_pages(page, report, compact_above)
    if report.routes_dropped:
        left = "would leave" if report.dry_run else "left"
        page.line(f"{counted(report.routes_dropped, 'dead route')} {left} the host's index.")
    if report.sweep is not None and _something_to_undo(report.counts):
        page.line(f"To put it all back: hermes-retention undo {report.sweep}")


def _something_went(counts: Counts) -> bool:
    return _something_to_undo(counts) or counts.deleted + counts.expired > 0


def _something_to_undo(counts: Counts) -> bool:
    return bool(
        counts.files_archived
        + counts.tool_output_archived
        + counts.messages_archived
        + counts.records_archived
    )


def _show_free_pages(page: Page, report: SweepReport, compact_above: float) -> None:
    """Rows leave free pages behind, and the file as large as it was: people look at the file."""
    space = report.database
    if space is None or space.free_share < compact_above or not any(map(_took_rows, report.outcomes)):
        return
    size, free = format_size(space.file_bytes), format_size(space.free_bytes)
    page.line(
        f"state.db keeps its size of {size}; {free} of it is free and will be used again. "
        "'hermes-retention compact' gives it back while the gateway is stopped."
    )


def _took_rows(outcome: Outcome) -> bool:
    return not outcome.errors and outcome.step.takes_rows


def _freed(report: SweepReport) -> str:
    """What the disk gains. The archive of a few small sessions may take more than they did."""
    if report.bytes_freed < 0:
        return f"{format_size(-report.bytes_freed)} more"
    return f"{format_size(report.bytes_freed)} freed"


# -- progress ------------------------------------------------------------------------------------------


class Found(msgspec.Struct, frozen=True):
    """What a scan found in the store."""

    sessions: int = 0
    files: int = 0
    bytes: int = 0
    """Allocated ones, of session files only."""
    database_bytes: int = 0
    """Used pages of the host's database."""


class Watch:
    """Observes a sweep, shows nothing, and remembers what was found. A context manager around the sweep."""

    def __init__(self) -> None:
        self.found = Found()

    def planned(self, inventory: Inventory, plan: Plan) -> None:
        """The plan stands."""
        self.found = count(inventory)

    def done(self, outcome: Outcome) -> None:
        """One more step is done."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""


class BarWatch(Watch):
    """Shows a bar that disappears when the sweep is over."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        super().__init__()
        self._progress: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("Reading", total=None)

    def planned(self, inventory: Inventory, plan: Plan) -> None:
        """From here on there is a number to count to."""
        super().planned(inventory, plan)
        self._progress.update(self._task, description="Archiving", total=len(plan.removals()))

    def done(self, outcome: Outcome) -> None:
        """One further."""
        self._progress.advance(self._task)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def count(inventory: Inventory) -> Found:
    """How much there is in an inventory."""
    sessions = inventory.sessions
    return Found(
        sessions=len(sessions),
        files=sum(len(session.artifacts) for session in sessions),
        bytes=sum(session.allocated_bytes for session in sessions),
        database_bytes=inventory.usage.database_bytes,
    )
