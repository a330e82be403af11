"""The store's side of a restore: archived rows back into the host's database.

Versions are joined in ``versions`` and inserted by ``insert``; what belongs to which of the two, what becomes
of a parent that nobody has, and how bodies of tool output take the place of their markers is said here. What
must not live here: the vault, and which sessions come back.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

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
from hermes_retention.stores.hermes.rows.versions import (
    PARENT,
    ArchivedTable,
    JoinedMessages,
    Version,
    items_of,
    joined_output,
    newest_record,
    parents_in,
    without_parents,
)
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
