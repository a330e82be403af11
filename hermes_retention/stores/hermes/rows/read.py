"""Rows of sessions, read for the vault or a search: messages, tool output, records with what goes with them.

What is read is remembered well enough that whoever removes it later can tell whether it still is the same.
What must not live here: the vault, and writing.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import math
import sqlite3
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import msgspec

from hermes_retention.model.session import ArtifactKind, Lineage, Record, Session
from hermes_retention.model.text import safe_name
from hermes_retention.stores.base import LiveMessage
from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.records import Rows, lineage_of, read_some_sessions
from hermes_retention.stores.hermes.rows.tables import (
    CHILDREN,
    DIGEST_BYTES,
    MESSAGES,
    META,
    SESSIONS,
    Owner,
    columns_in_order,
    count_messages,
    digest,
    digest_of,
    goal_key,
    header_of,
    message_ids,
    owners,
    parameter,
    placeholder,
    quoted,
    record_digest,
    select,
)
from hermes_retention.stores.rows import (
    CHUNK_BYTES,
    MARKER,
    Header,
    Reading,
    Row,
    Value,
    encode,
    encode_header,
    encode_row,
)

Routed = Callable[[Rows], dict[str, frozenset[str]]]
"""Of rows just read: session id → the keys that lead to it now, or may."""
_TEXTS = ("content", "tool_calls", "reasoning", "reasoning_content")
_OTHERS = ("role", "tool_name", "timestamp")
_IDS_AT_A_TIME = 5000
_LONGEST_RUN = 1000
"""SQLite refuses patterns of more than 50,000 bytes."""
_FACTS = ("id", "parent_session_id", "end_reason", "model_config")
_LATEST_NS = 2**62
_ROWS_AT_A_TIME = 250
_BRIEF_SECONDS = 0.005
"""How long rows are read at once where others wait for it."""
_ROW_WEIGHT = 200
"""What a row costs to remove beside its bytes, told in bytes."""


class HermesRowReader:
    """Reads through ``database``, which ``state_db.reading_briefly`` opened.

    With a write-ahead log all of it is of one moment. Else only what one session has to be compared with is;
    messages are read a few at a time, and one that changes meanwhile keeps its session where it is.
    """

    def __init__(self, path: Path, database: sqlite3.Connection, routed: Routed) -> None:
        self._path, self._database, self._routed = path, database, routed

    def changes(self, sessions: Sequence[Session], *, now: float) -> dict[str, str]:
        """The sessions whose record or routes are not what the scan saw, by id, with what is different."""
        ids = [session.id for session in sessions]
        with self._translated():
            rows = read_some_sessions(self._database, str(self._path), ids, now=now)
            routed = self._routed(rows)
        found = {}
        for session in sessions:
            keys = routed.get(session.id, frozenset())
            if not _is_same(rows.records.get(session.id), session.record):
                found[session.id] = "its record or its messages changed since it was looked at"
            elif keys - {route.key for route in session.routes}:
                found[session.id] = "messages go to it again"
            elif session.id in rows.pins:  # nobody plans to take what is pinned: that is new
                found[session.id] = rows.pins[session.id]
        return found

    def messages(self, session: Session) -> Reading:
        """All its messages and its record."""
        seen = Seen(session.id)

        def items() -> Iterator[bytes]:
            with self._translated():
                yield from encode(self._at_once(read_record(self._database, [session.id])))
                yield from encode(read_messages(self._database, seen))

        return _reading(ArtifactKind.MESSAGES, session, items(), seen)

    def tool_output(self, session: Session, *, longer_than_bytes: int) -> Reading:
        """The messages of tools whose body is longer than that; perhaps none."""
        seen = Seen(session.id)

        def items() -> Iterator[bytes]:
            with self._translated():
                yield from encode(read_tool_output(self._database, seen, longer_than_bytes=longer_than_bytes))

        return _reading(ArtifactKind.TOOL_OUTPUT, session, items(), seen)

    def record(self, session: Session) -> Reading:
        """Its record and all that goes with it, but no messages."""

        def items() -> Iterator[bytes]:
            with self._translated():
                yield from encode(self._at_once(read_record(self._database, [session.id])))
                yield from encode(self._at_once(read_detached(self._database, session.id)))

        return _reading(ArtifactKind.RECORD, session, items(), Seen(session.id))

    def unit(self, session_id: str) -> tuple[tuple[str, ...], SeenUnit]:
        """The ids that leave together with this record, in order, and the ticket for ``remove_units``."""
        unit = SeenUnit(session_id)
        with self._translated(), state_db.moment(self._database):
            for _ in read_unit(self._database, unit):
                pass
        return unit.session_ids, unit

    def _at_once(self, items: Iterator[Header | Row]) -> list[Header | Row]:
        """All of what goes with a record, of one moment: it is not much."""
        with state_db.moment(self._database):
            return list(items)

    def _translated(self) -> contextlib.AbstractContextManager[None]:
        return state_db.read_errors(self._path)


def name_of(kind: ArtifactKind, session_id: str) -> str:
    """What the vault calls rows of a session; a file name when they are exported."""
    return f"{kind.value}_{safe_name(session_id)}.rows.jsonl"


def _is_same(now: Record | None, seen: Record | None) -> bool:
    """Whether nothing was changed but that the parent has left."""
    if now is None or seen is None or now.parent_id is not None:
        return now == seen
    return msgspec.structs.replace(now, parent_id=seen.parent_id, lineage=seen.lineage) == seen


def _reading(kind: ArtifactKind, session: Session, chunks: Iterator[bytes], ticket: Seen) -> Reading:
    return Reading(kind, name_of(kind, session.id), _newest_ns(session), chunks, ticket)


def _newest_ns(session: Session) -> int:
    """The newest time that the rows tell; the same for the same rows, so that they are archived once."""
    record = session.record
    if record is None:
        return 0
    newest = record.last_message_at or record.ended_at or record.started_at
    return min(max(0, round(newest * 1e9)), _LATEST_NS) if math.isfinite(newest) else 0


# -- messages and tool output


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
        self.digests += digest(line)
        self.weights.append(len(line) + _ROW_WEIGHT)

    def is_same(self, position: int, row: Row) -> bool:
        """Whether ``row`` is what was read at ``position``."""
        start = position * DIGEST_BYTES
        return self.digests[start : start + DIGEST_BYTES] == digest_of(row)


def read_messages(database: sqlite3.Connection, seen: Seen) -> Iterator[Header | Row]:
    """A header and all messages of a session in order of their ids: active, inactive, compacted.

    ``seen`` is filled on the way and complete when the iterator has come to its end. Memory: one row.
    """
    yield from _noted(database, seen)


def read_tool_output(
    database: sqlite3.Connection, seen: Seen, *, longer_than_bytes: int
) -> Iterator[Header | Row]:
    """A header and the tool messages whose body is longer than asked and is not in the vault already."""
    condition = (
        f"AND role = 'tool' AND length(CAST(content AS BLOB)) > {int(longer_than_bytes)} "
        f"AND substr(content, 1, {len(MARKER)}) <> '{MARKER}'"
    )
    yield from _noted(database, seen, condition)


def _noted(database: sqlite3.Connection, seen: Seen, condition: str = "") -> Iterator[Header | Row]:
    # Outside of a transaction what comes later may be of another moment than this. Whoever removes compares
    # with this, so that what came or went in between keeps the session where it is.
    briefly = not database.in_transaction
    with state_db.moment(database):
        header = header_of(database, MESSAGES)
        seen.total, seen.newest_id = count_messages(database, seen.session_id)
        seen.record = record_digest(database, seen.session_id)
        ids = message_ids(database, seen.session_id, condition="" if briefly else condition)
    yield header
    at = header.columns.index("id")
    if briefly:
        rows = _briefly(database, header, ids, condition)
    else:
        rows = select(database, header, "id", ids, order="id")
    for row in rows:
        seen.note(cast("int", row[at]), row)
        yield row
    seen.complete = True


def _briefly(
    database: sqlite3.Connection, header: Header, ids: Sequence[int], condition: str
) -> Iterator[Row]:
    """The same rows, some at a time: nobody waits longer than for a few milliseconds or one long row."""
    at = header.columns.index("id")
    position = 0
    while position < len(ids):
        run = ids[position : position + _ROWS_AT_A_TIME]
        until = math.inf
        some: list[Row] = []
        size = 0
        with (
            state_db.moment(database),
            contextlib.closing(select(database, header, "id", run, order="id", condition=condition)) as rows,
        ):
            for row in rows:
                some.append(row)
                size += sum(len(value) for value in row if isinstance(value, str | bytes))
                now = time.perf_counter()
                until = min(until, now + _BRIEF_SECONDS)  # not from the beginning: that is waited for
                if size >= CHUNK_BYTES or now >= until:
                    position += bisect.bisect_right(run, cast("int", row[at]))
                    break
            else:
                position += len(run)
        yield from some


# -- records


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


class SeenUnit:
    """The sessions that a record is removed with, and a digest of all that was read of them."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.session_ids: tuple[str, ...] = ()
        """All of them, sorted; empty when the session has no record."""
        self.messages = 0
        self.weight = 0
        """What removing it costs, told in bytes of rows."""
        self.children: frozenset[Row] = frozenset()
        """What loses its parent with it: session id and parent."""
        self.digest: bytes | None = None
        """Of all but ``children`` and ``parents``; ``None`` until the reading came to its end."""
        self.parents: dict[Value, Value] = {}
        """Session id → its parent, where that is another unit's: it may leave before."""

    def __len__(self) -> int:
        return self.messages

    def without_parent(self, header: Header, row: Row) -> Row:
        """A row for the digest. Parents outside of the unit are noted and taken out of their records."""
        if header.table != SESSIONS or not {*header.columns} >= {*CHILDREN.columns}:
            return row
        own, at = (header.columns.index(name) for name in CHILDREN.columns)
        if row[at] is None or row[at] in self.session_ids:
            return row
        self.parents[row[own]] = row[at]
        return (*row[:at], None, *row[at + 1 :])

    def why_changed(self, now: SeenUnit) -> str:
        """What is different in ``now``, read later; empty when only parents or children have left."""
        if now.children - self.children:
            return "it has other children now"
        if now.digest != self.digest or not now.parents.items() <= self.parents.items():
            return "something of it was changed"
        return ""


def find_unit(database: sqlite3.Connection, session_id: str) -> tuple[str, ...]:
    """The ids of the sessions that go together with ``session_id``, sorted; empty when it has no record."""
    found: set[str] = set()
    open_ids = [session_id]
    while open_ids:
        one = open_ids.pop()
        if one in found:
            continue
        own = next(_facts(database, "id", one), None)
        if own is not None:
            found.add(one)
            open_ids += _continued(database, own)
            open_ids += _attached(database, own)
    return tuple(sorted(found))


def _facts(database: sqlite3.Connection, column: str, session_id: str) -> Iterator[Row]:
    there = columns_in_order(database, SESSIONS)
    if column not in there:
        return
    names = ", ".join(name if name in there else "NULL" for name in _FACTS)
    query = f"SELECT {names} FROM sessions WHERE {column} = {placeholder(session_id)}"  # noqa: S608 - constants
    yield from database.execute(query, (parameter(session_id),)).fetchall()


def _continued(database: sqlite3.Connection, own: Row) -> list[str]:
    """The session that this one continues after compression."""
    parent_id = own[1]
    if not isinstance(parent_id, str):
        return []
    parents = _facts(database, "id", parent_id)
    return [parent_id for parent in parents if lineage_of(parent[2], own[3]) is Lineage.COMPRESSION]


def _attached(database: sqlite3.Connection, own: Row) -> list[str]:
    """The sessions that continue this one, and those that it delegated to."""
    kinds = (Lineage.COMPRESSION, Lineage.DELEGATION)
    children = _facts(database, "parent_session_id", str(own[0]))
    return [str(child[0]) for child in children if lineage_of(own[2], child[3]) in kinds]


def read_unit(database: sqlite3.Connection, unit: SeenUnit) -> Iterator[Header | Row]:
    """Everything that leaves with a unit, for the vault; ``unit`` is complete when this has come to its end.

    Records, what goes with them, the messages of each session, and children that lose their parent.
    """
    unit.session_ids = find_unit(database, unit.session_id)
    unit.messages = sum(len(message_ids(database, one)) for one in unit.session_ids)
    unit.weight = 0
    children = children_of(database, unit.session_ids, of=unit.session_ids)
    unit.children = frozenset(children)
    of_all = hashlib.blake2b()
    header = CHILDREN
    for item in _items(database, unit.session_ids):
        if isinstance(item, Header):
            header, line = item, encode_header(item)
        else:
            line = encode_row(unit.without_parent(header, item))
        unit.weight += len(line) + _ROW_WEIGHT
        of_all.update(line)
        yield item
    yield from _section(CHILDREN, children)
    unit.digest = of_all.digest()


def read_detached(database: sqlite3.Connection, session_id: str) -> Iterator[Header | Row]:
    """The children that lose this parent when its unit goes; nothing when there are none."""
    yield from _section(CHILDREN, children_of(database, find_unit(database, session_id), of=[session_id]))


def _section(header: Header, rows: Sequence[Row]) -> Iterator[Header | Row]:
    if rows:
        yield header
        yield from rows


def _items(database: sqlite3.Connection, session_ids: Sequence[str]) -> Iterator[Header | Row]:
    yield from read_record(database, session_ids)
    for one in session_ids:
        seen = Seen(one)
        messages = read_messages(database, seen)
        header = next(messages)
        for number, row in enumerate(messages):
            if not number:
                yield header
            yield row


def children_of(database: sqlite3.Connection, session_ids: Sequence[str], *, of: Sequence[str]) -> list[Row]:
    """Children of the sessions ``of`` outside of the unit ``session_ids``."""
    if "parent_session_id" not in columns_in_order(database, SESSIONS):
        return []
    pair, own = Header(SESSIONS, CHILDREN.columns), {*session_ids}
    return [row for row in select(database, pair, "parent_session_id", of) if row[0] not in own]


# -- texts of messages, for a search ----------------------------------------------------------------------


def message_texts(path: Path, run: str) -> Iterator[LiveMessage]:
    """The messages that may hold ``run``, newest first. Raises ``StoreUnreadable``.

    Read piece by piece, so that the host's log of writes can be cut meanwhile.
    """
    top: int | None = None
    while True:
        found, top = _piece(path, run[:_LONGEST_RUN], top)
        yield from found
        if top is None:
            return


def _piece(path: Path, run: str, top: int | None) -> tuple[list[LiveMessage], int | None]:
    """Messages of a range of ids that ends at ``top``, or at the newest; and where the next range ends."""
    with state_db.reading_briefly(path) as database:
        columns = () if database is None else columns_in_order(database, MESSAGES)
        if database is None or not {"id", "session_id"} <= {*columns}:
            return [], None
        if top is None:
            (top,) = database.execute("SELECT max(id) FROM messages").fetchone()
        (lowest,) = database.execute("SELECT min(id) FROM messages").fetchone()
        if top is None or lowest is None or top < lowest:
            return [], None
        bottom = top - (_IDS_AT_A_TIME if database.in_transaction else _ROWS_AT_A_TIME) + 1
        texts = [quoted(name) for name in _TEXTS if name in columns]
        names = [*(name for name in (*_TEXTS, *_OTHERS) if name in columns)]
        like = " OR ".join(f"{text} LIKE :run ESCAPE '\\'" for text in texts) if run and texts else "1"
        rows = database.execute(
            f"SELECT session_id, {', '.join(map(quoted, names))} FROM messages "  # noqa: S608 - quoted names
            f"WHERE id BETWEEN :bottom AND :top AND ({like}) ORDER BY id DESC",
            {"run": f"%{_escaped(run)}%", "bottom": bottom, "top": top},
        )
        found: list[LiveMessage] = [(str(row[0]), dict(zip(names, row[1:], strict=True))) for row in rows]
    return found, bottom - 1


def _escaped(run: str) -> str:
    return run.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
