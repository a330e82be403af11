"""Puts rows back from the vault: same ids, same values, and search finds them again by the host's triggers.

First everything is compared with what is there, without the lock; a row that is there already with the same
values is left alone, so a restore that was cut short is completed by doing it again. Then rows are inserted,
the records in the same transaction as the first messages, each transaction a few milliseconds long and read
back before it is committed. A conflict that shows up late takes back what was inserted. What must not live
here: reading the vault, and bodies of tool output (``row_writer``).
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from hermes_retention.errors import RestoreConflict
from hermes_retention.names import printable
from hermes_retention.stores.hermes.fts import Indexes
from hermes_retention.stores.hermes.record_writer import CHILDREN
from hermes_retention.stores.hermes.row_codec import Header, Row, Value, encode_row, sections
from hermes_retention.stores.hermes.row_writer import marker_of
from hermes_retention.stores.hermes.rows import (
    MESSAGES,
    META,
    SESSIONS,
    VARIABLES,
    columns_in_order,
    owners,
    parameter,
    places,
    quoted,
    select,
)
from hermes_retention.stores.hermes.turns import Pace, Turns

Content = Callable[[], Iterable[Header | Row]]
"""Gives the archived rows from the beginning each time it is called: more than once."""
_NOTHING = "nothing was changed"
_SAME_SESSION = ("source", "started_at")
"""What never changes in a session's record: two that differ here are two sessions."""


_Item = TypeVar("_Item")


class Restored(msgspec.Struct, frozen=True):
    """What a restore did."""

    records: int
    messages: int
    already_there: int
    """Records and messages that were there before."""
    left_out: tuple[str, ...]
    """Tables with rows of which something else has taken the place, such as a topic bound to a newer session.
    """


class _Fit(msgspec.Struct):
    """How archived rows of a table fit the table of today."""

    header: Header
    """The columns that both know."""
    positions: tuple[int, ...]
    missing: tuple[tuple[int, str], ...]
    key: int

    def row(self, archived: Row) -> Row:
        """The values for ``header``. Raises ``RestoreConflict`` when another column would be lost."""
        lost = [name for position, name in self.missing if archived[position] is not None]
        if lost:
            raise _conflict(
                self.header.table, f"this database has no column {', '.join(map(printable, lost))}"
            )
        return tuple(archived[position] for position in self.positions)


class RowRestorer:
    """Inserts rows on a connection from ``state_db.writing(durable=True)``. For one thread."""

    def __init__(self, database: sqlite3.Connection, turns: Turns | None = None) -> None:
        self._database = database
        self.turns = turns or Turns(database)
        self._indexes = Indexes(database)
        self._pace = Pace()
        self._there: dict[str, set[Value]] = {}
        self._inserted: dict[str, list[Value]] = {}
        self._left_out: set[str] = set()

    def insert_rows(self, content: Content) -> Restored:
        """Put back what ``rows.read_messages`` or ``record_writer.read_unit`` gave, or both joined.

        Raises ``RestoreConflict`` when an id belongs to something else now, a column with a value is unknown
        here, or a parent is missing; nothing is changed then. ``sqlite3.Error`` leaves what was committed; do
        it again to complete it.
        """
        self._there, self._inserted, self._left_out = {}, {}, set()
        self._compare(content)
        try:
            self._insert(content)
        except (RestoreConflict, sqlite3.IntegrityError) as error:
            self._take_back()
            if isinstance(error, sqlite3.IntegrityError):
                raise _conflict("rows", f"the database refuses them ({error})") from error
            raise
        self.turns.finish()
        counts = {table: len(self._inserted.get(table, ())) for table in (SESSIONS, MESSAGES)}
        there = sum(map(len, self._there.values()))
        return Restored(counts[SESSIONS], counts[MESSAGES], there, tuple(sorted(self._left_out)))

    # -- comparing, without the lock ----------------------------------------------------------------------

    def _compare(self, content: Content) -> None:
        for header, rows in sections(content()):
            if header.table in (SESSIONS, MESSAGES):
                fit = self._fit(header)
                for batch in _batched(map(fit.row, rows), VARIABLES):
                    self._compare_batch(fit, batch)

    def _fit(self, header: Header) -> _Fit:
        known = columns_in_order(self._database, header.table)
        both = [(position, name) for position, name in enumerate(header.columns) if name in known]
        missing = tuple((position, name) for position, name in enumerate(header.columns) if name not in known)
        names = tuple(name for _, name in both)
        if header.table in (SESSIONS, MESSAGES) and "id" not in names:
            raise _conflict(header.table, "this database has no such table with ids")
        key = names.index("id") if "id" in names else 0
        return _Fit(Header(header.table, names), tuple(position for position, _ in both), missing, key)

    def _compare_batch(self, fit: _Fit, batch: Sequence[Row]) -> None:
        ids = [row[fit.key] for row in batch]
        known = {row[fit.key]: row for row in select(self._database, fit.header, "id", ids)}
        for row in batch:
            present = known.get(row[fit.key])
            if present is None:
                continue
            if not _is_same(fit.header, row, present):
                kind = "session" if fit.header.table == SESSIONS else "message"
                raise _conflict(f"{kind} {printable(str(row[fit.key]))}", "something else has this id now")
            self._there.setdefault(fit.header.table, set()).add(row[fit.key])

    # -- inserting -------------------------------------------------------------------------------------------

    def _insert(self, content: Content) -> None:
        # Wherever they stand: messages refer to records.
        records = [(header, list(rows)) for header, rows in sections(content()) if header.table != MESSAGES]
        for header, rows in sections(content()):
            if header.table != MESSAGES:
                continue
            fit = self._fit(header)
            there = self._there.get(MESSAGES, set())
            new = (row for row in map(fit.row, rows) if row[fit.key] not in there)
            for batch, weight in self._weighed(new, len(fit.header.columns)):
                self._take_turn(records, fit, batch, weight)
                records = []
        if records:
            self._take_turn(records, None, [], 0)

    def _weighed(self, rows: Iterable[Row], columns: int) -> Iterator[tuple[list[Row], int]]:
        """Runs of rows that one statement takes in about the time that is aimed at."""
        batch: list[Row] = []
        weight, budget = 0, self._indexes.limit(self._pace.budget)
        for row in rows:
            batch.append(row)
            weight += len(encode_row(row))
            if weight >= budget or (len(batch) + 1) * columns > VARIABLES:
                yield batch, weight
                batch, weight, budget = [], 0, self._indexes.limit(self._pace.budget)
        if batch:
            yield batch, weight

    def _take_turn(
        self, records: Sequence[tuple[Header, list[Row]]], fit: _Fit | None, batch: Sequence[Row], weight: int
    ) -> None:
        """One transaction: records with what goes with them, if any, and messages. Noted once committed."""
        done: list[tuple[str, Value]] = []
        with self.turns.turn():
            self._database.execute("PRAGMA defer_foreign_keys = ON")  # until the end of this transaction
            for header, rows in records:
                done += self._insert_record_rows(header, rows)
            if fit is not None and batch:
                self._insert_exactly(fit, batch)
                done += [(MESSAGES, row[fit.key]) for row in batch]
        for table, key in done:
            self._inserted.setdefault(table, []).append(key)
        if batch:
            self._pace.learn(weight, self.turns.held_seconds)
            self._indexes.settle(self.turns, weight)

    def _insert_record_rows(self, header: Header, rows: Sequence[Row]) -> list[tuple[str, Value]]:
        if header == CHILDREN:
            return [(CHILDREN.table, child) for child, parent in rows if self._adopt(child, parent)]
        fit = self._fit(header)
        if header.table == SESSIONS:
            there = self._there.get(SESSIONS, set())
            new = [row for row in map(fit.row, rows) if row[fit.key] not in there]
            for row in new:
                self._insert_exactly(fit, [row])
            return [(SESSIONS, row[fit.key]) for row in new]
        if not fit.header.columns:
            self._left_out.add(header.table)
            return []
        fresh = [row[0] for row in map(fit.row, rows) if self._insert_if_free(fit, row)]
        return [(META, key) for key in fresh if header.table == META]

    def _insert_exactly(self, fit: _Fit, rows: Sequence[Row]) -> None:
        """One statement, so that FTS5 writes one segment; then read back. Raises ``RestoreConflict``."""
        self._run(f"INSERT INTO {_into(fit)} VALUES {', '.join(f'({places(row)})' for row in rows)}", rows)  # noqa: S608 - quoted
        ids = [row[fit.key] for row in rows]
        kept = {row[fit.key]: row for row in select(self._database, fit.header, "id", ids)}
        for row in rows:
            if row[fit.key] not in kept or encode_row(kept[row[fit.key]]) != encode_row(row):
                what = f"{fit.header.table} {printable(str(row[fit.key]))}"
                raise _conflict(what, "the database does not keep its values as they were")

    def _insert_if_free(self, fit: _Fit, row: Row) -> bool:
        """For what goes with a record: whether it was inserted. ``left_out`` tells what is not there."""
        table, columns = fit.header.table, fit.header.columns
        before = self._database.total_changes
        self._run(f"INSERT OR IGNORE INTO {_into(fit)} VALUES ({places(row)})", [row])  # noqa: S608 - quoted
        present = select(self._database, fit.header, columns[0], [row[0]])
        if not any(encode_row(one) == encode_row(row) for one in present):
            self._left_out.add(table)
        return self._database.total_changes > before

    def _adopt(self, child: Value, parent: Value) -> bool:
        """Put a child back below its parent unless it has gone elsewhere."""
        sql = "UPDATE sessions SET parent_session_id = {} WHERE id = {} AND parent_session_id IS NULL"
        cursor = self._database.execute(
            sql.format(places([parent]), places([child])), (parameter(parent), parameter(child))
        )
        return cursor.rowcount > 0

    def _run(self, sql: str, rows: Sequence[Row]) -> None:
        self._database.execute(sql, [parameter(value) for row in rows for value in row])

    # -- taking back ---------------------------------------------------------------------------------------

    def _take_back(self) -> None:
        """Remove what this restore inserted, newest first; records last, for messages refer to them."""
        messages = self._inserted.get(MESSAGES, [])
        for batch in _batched(reversed(messages), 50):
            with self.turns.turn():
                self._delete(MESSAGES, batch)
        records, children = self._inserted.get(SESSIONS, []), self._inserted.get(CHILDREN.table, [])
        goals = self._inserted.get(META, [])
        for batch in _batched(records, VARIABLES):
            with self.turns.turn():
                self._database.execute("PRAGMA defer_foreign_keys = ON")
                if children:
                    self._orphan(children)
                for owner in owners(self._database):  # the records are new, so is all that goes with them
                    self._delete(owner.table, batch, column=owner.column)
                self._delete(META, goals, column="key")
                self._delete(SESSIONS, batch)

    def _orphan(self, children: Sequence[Value]) -> None:
        sql = f"UPDATE sessions SET parent_session_id = NULL WHERE id IN ({places(children)})"  # noqa: S608
        self._database.execute(sql, [parameter(child) for child in children])

    def _delete(self, table: str, ids: Sequence[Value], *, column: str = "id") -> None:
        if not ids:
            return
        sql = f"DELETE FROM {quoted(table)} WHERE {quoted(column)} IN ({places(ids)})"  # noqa: S608 - quoted
        self._database.execute(sql, [parameter(one) for one in ids])


def _is_same(header: Header, archived: Row, present: Row) -> bool:
    """Whether ``present`` is the archived session or message, perhaps with a marker for its tool output."""
    if header.table == SESSIONS:
        at = [header.columns.index(name) for name in _SAME_SESSION if name in header.columns]
        return all(archived[position] == present[position] for position in at)
    if encode_row(archived) == encode_row(present):
        return True
    at_content = header.columns.index("content")
    marked = tuple(
        marker_of(header, archived) if position == at_content else value
        for position, value in enumerate(archived)
    )
    return encode_row(marked) == encode_row(present)


def _into(fit: _Fit) -> str:
    return f"{quoted(fit.header.table)} ({', '.join(map(quoted, fit.header.columns))})"


def _batched(rows: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    waiting = iter(rows)
    while batch := list(itertools.islice(waiting, size)):
        yield batch


def _conflict(what: str, why: str) -> RestoreConflict:
    return RestoreConflict(what, why, consequence=_NOTHING)
