"""``simulate``: what would have been under other settings, and what will be."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hermes_retention.cli.options import DAYS, JSON, Command, Option
from hermes_retention.cli.output.page import Column, Page, Style, Table, bar
from hermes_retention.model.errors import ExitCode, UsageError
from hermes_retention.model.text import counted, format_size, format_time

if TYPE_CHECKING:
    from hermes_retention.actions.inspect.simulate import Course, Simulation
    from hermes_retention.cli.context import Context
    from hermes_retention.model.session import Usage

COMMAND = Command(
    "show the disk over time under other settings, and a forecast",
    about="""\
Replays the history of this home, as far as the store and the archive still tell
it, under today's settings and under those of --set, as if sweeps had run all
the time. Ahead of today the same is taken to come again. Changes nothing.""",
    examples="""\
  %(prog)s
  %(prog)s --set CRON__MESSAGES_AFTER=24h --set MAX_DISK=2GB
  %(prog)s --days 30 --set CHAT__FILES_AFTER=2d --json""",
    options=(
        DAYS,
        Option(
            "--set",
            dest="changes",
            metavar="NAME=VALUE",
            action="append",
            default=[],
            help="a setting to try, with or without HERMES_RETENTION_; may be given several times",
        ),
        JSON,
    ),
)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """The history of the home under other settings."""
    from hermes_retention.actions.inspect.simulate import read_history, simulate
    from hermes_retention.cli.context import print_object

    now, home = context.clock(), context.home
    changes = _changes(arguments.changes)
    proposed = context.loader.settings_with(changes).policy() if changes else None
    history = read_history(home, now=now)
    simulation = simulate(history, home.policy, proposed, days=arguments.days, now=now)
    lines = [f"{name}={value}" for name, value in changes.items()]
    if context.json:
        print_object(simulation_object(simulation, lines, str(home.path)))
    else:
        usage = history.inventory.usage
        show_simulation(context.page, simulation, lines, str(home.path), usage=usage)
        context.warn([str(damage) for damage in history.damages])
    return ExitCode.VAULT_DAMAGED if history.damages else ExitCode.DONE


def _changes(texts: list[str]) -> dict[str, str]:
    """The settings in ``NAME=VALUE`` by their whole names. Whether they exist is told when they are read."""
    from hermes_retention.settings.fields import PREFIX

    changes = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UsageError(
                f"--set {text}",
                "it is not NAME=VALUE",
                consequence="nothing was simulated",
                cure="Write it as --set CRON__MESSAGES_AFTER=24h; 'hermes-retention settings' lists all.",
            )
        name = name.strip().upper()
        changes[name if name.startswith(PREFIX) else PREFIX + name] = value.strip()
    return changes


_ROWS = 24
"""Lines of the drawing, at most."""
_BAR = 18
_ASSUMED = (
    "Sweeps are taken to have run all the time. What was deleted for good is unknown, and",
    "tool output counts as gone only with its messages.",
)


def show_simulation(
    page: Page, simulation: Simulation, changes: Sequence[str], home: str, *, usage: Usage
) -> None:
    """The whole screen. ``changes`` are the settings that were proposed, ``usage`` what is really taken."""
    page.line(f"Simulation of {home}", Style.TITLE)
    page.line(
        f"  {counted(simulation.days, 'day')} back, and {simulation.days} ahead if the same comes again"
    )
    if simulation.step_days > 1:
        page.line(f"  a sweep every {simulation.step_days:.1f} days; in truth they come more often")
    for change in changes:
        page.line(f"  proposed: {change}")
    page.line()
    page.table(_drawing(simulation, with_bars=page.width is not None))
    page.line()
    page.table(_summary(simulation))
    page.line()
    page.line(f"  really taken now: {format_size(usage.total_bytes)}")
    share = f"{simulation.scale.archived_share:.0%} of the original"
    how = "as measured here" if simulation.scale.is_measured else "a cautious guess: nothing is archived yet"
    page.line(f"  archived copies: {share}, {how}")
    for line in _ASSUMED:
        page.line(f"  {line}", Style.FAINT)


def _courses(simulation: Simulation) -> list[tuple[str, Course]]:
    courses = [("no sweeps", simulation.without), ("today's settings", simulation.current)]
    return courses if simulation.proposed is None else [*courses, ("proposed", simulation.proposed)]


def _drawing(simulation: Simulation, *, with_bars: bool) -> Table:
    courses = _courses(simulation)[1:]  # without sweeps there would be no room for the others
    largest = max((course.peak.total_bytes for _, course in courses), default=0) or 1
    columns = [Column("day")]
    for name, _ in courses:
        columns += [Column(name, right=True), *([Column("")] if with_bars else [])]
    columns.append(Column("no sweeps", right=True))
    rows = []
    for place in _chosen(simulation):
        row = [_day(simulation, place)]
        for _, course in courses:
            total = course.points[place].total_bytes
            row += [format_size(total), *([bar(total / largest, _BAR)] if with_bars else [])]
        rows.append((*row, format_size(simulation.without.points[place].total_bytes)))
    return Table(tuple(columns), rows)


def _chosen(simulation: Simulation) -> list[int]:
    """The places that are drawn: evenly, with today among them."""
    count = len(simulation.current.points)
    middle = count // 2
    step = max(1, -(-count // _ROWS))
    return list(range(middle % step, count, step))


def _day(simulation: Simulation, place: int) -> str:
    day = format_time(simulation.current.points[place].at)[:10]
    return f"{day} today" if place == len(simulation.current.points) // 2 else day


def _summary(simulation: Simulation) -> Table:
    columns = (
        Column("settings"),
        *(Column(it, right=True) for it in ("today", "of it files", "state.db", "archive")),
        Column(f"in {simulation.days} days", right=True),
        Column("most", right=True),
        Column("disk full"),
    )
    rows = []
    for name, course in _courses(simulation):
        today, full = course.today, course.full_at(simulation.capacity_bytes)
        rows.append(
            (
                name,
                format_size(today.total_bytes),
                format_size(today.files_bytes),
                format_size(today.database_bytes),
                format_size(today.archive_bytes),
                format_size(course.points[-1].total_bytes),
                format_size(course.peak.total_bytes),
                f"not within {simulation.days} days" if full is None else format_time(full)[:10],
            )
        )
    return Table(columns, rows)


def simulation_object(simulation: Simulation, changes: Sequence[str], home: str) -> dict[str, Any]:
    """The courses as plain JSON data."""
    return {
        "home": home,
        "now": simulation.now,
        "days": simulation.days,
        "step_days": simulation.step_days,
        "changes": list(changes),
        "capacity_bytes": simulation.capacity_bytes,
        "archived_share": simulation.scale.archived_share,
        "is_measured": simulation.scale.is_measured,
        "without": _course_object(simulation.without, simulation),
        "current": _course_object(simulation.current, simulation),
        "proposed": None if simulation.proposed is None else _course_object(simulation.proposed, simulation),
    }


def _course_object(course: Course, simulation: Simulation) -> dict[str, Any]:
    import msgspec

    return {
        "full_at": course.full_at(simulation.capacity_bytes),
        "peak_bytes": course.peak.total_bytes,
        "points": [
            {**msgspec.structs.asdict(point), "total_bytes": point.total_bytes} for point in course.points
        ],
    }
