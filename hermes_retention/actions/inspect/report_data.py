"""Everything that the report shows of a home: its state, its past, what is large, and what is to come.

What lay where in the past is told by dates: those of files and messages, and those at which they were
archived. What must not live here: output.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from hermes_retention.actions.inspect.explain import alerts_of
from hermes_retention.actions.inspect.simulate import Archived, History, Simulation, read_history, simulate
from hermes_retention.actions.inspect.stats import measurements
from hermes_retention.actions.inspect.status import NEVER_LARGE, Status, look_into_ledger, take_status
from hermes_retention.archive.entries import ArchivedArtifact
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import SweepRow
from hermes_retention.model.session import ArtifactKind, SessionClass
from hermes_retention.policy.caps import Alert
from hermes_retention.policy.replay import Past, Scale

_DAY = 86400.0
_LARGEST = 25
_JOBS = 25
_SWEEPS = 100
_ALERTS = 50
_LEAST_DAYS = 7
"""A home that is younger than that has some empty days before it."""


class Part(msgspec.Struct, frozen=True):
    """Where something of a session lies."""

    session_class: SessionClass
    place: str
    """``files``, ``messages`` (about what they take in the database) or ``archive``."""


PLACES = ("files", "messages", "archive")


class Large(msgspec.Struct, frozen=True):
    """A session that takes much. Sizes in bytes; those of messages are estimated."""

    session_id: str
    session_class: SessionClass
    title: str | None
    last_activity: float
    files_bytes: int
    messages_bytes: int
    archive_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.files_bytes + self.messages_bytes + self.archive_bytes


class Job(msgspec.Struct, frozen=True):
    """What the runs of a cron job take, and took before they were archived."""

    name: str
    runs: int
    runs_in_window: int
    """Runs that began in the days that the report looks back."""
    stored_bytes: int
    written_bytes: int
    """What all known runs wrote: the job's cost, whatever became of it."""


class Overview(msgspec.Struct, frozen=True):
    """The report as data. ``times`` and all lists in ``layers`` go together."""

    status: Status
    days: int
    times: tuple[float, ...]
    layers: dict[Part, list[int]]
    measured: tuple[tuple[float, int], ...]
    largest: tuple[Large, ...]
    jobs: tuple[Job, ...]
    sweeps: tuple[SweepRow, ...]
    """The last 100, newest first."""
    alerts: tuple[Alert, ...]
    """Those of caps within these days, newest first."""
    forecast: Simulation


def take_overview(home: Home, *, days: int, now: float) -> Overview:
    """The overview of ``home``, which looks ``days`` back and ahead. Reads only.

    Raises ``StoreUnreadable`` when the store cannot be read, ``RetentionError`` when the ledger cannot.
    """
    status = take_status(home, now=now, large=NEVER_LARGE)
    history = read_history(home, now=now)
    look = look_into_ledger(home, now=now, days=days)
    known = min((past.began for past in history.past if past.began > 0), default=now)
    back = min(days, max(_LEAST_DAYS, math.ceil((now - known) / _DAY)))
    times = tuple(now - number * _DAY for number in range(back, -1, -1))
    start = now - days * _DAY
    seen = [(at, size) for at, size in measurements(look.sweeps, look.pictures) if at >= start]
    return Overview(
        status=status,
        days=days,
        times=times,
        layers=layers_of(history, times),
        measured=(*seen, (now, status.usage.total_bytes)),
        largest=tuple(_named(home, _largest(history))),
        jobs=_jobs(history, since=start),
        sweeps=look.sweeps[:_SWEEPS],
        alerts=tuple(alert for alert in alerts_of(home) if alert.at >= start)[:_ALERTS],
        forecast=simulate(history, home.policy, None, days=days, now=now),
    )


def layers_of(history: History, times: Sequence[float]) -> dict[Part, list[int]]:
    """How many bytes of each class lay in each place at each of ``times``, which ascend."""
    changes: defaultdict[Part, list[float]] = defaultdict(lambda: [0.0] * (len(times) + 1))
    for past in history.past:
        archived = history.archived.get(past.session.id)
        for span in _spans(past, archived, history.scale):
            _add(changes[Part(past.session.session_class, span.place)], times, span)
    return {
        Part(kind, place): [round(max(size, 0.0)) for size in changes[Part(kind, place)][:-1]]
        for kind in SessionClass
        for place in PLACES
        if Part(kind, place) in changes
    }


_FOR_EVER = float("inf")


class _Span(msgspec.Struct, frozen=True):
    """Something that lay in one place for a time. Times are Unix seconds."""

    place: str
    bytes: float
    start: float
    full: float
    """When it was complete: until then it grew evenly."""
    end: float = _FOR_EVER


def _spans(past: Past, archived: Archived | None, scale: Scale) -> Iterator[_Span]:
    copies: dict[str, ArchivedArtifact] = {}
    for artifact in () if archived is None else archived.artifacts:
        share = artifact.size_bytes * scale.archived_share
        yield _Span("archive", share, artifact.archived_at, artifact.archived_at)
        copies[artifact.name] = artifact
    session = past.session
    for file in session.artifacts:
        changed = file.mtime_ns / 1e9
        start = changed if file.kind is ArtifactKind.REQUEST_DUMP else min(past.began, changed)
        copy = copies.get(file.name)
        end = (
            _FOR_EVER if copy is None or file.inode else copy.archived_at
        )  # a file of the store has an inode
        yield _Span("files", file.allocated_bytes, start, changed, end)
    if past.messages:
        rows = [it for it in copies.values() if it.kind is ArtifactKind.MESSAGES]
        end = _FOR_EVER if past.in_store or not rows else max(it.archived_at for it in rows)
        size = past.messages * scale.bytes_per_message
        yield _Span("messages", size, past.began, session.last_activity, end)


def _add(sizes: list[float], times: Sequence[float], span: _Span) -> None:
    for place in range(bisect_left(times, span.start), bisect_left(times, span.end)):
        time = times[place]
        grown = 1.0 if time >= span.full else (time - span.start) / (span.full - span.start)
        sizes[place] += span.bytes * grown


def _largest(history: History) -> list[Large]:
    found = (_large(past, history) for past in history.past)
    return sorted(found, key=lambda one: (-one.total_bytes, one.session_id))[:_LARGEST]


def _large(past: Past, history: History) -> Large:
    session, archived = past.session, history.archived.get(past.session.id)
    sums = dict.fromkeys(PLACES, 0.0)
    for span in _spans(past, archived, history.scale):
        if span.end == _FOR_EVER:
            sums[span.place] += span.bytes
    title = None if archived is None else archived.entry.metadata.title
    return Large(
        session.id,
        session.session_class,
        title,
        session.last_activity,
        round(sums["files"]),
        round(sums["messages"]),
        round(sums["archive"]),
    )


def _named(home: Home, largest: Iterable[Large]) -> Iterator[Large]:
    """The same with the titles that the store knows, read for these few only."""
    some = list(largest)
    known = home.store.metadata([one.session_id for one in some])
    for one in some:
        metadata = known.get(one.session_id)
        yield one if metadata is None else msgspec.structs.replace(one, title=metadata.title or one.title)


def _jobs(history: History, *, since: float) -> tuple[Job, ...]:
    runs: defaultdict[str, list[Past]] = defaultdict(list)
    for past in history.past:
        if past.session.session_class is SessionClass.CRON and past.session.group is not None:
            runs[past.session.group].append(past)
    jobs = [_job(name, own, history, since) for name, own in runs.items()]
    return tuple(sorted(jobs, key=lambda job: (-job.written_bytes, job.name))[:_JOBS])


def _job(name: str, runs: Sequence[Past], history: History, since: float) -> Job:
    scale = history.scale
    written = sum(past.session.allocated_bytes + past.messages * scale.bytes_per_message for past in runs)
    stored = sum(_large(past, history).total_bytes for past in runs)
    return Job(name, len(runs), sum(past.began >= since for past in runs), stored, round(written))
