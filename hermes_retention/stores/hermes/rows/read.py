"""What belongs to a session in the host's database, read row by row with everything in it.

Tables and columns are probed, never inferred from a version; columns that nobody here knows are read like the
others. All functions work on a connection that ``state_db`` opened; the caller's transaction decides of which
moment the rows are. What must not live here: writing, and decisions.
"""

from __future__ import annotations

import hashlib
import sqlite3
from array import array
from collections.abc import Iterator, Sequence

import msgspec

from hermes_retention.stores.hermes.rows.format import Header, Row, Value, encode_row

VARIABLES = 500
"""SQLite allows at least 999 in a statement; more than 500 gain nothing."""
SESSIONS, MESSAGES, META = "sessions", "messages", "state_meta"
_KNOWN = ("session_model_usage", "telegram_dm_topic_bindings", "compression_locks")
"""Tables of the host whose ``session_id`` names a session, with or without a foreign key.

Not ``async_delegations``: that is a queue of results that the host delivers, and clears by itself.
"""
_DIGEST_BYTES = 8
ROW_WEIGHT = 200
"""What a row costs to remove beside its bytes, told in bytes."""


class Owner(msgspec.Struct, frozen=True):
    """A table whose ``column`` says to which session a row belongs."""

    table: str
    column: str


class Seen:
    """Which rows of ``messages`` of a session were read, and a digest of each. 20 bytes per row."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.ids = array("q")
        self.digests = bytearray()
        self.weights = array("L")
        self.total = 0
        """How many messages the session had, of which these may be some."""
        self.newest_id: int | None = None
        self.record: bytes | None = None
        """A digest of its row in ``sessions``; ``None`` when it had none."""
        self.complete = False
        """Whether the reading came to its end."""

    def __len__(self) -> int:
        return len(self.ids)

    def note(self, message_id: int, row: Row) -> None:
        """Remember one more row; ids come in ascending order."""
        line = encode_row(row)
        self.ids.append(message_id)
        self.digests += _digest(line)
        self.weights.append(len(line) + ROW_WEIGHT)

    def is_same(self, position: int, row: Row) -> bool:
        """Whether ``row`` is what was read at ``position``."""
        start = position * _DIGEST_BYTES
        return self.digests[start : start + _DIGEST_BYTES] == digest_of(row)


def digest_of(row: Row) -> bytes:
    """Eight bytes that differ when any value or type in ``row`` does."""
    return _digest(encode_row(row))


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=_DIGEST_BYTES).digest()


def quoted(name: str) -> str:
    """``name`` as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def placeholder(value: Value) -> str:
    """What stands for ``value`` in a statement; goes with ``parameter``."""
    return "CAST(? AS TEXT)" if isinstance(parameter(value), bytes) and isinstance(value, str) else "?"


def parameter(value: Value) -> Value:
    """``value`` as SQLite's binding takes it: text that is not UTF-8 as its bytes, to be cast."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogateescape")
    return value


def places(values: Sequence[Value]) -> str:
    """The placeholders of ``values``, with commas between."""
    return ", ".join(map(placeholder, values))


def columns_in_order(database: sqlite3.Connection, table: str) -> tuple[str, ...]:
    """A table's columns, without generated ones, which follow from the others. Empty without a table."""
    return tuple(name for (name,) in database.execute("SELECT name FROM pragma_table_info(?)", (table,)))


def header_of(database: sqlite3.Connection, table: str) -> Header:
    """How rows of ``table`` are read and written."""
    return Header(table, columns_in_order(database, table))


def owners(database: sqlite3.Connection) -> list[Owner]:
    """The tables whose rows go with a session's record, in order of name.

    These are the host's known ones, and all with a foreign key to ``sessions(id)`` unless the key is only
    cleared when the session goes.
    """
    found = {
        Owner(table, "session_id") for table in _KNOWN if "session_id" in columns_in_order(database, table)
    }
    keys = database.execute(
        'SELECT t.name, k."from", k."to", k.on_delete '
        "FROM sqlite_master t, pragma_foreign_key_list(t.name) k WHERE t.type = 'table' "
        "AND lower(k.\"table\") = 'sessions' AND t.name NOT IN ('sessions', 'messages')"
    )
    for table, column, target, action in keys.fetchall():
        if (target or "id") == "id" and action not in ("SET NULL", "SET DEFAULT"):
            found.add(Owner(table, column))
    return sorted(found, key=lambda owner: (owner.table, owner.column))


def select(
    database: sqlite3.Connection, header: Header, column: str, values: Sequence[Value], *, order: str = "1"
) -> Iterator[Row]:
    """The rows of a table whose ``column`` is one of ``values``, in chunks that a statement can take."""
    names = ", ".join(map(quoted, header.columns))
    for start in range(0, len(values), VARIABLES):
        chunk = values[start : start + VARIABLES]
        yield from database.execute(
            f"SELECT {names} FROM {quoted(header.table)} "  # noqa: S608 - names are quoted
            f"WHERE {quoted(column)} IN ({places(chunk)}) ORDER BY {order}",
            [parameter(value) for value in chunk],
        )


def count_same(database: sqlite3.Connection, header: Header, row: Row) -> int:
    """How many rows of a table are ``row`` in every value and type."""
    columns = list(map(quoted, header.columns))
    same = " AND ".join(
        f"{column} IS {placeholder(value)}" for column, value in zip(columns, row, strict=True)
    )
    query = f"SELECT {', '.join(columns)} FROM {quoted(header.table)} WHERE {same}"  # noqa: S608 - quoted
    found = database.execute(query, [parameter(value) for value in row])
    return sum(encode_row(one) == encode_row(row) for one in found)


def message_ids(database: sqlite3.Connection, session_id: str, *, condition: str = "") -> list[int]:
    """The ids of a session's messages, ascending; ``condition`` is further SQL of this package's own."""
    query = f"SELECT id FROM messages WHERE session_id = {placeholder(session_id)} {condition}"  # noqa: S608 - see above
    return sorted(message_id for (message_id,) in database.execute(query, (parameter(session_id),)))


def read_messages(database: sqlite3.Connection, seen: Seen) -> Iterator[Header | Row]:
    """A header and all messages of a session in order of their ids: active, inactive, compacted.

    ``seen`` is filled on the way and complete when the iterator has come to its end. Memory: one row.
    """
    yield from _noted(database, seen, message_ids(database, seen.session_id))


def read_tool_output(
    database: sqlite3.Connection, seen: Seen, *, longer_than_bytes: int, marker: str
) -> Iterator[Header | Row]:
    """A header and the tool messages whose body is longer than asked and does not begin with ``marker``."""
    condition = (
        f"AND role = 'tool' AND length(CAST(content AS BLOB)) > {int(longer_than_bytes)} "
        f"AND substr(content, 1, {len(marker)}) <> '{marker}'"
    )
    yield from _noted(database, seen, message_ids(database, seen.session_id, condition=condition))


def _noted(database: sqlite3.Connection, seen: Seen, ids: Sequence[int]) -> Iterator[Header | Row]:
    header = header_of(database, MESSAGES)
    seen.total, seen.newest_id = count_messages(database, seen.session_id)
    seen.record = record_digest(database, seen.session_id)
    yield header
    for message_id, row in zip(ids, select(database, header, "id", ids, order="id"), strict=True):
        seen.note(message_id, row)
        yield row
    seen.complete = True


def count_messages(database: sqlite3.Connection, session_id: str) -> tuple[int, int | None]:
    """How many messages a session has, and the newest id. Read from an index."""
    query = f"SELECT count(*), max(id) FROM messages WHERE session_id = {placeholder(session_id)}"  # noqa: S608 - placeholder
    count, newest = database.execute(query, (parameter(session_id),)).fetchone()
    return count, newest


def count_all_messages(database: sqlite3.Connection) -> int:
    """How many messages there are. One pass over an index."""
    return int(database.execute("SELECT count(*) FROM messages").fetchone()[0])


def record_digest(database: sqlite3.Connection, session_id: str) -> bytes | None:
    """A digest of a session's record; ``None`` when there is none."""
    query = f"SELECT * FROM sessions WHERE id = {placeholder(session_id)}"  # noqa: S608 - placeholder
    row = database.execute(query, (parameter(session_id),)).fetchone()
    return None if row is None else digest_of(row)


def read_record(database: sqlite3.Connection, session_ids: Sequence[str]) -> Iterator[Header | Row]:
    """The records of sessions and every row that goes with them, but no messages; no tables without rows.

    Records come first, then the tables of ``owners``, then goals; rows in order of their first column.
    """
    wanted: list[tuple[Owner, list[Value]]] = [(Owner(SESSIONS, "id"), list(session_ids))]
    wanted += [(owner, list(session_ids)) for owner in owners(database)]
    if "key" in columns_in_order(database, META):
        wanted.append((Owner(META, "key"), list(map(goal_key, session_ids))))
    for owner, values in wanted:
        header = header_of(database, owner.table)
        rows = list(select(database, header, owner.column, values))
        if rows:
            yield header
            yield from rows


def goal_key(session_id: str) -> str:
    """Where ``state_meta`` keeps the goal of a session."""
    return f"goal:{session_id}"
