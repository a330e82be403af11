"""The state of a home on one screen, or as data; some of its lines stand in the page of the report too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from hermes_retention.actions.inspect.stats import DueNow, Group, Growth, SessionStage
from hermes_retention.actions.inspect.status import Status
from hermes_retention.actions.sweep.mode import moment_words
from hermes_retention.actions.sweep.recovery import Drill
from hermes_retention.actions.upkeep.prune import REMOVAL
from hermes_retention.archive.vault import VaultSummary
from hermes_retention.cli.output.page import Column, Page, Style, Table, bar, titled
from hermes_retention.cli.output.words import TO_DO
from hermes_retention.home.ledger import SweepRow
from hermes_retention.home.queue import Occasion
from hermes_retention.model.plan import Liveness, Tier
from hermes_retention.model.session import SessionClass
from hermes_retention.model.text import counted, format_duration, format_size, format_time
from hermes_retention.stores.base import DatabaseSpace, HostSetting

_COUNTED = "session files, state.db, archive and ledger"
_ARCHIVED = {
    "files_archived": Tier.FILES.words,
    "tool_output_archived": Tier.TOOL_OUTPUT.words,
    "messages_archived": Tier.MESSAGES.words,
    "records_archived": Tier.RECORD.words,
}
"""Totals of a sweep → what they are called."""
_STAGES = {
    SessionStage.FILES: "files, and all else",
    SessionStage.MESSAGES: "messages",
    SessionStage.CONVERSATION: "messages, no tool output",
    SessionStage.RECORD: "only the record",
}
_BAR = 16
"""Cells of a bar."""
_FAR = 10 * 365 * 86400
"""Seconds: nobody knows what a rate is worth by then."""


def show_status(page: Page, status: Status, *, compact_above: float, now: float) -> None:
    """The whole screen. ``compact_above`` is the share of free pages from which compacting is worth it."""
    page.line(f"{status.home} ({status.store})", Style.TITLE)
    if status.picture.groups:
        _show_sessions(page, status, now=now)
    else:
        page.line("  no sessions")
    page.line()
    facts = _facts(status, compact_above, now=now)
    if status.drill is not None:
        facts.append(("drill", _drill(status.drill, now)))
    for name, text in facts:
        page.line(f"  {name:<9} {text}")
    if status.host_settings:
        page.line()
        page.table(_host_settings(status.host_settings))
    page.line()
    if not status.sweeps:
        page.line("No sweep has changed anything here yet.")
        return
    page.table(_sweeps(status, now=now))


def _show_sessions(page: Page, status: Status, *, now: float) -> None:
    groups = status.picture.groups
    bars = page.width is not None
    page.table(_by_class(groups))
    page.line()
    page.table(_sizes("class", _per_class(groups, status.vault), with_bars=bars))
    page.line()
    page.table(_sizes("what is left", _per_stage(groups, status.vault), with_bars=bars))
    if not status.is_fresh:
        since = format_duration(now - status.picture.taken_at)
        page.line(f"  as the sweep left it {since} ago; --fresh looks through all of it again", Style.FAINT)


def _by_class(groups: tuple[Group, ...]) -> Table:
    """A row for each class, a column for each liveness that occurs."""
    present = [it for it in Liveness if any(group.liveness is it for group in groups)]
    classes = list(dict.fromkeys(group.session_class for group in groups))

    def row(title: str, kind: SessionClass | None) -> tuple[str, ...]:
        own = [group for group in groups if kind in (None, group.session_class)]
        counts = [sum(group.sessions for group in own if group.liveness is it) for it in present]
        return title, *(f"{count:,}" if count else "–" for count in counts), f"{sum(counts):,}"

    rows = [row(kind.value, kind) for kind in classes]
    if len(classes) > 1:
        rows.append(row("total", None))
    columns = (
        Column("class"),
        *(Column(it.value, right=True) for it in present),
        Column("sessions", right=True),
    )
    return Table(columns, rows, last_is_total=len(classes) > 1)


class _Sizes(msgspec.Struct, frozen=True):
    """A row of a table of sizes. Of the archive only its share of what is stored is known, by originals."""

    title: str
    sessions: int
    files: int
    file_bytes: int
    rows: int
    rows_bytes: int
    archived_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.file_bytes + self.rows_bytes + self.archived_bytes


def _per_class(groups: tuple[Group, ...], vault: VaultSummary | None) -> list[_Sizes]:
    archived = {it.session_class: it.original_bytes for it in vault.classes} if vault is not None else {}
    ratio = vault.ratio if vault is not None else 0.0
    return [
        _sum(
            kind.value,
            [group for group in groups if group.session_class is kind],
            round(archived.get(kind, 0) / ratio) if ratio else 0,
        )
        for kind in SessionClass
        if kind in archived or any(group.session_class is kind for group in groups)
    ]


def _per_stage(groups: tuple[Group, ...], vault: VaultSummary | None) -> list[_Sizes]:
    rows = [
        _sum(_STAGES[stage], [group for group in groups if group.stage is stage])
        for stage in SessionStage
        if any(group.stage is stage for group in groups)
    ]
    if vault is not None and vault.artifacts:
        rows.append(_Sizes("in the archive", vault.sessions, 0, 0, 0, 0, vault.stored_bytes))
    return rows


def _sum(title: str, groups: list[Group], archived_bytes: int = 0) -> _Sizes:
    return _Sizes(
        title,
        sum(group.sessions for group in groups),
        sum(group.files for group in groups),
        sum(group.bytes for group in groups),
        sum(group.rows for group in groups),
        sum(group.rows_bytes for group in groups),
        archived_bytes,
    )


def _sizes(title: str, sizes: list[_Sizes], *, with_bars: bool) -> Table:
    columns = [
        Column(title),
        *(Column(it, right=True) for it in ("sessions", "files", "size", "rows", "about", "archived")),
    ]
    rows = [
        (
            it.title,
            f"{it.sessions:,}" if it.sessions else "–",
            f"{it.files:,}" if it.files else "–",
            format_size(it.file_bytes) if it.files else "–",
            f"{it.rows:,}" if it.rows else "–",
            format_size(it.rows_bytes) if it.rows_bytes else "–",
            format_size(it.archived_bytes) if it.archived_bytes else "–",
        )
        for it in sizes
    ]
    if not with_bars:
        return Table(tuple(columns), rows)
    largest = max((it.total_bytes for it in sizes), default=0) or 1
    drawn = [(*row, bar(it.total_bytes / largest, _BAR)) for row, it in zip(rows, sizes, strict=True)]
    return Table((*columns, Column("")), drawn)


def _host_settings(settings: Iterable[HostSetting]) -> Table:
    columns = titled("setting of the host", "value", "what it is about…")
    rows = [
        (one.name, f"not set ({one.default})" if one.value is None else one.value, one.why)
        for one in settings
    ]
    return Table(columns, rows)


def _facts(status: Status, compact_above: float, *, now: float) -> list[tuple[str, str]]:
    free = "unknown" if status.usage.free_bytes is None else format_size(status.usage.free_bytes)
    picture = status.picture
    unknown = counted(picture.unknown, "entry", "entries")
    return [
        ("due now", _due(picture.due)),
        (
            "unknown",
            f"{unknown} left alone ({format_size(picture.unknown_bytes)})" if picture.unknown else "nothing",
        ),
        ("held", counted(status.holds, "session")),
        ("archive", archive_words(status)),
        ("disk", f"{format_size(status.usage.total_bytes)} in {_COUNTED}; {free} free"),
        ("growth", growth_words(status.growth)),
        ("full", full_words(status.growth, now=now)),
        ("state.db", _database(status.database, compact_above)),
        ("mode", status.mode.words(now=now)),
        *([] if status.host_prune is None else [("host prunes", status.host_prune.words(now=now))]),
        *_of_gateway(status, now=now),
    ]


_OCCASIONS: dict[str, str] = {Occasion.RESET: "reset", Occasion.END: "ended", Occasion.CRON: "cron run"}


def _of_gateway(status: Status, *, now: float) -> Iterable[tuple[str, str]]:
    """What a gateway has announced; nothing where none ever ran with this plugin."""
    if status.pending:
        numbers = Counter(_OCCASIONS.get(line.occasion, "other") for line in status.pending)
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in sorted(numbers.items()))
        due = min((line.due_at for line in status.pending if line.due_at is not None), default=None)
        when = (
            "they wait for the next sweep"
            if due is None
            else f"the first is due {moment_words(due, now=now)}"
        )
        yield "pending", f"{counted(len(status.pending), 'session')} announced ({kinds}); {when}"
    when_next = status.mode.next_words(now=now)
    if when_next is not None:
        yield "gateway", when_next


def growth_words(growth: Growth) -> str:
    """How fast a home grows, as far as that was measured."""
    parts = []
    if growth.net_per_day is not None:
        sign = "+" if growth.net_per_day >= 0 else "-"
        size = format_size(abs(growth.net_per_day))
        parts.append(f"{sign}{size} a day, measured over {counted(round(growth.net_days), 'day')}")
    if growth.written_per_day is not None:
        days = counted(growth.written_days, "day")
        parts.append(f"{format_size(growth.written_per_day)} a day written in the last {days}")
    return "; ".join(parts) or "nothing was written in the last 30 days"


def full_words(growth: Growth, *, now: float) -> str:
    """When the disk is full at that rate."""
    if growth.disk_full_at is None:
        return "never at this rate"
    wait = growth.disk_full_at - now
    if wait > _FAR:
        return "not within ten years at this rate"
    basis = "" if growth.net_per_day is not None else " if nothing were removed"
    return f"on {format_time(growth.disk_full_at)[:10]} at this rate{basis} (in {format_duration(wait)})"


def _due(due: Iterable[DueNow]) -> str:
    """``to archive: files of 12 sessions (3.1 MB), messages of 4 (1.2 MB); to delete: files of 1 (4 KB)``."""
    by_end: dict[str, list[str]] = {}
    for one in due:
        number = f"{one.sessions:,}" if by_end else counted(one.sessions, "session")
        part = "copies" if one.tier is None else one.tier.words
        size = f" ({format_size(one.bytes)})" if one.bytes else ""
        by_end.setdefault(TO_DO[one.action], []).append(f"{part} of {number}{size}")
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


def archive_words(status: Status) -> str:
    """What the archive holds."""
    vault = status.vault
    if vault is None:
        return "DAMAGED; 'hermes-retention archive verify' says where"
    if not vault.artifacts:
        return "empty"
    return (
        f"{counted(vault.sessions, 'session')}, {format_size(vault.original_bytes)} stored in "
        f"{format_size(vault.stored_bytes)} ({vault.ratio:.1f}×), {counted(vault.partitions, 'month')}"
    )


def _drill(drill: Drill, now: float) -> str:
    when = f"{format_duration(max(0.0, now - drill.at))} ago"
    if drill.damages:
        return f"DAMAGE FOUND {when}; 'hermes-retention archive verify' says where"
    return f"{counted(drill.sessions, 'archived session')} read back whole {when}"


def _sweeps(status: Status, *, now: float) -> Table:
    columns = titled("last sweeps", "when", "by", ">freed", "what…")
    return Table(columns, [_sweep(sweep, now=now) for sweep in status.sweeps])


def _sweep(sweep: SweepRow, *, now: float) -> tuple[str, ...]:
    freed = freed_bytes(sweep)
    return (
        sweep.id,
        f"{format_duration(now - sweep.started_at)} ago",
        sweep.origin,
        "?" if freed is None else format_size(freed),
        what_words(sweep),
    )


def what_words(sweep: SweepRow) -> str:
    """What a sweep did."""
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


def status_object(status: Status) -> dict[str, Any]:
    """The state as plain JSON data: what ``docs/reference/status-json.md`` describes."""
    picture, growth, mode = status.picture, status.growth, status.mode
    return {
        "home": status.home,
        "store": status.store,
        "mode": None if mode.setting is None else mode.setting.value,
        "swept_before": mode.swept_before,
        "taken_at": picture.taken_at,
        "is_fresh": status.is_fresh,
        "sessions": [_group_object(group) for group in picture.groups],
        "due": [
            {"verdict": one.verdict, "sessions": one.sessions, "bytes": one.bytes} for one in picture.due
        ],
        "unknown": {"entries": picture.unknown, "bytes": picture.unknown_bytes},
        "holds": status.holds,
        "pending": [
            {
                "occasion": str(line.occasion),
                "session_id": line.session_id,
                "noted_at": line.noted_at,
                "due_at": line.due_at,
            }
            for line in status.pending
        ],
        "next_sweep_at": mode.next_sweep_at,
        "first_sweep": None if mode.announcement is None else msgspec.structs.asdict(mode.announcement),
        "drill": None if status.drill is None else msgspec.structs.asdict(status.drill),
        "archive": None if status.vault is None else _archive_object(status.vault),
        "usage": {**msgspec.structs.asdict(status.usage), "total_bytes": status.usage.total_bytes},
        "growth": {**msgspec.structs.asdict(growth), "per_day": growth.per_day},
        "database": msgspec.to_builtins(status.database),
        "host_prune": None
        if status.host_prune is None
        else {**msgspec.structs.asdict(status.host_prune), "next_at": status.host_prune.next_at},
        "host_settings": [msgspec.structs.asdict(one) for one in status.host_settings],
        "sweeps": [_sweep_object(sweep) for sweep in status.sweeps],
        "warnings": [
            *status.warnings,
            *([] if status.vault_damage is None else [str(status.vault_damage)]),
        ],
    }


def _group_object(group: Group) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(group)
    return {"class": fields.pop("session_class"), **fields}


def _archive_object(vault: VaultSummary) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(vault)
    classes = [{"class": it.pop("session_class"), **it} for it in fields.pop("classes")]
    return {**fields, "ratio": round(vault.ratio, 2), "classes": classes}


def _sweep_object(sweep: SweepRow) -> dict[str, Any]:
    return {
        "sweep": sweep.id,
        "started_at": sweep.started_at,
        "finished_at": sweep.finished_at,
        "origin": sweep.origin,
        "state": sweep.state,
        "undone_at": sweep.undone_at,
        "bytes_freed": freed_bytes(sweep),
        "totals": sweep.totals,
    }
