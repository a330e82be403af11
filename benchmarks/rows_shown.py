"""Tables and figures of the removal of messages. What must not live here: measuring."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import msgspec

from benchmarks.measure import Run
from benchmarks.remains import Remains, Restored
from benchmarks.tables import Figure, Result, markdown, megabytes
from benchmarks.writer import Waits

WANTED_LONGEST, WANTED_P99 = 0.3, 0.05
WANTED_ALONE, WANTED_BESIDE = 1.0, 2.5
"""Of the host's time."""
WANTED_RSS_BYTES = 100e6
_HOST, _OWN = "hermes sessions prune", "hermes-retention sweep"


class Trial(msgspec.Struct, frozen=True):
    """One program on copies of the home, alone and beside the writer; what the writer saw, what was left."""

    alone: Run
    beside: Run
    waits: Waits
    remains: Remains


class Measured(msgspec.Struct, frozen=True):
    """Everything about one home."""

    sessions: int
    """That both programs take."""
    messages: int
    """Of these sessions."""
    database_bytes: int
    alone: Waits
    """What the writer saw when nobody else was there."""
    host: tuple[Trial, ...]
    """Empty when the host cannot remove so many."""
    own: tuple[Trial, ...]
    restored: Restored
    host_error: str | None
    """How the host's prune ended with SQLite's usual limit of variables; ``None`` where that is enough."""


class _Side(msgspec.Struct, frozen=True):
    """One program over all rounds: medians of times, and the worst of everything else."""

    alone_seconds: float
    beside_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    longest: float
    p99: float
    median: float
    longest_checkpoint: float
    commits: int
    errors: int
    snapshots: int


def shown(measured: Measured, command: str) -> Result:
    """The whole of it, for people and for programs."""
    host = _side(measured.host) if measured.host else None
    own = _side(measured.own)
    title = (
        f"Messages of {measured.sessions:,} sessions ({measured.messages:,} rows) out of a state.db of "
        f"{megabytes(measured.database_bytes)}"
    )
    numbers: dict[str, object] = {
        "host": host and msgspec.structs.asdict(host),
        "own": msgspec.structs.asdict(own),
        "writer_alone": measured.alone,
        "restored": msgspec.structs.asdict(measured.restored),
        "sessions": measured.sessions,
        "messages": measured.messages,
        "database_bytes": measured.database_bytes,
        "host_error": measured.host_error,
    }
    table = _table(host, own, measured)
    return Result(title, command, (table,), _figures(host, own, measured), numbers, _notes(measured))


def _side(trials: Sequence[Trial]) -> _Side:
    alone, waits = [one.alone for one in trials], [one.waits for one in trials]
    return _Side(
        alone_seconds=statistics.median(one.seconds for one in alone),
        beside_seconds=statistics.median(one.beside.seconds for one in trials),
        cpu_seconds=statistics.median(one.cpu_seconds for one in alone),
        peak_rss_bytes=max(max(one.alone.peak_rss_bytes, one.beside.peak_rss_bytes) for one in trials),
        longest=max(one["longest"] for one in waits),
        p99=max(one["p99"] for one in waits),
        median=max(one["median"] for one in waits),
        longest_checkpoint=max(one["longest_checkpoint"] for one in waits),
        commits=sum(one["commits"] for one in waits),
        errors=sum(one["errors"] for one in waits),
        snapshots=max(one.remains.snapshots for one in trials),
    )


def _table(host: _Side | None, own: _Side, measured: Measured) -> str:
    def row(what: str, show: Callable[[_Side], str]) -> tuple[str, ...]:
        return (what, "fails" if host is None else show(host), show(own))

    rows = [
        row("longest wait of a commit beside it", lambda one: _seconds(one.longest)),
        row("99 % of the commits waited at most", lambda one: _seconds(one.p99)),
        row("half of the commits waited at most", lambda one: _seconds(one.median)),
        row("longest checkpoint of the writer", lambda one: _seconds(one.longest_checkpoint)),
        row("commits of the writer, and given up", lambda one: f"{one.commits:,}, {one.errors:,}"),
        row("time, nobody writing", lambda one: _seconds(one.alone_seconds)),
        row("CPU time, nobody writing", lambda one: _seconds(one.cpu_seconds)),
        row("time beside the writer", lambda one: _seconds(one.beside_seconds)),
        row("peak memory", lambda one: megabytes(one.peak_rss_bytes)),
        row("snapshot files of these sessions that stay", lambda one: f"{one.snapshots:,}"),
        ("messages that can be put back", "0", f"{measured.restored.messages:,}"),
    ]
    return markdown(("", f"`{_HOST}`", f"`{_OWN}`"), rows)


def _notes(measured: Measured) -> tuple[str, ...]:
    alone, restored = measured.alone, measured.restored
    ground = (
        f"With nobody else there, the writer waited {_seconds(alone['longest'])} at most, and "
        f"{_seconds(alone['p99'])} at the 99th percentile."
    )
    comparison = (
        f"After everything was put back, {restored.changed_messages:,} messages, "
        f"{restored.changed_sessions:,} records and {restored.changed_files:,} files differed from before."
    )
    notes = [ground, comparison]
    if measured.host_error is not None:
        notes.append(
            f"`{_HOST}` with SQLite's usual limit of variables in a statement: {measured.host_error}"
        )
    return tuple(notes)


def _figures(host: _Side | None, own: _Side, measured: Measured) -> tuple[Figure, ...]:
    what = f"removing {measured.messages:,} messages: longest wait of a chat"
    theirs = "fails" if host is None else _seconds(host.longest)
    ratios = [] if host is None else _ratios(host, own)
    return (
        _at_most(f"{what} (host: {theirs})", own.longest, WANTED_LONGEST),
        _at_most("the same, 99th percentile", own.p99, WANTED_P99),
        *ratios,
        Figure("snapshot files of these sessions that stay", "0", f"{own.snapshots:,}", not own.snapshots),
        _back(measured),
        Figure(
            "memory of it",
            f"≤ {megabytes(WANTED_RSS_BYTES)}",
            megabytes(own.peak_rss_bytes),
            own.peak_rss_bytes <= WANTED_RSS_BYTES,
        ),
    )


def _ratios(host: _Side, own: _Side) -> list[Figure]:
    alone, beside = own.alone_seconds / host.alone_seconds, own.beside_seconds / host.beside_seconds
    return [
        _ratio("time of it, archived as well, of that of the host's prune", alone, WANTED_ALONE),
        _ratio("the same beside a chat", beside, WANTED_BESIDE),
    ]


def _back(measured: Measured) -> Figure:
    back = measured.restored
    changed = back.changed_messages + back.changed_sessions + back.changed_files
    shown_changes = f", {changed:,} differences" if changed else ""
    return Figure(
        "messages that come back byte for byte (host: 0)",
        f"{measured.messages:,}",
        f"{back.messages:,}{shown_changes}",
        back.messages == measured.messages and not changed,
    )


def _at_most(what: str, seconds: float, wanted: float) -> Figure:
    return Figure(what, f"≤ {_seconds(wanted)}", _seconds(seconds), seconds <= wanted)


def _ratio(what: str, ratio: float, wanted: float) -> Figure:
    return Figure(what, f"≤ {wanted:g} ×", f"{ratio:.2f} ×", ratio <= wanted)


def _seconds(seconds: float) -> str:
    """Milliseconds below a second."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:,.0f} ms"
