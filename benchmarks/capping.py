"""What caps cost a chat: what its own thread pays in a turn, and what is done beside it, by the length."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.tables import Figure, Result, markdown
from benchmarks.writer import percentile
from hermes_retention.gateway.cap_job import CapJob
from hermes_retention.gateway.cap_watch import CapWatch
from hermes_retention.gateway.host import ModelCall

SIZES = (50, 5_000, 50_000)
"""Messages of the session."""
_MEASURED = 5_000
"""The size that the wanted figure speaks of."""
WANTED_SECONDS = 0.001
WANTED_GROWTH = 1.5
"""Of the median, from the smallest session to the largest: a thousand times as long. Noise is part of it."""
_CALLS = 5
"""Of the model, in each turn."""
_TABLES = """
CREATE TABLE sessions(
    id TEXT PRIMARY KEY, source TEXT NOT NULL, system_prompt TEXT, started_at REAL NOT NULL,
    input_tokens INTEGER DEFAULT 0, output_tokens INTEGER DEFAULT 0, estimated_cost_usd REAL);
CREATE TABLE messages(
    id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, role TEXT NOT NULL, content TEXT,
    tool_calls TEXT, timestamp REAL NOT NULL, active INTEGER NOT NULL DEFAULT 1);
CREATE INDEX idx_messages_session ON messages(session_id, timestamp);
"""
_SETTINGS = {
    f"HERMES_RETENTION_CHAT__CAPS__{name}": "900000000"
    for name in ("MAX_MESSAGES", "MAX_TOKENS", "MAX_TOOL_CALLS", "MAX_MESSAGES_PER_MINUTE")
} | {"HERMES_RETENTION_CHAT__CAPS__MAX_COST_USD": "9000", "HERMES_RETENTION_CHAT__CAPS__MAX_BYTES": "9TB"}
"""All caps on, and none of them near."""


class _Turns:
    """One session in a home of its own, and the caps that watch it. Other sessions are as large together."""

    def __init__(self, home: Path, messages: int) -> None:
        home.mkdir()
        self._database = home / "state.db"
        self._now = time.time()
        with closing(sqlite3.connect(self._database)) as host, host:
            host.execute("PRAGMA journal_mode = wal")
            host.executescript(_TABLES)
            for name in ("s1", "s2"):
                host.execute(
                    "INSERT INTO sessions VALUES (?, 'telegram', ?, 0, 0, 0, 0)", (name, "p" * 12_000)
                )
                rows = ((name, self._now - (messages - number) * 60) for number in range(messages))
                host.executemany(
                    "INSERT INTO messages(session_id, role, content, timestamp) "
                    f"VALUES (?, 'user', '{'words ' * 120}', ?)",
                    rows,
                )
        self.watch = CapWatch(
            lambda: CapJob(home, environ=_SETTINGS, clock=time.time),
            clock=time.time,
            begin=lambda _: None,
        )
        self.turn()
        self.beside()

    def turn(self) -> None:
        """What the thread of the chat pays."""
        for number in range(1, _CALLS + 1):
            self.watch.answer("s1")
            self.watch.model_called("s1", "telegram", ModelCall(number, tokens=900, tool_calls=1))
        self.watch.turn_ended("s1", "agent:main:telegram:dm:1", "telegram", {})

    def beside(self) -> None:
        """What the thread of the caps does about it."""
        self.watch.work_off()

    def store(self) -> None:
        """What the host stores in such a turn; not measured."""
        with closing(sqlite3.connect(self._database)) as host, host:
            self._now += 0.01
            host.executemany(
                "INSERT INTO messages(session_id, role, content, timestamp) VALUES ('s1', 'tool', 'w', ?)",
                [(self._now,)] * 2 * _CALLS,
            )


def measure_caps(work: Path, *, repeat: int, command: str) -> Result:
    """Medians of ``repeat`` turns at each size, the sizes in turn."""
    sessions = {size: _Turns(work / f"caps-{size}", size) for size in SIZES}
    turns: dict[int, list[float]] = {size: [] for size in SIZES}
    beside: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(repeat):
        for size, session in sessions.items():
            session.store()
            turns[size].append(_timed(session.turn))
            beside[size].append(_timed(session.beside))
    for session in sessions.values():
        session.watch.stop()
    both = {size: [a + b for a, b in zip(turns[size], beside[size], strict=True)] for size in SIZES}
    median, largest, smallest = (statistics.median(both[size]) for size in (_MEASURED, SIZES[-1], SIZES[0]))
    growth = largest / smallest
    rows = [
        (
            f"{size:,} messages",
            *_row(turns[size]),
            *_row(beside[size]),
            f"{statistics.median(both[size]) * 1e3:.2f} ms",
        )
        for size in SIZES
    ]
    head = ("session of", "in the turn", "99 %", "beside it", "99 %", "together")
    figures = (
        Figure(
            f"caps on a turn with {_CALLS} calls of the model, in a session of {_MEASURED:,} messages",
            f"< {WANTED_SECONDS * 1e3:.0f} ms",
            f"{median * 1e3:.2f} ms",
            median < WANTED_SECONDS,
        ),
        Figure(
            f"the same at {SIZES[-1]:,} messages, against {SIZES[0]}",
            f"≤ {WANTED_GROWTH} ×",
            f"{growth:.2f} ×",
            growth <= WANTED_GROWTH,
        ),
    )
    numbers: dict[str, object] = {
        str(size): {
            "turn_seconds": statistics.median(turns[size]),
            "beside_seconds": statistics.median(beside[size]),
        }
        for size in SIZES
    }
    return Result("Caps", command, (markdown(head, rows),), figures, numbers)


def _row(seconds: Sequence[float]) -> tuple[str, str]:
    ordered = sorted(seconds)
    return f"{statistics.median(ordered) * 1e3:.3f} ms", f"{percentile(ordered, 0.99) * 1e3:.3f} ms"


def _timed(job: Callable[[], None]) -> float:
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin
