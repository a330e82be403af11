"""The store's side of a restore: versions of archived rows, joined and put back into the host's database.

``insert`` writes records and messages; what becomes of a parent that nobody has, and how bodies of tool
output take the place of their markers is said here.

A version is a callable that gives its bytes from the beginning; versions stand in the order in which they
were archived. Ids of messages only grow, and a removal that was interrupted took the oldest rows first, so a
later version may hold only the rest, or only what was said since. From the newest version to the oldest, rows
are therefore taken whose id is below all that were taken so far; what an older version has beside them was
deleted by the host on purpose. One row is held at a time. What must not live here: the vault, and which
sessions come back.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from hermes_retention.model.errors import SessionGone, StoreUnreadable, VaultDamaged
from hermes_retention.model.session import ArtifactKind
from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.rows.insert import RowInserter
from hermes_retention.stores.hermes.rows.pacing import Turns
from hermes_retention.stores.hermes.rows.tables import (
    CHILDREN,
    MESSAGES,
    SESSIONS,
    marker_of,
    select,
    set_contents,
)
from hermes_retention.stores.hermes.rows.turn_machine import PacedTurns
from hermes_retention.stores.rows import (
    FORMAT,
    ArchivedRows,
    Header,
    Row,
    RowFormatError,
    RowsRestored,
    SessionRows,
    Value,
    decode,
    encode,
    sections,
)

_Body: TypeAlias = tuple[Row, Row]
"""Id and content of a message as it was, and what must stand there now: its session and the marker."""
_BODIES_PER_UPDATE = 100
_OUTPUT_COLUMNS = {"id", "session_id", "content"}
_NOTHING = "nothing of it was changed"
_ELSEWHERE = "Restore into a directory: `hermes-retention restore --to DIR`."


@contextlib.contextmanager
def restoring(path: Path) -> Iterator[HermesRowRestorer]:
    """For putting rows back into the database at ``path``. Raises ``StoreUnreadable``, as the port says."""
    if not os.path.lexists(path):
        raise StoreUnreadable(
            str(path),
            "there is no such database to put rows back into",
            consequence="they are in the archive as before",
            cure=_ELSEWHERE,
        )
    with state_db.writing(path, durable=True) as database:
        yield HermesRowRestorer(database)


def joined(versions: Sequence[ArchivedRows]) -> Iterator[bytes]:
    """Versions of one kind as one, for reading. A single one stays as it is, byte for byte."""
    reads = [version.read for version in versions]
    if len(reads) == 1:
        yield from reads[0]()
        return
    with _understood("the archived rows"):
        if versions[-1].kind is ArtifactKind.TOOL_OUTPUT:
            yield from encode(joined_output(reads))
        else:
            yield from encode(items_of(newest_record(reads)))
            yield from encode(JoinedMessages(reads)())


class HermesRowRestorer:
    """Puts rows back on a connection from ``state_db.writing(durable=True)``. For one thread."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        turns = Turns(database)
        self._inserter = RowInserter(database, turns)
        self._bodies = ToolOutputRestorer(database, turns)
        self._children: list[Row] = []

    def missing_parent(self, rows: SessionRows) -> str | None:
        """The session that this one's record needs and that the database does not have; else ``None``."""
        if self._present([rows.session_id]):
            return None
        with _understood(_of(rows)):
            parents = parents_in(newest_record(_reads(rows)))
        missing = parents - self._present(sorted(parents))
        return min(missing, default=None)

    def insert(self, family: Sequence[SessionRows]) -> RowsRestored:
        """Put back records and messages of sessions that need each other, all or none of them."""
        back: list[ArchivedTable] = []
        known: list[ArchivedTable] = []
        messages: list[JoinedMessages] = []
        present = self._present([rows.session_id for rows in family])
        for rows in family:
            with _understood(_of(rows)):
                (known if rows.session_id in present else back).extend(newest_record(_reads(rows)))
                self._children += _lost_children(rows)
                messages.append(JoinedMessages(_reads(rows)))
        # What went with a record that is there is the host's by now; only who it is has to be the same.
        known = [table for table in known if table.header.table == SESSIONS]
        back, notes = self._without_lost_parents(back)

        def content() -> Iterator[Header | Row]:
            yield from items_of([*known, *back])
            for one in messages:
                yield from one()

        with _understood(" and ".join(map(_of, family))):
            restored = self._inserter.insert_rows(content)
        notes += [_left_out(family[0], table) for table in restored.left_out]
        return RowsRestored(restored.records, restored.messages, tuple(notes))

    def put_tool_output_back(self, version: ArchivedRows) -> int:
        """Put bodies back where their marker stands and return how many."""
        with _understood("the archived tool output"):
            self._require_sessions(version.read)  # reads all of it: nothing is written from a damaged copy
            return sum(
                self._bodies.put_back(header, rows) for header, rows in sections(decode(version.read()))
            )

    def link_children(self) -> None:
        """A child may have come back after its parent, and as it was after that had gone."""
        self._inserter.adopt(self._children)
        self._children = []

    def _require_sessions(self, version: Version) -> None:
        owners: set[Value] = set()
        for header, rows in sections(decode(version())):
            if not set(header.columns) >= _OUTPUT_COLUMNS:
                raise RowFormatError("tool output without the columns that tell whose it is")
            at = header.columns.index("session_id")
            owners.update(row[at] for row in rows)
        missing = owners - self._present(list(owners))
        if missing:
            raise SessionGone(
                f"tool output of session {missing.pop()!s}",
                "the database has no such session, and the archive has no record of it",
                consequence=_NOTHING,
                cure=_ELSEWHERE,
            )

    def _present(self, session_ids: Sequence[Value]) -> set[Value]:
        """Which of these have a record in the database."""
        found = select(self._database, Header(SESSIONS, ("id",)), "id", session_ids)
        return {session_id for (session_id,) in found}

    def _without_lost_parents(self, tables: Sequence[ArchivedTable]) -> tuple[list[ArchivedTable], list[str]]:
        """What the host itself does when a parent goes: the child stays, below nobody."""
        own = {one for table in tables if table.header.table == SESSIONS for one in table.values("id")}
        lost = parents_in(tables) - own
        lost -= self._present(sorted(lost))
        if not lost:
            return list(tables), []
        notes = [
            f"session {child!s} came back without its link to {parent!s}, which "
            "neither the database nor the archive has"
            for table in tables
            for child, parent in zip(table.values("id"), table.values(PARENT), strict=False)
            if table.header.table == SESSIONS and parent in lost
        ]
        return [without_parents(table, lost) for table in tables], notes


class ToolOutputRestorer:
    """Puts bodies of tool output back on a connection from ``state_db.writing``. For one thread."""

    def __init__(self, database: sqlite3.Connection, turns: Turns | None = None) -> None:
        self._database = database
        self._paced = PacedTurns(database, turns)

    def put_back(self, header: Header, rows: Iterable[Row]) -> int:
        """Put archived bodies where their marker still stands; returns how many. Others are left alone.

        ``header`` and ``rows`` are what ``read.read_tool_output`` gave. A restore that was cut short is
        completed by doing it again.
        """
        at = [header.columns.index(name) for name in ("id", "session_id", "content")]
        count, batch, weight = 0, list[_Body](), 0
        for row in rows:
            message_id, session_id, content = (row[position] for position in at)
            batch.append(((message_id, content), (session_id, marker_of(header, row))))
            weight += len(str(content))
            if weight >= self._paced.budget or len(batch) >= _BODIES_PER_UPDATE:
                count += self._put_back(batch, weight)
                batch, weight = [], 0
        count += self._put_back(batch, weight)
        self._paced.turns.finish()
        return count

    def _put_back(self, batch: Sequence[_Body], weight: int) -> int:
        """One turn: the bodies of ``batch`` whose session and marker are still there."""
        if not batch:
            return 0
        header = Header(MESSAGES, ("id", "session_id", "content"))
        with self._paced.turns.turn():
            ids = [new[0] for new, _ in batch]
            there = {row[0]: row[1:] for row in select(self._database, header, "id", ids, order="id")}
            good = [new for new, old in batch if there.get(new[0]) == old]
            if good:
                set_contents(self._database, good)
        self._paced.settle(weight)
        return len(good)


def _reads(rows: SessionRows) -> list[Version]:
    """What holds records and messages. Tool output is a copy of some messages, and comes after them."""
    return [version.read for version in rows.versions if version.kind is not ArtifactKind.TOOL_OUTPUT]


def _lost_children(rows: SessionRows) -> Iterator[Row]:
    """What lost this parent whenever its record left: a child may have been in the archive the last time."""
    for version in rows.versions:
        if version.kind is ArtifactKind.RECORD:
            yield from (
                row
                for table in newest_record([version.read])
                if table.header == CHILDREN
                for row in table.rows
            )


def _of(rows: SessionRows) -> str:
    return f"the archived rows of session {rows.session_id}"


def _left_out(rows: SessionRows, table: str) -> str:
    return (
        f"session {rows.session_id}: what table {table} had of it was left out where "
        "something newer has its place"
    )


@contextlib.contextmanager
def _understood(what: str) -> Iterator[None]:
    """Rows that this version cannot read are an error that people understand."""
    try:
        yield
    except RowFormatError as error:
        raise VaultDamaged(
            what,
            f"they are not in format {FORMAT} of rows ({error})",
            consequence=_NOTHING,
            cure="Install a newer hermes-retention, or see what 'hermes-retention archive verify' says.",
        ) from error


PARENT = "parent_session_id"
Version = Callable[[], Iterable[bytes]]


class ArchivedTable(msgspec.Struct, frozen=True):
    """Some rows of one table, of which a session has few."""

    header: Header
    rows: tuple[Row, ...]

    def values(self, column: str) -> list[Value]:
        """What stands in ``column``, row by row; empty when there is no such column."""
        if column not in self.header.columns:
            return []
        at = self.header.columns.index(column)
        return [row[at] for row in self.rows]


class _Part(msgspec.Struct, frozen=True):
    """The messages that come from one version: those with an id below ``below``."""

    version: Version
    below: int | None

    def rows(self) -> Iterator[tuple[Header, Iterator[Row]]]:
        """Read to the end even where nothing more is taken: only then are the bytes known to be good."""
        for header, rows in sections(decode(self.version())):
            if header.table == MESSAGES:
                at = _position(header)
                yield header, (row for row in rows if self.below is None or _id(row, at) < self.below)


def newest_record(versions: Sequence[Version]) -> list[ArchivedTable]:
    """The record and what goes with it from the newest version that has one; empty when none does.

    Raises ``RowFormatError``.
    """
    for version in reversed(versions):
        tables = _tables(version)
        if any(table.header.table == SESSIONS for table in tables):
            return tables
    return []


def _tables(version: Version) -> list[ArchivedTable]:
    tables = []
    for header, rows in sections(decode(version())):
        if header.table == MESSAGES:
            break  # they come last, and may be many
        tables.append(ArchivedTable(header, tuple(rows)))
    return tables


def items_of(tables: Sequence[ArchivedTable]) -> Iterator[Header | Row]:
    """The tables as they are archived: each header, and its rows."""
    for table in tables:
        yield table.header
        yield from table.rows


def parents_in(tables: Sequence[ArchivedTable]) -> set[str]:
    """The sessions that records in ``tables`` name as their parents."""
    return {
        parent
        for table in tables
        if table.header.table == SESSIONS
        for parent in table.values(PARENT)
        if isinstance(parent, str)
    }


def without_parents(table: ArchivedTable, lost: set[str]) -> ArchivedTable:
    """``table`` with records that are below none of ``lost``."""
    if table.header.table != SESSIONS or PARENT not in table.header.columns:
        return table
    at = table.header.columns.index(PARENT)
    rows = [(*row[:at], None, *row[at + 1 :]) if row[at] in lost else row for row in table.rows]
    return ArchivedTable(table.header, tuple(rows))


class JoinedMessages:
    """The messages of all versions, ids ascending: call it as often as needed, it reads them again."""

    def __init__(self, versions: Sequence[Version]) -> None:
        """Reads the beginning of each version. Raises ``RowFormatError``."""
        parts: list[_Part] = []
        lowest: int | None = None
        for version in reversed(versions):
            first = _first_id(version)
            if first is not None and (lowest is None or first < lowest):
                parts.append(_Part(version, lowest))
                lowest = first
        self._parts = parts[::-1]

    def __call__(self) -> Iterator[Header | Row]:
        """A header before the first row and wherever columns change, and the rows."""
        yield from _with_headers(section for part in self._parts for section in part.rows())


def joined_output(versions: Sequence[Version]) -> Iterator[Header | Row]:
    """The tool output of all versions, the newest version first; each message once.

    Raises ``RowFormatError``. Memory: the ids.
    """
    yield from _with_headers(_output_once(versions))


def _output_once(versions: Sequence[Version]) -> Iterator[tuple[Header, Iterator[Row]]]:
    taken: set[Value] = set()
    for version in reversed(versions):
        for header, rows in sections(decode(version())):
            yield header, _untaken(rows, _position(header), taken)


def _untaken(rows: Iterable[Row], at: int, taken: set[Value]) -> Iterator[Row]:
    for row in rows:
        if row[at] not in taken:
            taken.add(row[at])
            yield row


def _with_headers(found: Iterable[tuple[Header, Iterator[Row]]]) -> Iterator[Header | Row]:
    last = None
    for header, rows in found:
        for row in rows:
            if header != last:
                yield header
                last = header
            yield row


def _first_id(version: Version) -> int | None:
    for header, rows in sections(decode(version())):
        if header.table == MESSAGES:
            at = _position(header)
            return next((_id(row, at) for row in rows), None)
    return None


def _position(header: Header) -> int:
    if "id" not in header.columns:
        raise RowFormatError("messages without ids")
    return header.columns.index("id")


def _id(row: Row, at: int) -> int:
    value = row[at]
    if not isinstance(value, int):
        raise RowFormatError("a message whose id is no number")
    return value
