"""The pages of the demonstration. What is shown was found out in ``tour``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.cli.demo.proof import Comparison, Print
from hermes_retention.cli.output.page import Column, Fit, Page, Style, Table
from hermes_retention.cli.output.words import because
from hermes_retention.model.plan import Action, Liveness, Rule, Step, Tier
from hermes_retention.model.session import SessionClass, Usage
from hermes_retention.model.text import counted
from hermes_retention.model.units import format_size

_SHOWN_DIGITS = 24
"""Of 64 hexadecimal digits of a sha256. All of them are compared."""
_LOST_SHOWN = 10
_NEXT = (
    ("sweep --dry-run", "what would go from your own home, and why; changes nothing"),
    ("sweep", "the same in earnest; the first one asks before it removes anything"),
    ("undo", "puts back everything that the last sweep archived"),
    ("settings", "every setting, its value, and where it comes from"),
)


class Balance(msgspec.Struct, frozen=True):
    """Numbers of files, and what everything takes, before and after the sweep."""

    files_before: int
    files_after: int
    files_archived: int
    before: Usage
    after: Usage


def show_balance(page: Page, report: SweepReport, balance: Balance) -> None:
    """Files and bytes before and after."""
    columns = (Column(""), *(Column(title, right=True) for title in ("files", "before", "files", "after")))
    before, after = balance.before, balance.after
    rows = [
        _row(
            "sessions/",
            before.sessions_bytes,
            after.sessions_bytes,
            balance.files_before,
            balance.files_after,
        ),
        _row("state.db, used", before.database_bytes, after.database_bytes),
        ("archive, ledger", "", "", _number(balance.files_archived), format_size(_own(after))),
        _row("together", before.total_bytes, after.total_bytes),
    ]
    page.line()
    page.table(Table(columns, rows, last_is_total=True))
    page.line()
    share = 1 - after.total_bytes / before.total_bytes
    page.line(f"{share:.0%} freed in {report.seconds:.1f} s with the default settings.", Style.GOOD)


def _row(
    name: str, before: int, after: int, files_before: int | None = None, files_after: int | None = None
) -> tuple[str, ...]:
    numbers = ["" if number is None else _number(number) for number in (files_before, files_after)]
    return name, numbers[0], format_size(before), numbers[1], format_size(after)


def _own(usage: Usage) -> int:
    """What archive, ledger and holds take."""
    return usage.vault_bytes + usage.ledger_bytes


def _number(count: int) -> str:
    return f"{count:,}"


class _Group(msgspec.Struct):
    """Sessions that met the same end for the same reason."""

    classes: set[SessionClass]
    sessions: int = 0
    bytes: int = 0

    @property
    def class_name(self) -> str:
        """The class of all of them, if there is one."""
        return next(iter(self.classes)).value if len(self.classes) == 1 else "several"


def show_reasons(page: Page, steps: Sequence[Step]) -> None:
    """What went, by class and rule, and what stays, by rule."""
    gone = [step for step in steps if step.action is not Action.KEEP]
    kept = [step for step in steps if step.action is Action.KEEP]
    right = (Column("sessions", right=True), Column("size", right=True))
    columns = (Column(""), *right, Column("class"), Column("why", fit=Fit.WORDS))
    rows = [*_rows("archived", gone, one_class=True), *_rows("kept", kept, one_class=False)]
    page.line()
    page.table(Table(columns, rows))


def _rows(title: str, steps: Iterable[Step], *, one_class: bool) -> Iterator[tuple[str, ...]]:
    groups: dict[tuple[str, str], _Group] = {}
    for step in steps:
        by_class = one_class and step.tier is Tier.FILES
        key = (step.session_class.value if by_class else "", _why(step))
        group = groups.setdefault(key, _Group(set()))
        group.classes.add(step.session_class)
        group.sessions += 1
        group.bytes += step.bytes
    for number, ((_, why), group) in enumerate(sorted(groups.items(), key=lambda item: -item[1].bytes)):
        yield (
            "" if number else title,
            _number(group.sessions),
            format_size(group.bytes) if group.bytes else "–",
            group.class_name,
            why,
        )


def _why(step: Step) -> str:
    if step.liveness is Liveness.ORPHAN:
        return "orphans: their records are gone, their files are not"
    if step.rule is Rule.DUMPS_AFTER:
        return "request dumps older than DUMPS_AFTER; the session stays"
    return step.reason if step.rule is Rule.HELD else because(step)


def show_restored(page: Page, step: Step, before: Mapping[str, Print], back: Mapping[str, Print]) -> None:
    """The files of one session as they were before the sweep, and as they came back."""
    page.line()
    page.line(f"Session {step.session_id} restored from the archive:", Style.TITLE)
    page.line()
    titles = (Column("file"), Column(""), Column("size", right=True))
    rows = []
    for artifact in step.artifacts:
        rows.append((artifact.kind.value, "was", *_described(before.get(artifact.name))))
        rows.append(("", "is", *_described(back.get(artifact.name))))
    page.table(Table((*titles, Column("sha256"), Column("modified"), Column("mode")), rows))


def _described(found: Print | None) -> tuple[str, str, str, str]:
    if found is None:
        return "missing", "", "", ""
    seconds, nanoseconds = divmod(found.mtime_ns, 10**9)
    return (
        f"{found.size_bytes:,}",
        f"{found.sha256.hex()[:_SHOWN_DIGITS]}…",
        f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z",
        f"{found.mode:04o}",
    )


def show_proof(page: Page, comparison: Comparison) -> None:
    """Whether every file is somewhere as it was."""
    page.line()
    if comparison.lost:
        lost = counted(len(comparison.lost), "file")
        page.line(f"NOT PROVED: {lost} cannot be found as they were:", Style.BAD)
        for name in comparison.lost[:_LOST_SHOWN]:
            page.line(f"  {name}", Style.BAD)
        return
    page.line(
        f"All {comparison.in_vault:,} archived files read back with the bytes, time and mode they had; "
        f"the other {comparison.in_place:,} are untouched.",
        Style.GOOD,
    )


def show_next_steps(page: Page) -> None:
    """What to try next."""
    page.line()
    width = max(len(command) for command, _ in _NEXT)
    for command, meaning in _NEXT:
        page.line(f"hermes-retention {command:{width}}  {meaning}")
