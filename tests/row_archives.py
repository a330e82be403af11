"""Moves rows of a home's database into its vault as a sweep does, for tests of what comes after.

    archive = RowArchive(site, database)
    archive.messages("s1")
    archive.record("s1")

Each call is archived at a later time than the one before, all of them by one sweep unless ``sweep`` is set.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from host_databases import HostDatabase
from row_moves import removal_of_messages, removal_of_records, replacement_of_output
from vaults import MONTH, entry_of

from hermes_retention.archive.entries import pack
from hermes_retention.archive.vault import PartitionWriter
from hermes_retention.home.home import Home
from hermes_retention.model.session import Artifact, ArtifactKind
from hermes_retention.model.text import safe_name
from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.rows import read, tables
from hermes_retention.stores.hermes.rows.read import SeenUnit, find_unit, read_unit
from hermes_retention.stores.hermes.rows.turn_machine import State
from hermes_retention.stores.rows import Header, Row, encode


class RowArchive:
    """Archives rows of ``database``, which is that of ``site``, and takes them out of it."""

    def __init__(self, site: Home, database: HostDatabase) -> None:
        self._site, self._database = site, database
        self.archived_at = 1.8e9
        self.sweep = "s1"
        self.month = MONTH

    def copy_messages(self, session_id: str) -> read.Seen:
        """Archive all messages with the record; they stay where they are, as after a death before removal."""
        seen = read.Seen(session_id)
        with state_db.reading(self._database.path) as connection:
            assert connection is not None
            record = list(read.read_record(connection, [session_id]))
            self.put(session_id, ArtifactKind.MESSAGES, [*record, *read.read_messages(connection, seen)])
        return seen

    def messages(self, session_id: str) -> None:
        """Archive and remove all messages."""
        seen = self.copy_messages(session_id)
        with state_db.writing(self._database.path) as connection:
            assert [it.state for it in removal_of_messages(connection, [seen])] == [State.DONE]

    def interrupted_messages(self, session_id: str, *, removed: int) -> None:
        """Archive all messages and remove the oldest of them only."""
        self.copy_messages(session_id)
        self._database.execute(
            "DELETE FROM messages WHERE id IN "
            "(SELECT id FROM messages WHERE session_id = ? ORDER BY id LIMIT ?)",
            session_id,
            removed,
        )

    def tool_output(self, session_id: str, *, longer_than_bytes: int = 100) -> None:
        """Archive bodies of tool output and put markers in their place."""
        seen = read.Seen(session_id)
        with state_db.reading(self._database.path) as connection:
            assert connection is not None
            found = read.read_tool_output(connection, seen, longer_than_bytes=longer_than_bytes)
            self.put(session_id, ArtifactKind.TOOL_OUTPUT, found)
        with state_db.writing(self._database.path) as connection:
            assert [it.state for it in replacement_of_output(connection, [seen])] == [State.DONE]

    def record(self, session_id: str) -> None:
        """Archive and remove the record with its unit, of which few messages are left."""
        unit = SeenUnit(session_id)
        with state_db.reading(self._database.path) as connection:
            assert connection is not None
            for _ in read_unit(connection, unit):
                pass
            for one in find_unit(connection, session_id):
                self.put(one, ArtifactKind.RECORD, _record(connection, one, unit.session_ids))
        with state_db.writing(self._database.path) as connection:
            assert [it.state for it in removal_of_records(connection, [unit])] == [State.DONE]

    def all_of(self, *session_ids: str) -> None:
        """Archive and remove the messages of each, and then the units of each that is still there."""
        for session_id in session_ids:
            self.messages(session_id)
        for session_id in session_ids:
            if self._database.execute("SELECT 1 FROM sessions WHERE id = ?", session_id):
                self.record(session_id)

    def put(self, session_id: str, kind: ArtifactKind, items: Iterable[Header | Row]) -> None:
        """Archive rows as one artifact."""
        self.put_bytes(session_id, kind, b"".join(encode(items)))

    def put_bytes(self, session_id: str, kind: ArtifactKind, content: bytes) -> None:
        """Archive bytes as an artifact of rows."""
        self.archived_at += 1
        size = len(content)
        name = f"{kind.value}_{safe_name(session_id)}.rows.jsonl"
        artifact = Artifact(kind, name, size, size, mtime_ns=10**18, inode=0, mode=0o600)
        self._site.workspace.create()
        with PartitionWriter(self._site.workspace.vault, self.month) as writer:
            packing = writer.choose_packing([(session_id, content)], size)
            packed = [pack(session_id, artifact, [content] if content else [], packing)]
            ids = writer.write([entry_of(session_id)], packed, sweep=self.sweep, archived_at=self.archived_at)
            assert [check() for check in writer.read_back(packed, ids)] == [None]


def _record(connection: sqlite3.Connection, session_id: str, unit: Sequence[str]) -> Iterable[Header | Row]:
    yield from read.read_record(connection, [session_id])
    pair = Header(tables.SESSIONS, tables.CHILDREN.columns)
    children = tables.select(connection, pair, "parent_session_id", [session_id])
    lost = [row for row in children if row[0] not in unit]
    if lost:
        yield tables.CHILDREN
        yield from lost
