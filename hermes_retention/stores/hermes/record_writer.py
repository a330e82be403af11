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

from hermes_retention.model import Lineage
from hermes_retention.names import printable
from hermes_retention.stores.hermes.records import lineage_of
from hermes_retention.stores.hermes.row_codec import Header, Row, Value, encode_header, encode_row
from hermes_retention.stores.hermes.row_queue import Change, State
from hermes_retention.stores.hermes.rows import (
    MESSAGES,
    META,
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
from hermes_retention.stores.hermes.turns import Pace, Turns

CHILDREN = Header(":children", ("id", "parent_session_id"))
"""Not a table: which sessions lost their parent, so that restoring it can put them back below it."""
MOST_MESSAGES = 50
"""A unit with more messages than these is not removed: they would hold the lock for too long."""
_FACTS = ("id", "parent_session_id", "end_reason", "model_config")
_MOST_UNITS = 100


class Unit:
    """The sessions that a record is removed with, and a digest of all that was read of them."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.session_ids: tuple[str, ...] = ()
        """All of them, sorted; empty when the session has no record."""
        self.messages = 0
        self.digest: bytes | None = None
        """``None`` until the reading came to its end."""


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

    Records, what goes with them, children that lose their parent, and the messages of each session.
    """
    unit.session_ids = find_unit(database, unit.session_id)
    unit.messages = sum(len(message_ids(database, one)) for one in unit.session_ids)
    digest = hashlib.blake2b()
    for item in _items(database, unit.session_ids):
        digest.update(encode_header(item) if isinstance(item, Header) else encode_row(item))
        yield item
    unit.digest = digest.digest()


def _items(database: sqlite3.Connection, session_ids: Sequence[str]) -> Iterator[Header | Row]:
    yield from read_record(database, session_ids)
    children = _children(database, session_ids)
    if children:
        yield CHILDREN
        yield from children
    for one in session_ids:
        seen = Seen(one)
        messages = read_messages(database, seen)
        header = next(messages)
        for number, row in enumerate(messages):
            if not number:
                yield header
            yield row


def _children(database: sqlite3.Connection, session_ids: Sequence[str]) -> list[Row]:
    if "parent_session_id" not in columns_in_order(database, SESSIONS):
        return []
    pair = Header(SESSIONS, CHILDREN.columns)
    return [
        row for row in select(database, pair, "parent_session_id", session_ids) if row[0] not in session_ids
    ]


class RecordWriter:
    """Removes units on a connection from ``state_db.writing``. For one thread."""

    def __init__(self, database: sqlite3.Connection, turns: Turns | None = None) -> None:
        self._database = database
        self.turns = turns or Turns(database)
        self._pace = Pace(start=10, least=1, most=_MOST_UNITS)

    def remove_records(self, units: Iterable[Unit]) -> Iterator[Change]:
        """Remove each unit that is still what was read; each is gone as a whole or as it was.

        Raises ``ValueError`` for a unit that was not read to its end or has more than ``VARIABLES`` sessions,
        ``sqlite3.Error`` when the database cannot be written; outcomes that were told are committed.
        """
        batch: list[Unit] = []
        for unit in units:
            _require_complete(unit)
            batch.append(unit)
            if len(batch) >= self._pace.budget:
                yield from self._take_turn(batch)
                batch = []
        if batch:
            yield from self._take_turn(batch)
        self.turns.finish()

    def _take_turn(self, units: Sequence[Unit]) -> list[Change]:
        try:
            with self.turns.turn():
                self._database.execute("PRAGMA defer_foreign_keys = ON")  # until the end of this transaction
                changes = [self._remove(unit) for unit in units]
        except sqlite3.IntegrityError as error:
            if len(units) == 1:
                return [Change(units[0].session_id, State.CHANGED, 0, f"the database refuses ({error})")]
            # Something refers to one of them: find out which, so that the others are not kept too.
            return [change for unit in units for change in self._take_turn([unit])]
        self._pace.learn(len(units), self.turns.held_seconds)
        return changes

    def _remove(self, unit: Unit) -> Change:
        why = self._why_not(unit)
        if why:
            return Change(unit.session_id, State.CHANGED, 0, why)
        before = self._database.total_changes
        self._delete(unit.session_ids)
        return Change(unit.session_id, State.DONE, self._database.total_changes - before)

    def _why_not(self, unit: Unit) -> str:
        if unit.messages > MOST_MESSAGES:
            return f"it has {unit.messages} messages, and these have to go first"
        now = Unit(unit.session_id)
        for number, _ in enumerate(read_unit(self._database, now)):
            if number == 0 and (now.session_ids, now.messages) != (unit.session_ids, unit.messages):
                return "it has other sessions or messages now"
        return "" if now.digest == unit.digest else "something of it was changed"

    def _delete(self, session_ids: Sequence[str]) -> None:
        """What refers to the sessions goes first. Nothing is left to cascades: what was read is named."""
        ids = sorted(message_id for one in session_ids for message_id in message_ids(self._database, one))
        self._delete_where(MESSAGES, "id", ids)
        for owner in owners(self._database):
            self._delete_where(owner.table, owner.column, session_ids)
        if "key" in columns_in_order(self._database, META):
            self._delete_where(META, "key", [goal_key(one) for one in session_ids])
        if "parent_session_id" in columns_in_order(self._database, SESSIONS):
            own = places(session_ids)
            self._database.execute(
                "UPDATE sessions SET parent_session_id = NULL "  # noqa: S608 - placeholders only
                f"WHERE parent_session_id IN ({own}) AND id NOT IN ({own})",
                [parameter(one) for one in (*session_ids, *session_ids)],
            )
        self._delete_where(SESSIONS, "id", session_ids)

    def _delete_where(self, table: str, column: str, values: Sequence[Value]) -> None:
        if values:
            self._database.execute(
                f"DELETE FROM {quoted(table)} WHERE {quoted(column)} IN ({places(values)})",  # noqa: S608 - quoted
                [parameter(value) for value in values],
            )


def _require_complete(unit: Unit) -> None:
    name = printable(unit.session_id)
    if unit.digest is None:
        message = f"the unit of session {name} was not read to its end"
        raise ValueError(message)
    if 2 * len(unit.session_ids) > VARIABLES:
        message = (
            f"the unit of session {name} has {len(unit.session_ids)} sessions, more than a statement takes"
        )
        raise ValueError(message)
