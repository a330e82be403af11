"""The state of a home on one screen, or as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from hermes_retention.discard import REMOVAL
from hermes_retention.ledger import SweepRow
from hermes_retention.names import printable
from hermes_retention.pending import Occasion
from hermes_retention.plan import Liveness, Tier
from hermes_retention.report.json_output import space_object
from hermes_retention.report.page import Column, Fit, Page, Style, Table
from hermes_retention.report.words import PARTS, TO_DO, counted
from hermes_retention.settings.forms import Mode
from hermes_retention.status import DueNow, Group, Status
from hermes_retention.stores.base import DatabaseSpace
from hermes_retention.units import format_duration, format_size

_COUNTED = "session files, state.db, archive and ledger"
_ARCHIVED = {
    "files_archived": PARTS[Tier.FILES],
    "tool_output_archived": PARTS[Tier.TOOL_OUTPUT],
    "messages_archived": PARTS[Tier.MESSAGES],
    "records_archived": PARTS[Tier.RECORD],
}
"""Totals of a sweep → what they are called."""


def show_status(page: Page, status: Status, mode: Mode | None, *, compact_above: float, now: float) -> None:
    """The whole screen. ``compact_above`` is the share of free pages from which compacting is worth it."""
    page.line(f"{printable(status.home)} ({status.store})", Style.TITLE)
    if status.groups:
        page.table(_sessions(status.groups))
    else:
        page.line("  no sessions")
    for name, text in _facts(status, mode, compact_above, now=now):
        page.line(f"  {name:<9} {text}")
    page.line()
    if not status.sweeps:
        page.line("No sweep has changed anything here yet.")
        return
    page.table(_sweeps(status, now=now))


def _sessions(groups: tuple[Group, ...]) -> Table:
    """A row for each class, a column for each liveness that occurs."""
    present = [liveness for liveness in Liveness if any(group.liveness is liveness for group in groups)]
    classes = list(dict.fromkeys(group.session_class for group in groups))
    by_place = {(group.session_class, group.liveness): group for group in groups}
    rows = []
    for kind in classes:
        own = [group for group in groups if group.session_class is kind]
        cells = [by_place.get((kind, liveness)) for liveness in present]
        rows.append((kind.value, *(f"{cell.sessions:,}" if cell else "–" for cell in cells), *_sums(own)))
    if len(classes) > 1:
        counts = [
            f"{sum(group.sessions for group in groups if group.liveness is liveness):,}"
            for liveness in present
        ]
        rows.append(("total", *counts, *_sums(groups)))
    titles = [*(liveness.value for liveness in present), "sessions", "files", "size"]
    columns = (Column("class"), *(Column(title, right=True) for title in titles))
    return Table(columns, rows, last_is_total=len(classes) > 1)


def _sums(groups: tuple[Group, ...] | list[Group]) -> tuple[str, str, str]:
    return (
        f"{sum(group.sessions for group in groups):,}",
        f"{sum(group.files for group in groups):,}",
        format_size(sum(group.bytes for group in groups)),
    )


def _facts(status: Status, mode: Mode | None, compact_above: float, *, now: float) -> list[tuple[str, str]]:
    free = "unknown" if status.usage.free_bytes is None else format_size(status.usage.free_bytes)
    unknown = counted(status.unknown, "entry", "entries")
    return [
        ("due now", _due(status.due)),
        (
            "unknown",
            f"{unknown} left alone ({format_size(status.unknown_bytes)})" if status.unknown else "nothing",
        ),
        ("held", counted(status.holds, "session")),
        ("archive", _archive(status)),
        ("disk", f"{format_size(status.usage.total_bytes)} in {_COUNTED}; {free} free"),
        ("state.db", _database(status.database, compact_above)),
        ("mode", _mode(status, mode, now=now)),
        *_of_gateway(status, now=now),
    ]


_OCCASIONS: dict[str, str] = {Occasion.RESET: "reset", Occasion.END: "ended", Occasion.CRON: "cron run"}


def _of_gateway(status: Status, *, now: float) -> Iterable[tuple[str, str]]:
    """What a gateway has announced; nothing where none ever ran with this plugin."""
    if status.pending:
        numbers = Counter(_OCCASIONS.get(line.occasion, "other") for line in status.pending)
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in sorted(numbers.items()))
        due = min((line.due_at for line in status.pending if line.due_at is not None), default=None)
        when = "they wait for the next sweep" if due is None else f"the first is due {_in(due, now=now)}"
        yield "pending", f"{counted(len(status.pending), 'session')} announced ({kinds}); {when}"
    if status.next_sweep_at is not None:
        yield "gateway", f"sweeps {_in(status.next_sweep_at, now=now)}, if it still runs"


def _in(at: float, *, now: float) -> str:
    return "now" if at <= now else f"in {format_duration(at - now)}"


def _due(due: Iterable[DueNow]) -> str:
    """``to archive: files of 12 sessions (3.1 MB), messages of 4 (1.2 MB); to delete: files of 1 (4 KB)``."""
    by_end: dict[str, list[str]] = {}
    for one in due:
        number = f"{one.sessions:,}" if by_end else counted(one.sessions, "session")
        part = "copies" if one.verdict.tier is None else PARTS[one.verdict.tier]
        size = f" ({format_size(one.bytes)})" if one.bytes else ""
        by_end.setdefault(TO_DO[one.verdict], []).append(f"{part} of {number}{size}")
    return "; ".join(f"{end}: {', '.join(parts)}" for end, parts in by_end.items()) or "nothing"


def _database(space: DatabaseSpace | None, compact_above: float) -> str:
    if space is None:
        return "there is none"
    size = format_size(space.file_bytes)
    if not space.free_bytes or space.free_share < compact_above:
        return size
    return (
        f"{size}, {space.free_share:.0%} free; 'hermes-retention compact' gives back "
        f"{format_size(space.free_bytes)}"
    )


def _archive(status: Status) -> str:
    vault = status.vault
    if vault is None:
        return "DAMAGED; 'hermes-retention archive verify' says where"
    if not vault.artifacts:
        return "empty"
    ratio = vault.original_bytes / vault.stored_bytes if vault.stored_bytes else 0
    return (
        f"{counted(vault.sessions, 'session')}, {format_size(vault.original_bytes)} stored in "
        f"{format_size(vault.stored_bytes)} ({ratio:.1f}×), {counted(vault.partitions, 'month')}"
    )


def _mode(status: Status, mode: Mode | None, *, now: float) -> str:
    if mode is Mode.OBSERVE:
        return "observe: sweeps only report"
    if mode is Mode.OFF:
        return "off: there are no sweeps"
    if mode is Mode.ENFORCE:
        return "enforce: sweeps archive and remove"
    if status.swept_before:
        return "not set: sweeps archive and remove, as the first one was agreed to"
    if status.announcement is not None:
        when, number = _in(status.announcement.acts_at, now=now), status.announcement.sessions
        return (
            f"not set: a gateway announced the first sweep, {when}, of {counted(number, 'session')}; "
            "HERMES_RETENTION_MODE=observe or off prevents it"
        )
    return "not set: the first sweep that would remove something asks"


def _sweeps(status: Status, *, now: float) -> Table:
    columns = (
        Column("last sweeps"),
        Column("when"),
        Column("by"),
        Column("freed", right=True),
        Column("what", fit=Fit.WORDS),
    )
    return Table(columns, [_sweep(sweep, now=now) for sweep in status.sweeps])


def _sweep(sweep: SweepRow, *, now: float) -> tuple[str, ...]:
    freed = freed_bytes(sweep)
    return (
        sweep.id,
        f"{format_duration(now - sweep.started_at)} ago",
        sweep.origin,
        "?" if freed is None else format_size(freed),
        _what(sweep),
    )


def _what(sweep: SweepRow) -> str:
    if sweep.state == "running":
        return "not finished"  # it still runs, or it died
    if sweep.state != "done":
        return f"{sweep.state}; the next sweep went on with it"
    archived = [
        f"{word} of {sweep.totals[key]:,}" for key, word in _ARCHIVED.items() if sweep.totals.get(key)
    ]
    words = {"deleted": "deleted", "expired": "expired", "forgotten": "forgotten", "failed": "failed"}
    if sweep.origin == REMOVAL:
        words["expired"] = "removed"
    numbers = [f"{sweep.totals[key]:,} {word}" for key, word in words.items() if sweep.totals.get(key)]
    undone = [] if sweep.undone_at is None else ["undone"]
    said = [f"archived {', '.join(archived)}"] if archived else []
    return "; ".join([*said, *numbers, *undone]) or "nothing"


def freed_bytes(sweep: SweepRow) -> int | None:
    """What a sweep gave back to the file system; ``None`` when it died before it could say."""
    totals = sweep.totals
    return (
        totals["bytes_before"] - totals["bytes_after"]
        if {"bytes_before", "bytes_after"} <= totals.keys()
        else None
    )


def status_object(status: Status, mode: Mode | None) -> dict[str, Any]:
    """The state as plain JSON data."""
    return {
        "home": printable(status.home),
        "store": status.store,
        "mode": None if mode is None else mode.value,
        "swept_before": status.swept_before,
        "sessions": [
            {
                "class": group.session_class.value,
                "liveness": group.liveness.value,
                "sessions": group.sessions,
                "files": group.files,
                "bytes": group.bytes,
            }
            for group in status.groups
        ],
        "due": [
            {"verdict": one.verdict.value, "sessions": one.sessions, "bytes": one.bytes} for one in status.due
        ],
        "unknown": {"entries": status.unknown, "bytes": status.unknown_bytes},
        "holds": status.holds,
        "pending": [
            {
                "occasion": str(line.occasion),
                "session_id": printable(line.session_id),
                "noted_at": line.noted_at,
                "due_at": line.due_at,
            }
            for line in status.pending
        ],
        "next_sweep_at": status.next_sweep_at,
        "first_sweep": None if status.announcement is None else msgspec.structs.asdict(status.announcement),
        "archive": None if status.vault is None else msgspec.structs.asdict(status.vault),
        "usage": {**msgspec.structs.asdict(status.usage), "total_bytes": status.usage.total_bytes},
        "database": space_object(status.database),
        "sweeps": [
            {
                "sweep": sweep.id,
                "started_at": sweep.started_at,
                "finished_at": sweep.finished_at,
                "origin": sweep.origin,
                "state": sweep.state,
                "undone_at": sweep.undone_at,
                "bytes_freed": freed_bytes(sweep),
                "totals": sweep.totals,
            }
            for sweep in status.sweeps
        ],
        "warnings": [
            printable(warning)
            for warning in (
                *status.warnings,
                *([] if status.vault_damage is None else [str(status.vault_damage)]),
            )
        ],
    }
