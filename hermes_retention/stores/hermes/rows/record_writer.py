"""Removes records with everything that goes with them: a session's unit in one transaction, or not at all.

A unit is a session, the sessions that continue it after compression or that it continues, and those delegated
by any of them. Other children, such as branches, lose their parent and stay. Before a unit goes it is read
again in the same transaction and compared as a whole with what was read before. Messages of a unit go with it
when they are few; otherwise remove them first (``row_writer``). What must not live here: archiving and
decisions.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from hermes_retention.model.session import Lineage
from hermes_retention.model.stop import Stop, never
from hermes_retention.model.text import printable
from hermes_retention.stores.hermes.records import lineage_of
from hermes_retention.stores.hermes.rows.format import Header, Row, Value, encode_header, encode_row
from hermes_retention.stores.hermes.rows.fts import Indexes
from hermes_retention.stores.hermes.rows.pacing import Pace, Turns
from hermes_retention.stores.hermes.rows.read import (
    MESSAGES,
    META,
    ROW_WEIGHT,
    SESSIONS,
    VARIABLES,
    Seen,
    columns_in_order,
    goal_key,
    message_ids,
    owners,
    parameter,
    placeholder,
    places,
    quoted,
    read_messages,
    read_record,
    select,
)
from hermes_retention.stores.hermes.rows.row_queue import Change, State
from hermes_retention.stores.hermes.rows.still_unused import Unwatched, Watch, why_any_is_live

CHILDREN = Header(":children", ("id", "parent_session_id"))
"""Not a table: which sessions lost their parent, so that restoring it can put them back below it."""
MOST_MESSAGES = 50
"""A unit with more messages than these is not removed: they would hold the lock for too long."""
_FACTS = ("id", "parent_session_id", "end_reason", "model_config")
_MOST_SESSIONS = 100
"""In one transaction: what belongs to a session is looked up for each, also where no bytes tell of it."""


class Unit:
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

    def why_changed(self, now: Unit) -> str:
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


def read_unit(database: sqlite3.Connection, unit: Unit) -> Iterator[Header | Row]:
    """Everything that leaves with a unit, for the vault; ``unit`` is complete when this has come to its end.

    Records, what goes with them, the messages of each session, and children that lose their parent.
    """
    unit.session_ids = find_unit(database, unit.session_id)
    unit.messages = sum(len(message_ids(database, one)) for one in unit.session_ids)
    unit.weight = 0
    children = _children(database, unit.session_ids, of=unit.session_ids)
    unit.children = frozenset(children)
    digest = hashlib.blake2b()
    header = CHILDREN
    for item in _items(database, unit.session_ids):
        if isinstance(item, Header):
            header, line = item, encode_header(item)
        else:
            line = encode_row(unit.without_parent(header, item))
        unit.weight += len(line) + ROW_WEIGHT
        digest.update(line)
        yield item
    yield from _section(CHILDREN, children)
    unit.digest = digest.digest()


def read_detached(database: sqlite3.Connection, session_id: str) -> Iterator[Header | Row]:
    """The children that lose this parent when its unit goes; nothing when there are none."""
    yield from _section(CHILDREN, _children(database, find_unit(database, session_id), of=[session_id]))


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


def _children(database: sqlite3.Connection, session_ids: Sequence[str], *, of: Sequence[str]) -> list[Row]:
    """Children of the sessions ``of`` outside of the unit ``session_ids``."""
    if "parent_session_id" not in columns_in_order(database, SESSIONS):
        return []
    pair, own = Header(SESSIONS, CHILDREN.columns), {*session_ids}
    return [row for row in select(database, pair, "parent_session_id", of) if row[0] not in own]


class RecordWriter:
    """Removes units on a connection from ``state_db.writing``. For one thread."""

    def __init__(
        self,
        database: sqlite3.Connection,
        turns: Turns | None = None,
        watch: Watch | None = None,
        stop: Stop = never,
    ) -> None:
        """``stop`` ends ``remove_records`` between two transactions."""
        self._database = database
        self._stop = stop
        self._watch = watch or Unwatched()
        self.turns = turns or Turns(database)
        self._indexes = Indexes(database)
        self._pace = Pace()
        self._unsettled = 0

    def remove_records(self, units: Iterable[Unit]) -> Iterator[Change]:
        """Remove each unit that is still what was read; each is gone as a whole or as it was.

        Raises ``ValueError`` for a unit that was not read to its end, ``sqlite3.Error`` when the database
        cannot be written; outcomes that were told are committed.
        """
        waiting = iter(units)
        batch: list[Unit] = []
        room = self._indexes.limit(self._pace.budget, self.turns)
        while (unit := next(waiting, None)) is not None:
            _require_complete(unit)
            if self._stop():
                batch = []
                break
            if batch and not _fits(unit, batch, room):
                yield from self._take_turn(batch)
                self._settle()
                batch, room = [], self._indexes.limit(self._pace.budget, self.turns)
            batch.append(unit)
        if batch:
            yield from self._take_turn(batch)
            self._settle()
        self.turns.finish()

    def _take_turn(self, units: Sequence[Unit]) -> Iterator[Change]:
        """One transaction; ``_settle`` does the merges that it made due, once the outcomes are told."""
        self._settle()
        self._watch.look()
        try:
            with self.turns.turn():
                self._database.execute("PRAGMA defer_foreign_keys = ON")  # until the end of this transaction
                self._watch.look()
                changes = self._remove(units)
        except sqlite3.IntegrityError as error:
            refused = f"the database refuses ({error})"
        else:
            done = {change.session_id for change in changes if change.state is State.DONE}
            self._unsettled = sum(unit.weight for unit in units if unit.session_id in done)
            yield from changes
            return
        if len(units) == 1:
            yield Change(units[0].session_id, State.CHANGED, 0, refused)
            return
        for unit in units:  # something refers to one of them: find out which, so that the others may go
            yield from self._take_turn([unit])

    def _settle(self) -> None:
        if self._unsettled:
            weight, self._unsettled = self._unsettled, 0
            self._pace.learn(weight, self.turns.held_seconds)
            self._indexes.settle(self.turns, weight)

    def _remove(self, units: Sequence[Unit]) -> list[Change]:
        """Those that are still what was read. One statement takes all messages: FTS5 writes one segment."""
        why_not: list[str] = []
        taken: set[str] = set()
        for unit in units:
            why_not.append(self._why_not(unit, taken))
            taken.update(() if why_not[-1] else unit.session_ids)
        ids = sorted(message_id for one in taken for message_id in message_ids(self._database, one))
        self._delete_where(MESSAGES, "id", ids)
        return [
            Change(unit.session_id, State.CHANGED, 0, why)
            if why
            else Change(unit.session_id, State.DONE, unit.messages + self._delete(unit.session_ids))
            for unit, why in zip(units, why_not, strict=True)
        ]

    def _why_not(self, unit: Unit, taken: AbstractSet[str]) -> str:
        if not taken.isdisjoint(unit.session_ids):
            return "it leaves with another session of its unit"
        if unit.messages > MOST_MESSAGES:
            return f"it has {unit.messages} messages, and these have to go first"
        if why := why_any_is_live(self._watch, unit.session_ids):
            return why
        now = Unit(unit.session_id)
        for number, _ in enumerate(read_unit(self._database, now)):
            if number == 0 and (now.session_ids, now.messages) != (unit.session_ids, unit.messages):
                return "it has other sessions or messages now"
        return unit.why_changed(now)

    def _delete(self, session_ids: Sequence[str]) -> int:
        """What refers to the sessions goes first. Nothing is left to cascades: what was read is named."""
        rows = sum(
            self._delete_where(owner.table, owner.column, session_ids) for owner in owners(self._database)
        )
        if "key" in columns_in_order(self._database, META):
            rows += self._delete_where(META, "key", [goal_key(one) for one in session_ids])
        for some in _chunks([child for child, _ in _children(self._database, session_ids, of=session_ids)]):
            self._database.execute(
                f"UPDATE sessions SET parent_session_id = NULL WHERE id IN ({places(some)})",  # noqa: S608 - placeholders only
                [parameter(one) for one in some],
            )
        return rows + self._delete_where(SESSIONS, "id", session_ids)

    def _delete_where(self, table: str, column: str, values: Sequence[Value]) -> int:
        sql = f"DELETE FROM {quoted(table)} WHERE {quoted(column)} IN "  # noqa: S608 - quoted
        return sum(
            self._database.execute(f"{sql} ({places(some)})", [parameter(value) for value in some]).rowcount
            for some in _chunks(values)
        )


def _chunks(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """``values`` in runs that a statement takes."""
    return (values[start : start + VARIABLES] for start in range(0, len(values), VARIABLES))


def _fits(unit: Unit, batch: Sequence[Unit], room: int) -> bool:
    """Whether one more unit makes a transaction neither too long nor its statements too wide."""
    together = [*batch, unit]
    return (
        sum(one.weight for one in together) <= room
        and sum(one.messages for one in together) <= VARIABLES
        and sum(len(one.session_ids) for one in together) <= _MOST_SESSIONS
    )


def _require_complete(unit: Unit) -> None:
    if unit.digest is None:
        message = f"the unit of session {printable(unit.session_id)} was not read to its end"
        raise ValueError(message)
