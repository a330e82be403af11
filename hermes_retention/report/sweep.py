"""A sweep on one screen: what was found, what happened and why, before and after, and how to undo it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from hermes_retention.model import SessionClass
from hermes_retention.names import printable
from hermes_retention.plan import Step, Verdict
from hermes_retention.report.page import Column, Fit, Page, Style, Table
from hermes_retention.report.progress import Found
from hermes_retention.report.words import DONE, TO_DO, because, counted
from hermes_retention.sweep import SweepReport
from hermes_retention.units import format_size

FEW = 10
"""How many lines of a kind are shown without ``-v``."""
_FAILED = "failed"


class Details(msgspec.Struct, frozen=True):
    """What a person wants to see beyond the summary."""

    every_failure: bool = False
    steps: bool = False
    kept_steps: bool = False


def show_sweep(page: Page, report: SweepReport, found: Found, details: Details) -> None:
    """The whole screen."""
    show_totals(page, report, found)
    if details.steps or details.kept_steps:
        _show_steps(page, report, kept_too=details.kept_steps)
    show_failures(page, report, every=details.every_failure)
    _show_unknown(page, report, every=details.every_failure)
    _show_balance(page, report)


def show_totals(page: Page, report: SweepReport, found: Found) -> None:
    """What was found, the table by class and verdict, and the reasons."""
    page.line(f"{_title(report)} of {printable(report.home)}", Style.TITLE)
    files = counted(found.files, "file")
    page.line(f"{counted(found.sessions, 'session')} with {files}, {format_size(found.bytes)}")
    if not report.steps:
        return
    page.line()
    page.table(_by_class(report))
    page.line()
    page.table(_by_reason(report))


def _title(report: SweepReport) -> str:
    return "Preview of a sweep" if report.dry_run else "Sweep"


class _Sum(msgspec.Struct):
    count: int = 0
    bytes: int = 0

    def add(self, step: Step) -> None:
        self.count += 1
        self.bytes += step.bytes


def _by_class(report: SweepReport) -> Table:
    words = TO_DO if report.dry_run else DONE
    failed = _failed(report)
    sums: dict[tuple[SessionClass, str], _Sum] = {}
    for step in report.steps:
        key = _FAILED if _key(step) in failed else words[step.verdict]
        sums.setdefault((step.session_class, key), _Sum()).add(step)
    present = [
        word
        for word in (*(words[verdict] for verdict in _ORDER), _FAILED)
        if any(key == word for _, key in sums) or word == words[Verdict.KEEP]
    ]
    columns = [Column("class")]
    for word in present:
        columns += [Column(word, right=True), Column("", right=True)]
    classes = [one for one in SessionClass if any(key[0] is one for key in sums)]
    rows = [_class_row(one, [sums.get((one, word), _Sum()) for word in present]) for one in classes]
    if len(classes) > 1:
        totals = [
            _Sum(
                sum(one.count for (_, key), one in sums.items() if key == word),
                sum(one.bytes for (_, key), one in sums.items() if key == word),
            )
            for word in present
        ]
        rows.append(_class_row("total", totals))
    return Table(tuple(columns), rows, last_is_total=len(classes) > 1)


_ORDER = (Verdict.ARCHIVE_FILES, Verdict.DELETE_FILES, Verdict.EXPIRE_ARCHIVE, Verdict.KEEP)


def _class_row(name: str, sums: Iterable[_Sum]) -> tuple[str, ...]:
    row = [str(name)]
    for one in sums:
        row += [f"{one.count:,}", format_size(one.bytes)] if one.count else ["–", ""]
    return tuple(row)


def _key(step: Step) -> tuple[str, Verdict, str | None]:
    return step.session_id, step.verdict, step.partition


def _failed(report: SweepReport) -> set[tuple[str, Verdict, str | None]]:
    return {_key(outcome.step) for outcome in report.failures}


def _by_reason(report: SweepReport) -> Table:
    words = TO_DO if report.dry_run else DONE
    failed = _failed(report)
    sums: dict[tuple[int, str], _Sum] = {}
    for step in report.steps:
        if _key(step) not in failed:
            sums.setdefault((_ORDER.index(step.verdict), because(step)), _Sum()).add(step)
    ordered = sorted(sums.items(), key=lambda item: (item[0][0], -item[1].bytes, -item[1].count, item[0][1]))
    rows = []
    previous = None
    for (place, reason), one in ordered:
        word = words[_ORDER[place]]
        size = format_size(one.bytes) if one.bytes else ""
        rows.append((word if word != previous else "", f"{one.count:,}", size, reason))
        previous = word
    return Table(
        (
            Column(""),
            Column("sessions", right=True),
            Column("size", right=True),
            Column("why", fit=Fit.WORDS),
        ),
        rows,
    )


def _show_steps(page: Page, report: SweepReport, *, kept_too: bool) -> None:
    words = TO_DO if report.dry_run else DONE
    failed = _failed(report)
    rows = [
        (
            _FAILED if _key(step) in failed else words[step.verdict],
            printable(step.session_id),
            step.session_class.value,
            format_size(step.bytes),
            step.reason,
        )
        for step in report.steps
        if kept_too or step.verdict is not Verdict.KEEP
    ]
    if not rows:
        return
    page.line()
    columns = (
        Column(""),
        Column("session", fit=Fit.NAME),
        Column("class"),
        Column("size", right=True),
        Column("reason", fit=Fit.WORDS),
    )
    page.table(Table(columns, rows))


def show_failures(page: Page, report: SweepReport, *, every: bool) -> None:
    """What was kept although it was due, and each error once."""
    sessions: dict[str, list[str]] = {}
    for outcome in report.failures:
        for error in outcome.errors:
            sessions.setdefault(printable(str(error)), []).append(printable(outcome.step.session_id))
    lines = [
        f"{first}{f' and {len(more):,} more' if more else ''}: {error}"
        for error, (first, *more) in sessions.items()
    ]
    if not lines:
        return
    page.line()
    page.line(f"{counted(len(report.failures), 'session')} failed and kept what is named here:", Style.BAD)
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
    show_some(page, [f"{printable(one.name)}: {one.why}" for one in report.unknown], every=every, few=3)


def show_some(page: Page, lines: Sequence[str], *, every: bool, few: int = FEW) -> None:
    """The first few of ``lines``, indented, or all of them."""
    shown = lines if every else lines[:few]
    for line in shown:
        page.line(f"  {line}")
    if len(lines) > len(shown):
        page.line(f"  … and {len(lines) - len(shown):,} more; -v shows all", Style.FAINT)


def _show_balance(page: Page, report: SweepReport) -> None:
    page.line()
    before, after = format_size(report.bytes_before), format_size(report.bytes_after)
    removed = report.counts.files_archived + report.counts.deleted + report.counts.expired
    if not removed:
        page.line("Nothing is due." if not report.counts.failed else "Nothing was removed.", Style.GOOD)
    elif report.dry_run:
        page.line(
            f"Sessions, archive and ledger take {before} now and would take about {after}: "
            f"{_freed(report)}, as far as can be told before compressing.",
        )
    else:
        page.line(
            f"Sessions, archive and ledger took {before} and take {after} now: {_freed(report)} "
            f"in {report.seconds:.1f} s.",
            Style.GOOD,
        )
    if report.sweep is not None and report.counts.files_archived:
        page.line(f"To put it all back: hermes-retention undo {report.sweep}")


def _freed(report: SweepReport) -> str:
    """What the disk gains. The archive of a few small sessions may take more than they did."""
    if report.bytes_freed < 0:
        return f"{format_size(-report.bytes_freed)} more"
    return f"{format_size(report.bytes_freed)} freed"
