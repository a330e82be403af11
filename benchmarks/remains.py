"""What a removal left of a home, and whether what came back is what there was: row by row, file by file.

Takes nobody's word for it: the original home and the copy are compared here, with SQL and checksums. What
must not live here: programs that remove or restore, and times that they take.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from hermes_retention.cli.demo.tour import prints_of_files

SECONDS_PER_DAY = 86400.0
_SEARCH_TABLES = ("messages_fts", "messages_fts_trigram")


class Due(msgspec.Struct, frozen=True):
    """What the host's prune chooses in a home: sessions that have ended and began before a time."""

    sessions: frozenset[str]
    messages: int


class Remains(msgspec.Struct, frozen=True):
    """What a copy of the home still has."""

    messages: int
    """Of the sessions that were due."""
    snapshots: int
    """Of the sessions that were due."""
    missing: int
    """Messages of other sessions that are gone. Nothing else than 0 is right."""


class Restored(msgspec.Struct, frozen=True):
    """What is again as it was. Rows are the same when all of their columns are."""

    messages: int
    """Of the sessions that were due."""
    changed_messages: int
    """Of all sessions: not as they were, or new."""
    changed_sessions: int
    changed_files: int
    """Missing, new, or with another content, time or mode."""


def find_due(home: Path, *, before: float) -> Due:
    """The sessions that have to go, and their messages."""
    with closing(sqlite3.connect(home / "state.db")) as database:
        chosen = "SELECT id FROM sessions WHERE ended_at IS NOT NULL AND started_at < ?"
        sessions = frozenset(str(row[0]) for row in database.execute(chosen, (before,)))
        counted = f"SELECT count(*) FROM messages WHERE session_id IN ({chosen})"
        return Due(sessions, int(database.execute(counted, (before,)).fetchone()[0]))


def find_remains(home: Path, copy: Path, due: Due) -> Remains:
    """Compare ``copy`` with ``home``, which it was made of."""
    with _both(home, copy, due) as database:
        left = _number(database, "SELECT count(*) FROM messages WHERE session_id IN due")
        missing = _number(
            database,
            "SELECT count(*) FROM was.messages AS was WHERE session_id NOT IN due "
            "AND NOT EXISTS (SELECT 1 FROM main.messages AS now WHERE now.id = was.id)",
        )
    snapshots = sum((copy / "sessions" / f"session_{one}.json").exists() for one in due.sessions)
    return Remains(left, snapshots, missing)


def compare_restored(home: Path, copy: Path, due: Due) -> Restored:
    """Compare ``copy``, to which everything came back, with ``home``.

    Raises ``sqlite3.DatabaseError`` when a search table of the host contradicts itself.
    """
    with _both(home, copy, due) as database:
        for table in _SEARCH_TABLES:
            database.execute(f"INSERT INTO main.{table}({table}) VALUES ('integrity-check')")
        same = _same_rows(database, "messages")
        back = _number(database, f"SELECT count(*) {same} AND was.session_id IN due")
        changed = _differing(database, "messages"), _differing(database, "sessions")
    before, after = (prints_of_files(one / "sessions") for one in (home, copy))
    files = sum(before.get(name) != after.get(name) for name in before.keys() | after.keys())
    return Restored(back, *changed, files)


def _same_rows(database: sqlite3.Connection, table: str) -> str:
    columns = [row[1] for row in database.execute(f"PRAGMA was.table_info({table})")]
    pair = " AND ".join(f"was.{name} IS now.{name}" for name in columns)
    types = " AND ".join(f"typeof(was.{name}) = typeof(now.{name})" for name in columns)
    return f"FROM was.{table} AS was JOIN main.{table} AS now ON now.id = was.id WHERE {pair} AND {types}"


def _differing(database: sqlite3.Connection, table: str) -> int:
    same = _number(database, f"SELECT count(*) {_same_rows(database, table)}")
    there = [_number(database, f"SELECT count(*) FROM {schema}.{table}") for schema in ("was", "main")]
    return max(there) - same


def _number(database: sqlite3.Connection, sql: str) -> int:
    return int(database.execute(sql).fetchone()[0])


@contextmanager
def _both(home: Path, copy: Path, due: Due) -> Iterator[sqlite3.Connection]:
    """The database of the copy, with that of the home as ``was`` and the ids that are due in ``due``."""
    with closing(sqlite3.connect(copy / "state.db", isolation_level=None)) as database:
        database.execute("ATTACH ? AS was", (str(home / "state.db"),))
        database.execute("CREATE TEMP TABLE due(id TEXT PRIMARY KEY) WITHOUT ROWID")
        database.executemany("INSERT INTO due VALUES (?)", ((one,) for one in due.sessions))
        yield database
