"""Rows of the host's table ``sessions`` as records. Columns are probed, never inferred from a version.

System prompts and message texts are never selected. What must not live here: opening databases, and classes.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.session import Lineage, Record
from hermes_retention.model.text import printable
from hermes_retention.stores.files import decode
from hermes_retention.stores.hermes.processes import is_alive

_Facts: TypeAlias = tuple[Any, ...]

_IDS_PER_QUERY = 500
_ROWS_AT_A_TIME = 500
"""Few enough to be read within milliseconds."""
_BEFORE_ALL_ROWS = -(2**63)
_HANDING_OFF = frozenset({"pending", "running"})
_TURN = "a turn is under way"
_LEASE_GRACE_SECONDS = 86400.0
_SILENT_SECONDS = 12 * 3600.0
"""Backends are heard of every minute; the host takes one for dead after twice six hours."""
_IN_WINDOWS = "'tui', 'desktop', 'unknown'"
_OWN_SPACE = "/proc/self/ns/pid"
_NEITHER = type(None)
_PLAIN = frozenset(
    itertools.product([str], [float], [float, _NEITHER], [str, _NEITHER], [float, _NEITHER], [str, _NEITHER])
)
"""Types of source, started_at, ended_at, end_reason, newest message and parent, as the host writes them."""
_MARKS = {
    "archived": "archived in the host, which takes it out of sight and keeps nothing: it ages as any other",
    "auto_archived": "archived by the host itself, which keeps nothing: it ages as any other",
    "hidden": "hidden by the host for its own purposes, which keeps nothing: it ages as any other",
}
"""How a host takes sessions out of its lists, and what that means here."""
_FACTS: tuple[tuple[str, type, bool], ...] = (
    ("source", str, True),
    ("started_at", float, True),
    ("ended_at", float, False),
    ("end_reason", str, False),
    ("the newest message's timestamp", float, False),
    ("parent_session_id", str, False),
)
"""The same for the rows that are not plain: name, type, and whether there must be a value."""


class Rows(msgspec.Struct, gc=False):
    """What the scan takes from ``sessions``, keyed by session id."""

    has_table: bool = False
    records: dict[str, Record] = {}
    keys: dict[str, str] = {}
    """The route key that a record names (host 0.18 and newer)."""
    users: dict[str, str] = {}
    pins: dict[str, str] = {}
    """In words that a person pinned it (host 0.20 and newer), or that nobody can tell."""
    marks: dict[str, str] = {}
    """In words why the host hides it."""
    warnings: list[str] = []


def columns_of(database: sqlite3.Connection, table: str) -> set[str]:
    """The names of a table's columns, generated ones too; empty when there is no such table."""
    return {name for (name,) in database.execute("SELECT name FROM pragma_table_xinfo(?)", (table,))}


def read_sessions(database: sqlite3.Connection, where: str, *, now: float) -> Rows:
    """Every row of ``sessions``. ``where`` names the database in messages.

    A row with values that no host writes becomes a busy record, so that it is kept, with a warning. Raises
    ``StoreUnreadable`` when the tables have no known form, ``sqlite3.Error`` when they cannot be read.
    """
    columns = columns_of(database, "sessions")
    rows = Rows(has_table=bool(columns))
    busy = _busy(database, where, now=now)
    if columns:
        if "id" not in columns:
            raise _unknown_form(where, "sessions has no column id")
        newest = newest_message(database, where)
        _take(_selected(database, _query(columns, newest), newest), rows, _origins(database) | busy, where)
    for session_id in busy.keys() - rows.records.keys():
        # The host works on something that has no row yet, or has it in another profile's database.
        rows.records[session_id] = Record(source="", started_at=0.0, busy=busy[session_id])
    return rows


def read_some_sessions(
    database: sqlite3.Connection, where: str, session_ids: Sequence[str], *, now: float
) -> Rows:
    """What ``read_sessions`` says of these sessions, once more; those without a row are missing."""
    columns = columns_of(database, "sessions")
    rows = Rows(has_table=bool(columns))
    busy = _origins(database) | _busy(database, where, now=now)
    query = _query(columns, newest_message(database, where))
    for start in range(0, len(session_ids), _IDS_PER_QUERY):
        some = session_ids[start : start + _IDS_PER_QUERY]
        chosen = f"{query} WHERE s.id IN ({', '.join('?' * len(some))})"
        _take(database.execute(chosen, some).fetchall(), rows, busy, where)
    return rows


def _selected(database: sqlite3.Connection, query: str, newest: tuple[str, str]) -> Iterator[tuple[Any, ...]]:
    """The rows of ``query``, in order of their row id; outside of a transaction in short statements.

    Whoever reads where there is no write-ahead log keeps others from writing. Where rows have no ids, or one
    pass over all messages is needed, it is one statement nevertheless.
    """
    _, join = newest
    last = None if database.in_transaction or join else _end_of_slice(database, _BEFORE_ALL_ROWS)
    if last is None:
        yield from database.execute(query)
        return
    first = _BEFORE_ALL_ROWS
    while last is not None:
        # Without the transaction a row may come or go meanwhile; a new one has the highest id.
        some = f"{query} WHERE s.rowid > ? AND s.rowid <= ?"
        yield from database.execute(some, (first, last)).fetchall()
        first, last = last, _end_of_slice(database, last)


def _end_of_slice(database: sqlite3.Connection, after: int) -> int | None:
    """The last row id of the next slice of ``sessions``; ``None`` without one, or where rows have no ids."""
    some = f"SELECT rowid AS row FROM sessions WHERE rowid > ? ORDER BY rowid LIMIT {_ROWS_AT_A_TIME}"  # noqa: S608 - a constant
    try:
        (last,) = database.execute(f"SELECT max(row) FROM ({some})", (after,)).fetchone()  # noqa: S608 - see above
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        return None
    return last if isinstance(last, int) else None


def _origins(database: sqlite3.Connection) -> dict[str, str]:
    """The host names the origin of a delegation by its route key, or by an id of a window."""
    return _delegating(database, ("origin_session", "origin_ui_session_id"))


def _take(cursor: Iterable[tuple[Any, ...]], rows: Rows, busy: Mapping[str, str], where: str) -> None:
    """Fill ``rows``. The loop runs once per session ever recorded, so it does nothing twice."""
    records, keys, users, intern = rows.records, rows.keys, rows.users, sys.intern
    unlinked = Lineage.NONE
    nameless, doubts = 0, []
    for row in cursor:
        (
            session_id,
            source,
            started,
            ended,
            reason,
            newest,
            parent,
            cause,
            marks,
            handoff,
            key,
            user,
            count,
            pinned,
            mark,
        ) = row
        if type(session_id) is not str:
            nameless += 1
            continue
        lineage = unlinked if parent is None and marks is None else lineage_of(cause, marks)
        work = busy.get(session_id) if busy else None
        if type(key) is str and key:
            keys[session_id] = intern(key)
            work = work or busy.get(key)
        if type(user) is str and user:
            users[session_id] = intern(user)
        if pinned != 0 or mark is not None:  # rare; what is no number differs from 0
            _note_marks(rows, session_id, pinned, mark)
        if handoff is not None and handoff in _HANDING_OFF:
            work = work or f"hand-off {handoff}"
        if (type(source), type(started), type(ended), type(reason), type(newest), type(parent)) not in _PLAIN:
            facts, doubt = _mended((source, started, ended, reason, newest, parent))
            if doubt is not None:
                doubts.append((session_id, doubt))
                work = work or f"unclear record: {doubt}"
            source, started, ended, reason, newest, parent = facts
        if reason is not None:
            reason = intern(reason)
        messages = count if type(count) is int else 0  # only estimates need it
        records[session_id] = Record(
            intern(source), started, ended, reason, newest, parent, lineage, work, messages
        )
    rows.warnings.extend(_complaints(nameless, doubts, where))


def _note_marks(rows: Rows, session_id: str, pinned: object, mark: str | None) -> None:
    """A pin that is no plain 0 keeps, whatever it is: a person may have meant it. Others are only told."""
    if pinned != 0:
        what = "missing" if pinned is None else type(pinned).__name__
        rows.pins[session_id] = (
            "a person pinned it in the host"
            if type(pinned) is int
            else f"nobody can tell whether a person pinned it in the host: pinned is {what}"
        )
    if mark is not None:
        rows.marks[session_id] = _MARKS[mark]


def _mended(facts: _Facts) -> tuple[_Facts, str | None]:
    """``facts`` with the right types, and what was wrong with them; whole numbers are as good as any."""
    mended: list[Any] = []
    doubt = None
    for value, (name, kind, required) in zip(facts, _FACTS, strict=True):
        if isinstance(value, int) and kind is float:
            mended.append(float(value))
        elif isinstance(value, kind) or (value is None and not required):
            mended.append(value)
        else:
            mended.append(kind() if required else None)
            doubt = doubt or f"{name} is {'missing' if value is None else type(value).__name__}"
    return tuple(mended), doubt


def _complaints(nameless: int, doubts: Sequence[tuple[str, str]], where: str) -> Iterator[str]:
    table = f"{printable(where)}: table sessions"
    if doubts:
        session_id, doubt = doubts[0]
        yield (
            f"{table} has {len(doubts)} row(s) with values that no host writes, such as "
            f"{printable(session_id)} ({doubt}); these sessions are kept. "
            "Stop the host and correct or delete the rows."
        )
    if nameless:
        yield (
            f"{table} has {nameless} row(s) whose id is no text; they are kept, and no file can be theirs. "
            "Stop the host and delete these rows."
        )


def lineage_of(parent_reason: object, marks: object) -> Lineage:
    """How the host's own queries tell a subagent, a branch and a continuation apart."""
    if isinstance(marks, str):
        with contextlib.suppress(ValueError):
            config = decode(marks)
            if isinstance(config, dict) and config.get("_delegate_from") is not None:
                return Lineage.DELEGATION
            if isinstance(config, dict) and config.get("_branched_from") is not None:
                return Lineage.BRANCH
    if parent_reason == "compression":
        return Lineage.COMPRESSION
    return Lineage.BRANCH if parent_reason == "branched" else Lineage.NONE


def _busy(database: sqlite3.Connection, where: str, *, now: float) -> dict[str, str]:
    """Session id → why the host is at work on it, as far as ids say so."""
    return (
        _attended(database, where, now=now)
        | _delegating(database, ("parent_session_id",))
        | _locked(database, now=now)
        | _answered(database, where, now=now)
    )


def _answered(database: sqlite3.Connection, where: str, *, now: float) -> dict[str, str]:
    """Conversations in which a turn is under way (host 0.20 and newer), with all that they continued as.

    A lease holds until it expires. Where its process lives, it may still be renewed after that, as when a
    machine slept; the host gives it up after a day.
    """
    return {
        session_id: _TURN
        for root, holder, expires in _leases(database, where)
        if not isinstance(expires, float | int)
        or expires >= now
        or (expires >= now - _LEASE_GRACE_SECONDS and _lives(holder))
        for session_id in _continued(database, root)
    }


def _leases(database: sqlite3.Connection, where: str) -> list[tuple[str, object, object]]:
    """Root of a conversation, holder and end of each. Raises ``StoreUnreadable`` for a table unlike that."""
    columns = columns_of(database, "session_turn_leases")
    if not columns:
        return []
    if not {"conversation_id", "expires_at"} <= columns:
        raise _unknown_form(where, "session_turn_leases has no conversation_id and expires_at")
    holder = "holder" if "holder" in columns else "NULL"
    query = f"SELECT conversation_id, {holder}, expires_at FROM session_turn_leases"  # noqa: S608 - constant names
    return [row for row in database.execute(query) if isinstance(row[0], str)]


def _lives(holder: object) -> bool:
    """Whether the process in ``pid=<number>:pidns=<namespace>:…`` certainly lives on this machine."""
    facts = dict(part.partition("=")[::2] for part in holder.split(":")) if isinstance(holder, str) else {}
    pid, space = facts.get("pid", ""), facts.get("pidns")
    if not (pid.isascii() and pid.isdigit()):
        return False
    try:
        return (space is None or int(space) == os.stat(_OWN_SPACE).st_ino) and is_alive(int(pid))
    except (OSError, ValueError):
        return False


def _continued(database: sqlite3.Connection, root: str) -> list[str]:
    """``root``, and all under which compression has gone on with it."""
    if not {"id", "parent_session_id", "end_reason"} <= columns_of(database, "sessions"):
        return [root]
    line = (
        "WITH RECURSIVE line(id) AS (SELECT ? UNION SELECT s.id FROM line "
        "JOIN sessions p ON p.id = line.id AND p.end_reason = 'compression' "
        "JOIN sessions s ON s.parent_session_id = p.id) SELECT id FROM line"
    )
    given = root.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return [root, *(one for (one,) in database.execute(line, (given,)) if isinstance(one, str))]


def _attended(database: sqlite3.Connection, where: str, *, now: float) -> dict[str, str]:
    """What nobody ended of those sessions that a window shows, while a backend for windows runs (host 0.22).

    Nothing says which of them it shows. Raises ``StoreUnreadable`` for a table without times.
    """
    columns = columns_of(database, "gateway_heartbeats")
    if not columns:
        return {}
    if "last_heartbeat" not in columns:
        raise _unknown_form(where, "gateway_heartbeats has no last_heartbeat")
    names = [name if name in columns else "NULL" for name in ("last_heartbeat", "pid", "started_at", "host")]
    beats = database.execute(f"SELECT {', '.join(names)} FROM gateway_heartbeats").fetchall()  # noqa: S608 - see above
    if not any(_beats(*beat, now=now) for beat in beats):
        return {}
    if not {"id", "source", "ended_at"} <= columns_of(database, "sessions"):
        return {}
    query = f"SELECT id FROM sessions WHERE ended_at IS NULL AND source IN ({_IN_WINDOWS})"  # noqa: S608 - constant
    return {
        one: "a running backend may show it" for (one,) in database.execute(query) if isinstance(one, str)
    }


def _beats(last: object, pid: object, began: object, host: object, *, now: float) -> bool:
    """Whether the backend of this row lives: it was heard of lately, or its very process is still there."""
    if not isinstance(last, float | int) or last >= now - _SILENT_SECONDS:
        return True
    if host != os.uname().nodename or not isinstance(pid, int) or not isinstance(began, float | int):
        return False
    return is_alive(pid, began_before=began + 60)


def _locked(database: sqlite3.Connection, *, now: float) -> dict[str, str]:
    """Sessions under a compression lock that has not expired; one without a readable end counts as held."""
    if not {"session_id", "expires_at"} <= columns_of(database, "compression_locks"):
        return {}
    return {
        session_id: "compression lock"
        for session_id, expires in database.execute("SELECT session_id, expires_at FROM compression_locks")
        if isinstance(session_id, str) and not (isinstance(expires, float | int) and expires < now)
    }


def claims(database: sqlite3.Connection) -> Iterator[tuple[str, str, object]]:
    """Compression locks and turn leases, also expired ones, and delegations: session id, in words, and which
    one it is. Raises ``StoreUnreadable`` as ``read_sessions`` does.
    """
    for root, _, expires in _leases(database, "state.db"):
        yield from ((session_id, _TURN, expires) for session_id in _continued(database, root))
    if {"session_id", "expires_at"} <= columns_of(database, "compression_locks"):
        for session_id, expires in database.execute("SELECT session_id, expires_at FROM compression_locks"):
            yield session_id, "compression lock", expires
    delegating = {**_origins(database), **_delegating(database, ("parent_session_id",))}
    yield from ((session_id, what, None) for session_id, what in delegating.items())


def _delegating(database: sqlite3.Connection, names: Iterable[str]) -> dict[str, str]:
    """What the columns ``names`` hold for background delegations that have not come to their end."""
    columns = columns_of(database, "async_delegations")
    found = [name for name in names if name in columns]
    if "state" not in columns or not found:
        return {}
    query = f"SELECT {', '.join(found)} FROM async_delegations WHERE state IN ('running', 'finalizing')"  # noqa: S608 - constant names
    return {
        value: "background delegation"
        for row in database.execute(query)
        for value in row
        if isinstance(value, str) and value
    }


def _unknown_form(where: str, why: str) -> StoreUnreadable:
    return StoreUnreadable(
        where,
        f"{why}, which is no form of this database that is known",
        consequence="nothing was removed",
        cure="Look for a newer hermes-retention that knows this version of the host.",
    )


def _query(columns: set[str], newest: tuple[str, str]) -> str:
    """One row per session. Most columns lie behind the system prompt in the row: no more than these."""

    def column(name: str) -> str:
        return f"s.{name}" if name in columns else "NULL"

    expression, join = newest
    parent_reason = marks = "NULL"
    if {"parent_session_id", "end_reason"} <= columns:
        parent_reason = (
            "CASE WHEN s.parent_session_id IS NOT NULL "
            "THEN (SELECT p.end_reason FROM sessions p WHERE p.id = s.parent_session_id) END"
        )
    if "model_config" in columns:
        # instr() and not json_extract(): that raises on what is no JSON, and this is paid for every row.
        marks = (
            "CASE WHEN instr(s.model_config, '_delegate_from') OR instr(s.model_config, '_branched_from') "
            "THEN s.model_config END"
        )
    selected = (
        "s.id",
        *map(column, ("source", "started_at", "ended_at", "end_reason")),
        expression,
        column("parent_session_id"),
        parent_reason,
        marks,
        *map(column, ("handoff_state", "session_key", "user_id", "message_count")),
        "s.pinned" if "pinned" in columns else "0",
        _mark(columns),
    )
    return f"SELECT {', '.join(selected)} FROM sessions s {join}"  # noqa: S608 - constant names


def _mark(columns: set[str]) -> str:
    """Which of ``_MARKS`` a session has, as SQL. A person's word goes before what the host did by itself."""
    automatic = "WHEN s.archived AND s.auto_archived THEN 'auto_archived' " * ("auto_archived" in columns)
    archived = f"{automatic}WHEN s.archived THEN 'archived' " * ("archived" in columns)
    hidden = "WHEN s.hidden THEN 'hidden' " * ("hidden" in columns)
    return f"CASE {archived}{hidden}END" if archived or hidden else "NULL"


def newest_message(database: sqlite3.Connection, where: str) -> tuple[str, str]:
    """Expression and join that give the time of the newest message of each session ``s``."""
    columns = columns_of(database, "messages")
    if not columns:
        return "NULL", ""
    if not {"session_id", "timestamp"} <= columns:
        raise _unknown_form(where, "messages has no session_id and timestamp")
    plan = database.execute("EXPLAIN QUERY PLAN SELECT max(timestamp) FROM messages WHERE session_id = ''")
    # Without an index the plan also begins with SEARCH: only naming one means that one is used.
    if any(" INDEX " in str(step[-1]) for step in plan.fetchall()):
        return "(SELECT max(m.timestamp) FROM messages m WHERE m.session_id = s.id)", ""
    # The index is gone: one pass over the table instead of one per session.
    newest = "SELECT session_id, max(timestamp) AS newest FROM messages GROUP BY session_id"
    return "m.newest", f"LEFT JOIN ({newest}) m ON m.session_id = s.id"
