"""A chat beside a removal: commits one row every 10 ms and says how long each commit had to wait.

    python benchmarks/writer.py STATE_DB

Writes as the host does: a busy timeout of one second, ``BEGIN IMMEDIATE``, another try after 20 to 150 ms, up
to fifteen of them, and a passive checkpoint after every fiftieth row. Prints ``ready`` after the first row
and, once its standard input is closed, one JSON object. It is a process, as the host is one.
What must not live here: the program that it writes beside.
"""

from __future__ import annotations

import json
import math
import random
import select
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from typing import TypedDict

EVERY_SECONDS = 0.010
SESSION = "20000101_000000_benchmark"
"""The session that it writes into: live, since its rows are new."""
_BUSY_SECONDS, _TRIES, _PAUSES = 1.0, 15, (0.020, 0.150)
_ROWS_PER_CHECKPOINT = 50
_TEXT = "One more line of a chat that goes on while old ones leave."


class Waits(TypedDict):
    """What it saw, in seconds. A commit counts from its first try until it is done or given up."""

    commits: int
    errors: int
    """Commits that were given up, as the host would have failed a turn."""
    median: float
    p99: float
    longest: float
    longest_checkpoint: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of these that ``share`` of them do not exceed. They are sorted, and not empty."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def summary(waits: Sequence[float], *, errors: int, longest_checkpoint: float) -> Waits:
    """The figures of at least one commit."""
    ordered = sorted(waits)
    return Waits(
        commits=len(ordered),
        errors=errors,
        median=percentile(ordered, 0.5),
        p99=percentile(ordered, 0.99),
        longest=ordered[-1],
        longest_checkpoint=longest_checkpoint,
    )


def write_until_closed(path: str) -> Waits:
    """Write into the database at ``path`` until standard input is closed."""
    waits, errors, longest_checkpoint = [], 0, 0.0
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute(
            "INSERT INTO sessions(id, source, started_at) VALUES (?, 'telegram', ?)", (SESSION, time.time())
        )
        is_open = True
        while is_open:
            start = time.perf_counter()
            errors += not _commit(database)
            waits.append(time.perf_counter() - start)
            if len(waits) == 1:
                print("ready", flush=True)
            if len(waits) % _ROWS_PER_CHECKPOINT == 0:
                start = time.perf_counter()
                database.execute("PRAGMA wal_checkpoint(PASSIVE)")
                longest_checkpoint = max(longest_checkpoint, time.perf_counter() - start)
            is_open = not select.select([sys.stdin], [], [], EVERY_SECONDS)[0]
    return summary(waits, errors=errors, longest_checkpoint=longest_checkpoint)


def _commit(database: sqlite3.Connection) -> bool:
    """Add a message; whether it got in before the host would have given up."""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(random.uniform(*_PAUSES))
        try:
            database.execute("BEGIN IMMEDIATE")
            database.execute(
                "INSERT INTO messages(session_id, role, content, timestamp) VALUES (?, 'user', ?, ?)",
                (SESSION, _TEXT, time.time()),
            )
            database.execute("UPDATE sessions SET message_count = message_count + 1 WHERE id = ?", (SESSION,))
            database.execute("COMMIT")
            return True
        except sqlite3.OperationalError:
            if database.in_transaction:
                database.execute("ROLLBACK")
    return False


if __name__ == "__main__":
    print(json.dumps(write_until_closed(sys.argv[1])))
