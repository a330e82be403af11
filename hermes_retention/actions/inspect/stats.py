"""What lies in a home at one moment, in numbers: by class, by liveness and by stage; and how fast it grows.

A sweep keeps a picture for each day in the ledger, so that a very large home can be shown at once and its
history drawn. Of growth nothing is told that was not measured: what sweeps and pictures measured gives what
is gained net of all that was removed, the dates of files and messages give what was written. What must not
live here: output, and reading a home.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from hermes_retention.home.ledger import Outcome, SweepRow
from hermes_retention.model.plan import VERDICTS, Action, Liveness, Plan, Step, Tier
from hermes_retention.model.session import Inventory, Session, SessionClass, Usage

WINDOW_DAYS = 30
"""For how many days back a picture says what was written."""
_DAY = 86400.0


class SessionStage(enum.StrEnum):
    """How far a session has moved: the most of it that its store still has."""

    FILES = "files"
    """Files, and whatever else there is."""
    MESSAGES = "messages"
    """No files; its messages with all their tool output, as far as anybody has looked."""
    CONVERSATION = "conversation"
    """No files, and large tool output gave way to markers."""
    RECORD = "record"
    """Nothing but its record."""


class Group(msgspec.Struct, frozen=True):
    """The sessions of one class, liveness and stage, each once. Files and rows are those in the store."""

    session_class: SessionClass
    liveness: Liveness
    stage: SessionStage
    sessions: int
    files: int
    bytes: int
    """What the file system allocates for the files."""
    rows: int
    """Records, and messages as the host counts them."""
    rows_bytes: int
    """About what the messages take in the database."""


class DueNow(msgspec.Struct, frozen=True):
    """What the next sweep would do to how many sessions. ``bytes`` are those of the steps of the plan."""

    action: Action
    tier: Tier | None
    sessions: int
    bytes: int

    @property
    def verdict(self) -> str:
        """Action and tier in one word."""
        return VERDICTS[self.action, self.tier]


class Picture(msgspec.Struct, frozen=True):
    """A home in numbers. Sizes are bytes that the file system allocates."""

    taken_at: float
    sessions: int
    groups: tuple[Group, ...]
    due: tuple[DueNow, ...]
    unknown: int
    unknown_bytes: int
    usage: Usage
    written: tuple[int, ...]
    """Bytes of files and, about, of messages that were last written on each of the last 30 days, the newest
    day first, as far as the store still has them."""
    holds: int = 0
    """Sessions that a person or a plugin holds."""
    warnings: tuple[str, ...] = ()


def take_picture(inventory: Inventory, plan: Plan, outcomes: Iterable[Outcome] = ()) -> Picture:
    """The home as ``inventory`` shows it, or as it is after ``outcomes`` of the steps of ``plan``.

    What was kept for an error, if only in part, still counts as a whole.
    """
    done = [outcome.step for outcome in outcomes if not outcome.errors]
    gone: dict[str, list[Step]] = {}
    for step in done:
        if step.tier is not None:
            gone.setdefault(step.session_id, []).append(step)
    left = {session.id: _Left(session, gone.get(session.id, ()), inventory) for session in inventory.sessions}
    finished = {_key(step) for step in done}
    return Picture(
        taken_at=plan.now,
        sessions=sum(one.stage is not None for one in left.values()),
        groups=_groups(plan, left),
        due=_due(step for step in plan.removals() if _key(step) not in finished),
        unknown=len(inventory.unknown),
        unknown_bytes=sum(unknown.allocated_bytes for unknown in inventory.unknown),
        usage=inventory.usage,
        written=tuple(_written(left.values(), now=plan.now)),
        holds=len(inventory.holds),
        warnings=plan.warnings,
    )


def _key(step: Step) -> tuple[str, str, str | None]:
    return step.session_id, step.verdict, step.partition


class _Left:
    """What is left of a session after some steps."""

    __slots__ = ("files", "message_bytes", "rows", "session", "stage")

    def __init__(self, session: Session, gone: Iterable[Step], inventory: Inventory) -> None:
        tiers = {step.tier for step in gone}
        away = {artifact.name for step in gone for artifact in step.artifacts}
        record = None if Tier.RECORD in tiers else session.record
        has_messages = record is not None and record.has_messages and Tier.MESSAGES not in tiers
        messages = max(record.message_count, 1) if record is not None and has_messages else 0
        self.session = session
        self.files = (
            [file for file in session.artifacts if file.name not in away] if away else session.artifacts
        )
        self.rows = messages + (record is not None)
        self.message_bytes = round(messages * inventory.bytes_per_message)
        self.stage: SessionStage | None = None
        if self.files:
            self.stage = SessionStage.FILES
        elif has_messages:
            done = session.tool_output_done or Tier.TOOL_OUTPUT in tiers
            self.stage = SessionStage.CONVERSATION if done else SessionStage.MESSAGES
        elif record is not None or (session.routes and not away):
            self.stage = SessionStage.RECORD


def _groups(plan: Plan, left: dict[str, _Left]) -> tuple[Group, ...]:
    sums: dict[tuple[SessionClass, Liveness, SessionStage], list[int]] = {}
    counted: set[str] = set()
    for step in plan.steps:
        if step.action is Action.EXPIRE or step.session_id in counted:
            continue  # it concerns the vault, not the store; or one more part of the same session
        counted.add(step.session_id)
        one = left[step.session_id]
        if one.stage is None:
            continue
        total = sums.setdefault((step.session_class, step.liveness, one.stage), [0, 0, 0, 0, 0])
        total[0] += 1
        total[1] += len(one.files)
        total[2] += sum(artifact.allocated_bytes for artifact in one.files)
        total[3] += one.rows
        total[4] += one.message_bytes
    return tuple(
        Group(kind, liveness, stage, *sums[kind, liveness, stage])
        for kind in SessionClass
        for liveness in Liveness
        for stage in SessionStage
        if (kind, liveness, stage) in sums
    )


def _due(removals: Iterable[Step]) -> tuple[DueNow, ...]:
    due: dict[tuple[Action, Tier | None], list[Step]] = {}
    for step in removals:
        due.setdefault((step.action, step.tier), []).append(step)
    return tuple(
        DueNow(action, tier, len({step.session_id for step in steps}), sum(step.bytes for step in steps))
        for action, tier in VERDICTS
        if (steps := due.get((action, tier)))
    )


def _written(left: Iterable[_Left], *, now: float) -> Iterator[int]:
    days = [0] * WINDOW_DAYS
    oldest = now - WINDOW_DAYS * _DAY
    for one in left:
        for artifact in one.files:
            changed = artifact.mtime_ns / 1e9
            if oldest < changed <= now:
                days[int((now - changed) // _DAY)] += artifact.allocated_bytes
        record = one.session.record
        if one.message_bytes and record is not None and oldest < (record.last_message_at or 0.0) <= now:
            days[int((now - (record.last_message_at or 0.0)) // _DAY)] += one.message_bytes
    yield from days


_LEAST = _DAY
"""Seconds between two measurements from which on a rate is told."""


class Growth(msgspec.Struct, frozen=True):
    """Bytes per day over the last 30 days, and what follows from that. ``None`` where nothing tells it."""

    written_per_day: float | None
    """What was written, archived or not. What was deleted since is not in it."""
    written_days: int
    """Days that this is the mean of: since the oldest of what was written, 30 at most."""
    net_per_day: float | None
    """By how much everything together grew: what was written less what sweeps and the host removed."""
    net_days: float
    """Days between the first measurement and now."""
    disk_full_at: float | None
    """Unix time at which nothing is free on the disk if it goes on like that; ``None`` when it never is."""

    @property
    def per_day(self) -> float | None:
        """The rate that ``disk_full_at`` follows from: net, or what was written where no sweep measured."""
        return self.written_per_day if self.net_per_day is None else self.net_per_day


def measure_growth(
    sweeps: Iterable[SweepRow],
    pictures: Iterable[Picture],
    written: Sequence[int],
    usage: Usage,
    *,
    now: float,
) -> Growth:
    """The growth of a home that takes ``usage`` now. ``written`` are bytes by day, the newest day first."""
    written_days = max((day for day, size in enumerate(written, 1) if size), default=0)
    written_per_day = sum(written) / written_days if written_days else None
    sweeps = list(sweeps)
    # What the very first sweep took away says nothing about the days to come: measuring starts behind it.
    oldest = max(now - WINDOW_DAYS * _DAY, _end_of_first(sweeps))
    measured = [(at, size) for at, size in measurements(sweeps, pictures) if oldest <= at <= now - _LEAST]
    net_per_day, net_days = None, 0.0
    if measured:
        at, size = min(measured)
        net_days = (now - at) / _DAY
        net_per_day = (usage.total_bytes - size) / net_days
    rate = written_per_day if net_per_day is None else net_per_day
    full_at = None
    if usage.free_bytes is not None and rate is not None and rate > 0:
        full_at = now + usage.free_bytes / rate * _DAY
    return Growth(written_per_day, written_days, net_per_day, net_days, full_at)


def measurements(sweeps: Iterable[SweepRow], pictures: Iterable[Picture]) -> list[tuple[float, int]]:
    """When everything together took how many bytes, in the order of time."""
    found = {picture.taken_at: picture.usage.total_bytes for picture in pictures}
    for sweep in sweeps:
        totals = sweep.totals
        if {"bytes_before", "bytes_after"} <= totals.keys():
            found[sweep.started_at] = totals["bytes_before"]
            if sweep.finished_at is not None and sweep.finished_at > sweep.started_at:
                found[sweep.finished_at] = totals["bytes_after"]
    return sorted(found.items())


def _end_of_first(sweeps: Iterable[SweepRow]) -> float:
    ends = (sweep.finished_at for sweep in sweeps if sweep.finished_at is not None)
    return min(ends, default=0.0)
