"""How large one session is by now, told by the host's database without reading what is in its messages.

A look costs the same in a session of ten messages and of ten thousand: it takes the last look along and goes
on from there. Ids only grow, while times need not: a message carries the time at which it was sent, which may
be days ago. Nothing is written. What must not live here: limits, and what follows from them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from hermes_retention.model.session import Record, SessionClass
from hermes_retention.model.text import is_kept_as_is, is_text, safe_name
from hermes_retention.stores.base import SessionCounter, SessionSize, StoredMessages
from hermes_retention.stores.hermes.files import DIRECTORY, Classifier, platform_of
from hermes_retention.stores.hermes.records import columns_of, read_some_sessions
from hermes_retention.stores.hermes.state_db import DATABASE, looking, read_errors

_MINUTE = 60.0
_ROW_AGAINST_ENTRY = 4
"""What looking at a row costs, against an entry of an index."""
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_COSTS = ("actual_cost_usd", "estimated_cost_usd")
_OCTETS = sqlite3.sqlite_version_info >= (3, 43)
"""Whether SQLite can tell how long a text is without loading it."""


class HermesCounter(SessionCounter):
    """Looks at the sessions of one home, from one thread.

    A look takes a transaction of its own, but the connection stays open between them until ``close``, which
    costs nothing but the next opening.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / DATABASE
        self._files = home / DIRECTORY
        self._opened = contextlib.ExitStack()
        self._connection: sqlite3.Connection | None = None
        self._columns: tuple[set[str], set[str]] = (set(), set())

    def close(self) -> None:
        """Let go of the database."""
        self._connection = None
        self._opened.close()

    def class_of(self, session_id: str, platform: str, session_key: str) -> SessionClass:
        """The class of a session, also of one that has no row yet. Raises ``StoreUnreadable``."""
        known = Record(source=platform, started_at=0.0)
        key = session_key
        with self._transaction() as database:
            if database is not None and is_text(session_id):
                rows = read_some_sessions(database, str(self._path), [session_id], now=0.0)
                known = rows.records.get(session_id, known)
                key = rows.keys.get(session_id, key)
        speaks_of = platform_of(key) if key else None
        classifier = Classifier(() if speaks_of is None else (speaks_of,))
        return classifier.of_record(session_id, known, key or None)

    def look(self, session_id: str, since: StoredMessages | None, *, now: float) -> SessionSize | None:
        """As the port says; ``None`` when there is no database, or not with these tables."""
        with self._transaction() as database:
            messages, sessions = self._columns
            if database is None or not {"id", "session_id", "timestamp"} <= messages or "id" not in sessions:
                return None
            return (
                self._look(database, session_id, since or StoredMessages(), now)
                if is_text(session_id)
                else None
            )

    def recount(self, session_id: str) -> int | None:
        """How many messages there are exactly, told by the index; ``None`` without a database."""
        with self._transaction() as database:
            if database is None or "session_id" not in self._columns[0]:
                return None
            found = database.execute("SELECT count(*) FROM messages WHERE session_id = ?", (session_id,))
            return int(found.fetchone()[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection | None]:
        """After an error nothing is open, so that the next look begins anew."""
        try:
            if self._connection is None:
                self._connection = self._opened.enter_context(looking(self._path))
            database = self._connection
            if database is None:
                self.close()
                yield None
                return
            with read_errors(self._path):
                database.execute("BEGIN")
                if not self._columns[0]:
                    self._columns = columns_of(database, "messages"), columns_of(database, "sessions")
                yield database
                database.execute("COMMIT")
        except BaseException:
            self.close()
            raise

    def _look(
        self, database: sqlite3.Connection, session_id: str, since: StoredMessages, now: float
    ) -> SessionSize:
        messages, sessions = self._columns
        still = "SELECT 1 FROM messages WHERE id = ? AND session_id = ?"
        if since.last_id and database.execute(still, (since.last_id, session_id)).fetchone() is None:
            since = StoredMessages()
        recent = "SELECT count(*) FROM messages WHERE session_id = ? AND timestamp > ? AND timestamp <= ?"
        tokens, cost_usd = _spent(database, session_id, sessions)
        return SessionSize(
            stored=_more(database, session_id, since, messages),
            files_bytes=self._files_bytes(session_id),
            last_minute=database.execute(recent, (session_id, now - _MINUTE, now)).fetchone()[0],
            tokens=tokens,
            cost_usd=cost_usd,
        )

    def _files_bytes(self, session_id: str) -> int:
        """Snapshot and transcript. Request dumps are no part of a conversation."""
        names = [f"session_{safe_name(session_id)}.json"]
        if is_kept_as_is(session_id):
            names.append(f"{session_id}.jsonl")
        return sum(map(_size_of, (self._files / name for name in names)))


def _more(
    database: sqlite3.Connection, session_id: str, since: StoredMessages, columns: set[str]
) -> StoredMessages:
    """``since`` with all that was stored after it."""
    newest = database.execute("SELECT max(id) FROM messages").fetchone()[0] or 0
    # All newer rows, also those of other sessions, or all entries of this one in the index: whatever is less.
    rows, entries = newest - since.last_id, since.messages
    if since.last_id and rows * _ROW_AGAINST_ENTRY <= entries:
        where = "messages NOT INDEXED WHERE id > :since AND session_id = :session"
    else:
        where = "messages WHERE session_id = :session AND +id > :since"
    query = f"SELECT count(*), total({_length(columns)}), max(id) FROM {where}"  # noqa: S608 - names of the host's columns
    values = {"session": session_id, "since": since.last_id}
    count, size_bytes, last_id = database.execute(query, values).fetchone()
    return StoredMessages(since.messages + count, since.bytes + int(size_bytes), last_id) if count else since


def _length(columns: set[str]) -> str:
    """Bytes of a row, about: its texts, not SQLite's own overhead and no index."""
    names = sorted(f'"{name}"' for name in columns - {"id", "session_id", "timestamp"} if '"' not in name)
    pattern = "ifnull(octet_length({}), 0)" if _OCTETS else "ifnull(length(CAST({} AS BLOB)), 0)"
    return " + ".join(pattern.format(name) for name in names) or "0"


def _spent(
    database: sqlite3.Connection, session_id: str, columns: set[str]
) -> tuple[int | None, float | None]:
    """Tokens and costs by the host's own accounts."""
    tokens = [f"ifnull({name}, 0)" for name in _TOKENS if name in columns]
    costs = [name for name in _COSTS if name in columns]
    select = f"{' + '.join(tokens) or 'NULL'}, coalesce({', '.join((*costs, 'NULL', 'NULL'))})"
    query = f"SELECT {select} FROM sessions WHERE id = ?"  # noqa: S608 - constant names
    row = database.execute(query, (session_id,)).fetchone()
    if row is None:
        return None, None
    used, cost = row
    return (
        int(used) if isinstance(used, int | float) else None,
        float(cost) if isinstance(cost, int | float) else None,
    )


def _size_of(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
