"""Puts rows back from the vault: same ids, same values, and search finds them again by the host's triggers.

1. **Compare**, without the lock: all that is to come back with what is there. A row that is there already
   with the same values is left alone, so a restore that was cut short is completed by doing it again.
   Something else with the same id is a conflict, and nothing was changed.
2. **Insert**, turn by turn: the newest messages first, and the records in the same transaction as the first
   of them, for messages refer to records. Each row is read back before its transaction is committed.
3. **Take back**, when a conflict shows up only then: all that this insertion has committed leaves again.

The archived rows are larger than memory and are read anew for each pass. What must not live here: reading the
vault, and bodies of tool output (``restore``).
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from hermes_retention.model.errors import RestoreConflict
from hermes_retention.stores.hermes.rows.pacing import Turns
from hermes_retention.stores.hermes.rows.tables import (
    CHILDREN,
    MESSAGES,
    META,
    SESSIONS,
    VARIABLES,
    clear_parents,
    columns_in_order,
    count_same,
    delete_where,
    marked,
    owners,
    parameter,
    places,
    quoted,
    select,
)
from hermes_retention.stores.hermes.rows.turn_machine import PacedTurns
from hermes_retention.stores.rows import Header, Row, Value, encode_row, sections

Content = Callable[[], Iterable[Header | Row]]
"""Gives the archived rows from the beginning each time it is called: more than once."""
_NOTHING = "nothing was changed"
_ELSEWHERE = "Restore into a directory with --to DIR."
_SAME_SESSION = ("source", "started_at")
"""What never changes in a session's record: two that differ here are two sessions."""
_WINDOW_BYTES = 32 * 2**20
_MESSAGES_PER_TAKE_BACK = 50
_Item = TypeVar("_Item")


class Inserted(msgspec.Struct, frozen=True):
    """What was put back."""

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
    """Where these stand in an archived row."""
    missing: tuple[tuple[int, str], ...]
    """Where columns stand that this database does not have, and what they are called."""
    key: int
    """Where the id stands in a row of ``header``."""

    def row(self, archived: Row) -> Row:
        """The values for ``header``. Raises ``RestoreConflict`` when another column would be lost."""
        lost = [name for position, name in self.missing if archived[position] is not None]
        if lost:
            raise _conflict(self.header.table, f"this database has no column {', '.join(lost)}")
        return tuple(archived[position] for position in self.positions)


class _Run(msgspec.Struct, frozen=True):
    """New messages that one statement inserts, ids ascending."""

    fit: _Fit
    rows: Sequence[Row]
    weight: int


class RowInserter:
    """Inserts rows on a connection from ``state_db.writing(durable=True)``. For one thread."""

    def __init__(self, database: sqlite3.Connection, turns: Turns | None = None) -> None:
        self._database = database
        self._paced = PacedTurns(database, turns)

    def insert_rows(self, content: Content) -> Inserted:
        """Put back what ``read.read_messages`` or ``read.read_unit`` gave, or both joined.

        Raises ``RestoreConflict`` when an id belongs to something else now, a column with a value is unknown
        here, or a parent is missing; nothing is changed then. ``sqlite3.Error`` leaves what was committed; do
        it again to complete it.
        """
        insertion = Insertion(self._database, self._paced, content)
        insertion.compare()
        try:
            insertion.insert()
        except RestoreConflict:
            insertion.take_back()
            raise
        except sqlite3.IntegrityError as error:
            insertion.take_back()
            raise _conflict("rows", f"the database refuses them ({error})") from error
        self._paced.turns.finish()
        return insertion.told()

    def adopt(self, children: Sequence[Row]) -> None:
        """Put children (rows below ``CHILDREN``) back below their parents where both are there."""
        for batch in _batched(children, VARIABLES):
            with self._paced.turns.turn():
                for child, parent in batch:
                    _adopt(self._database, child, parent)


class Insertion:
    """One content on its way back: what of it was there before, and what of it is committed by now."""

    def __init__(self, database: sqlite3.Connection, paced: PacedTurns, content: Content) -> None:
        self._database, self._paced, self._content = database, paced, content
        self._there: dict[str, set[Value]] = {SESSIONS: set(), MESSAGES: set()}
        """Ids that were there before, by table. Filled by ``compare``, read by ``insert``."""
        self._committed: dict[str, list[Value]] = {SESSIONS: [], MESSAGES: [], META: [], CHILDREN.table: []}
        """What must leave again if a conflict shows up. Filled by ``insert``, a transaction at a time."""
        self._left_out: set[str] = set()

    def told(self) -> Inserted:
        """What came of it."""
        return Inserted(
            records=len(self._committed[SESSIONS]),
            messages=len(self._committed[MESSAGES]),
            already_there=sum(map(len, self._there.values())),
            left_out=tuple(sorted(self._left_out)),
        )

    # -- 1. compare, without the lock ---------------------------------------------------------------------

    def compare(self) -> None:
        """Find out what is there already. Raises ``RestoreConflict`` for what is there as something else."""
        for header, rows in sections(self._content()):
            # What goes with a record is compared as it is inserted: the host may have changed it since.
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
                raise _conflict(f"{kind} {row[fit.key]!s}", "something else has this id now")
            self._there[fit.header.table].add(row[fit.key])

    # -- 2. insert, turn by turn ----------------------------------------------------------------------------

    def insert(self) -> None:
        """Insert what is not there. Raises ``RestoreConflict`` and ``sqlite3.IntegrityError``."""
        # Records may stand behind messages, which refer to them: found first, wherever they stand. They are
        # few.
        records = [
            (header, list(rows)) for header, rows in sections(self._content()) if header.table != MESSAGES
        ]
        for run in self._runs_of_messages():
            self._take_turn(records, run)
            records = []  # they came back with the first run
        if records:
            self._take_turn(records, None)

    def _runs_of_messages(self) -> Iterator[_Run]:
        """New messages in runs that a turn takes, the last run first.

        So what a restore that was cut short has put back are the newest messages, as after a removal that was
        cut short: if a sweep archives just these before it is completed, they join the older version all the
        same (``versions``).
        """
        # The content can only be read forwards. It is read once to find out where windows of a size that
        # memory holds begin, and then up to the last window, to the last but one, …, each of which is cut
        # from its end.
        for start, end in reversed(list(self._windows())):
            window = list(itertools.islice(self._new_messages(), start, end))
            while window:
                yield self._last_run(window)

    def _windows(self) -> Iterator[tuple[int, int]]:
        """First and last place, that excluded, of new messages that are held in memory together."""
        start = weight = end = 0
        for end, (_, row) in enumerate(self._new_messages(), start=1):
            weight += _size(row)
            if weight >= _WINDOW_BYTES:
                yield start, end
                start, weight = end, 0
        if end > start:
            yield start, end

    def _new_messages(self) -> Iterator[tuple[_Fit, Row]]:
        for header, rows in sections(self._content()):
            if header.table == MESSAGES:
                fit = self._fit(header)
                for row in map(fit.row, rows):
                    if row[fit.key] not in self._there[MESSAGES]:
                        yield fit, row

    def _last_run(self, window: list[tuple[_Fit, Row]]) -> _Run:
        """Take from the end of ``window`` what a turn takes: of one header, for they share a statement."""
        fit = window[-1][0]
        room = self._paced.room()
        rows: list[Row] = []
        weight = 0
        while window and window[-1][0] is fit and _has_room(fit, rows, weight, room):
            rows.append(window.pop()[1])
            weight += len(encode_row(rows[-1]))
        return _Run(fit, rows[::-1], weight)

    def _take_turn(self, records: Sequence[tuple[Header, list[Row]]], run: _Run | None) -> None:
        """One transaction: records with what goes with them, if any, and messages."""
        done: list[tuple[str, Value]] = []
        with self._paced.turns.turn():
            # A child may stand before its parent; only what is left at the end of the transaction counts.
            self._database.execute("PRAGMA defer_foreign_keys = ON")
            for header, rows in records:
                done += self._insert_with_record(header, rows)
            if run is not None:
                self._insert_exactly(run.fit, run.rows)
                done += [(MESSAGES, row[run.fit.key]) for row in run.rows]
        # Noted only now: what was rolled back is nothing to take back.
        for table, key in done:
            self._committed[table].append(key)
        if run is not None:
            self._paced.settle(run.weight)

    def _insert_with_record(self, header: Header, rows: Sequence[Row]) -> list[tuple[str, Value]]:
        """Insert records, or what goes with them; returns what a conflict has to take back beside that.

        Rows of other tables that belong to a new record leave with it, whatever they are.
        """
        if header == CHILDREN:
            adopted = (child for child, parent in rows if _adopt(self._database, child, parent))
            return [(CHILDREN.table, child) for child in adopted]
        fit = self._fit(header)
        if header.table == SESSIONS:
            new = [row for row in map(fit.row, rows) if row[fit.key] not in self._there[SESSIONS]]
            for row in new:
                self._insert_exactly(fit, [row])
            return [(SESSIONS, row[fit.key]) for row in new]
        if not fit.header.columns:
            self._left_out.add(header.table)
            return []
        # Equal rows are counted: some tables have no key, and a restore may be repeated.
        equal = itertools.groupby(sorted(map(fit.row, rows), key=encode_row), key=encode_row)
        fresh = [same[0][0] for _, group in equal if self._insert_if_free(fit, same := list(group))]
        return [(META, key) for key in fresh if header.table == META]

    def _insert_exactly(self, fit: _Fit, rows: Sequence[Row]) -> None:
        """One statement, so that FTS5 writes one segment; then read back. Raises ``RestoreConflict``."""
        values = ", ".join(f"({places(row)})" for row in rows)
        self._execute(f"INSERT INTO {_into(fit)} VALUES {values}", rows)  # noqa: S608 - quoted
        ids = [row[fit.key] for row in rows]
        kept = {row[fit.key]: row for row in select(self._database, fit.header, "id", ids)}
        for row in rows:
            # A column's type may change a value on its way in, such as a text to a number.
            if row[fit.key] not in kept or encode_row(kept[row[fit.key]]) != encode_row(row):
                what = f"{fit.header.table} {row[fit.key]!s}"
                raise _conflict(what, "the database does not keep its values as they were")

    def _insert_if_free(self, fit: _Fit, same: Sequence[Row]) -> bool:
        """For what goes with a record: whether any was inserted. ``left_out`` tells what is not there.

        ``same`` is a row as often as it is archived.
        """
        missing = len(same) - count_same(self._database, fit.header, same[0])
        for row in same[:missing] if missing > 0 else ():
            self._execute(f"INSERT OR IGNORE INTO {_into(fit)} VALUES ({places(row)})", [row])  # noqa: S608 - quoted
        left = len(same) - count_same(self._database, fit.header, same[0])
        if left > 0:
            self._left_out.add(fit.header.table)
        return left < missing

    def _execute(self, sql: str, rows: Sequence[Row]) -> None:
        self._database.execute(sql, [parameter(value) for row in rows for value in row])

    # -- 3. take back ------------------------------------------------------------------------------------

    def take_back(self) -> None:
        """Remove what this insertion committed, messages first and the oldest of them first.

        Cut short, it leaves the newest messages with their records, as a restore that was cut short does.
        """
        messages = sorted(self._committed[MESSAGES], key=lambda key: key if isinstance(key, int) else 0)
        for batch in _batched(messages, _MESSAGES_PER_TAKE_BACK):
            with self._paced.turns.turn():
                delete_where(self._database, MESSAGES, "id", batch)
        # Records last, for messages refer to them; they are new, and so is all that goes with them.
        for batch in _batched(self._committed[SESSIONS], VARIABLES):
            with self._paced.turns.turn():
                self._database.execute("PRAGMA defer_foreign_keys = ON")
                clear_parents(self._database, self._committed[CHILDREN.table])
                for owner in owners(self._database):
                    delete_where(self._database, owner.table, owner.column, batch)
                delete_where(self._database, META, "key", self._committed[META])
                delete_where(self._database, SESSIONS, "id", batch)


def _adopt(database: sqlite3.Connection, child: Value, parent: Value) -> bool:
    """Put a child back below its parent unless it has gone elsewhere; returns whether it is there now."""
    sql = (
        "UPDATE sessions SET parent_session_id = {0} WHERE id = {1} AND parent_session_id IS NULL "
        "AND EXISTS (SELECT 1 FROM sessions WHERE id = {0})"
    )
    values = [parameter(session_id) for session_id in (parent, child, parent)]
    return database.execute(sql.format(places([parent]), places([child])), values).rowcount > 0


def _is_same(header: Header, archived: Row, present: Row) -> bool:
    """Whether ``present`` is the archived session or message, with the body of a tool or with its marker."""
    if header.table == SESSIONS:
        at = [header.columns.index(name) for name in _SAME_SESSION if name in header.columns]
        return all(archived[position] == present[position] for position in at)
    was, is_now = encode_row(archived), encode_row(present)
    return is_now in (was, encode_row(marked(header, archived))) or was == encode_row(marked(header, present))


def _has_room(fit: _Fit, rows: Sequence[Row], weight: int, room: int) -> bool:
    return not rows or (weight < room and (len(rows) + 1) * len(fit.header.columns) <= VARIABLES)


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
