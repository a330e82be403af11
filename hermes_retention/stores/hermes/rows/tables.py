"""The host's tables with rows of sessions: which there are, and single statements that read or change them.

Tables and columns are probed, never inferred from a version; columns that nobody here knows are read like the
others. All functions work on a connection that ``state_db`` opened; the caller's transaction decides of which
moment the rows are. What must not live here: transactions, and decisions.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Generator, Iterator, Sequence

import msgspec

from hermes_retention.model.text import printable
from hermes_retention.stores.rows import MARKER, Header, Row, Value, encode_row

VARIABLES = 500
"""SQLite allows at least 999 in a statement; more than 500 gain nothing."""
SESSIONS, MESSAGES, META = "sessions", "messages", "state_meta"
_KNOWN = ("session_model_usage", "telegram_dm_topic_bindings", "compression_locks")
"""Tables of the host whose ``session_id`` names a session, with or without a foreign key.

Not ``async_delegations``: that is a queue of results that the host delivers, and clears by itself.
"""
CHILDREN = Header(":children", ("id", "parent_session_id"))
"""Not a table: which sessions lost their parent, so that restoring it can put them back below it."""
DIGEST_BYTES = 8
_LONGEST_NAME = 80


class Owner(msgspec.Struct, frozen=True):
    """A table whose ``column`` says to which session a row belongs."""

    table: str
    column: str


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


def select(  # noqa: PLR0913 - what to read, and which of it
    database: sqlite3.Connection,
    header: Header,
    column: str,
    values: Sequence[Value],
    *,
    order: str = "1",
    condition: str = "",
) -> Generator[Row]:
    """The rows of a table whose ``column`` is one of ``values``, in runs that a statement can take.

    ``condition`` is further SQL of this package's own.
    """
    names = ", ".join(map(quoted, header.columns))
    for run in runs(values):
        yield from database.execute(
            f"SELECT {names} FROM {quoted(header.table)} "  # noqa: S608 - names are quoted
            f"WHERE {quoted(column)} IN ({places(run)}) {condition} ORDER BY {order}",
            [parameter(value) for value in run],
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


def digest_of(row: Row) -> bytes:
    """Eight bytes that differ when any value or type in ``row`` does."""
    return digest(encode_row(row))


def digest(line: bytes) -> bytes:
    """Eight bytes that differ when the encoded row does."""
    return hashlib.blake2b(line, digest_size=DIGEST_BYTES).digest()


def goal_key(session_id: str) -> str:
    """Where ``state_meta`` keeps the goal of a session."""
    return f"goal:{session_id}"


# -- changing: each function is one statement, or one for each run of ids that a statement takes ------------


def runs(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """``values`` in runs that a statement takes."""
    return (values[start : start + VARIABLES] for start in range(0, len(values), VARIABLES))


def delete_where(database: sqlite3.Connection, table: str, column: str, values: Sequence[Value]) -> int:
    """Delete the rows of a table whose ``column`` is one of ``values``; returns how many."""
    sql = f"DELETE FROM {quoted(table)} WHERE {quoted(column)} IN "  # noqa: S608 - quoted
    return sum(
        database.execute(f"{sql} ({places(run)})", [parameter(value) for value in run]).rowcount
        for run in runs(values)
    )


def clear_parents(database: sqlite3.Connection, session_ids: Sequence[Value]) -> None:
    """Let these sessions be below nobody."""
    for run in runs(session_ids):
        database.execute(
            f"UPDATE sessions SET parent_session_id = NULL WHERE id IN ({places(run)})",  # noqa: S608 - placeholders only
            [parameter(one) for one in run],
        )


def set_contents(database: sqlite3.Connection, contents: Sequence[Row]) -> None:
    """Give messages another text: pairs of id and content. One statement."""
    new = ", ".join(f"({places(pair)})" for pair in contents)
    values: list[Value] = [parameter(value) for pair in contents for value in pair]
    database.execute(
        f"WITH new(id, content) AS (VALUES {new}) UPDATE messages "  # noqa: S608 - placeholders only
        "SET content = (SELECT new.content FROM new WHERE new.id = messages.id) "
        "WHERE id IN (SELECT new.id FROM new)",
        values,
    )


# -- what stands in the place of tool output ----------------------------------------------------------------


def marker_of(header: Header, row: Row) -> str:
    """The text that stands for the body of a tool message: what was there, its size, how to get it back."""
    known = dict(zip(header.columns, row, strict=True))
    content, name = known["content"], known.get("tool_name")
    plain = content if isinstance(content, bytes) else str(content).encode("utf-8", "surrogateescape")
    what = printable(name)[:_LONGEST_NAME] if isinstance(name, str) and name else "a tool"
    session_id = printable(str(known["session_id"]))
    return (
        f"{MARKER}the output of {what}, {len(plain)} bytes, is archived; "
        f"`hermes-retention restore {session_id}` puts it back]"
    )


def marked(header: Header, row: Row) -> Row:
    """``row`` with the marker in the place of its body."""
    at = header.columns.index("content")
    return (*row[:at], marker_of(header, row), *row[at + 1 :])
