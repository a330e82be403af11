"""Puts rows back from the vault: same ids, same values, and search finds them again by the host's triggers.

First everything is compared with what is there, without the lock; a row that is there already with the same
values is left alone, so a restore that was cut short is completed by doing it again. Then rows are inserted,
the newest first and the records in the same transaction as the first of them, each transaction a few
milliseconds long and read back before it is committed. A conflict that shows up late takes back what was
inserted. What must not live here: reading the vault, and bodies of tool output (``row_writer``).
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from hermes_retention.model.errors import RestoreConflict
from hermes_retention.model.text import printable
from hermes_retention.stores.hermes.rows.format import Header, Row, Value, encode_row, sections
from hermes_retention.stores.hermes.rows.fts import Indexes
from hermes_retention.stores.hermes.rows.pacing import Pace, Turns
from hermes_retention.stores.hermes.rows.read import (
    MESSAGES,
    META,
    SESSIONS,
    VARIABLES,
    columns_in_order,
    count_same,
    owners,
    parameter,
    places,
    quoted,
    select,
)
from hermes_retention.stores.hermes.rows.record_writer import CHILDREN
from hermes_retention.stores.hermes.rows.remove import marked

Content = Callable[[], Iterable[Header | Row]]
"""Gives the archived rows from the beginning each time it is called: more than once."""
_NOTHING = "nothing was changed"
_ELSEWHERE = "Restore into a directory with --to DIR."
_SAME_SESSION = ("source", "started_at")
"""What never changes in a session's record: two that differ here are two sessions."""
_WINDOW_BYTES = 32 * 2**20
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

    def adopt(self, children: Sequence[Row]) -> None:
        """Put children (rows below ``CHILDREN``) back below their parents where both are there."""
        for batch in _batched(children, VARIABLES):
            with self.turns.turn():
                for child, parent in batch:
                    self._adopt(child, parent)

    # -- comparing, without the lock ----------------------------------------------------------------------

    def _compare(self, content: Content) -> None:
        for header, rows in sections(content()):
            if header.table in (SESSIONS, MESSAGES):
                fit = self._fit(header)
                for batch in _held(map(fit.row, rows)):
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
        records: list[tuple[Header, list[Row]]] = []
        for header, rows in sections(content()):
            if header.table != MESSAGES:
                records.append((header, list(rows)))
        for fit, batch, weight in self._newest_first(content):
            self._take_turn(records, fit, batch, weight)
            records = []
        if records:
            self._take_turn(records, None, [], 0)

    def _newest_first(self, content: Content) -> Iterator[tuple[_Fit, list[Row], int]]:
        """Runs of new messages that one statement takes in the time that is aimed at, with their weight.

        The last come first, and each run is in ascending order. So what a restore that was cut short has put
        back are the newest messages, as after a removal that was cut short: if a sweep archives just these
        before it is completed, they join the older version all the same (``row_versions``).
        """
        for start, end in reversed(list(self._windows(content))):
            window = list(itertools.islice(self._new_messages(content), start, end))
            while window:
                fit = window[-1][0]
                budget = self._indexes.limit(self._pace.budget, self.turns)
                batch, weight = list[Row](), 0
                while window and window[-1][0] is fit and _has_room(fit, batch, weight, budget):
                    batch.append(window.pop()[1])
                    weight += len(encode_row(batch[-1]))
                yield fit, batch[::-1], weight

    def _windows(self, content: Content) -> Iterator[tuple[int, int]]:
        """First and last place, that excluded, of new messages that are held in memory together."""
        start = weight = end = 0
        for end, (_, row) in enumerate(self._new_messages(content), start=1):
            weight += _size(row)
            if weight >= _WINDOW_BYTES:
                yield start, end
                start, weight = end, 0
        if end > start:
            yield start, end

    def _new_messages(self, content: Content) -> Iterator[tuple[_Fit, Row]]:
        there = self._there.get(MESSAGES, set())
        for header, rows in sections(content()):
            if header.table == MESSAGES:
                fit = self._fit(header)
                for row in map(fit.row, rows):
                    if row[fit.key] not in there:
                        yield fit, row

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
        grouped = itertools.groupby(sorted(map(fit.row, rows), key=encode_row), key=encode_row)
        fresh = [same[0][0] for _, group in grouped if self._insert_if_free(fit, same := list(group))]
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

    def _insert_if_free(self, fit: _Fit, same: Sequence[Row]) -> bool:
        """For what goes with a record: whether any was inserted. ``left_out`` tells what is not there.

        ``same`` is a row as often as it is archived: some tables have no key, and a restore may be repeated.
        """
        missing = len(same) - count_same(self._database, fit.header, same[0])
        for row in same[:missing] if missing > 0 else ():
            self._run(f"INSERT OR IGNORE INTO {_into(fit)} VALUES ({places(row)})", [row])  # noqa: S608 - quoted
        left = len(same) - count_same(self._database, fit.header, same[0])
        if left > 0:
            self._left_out.add(fit.header.table)
        return left < missing

    def _adopt(self, child: Value, parent: Value) -> bool:
        """Put a child back below its parent unless it has gone elsewhere."""
        sql = (
            "UPDATE sessions SET parent_session_id = {0} WHERE id = {1} AND parent_session_id IS NULL "
            "AND EXISTS (SELECT 1 FROM sessions WHERE id = {0})"
        )
        values = [parameter(it) for it in (parent, child, parent)]
        cursor = self._database.execute(sql.format(places([parent]), places([child])), values)
        return cursor.rowcount > 0

    def _run(self, sql: str, rows: Sequence[Row]) -> None:
        self._database.execute(sql, [parameter(value) for row in rows for value in row])

    # -- taking back ---------------------------------------------------------------------------------------

    def _take_back(self) -> None:
        """Remove what this restore inserted, oldest first; records last, for messages refer to them."""
        messages = self._inserted.get(MESSAGES, [])
        for batch in _batched(sorted(messages, key=lambda it: it if isinstance(it, int) else 0), 50):
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
    """Whether ``present`` is the archived session or message, with the body of a tool or with its marker."""
    if header.table == SESSIONS:
        at = [header.columns.index(name) for name in _SAME_SESSION if name in header.columns]
        return all(archived[position] == present[position] for position in at)
    was, is_now = encode_row(archived), encode_row(present)
    return is_now in (was, encode_row(marked(header, archived))) or was == encode_row(marked(header, present))


def _has_room(fit: _Fit, batch: Sequence[Row], weight: int, budget: int) -> bool:
    return not batch or (weight < budget and (len(batch) + 1) * len(fit.header.columns) <= VARIABLES)


def _into(fit: _Fit) -> str:
    return f"{quoted(fit.header.table)} ({', '.join(map(quoted, fit.header.columns))})"


def _held(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Runs that a statement can ask for and that memory holds twice."""
    batch, weight = list[Row](), 0
    for row in rows:
        batch.append(row)
        weight += _size(row)
        if len(batch) == VARIABLES or weight >= _WINDOW_BYTES:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _size(row: Row) -> int:
    return sum(len(value) for value in row if isinstance(value, str | bytes))


def _batched(rows: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    waiting = iter(rows)
    while batch := list(itertools.islice(waiting, size)):
        yield batch


def _conflict(what: str, why: str) -> RestoreConflict:
    return RestoreConflict(what, why, consequence=_NOTHING, cure=_ELSEWHERE)
