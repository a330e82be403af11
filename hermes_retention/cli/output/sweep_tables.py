"""The tables of a sweep: how many sessions of each class lose what, why, and step by step.

What must not live here: which of them are shown, and what is said around them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeAlias

import msgspec

from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.cli.output.page import Column, Fit, Table
from hermes_retention.cli.output.words import DONE, TO_DO, because
from hermes_retention.model.plan import Action, Step, Tier
from hermes_retention.model.session import SessionClass
from hermes_retention.model.text import format_size

_FAILED = "failed"
_ACTIONS = (Action.ARCHIVE, Action.DELETE, Action.EXPIRE, Action.KEEP)
_TIERS = tuple(Tier)
_Place: TypeAlias = tuple[int, int]
"""Where an end stands in a table: by action, then by tier."""


class _Sum(msgspec.Struct):
    """Sessions, each counted once however many steps it has, and the bytes of these steps."""

    sessions: set[str] = msgspec.field(default_factory=set)
    bytes: int = 0

    def add(self, step: Step) -> None:
        self.sessions.add(step.session_id)
        self.bytes += step.bytes

    @property
    def count(self) -> str:
        return f"{len(self.sessions):,}" if self.sessions else "–"


class _Ends:
    """What to call the end that a step met, or would meet."""

    def __init__(self, report: SweepReport) -> None:
        self._words = TO_DO if report.dry_run else DONE
        self._failed = {_key(outcome.step) for outcome in report.failures}
        self.archived = self._words[Action.ARCHIVE]
        self.kept = self._words[Action.KEEP]

    def has_failed(self, step: Step) -> bool:
        return _key(step) in self._failed

    def name(self, step: Step) -> str:
        return _FAILED if self.has_failed(step) else self.of(step.action, step.tier)

    def of(self, action: Action, tier: Tier | None) -> str:
        """What is archived goes by its part: the tables say in their first title that it is archived."""
        if action is Action.ARCHIVE and tier is not None:
            return tier.words
        return self._words[action]

    def at(self, place: _Place) -> str:
        """The end that stands there."""
        return self.of(_ACTIONS[place[0]], _TIERS[place[1]])


def _place(step: Step) -> _Place:
    return _ACTIONS.index(step.action), 0 if step.tier is None else _TIERS.index(step.tier)


def _key(step: Step) -> tuple[str, str, str | None]:
    return step.session_id, step.verdict, step.partition


def by_class(report: SweepReport) -> Table:
    """A row for each class: of how many sessions goes what, how large that is, and how many stay whole."""
    ends = _Ends(report)
    sums: dict[tuple[SessionClass, str], _Sum] = {}
    for step in report.steps:
        sums.setdefault((step.session_class, ends.name(step)), _Sum()).add(step)
    present = {end for _, end in sums}
    every = dict.fromkeys(ends.of(action, tier) for action in _ACTIONS for tier in _TIERS)
    going = [end for end in every if end in present and end != ends.kept]
    staying = [_FAILED, ends.kept] if _FAILED in present else [ends.kept]
    classes = [one for one in SessionClass if any(kind is one for kind, _ in sums)]
    rows = [_class_row(sums, [one], going, staying, name=one.value) for one in classes]
    if len(classes) > 1:
        rows.append(_class_row(sums, classes, going, staying, name="total"))
    titles = [*going, *(["size"] if going else []), *staying]
    columns = (Column("class"), *(Column(title, right=True) for title in titles))
    return Table(columns, rows, last_is_total=len(classes) > 1)


def _class_row(
    sums: dict[tuple[SessionClass, str], _Sum],
    classes: Collection[SessionClass],
    going: Iterable[str],
    staying: Iterable[str],
    *,
    name: str,
) -> tuple[str, ...]:
    gone = [_joined(sums, classes, end) for end in going]
    size = [_size(sum(one.bytes for one in gone))] if gone else []
    stay = [_joined(sums, classes, end) for end in staying]
    return (name, *(one.count for one in gone), *size, *(one.count for one in stay))


def _joined(sums: dict[tuple[SessionClass, str], _Sum], classes: Iterable[SessionClass], end: str) -> _Sum:
    found = [sums[kind, end] for kind in classes if (kind, end) in sums]
    return _Sum(set().union(*(one.sessions for one in found)), sum(one.bytes for one in found))


def by_reason(report: SweepReport) -> Table:
    """A row for each end and reason, the largest first; what failed is left out."""
    ends = _Ends(report)
    sums: dict[tuple[_Place, str], _Sum] = {}
    for step in report.steps:
        if not ends.has_failed(step):
            sums.setdefault((_place(step), because(step)), _Sum()).add(step)
    archived = {key: one for key, one in sums.items() if _ACTIONS[key[0][0]] is Action.ARCHIVE}
    others = {key: one for key, one in sums.items() if key not in archived}
    gap = [("", "", "", "")] if archived and others else []
    columns = (
        Column(ends.archived if archived else ""),
        Column("sessions", right=True),
        Column("size", right=True),
        Column("why", fit=Fit.WORDS),
    )
    return Table(columns, [*_reason_rows(archived, ends), *gap, *_reason_rows(others, ends)])


def _reason_rows(sums: dict[tuple[_Place, str], _Sum], ends: _Ends) -> Iterable[tuple[str, ...]]:
    ordered = sorted(
        sums.items(), key=lambda item: (item[0][0], -item[1].bytes, -len(item[1].sessions), item[0][1])
    )
    previous = None
    for (place, reason), one in ordered:
        end = ends.at(place)
        yield ("" if end == previous else end, one.count, _size(one.bytes), reason)
        previous = end


def step_by_step(report: SweepReport, *, kept_too: bool) -> Table:
    """A row for each step, in the order of the plan."""
    ends = _Ends(report)
    rows = [
        (
            ends.name(step),
            step.session_id,
            step.session_class.value,
            _size(step.bytes),
            step.reason,
        )
        for step in report.steps
        if kept_too or step.action is not Action.KEEP
    ]
    columns = (
        Column(ends.archived),
        Column("session", fit=Fit.NAME),
        Column("class"),
        Column("size", right=True),
        Column("reason", fit=Fit.WORDS),
    )
    return Table(columns, rows)


def _size(size_bytes: int) -> str:
    """Nothing is known of tool output that nobody looked at, and a session without files has no size."""
    return format_size(size_bytes) if size_bytes else "–"
