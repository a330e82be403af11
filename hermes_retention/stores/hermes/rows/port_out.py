"""The port to rows that leave: what of a session is read for the vault, and its removal afterwards.

Joins ``rows``, ``row_writer`` and ``record_writer`` to what ``stores.base`` asks for. What must not live
here: SQL, and the vault.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from hermes_retention.model.errors import ArtifactChanged
from hermes_retention.model.session import ArtifactKind, Record, Session
from hermes_retention.model.stop import Stop, never
from hermes_retention.model.text import printable
from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.ids import safe_name
from hermes_retention.stores.hermes.records import Rows, read_some_sessions
from hermes_retention.stores.hermes.rows.format import encode
from hermes_retention.stores.hermes.rows.fts import Indexes
from hermes_retention.stores.hermes.rows.pacing import Turns
from hermes_retention.stores.hermes.rows.read import (
    Seen,
    count_all_messages,
    read_messages,
    read_record,
    read_tool_output,
)
from hermes_retention.stores.hermes.rows.record_writer import RecordWriter, Unit, read_detached, read_unit
from hermes_retention.stores.hermes.rows.remove import MARKER, RowWriter
from hermes_retention.stores.hermes.rows.row_queue import Change, State
from hermes_retention.stores.hermes.rows.still_unused import Watch
from hermes_retention.stores.rows import Reading, RowsChanged

Routed = Callable[[Rows], dict[str, frozenset[str]]]
"""Of rows just read: session id → the keys that lead to it now, or may."""
_LATEST_NS = 2**62
_PATIENCE_SECONDS = 5.0
"""How long the search tables wait in all for moments in which nobody else writes."""
_WORTH_CONDENSING = 0.1
"""Of the messages that are left, the share that must have gone: condensing reads all of the search tables."""


def name_of(kind: ArtifactKind, session_id: str) -> str:
    """What the vault calls rows of a session; a file name when they are exported."""
    return f"{kind.value}_{safe_name(session_id)}.rows.jsonl"


class HermesRowReader:
    """Reads within the one transaction of ``database``, which ``state_db.reading`` opened."""

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
        return found

    def messages(self, session: Session) -> Reading:
        """All its messages and its record."""
        seen = Seen(session.id)

        def items() -> Iterator[bytes]:
            with self._translated():
                yield from encode(read_record(self._database, [session.id]))
                yield from encode(read_messages(self._database, seen))

        return _reading(ArtifactKind.MESSAGES, session, items(), seen)

    def tool_output(self, session: Session, *, longer_than_bytes: int) -> Reading:
        """The messages of tools whose body is longer than that; perhaps none."""
        seen = Seen(session.id)

        def items() -> Iterator[bytes]:
            with self._translated():
                found = read_tool_output(
                    self._database, seen, longer_than_bytes=longer_than_bytes, marker=MARKER
                )
                yield from encode(found)

        return _reading(ArtifactKind.TOOL_OUTPUT, session, items(), seen)

    def record(self, session: Session) -> Reading:
        """Its record and all that goes with it, but no messages."""

        def items() -> Iterator[bytes]:
            with self._translated():
                yield from encode(read_record(self._database, [session.id]))
                yield from encode(read_detached(self._database, session.id))

        return _reading(ArtifactKind.RECORD, session, items(), Seen(session.id))

    def unit(self, session_id: str) -> tuple[tuple[str, ...], Unit]:
        """The ids that leave together with this record, in order, and the ticket for ``remove_units``."""
        unit = Unit(session_id)
        with self._translated():
            for _ in read_unit(self._database, unit):
                pass
        return unit.session_ids, unit

    def _translated(self) -> contextlib.AbstractContextManager[None]:
        return state_db.read_errors(self._path)


class _Patience:
    """Waits before each piece of work until nobody else writes; it is over when that took too long in all."""

    def __init__(self, turns: Turns, stop: Stop) -> None:
        self._turns, self._stop = turns, stop
        self._left = _PATIENCE_SECONDS

    def is_over(self) -> bool:
        while self._left > 0.0 and not self._stop() and self._turns.contended:
            self._left -= self._turns.pause()
        return self._left <= 0.0 or self._stop()


class HermesRowRemover:
    """Changes rows through ``database``, which ``state_db.writing`` opened. For one thread."""

    def __init__(self, path: Path, database: sqlite3.Connection, watch: Watch, stop: Stop = never) -> None:
        turns = Turns(database)
        self._path, self._database, self._turns, self._stop = path, database, turns, stop
        self._rows = RowWriter(database, turns, watch, stop)
        self._records = RecordWriter(database, turns, watch, stop)

    def remove_messages(self, tickets: Sequence[Seen]) -> Iterator[RowsChanged]:
        """Remove what ``messages`` read; records stay."""
        # In order of their ids, so that a transaction finds its rows close together.
        ordered = sorted(tickets, key=lambda seen: seen.ids[0] if len(seen) else 0)
        return self._told(self._rows.remove_messages(ordered))

    def replace_tool_output(self, tickets: Sequence[Seen]) -> Iterator[RowsChanged]:
        """Put a marker in the place of each body that ``tool_output`` read."""
        return self._told(self._rows.replace_tool_output(tickets))

    def remove_units(self, tickets: Sequence[Unit]) -> Iterator[RowsChanged]:
        """Remove each unit with all that is left of its sessions, or nothing of it."""
        return self._told(self._records.remove_records(tickets))

    def tidy(self, changed_rows: int) -> bool:
        """Let the search tables give their pages back if enough of them was removed, and say whether.

        In a very large table single pieces of that take a quarter of a second, however small they are asked
        to be. So this waits for a moment in which nobody else writes, and is left to a later sweep when none
        comes; what was merged until then stays merged.
        """
        with state_db.write_errors(self._path):
            if self._stop() or changed_rows < _WORTH_CONDENSING * count_all_messages(self._database):
                return False
            patience = _Patience(self._turns, self._stop)
            done = Indexes(self._database).condense(self._turns, patience.is_over)
            self._turns.finish()
            return done

    def _told(self, changes: Iterator[Change]) -> Iterator[RowsChanged]:
        with state_db.write_errors(self._path):
            for change in changes:
                yield RowsChanged(change.session_id, change.rows, _why_not(change))


def _is_same(now: Record | None, seen: Record | None) -> bool:
    """Whether nothing was changed but that the parent has left."""
    if now is None or seen is None or now.parent_id is not None:
        return now == seen
    return msgspec.structs.replace(now, parent_id=seen.parent_id, lineage=seen.lineage) == seen


def _why_not(change: Change) -> ArtifactChanged | None:
    if change.state is State.DONE:
        return None
    consequence = "its rows were kept"
    if change.state is State.INTERRUPTED:
        consequence = f"{change.rows} of its rows are in the archive only, the others stayed"
    return ArtifactChanged(f"session {printable(change.session_id)}", change.why, consequence=consequence)


def _reading(kind: ArtifactKind, session: Session, chunks: Iterator[bytes], ticket: Seen) -> Reading:
    return Reading(kind, name_of(kind, session.id), _newest_ns(session), chunks, ticket)


def _newest_ns(session: Session) -> int:
    """The newest time that the rows tell; the same for the same rows, so that they are archived once."""
    record = session.record
    if record is None:
        return 0
    newest = record.last_message_at or record.ended_at or record.started_at
    return min(max(0, round(newest * 1e9)), _LATEST_NS) if math.isfinite(newest) else 0
