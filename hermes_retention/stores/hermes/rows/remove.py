"""Removes messages, and takes bodies of tool output out and puts them back, a few milliseconds at a time.

Every transaction re-reads the rows that it is about to change and compares them with what was read before:
what somebody changed in between stays. The statements of the host's own triggers keep the search tables
right, and they do so once per *statement*: FTS5 writes a segment for each, so a transaction has exactly one,
with its rows in ascending order. That is what makes it fast.

A session that is too long for one transaction loses its oldest messages first. In between the host shows what
is left, the newest; the time of its last activity stays, so the next sweep decides as this one did. Whoever
removes has the whole session in the vault, so a removal that was cut short is completed by removing again, or
undone by inserting: rows that are there already are left alone (``row_restore``). What must not live here:
archiving, opening databases, and decisions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence

from hermes_retention.model.stop import Stop, never
from hermes_retention.model.text import printable
from hermes_retention.stores.hermes.rows.format import Header, Row, Value
from hermes_retention.stores.hermes.rows.fts import Indexes
from hermes_retention.stores.hermes.rows.pacing import Pace, Turns
from hermes_retention.stores.hermes.rows.read import (
    MESSAGES,
    VARIABLES,
    Seen,
    count_messages,
    header_of,
    parameter,
    places,
    record_digest,
    select,
)
from hermes_retention.stores.hermes.rows.row_queue import Change, Piece, Queue
from hermes_retention.stores.hermes.rows.still_unused import Unwatched, Watch

MARKER = "[hermes-retention: "
"""What every text begins with that stands for a body in the vault."""
_LONGEST_NAME = 80
_ROWS_PER_UPDATE = 100


_Apply = Callable[[Sequence[int]], None]


class RowWriter:
    """Changes rows of ``messages`` on a connection from ``state_db.writing``. For one thread."""

    def __init__(
        self,
        database: sqlite3.Connection,
        turns: Turns | None = None,
        watch: Watch | None = None,
        stop: Stop = never,
    ) -> None:
        """``stop`` ends each method between two transactions."""
        self._database = database
        self._watch = watch or Unwatched()
        self._stop = stop
        self.turns = turns or Turns(database)
        self._indexes = Indexes(database)
        self._pace = Pace()
        self._messages = header_of(database, MESSAGES)
        self._unsettled = 0

    def remove_messages(self, sessions: Iterable[Seen]) -> Iterator[Change]:
        """Remove all messages of each session that is still what was read; records stay as they are.

        ``sessions`` come from ``rows.read_messages``, best in order of their first id. Small ones share a
        transaction, long ones take several. Each outcome is final: its transaction is committed. Raises
        ``ValueError`` for a session that was not read to its end, before anything of it is touched, and
        ``sqlite3.Error`` when the database cannot be written; sessions not told until then are as they were.
        """
        yield from self._change(sessions, self._delete, VARIABLES, removes=True)

    def replace_tool_output(self, outputs: Iterable[Seen]) -> Iterator[Change]:
        """Put a marker in the place of each body that ``rows.read_tool_output`` saw, unless it changed since.

        Call it again after a crash: what has its marker is not read any more. Otherwise as
        ``remove_messages``.
        """
        yield from self._change(outputs, self._put_markers, _ROWS_PER_UPDATE, removes=False)

    def restore_tool_output(self, header: Header, rows: Iterable[Row]) -> int:
        """Put archived bodies back where their marker still stands; returns how many. Others are left alone.

        ``header`` and ``rows`` are what ``rows.read_tool_output`` gave. A restore that was cut short is
        completed by doing it again.
        """
        at = [header.columns.index(name) for name in ("id", "session_id", "content")]
        count, batch, weight = 0, list[tuple[Row, Row]](), 0
        for row in rows:
            message_id, session_id, content = (row[position] for position in at)
            batch.append(((message_id, content), (session_id, marker_of(header, row))))
            weight += len(str(content))
            if weight >= self._pace.budget or len(batch) >= _ROWS_PER_UPDATE:
                count += self._put_back(batch, weight)
                batch, weight = [], 0
        count += self._put_back(batch, weight)
        self.turns.finish()
        return count

    # -- the same for every change ----------------------------------------------------------------------

    def _change(
        self, sessions: Iterable[Seen], apply: _Apply, most: int, *, removes: bool
    ) -> Iterator[Change]:
        queue = Queue(sessions)
        pieces: list[Piece] = []
        try:
            while not self._stop() and (
                pieces := queue.pieces(self._indexes.limit(self._pace.budget, self.turns), most)
            ):
                refused = self._take_turn(pieces, apply, removes=removes)
                for number, piece in enumerate(pieces):
                    if number in refused:
                        queue.drop(piece.progress)
                        yield piece.progress.change(refused[number])
                    elif piece.progress.is_done:
                        yield piece.progress.change()
                self._settle()  # after telling: what is committed is known even when this fails
        except sqlite3.Error as error:
            yield from _begun(pieces, f"the database failed ({error})")
            raise
        self.turns.finish()

    def _take_turn(self, pieces: Sequence[Piece], apply: _Apply, *, removes: bool) -> dict[int, str]:
        """One transaction, whose merges are up to ``_settle``. Returns which pieces stay, and why."""
        self._settle()
        self._watch.look()
        refused = {number: why for number, piece in enumerate(pieces) if (why := self._why_not_begun(piece))}
        try:
            with self.turns.turn():
                self._watch.look()
                for number, piece in enumerate(pieces):
                    if number not in refused and (why := self._why_not(piece, removes=removes)):
                        refused[number] = why
                good = [piece for number, piece in enumerate(pieces) if number not in refused]
                ids = sorted(message_id for piece in good for message_id in piece.ids)
                if ids:
                    apply(ids)
        except sqlite3.IntegrityError as error:
            return self._one_by_one(pieces, apply, error, removes=removes)
        for piece in good:
            piece.progress.position = piece.end
        if ids:
            self._unsettled = sum(piece.weight for piece in good)
        return refused

    def _one_by_one(
        self, pieces: Sequence[Piece], apply: _Apply, error: sqlite3.IntegrityError, *, removes: bool
    ) -> dict[int, str]:
        """Something refers to one of these rows: find out which, so that the others are not kept too."""
        if len(pieces) == 1:
            return {0: f"the database refuses ({error})"}
        alone = (self._take_turn([piece], apply, removes=removes) for piece in pieces)
        return {number: refused[0] for number, refused in enumerate(alone) if refused}

    def _settle(self) -> None:
        if self._unsettled:
            weight, self._unsettled = self._unsettled, 0
            self._learn(weight)

    def _learn(self, weight: int) -> None:
        self._pace.learn(weight, self.turns.held_seconds)
        self._indexes.settle(self.turns, weight)

    # -- checks -----------------------------------------------------------------------------------------

    def _why_not_begun(self, piece: Piece) -> str:
        """Compare all of a long session once before its first row goes, without the lock: it may take long.

        Its rows are compared again as they go, so this only makes an interruption rarer.
        """
        if not piece.begins_a_long_one:
            return ""
        return self._why_rows_differ(piece.progress.seen, 0, len(piece.progress.seen))

    def _why_not(self, piece: Piece, *, removes: bool) -> str:
        """Why a piece must stay, asked in the transaction; empty when nothing speaks against it."""
        seen = piece.progress.seen
        if why := self._watch.why_live(seen.session_id):
            return why
        left = seen.total - piece.start if removes else seen.total
        count, newest = count_messages(self._database, seen.session_id)
        if (count, newest) != (left, seen.newest_id if left else None):
            return f"it has {count} messages now instead of {left}, or newer ones"
        if record_digest(self._database, seen.session_id) != seen.record:
            return "its record was changed"
        return self._why_rows_differ(seen, piece.start, piece.end)

    def _why_rows_differ(self, seen: Seen, start: int, end: int) -> str:
        rows = select(self._database, self._messages, "id", seen.ids[start:end], order="id")
        position = start
        for row in rows:
            if position >= end or not seen.is_same(position, row):
                return "one of its messages was changed"
            position += 1
        return "" if position == end else "one of its messages is gone"

    # -- statements: one per transaction ----------------------------------------------------------------

    def _delete(self, ids: Sequence[int]) -> None:
        self._database.execute(f"DELETE FROM messages WHERE id IN ({places(ids)})", ids)  # noqa: S608

    def _put_markers(self, ids: Sequence[int]) -> None:
        rows = select(self._database, self._messages, "id", ids, order="id")
        at = self._messages.columns.index("id")
        self._set_content([(row[at], marker_of(self._messages, row)) for row in rows])

    def _put_back(self, batch: Sequence[tuple[Row, Row]], weight: int) -> int:
        """Write the bodies of ``batch`` whose session and marker are still there."""
        if not batch:
            return 0
        pair = Header(MESSAGES, ("id", "session_id", "content"))
        with self.turns.turn():
            ids = [new[0] for new, _ in batch]
            there = {row[0]: row[1:] for row in select(self._database, pair, "id", ids, order="id")}
            good = [new for new, old in batch if there.get(new[0]) == old]
            if good:
                self._set_content(good)
        self._learn(weight)
        return len(good)

    def _set_content(self, pairs: Sequence[Row]) -> None:
        new = ", ".join(f"({places(pair)})" for pair in pairs)
        values: list[Value] = [parameter(value) for pair in pairs for value in pair]
        self._database.execute(
            f"WITH new(id, content) AS (VALUES {new}) UPDATE messages "  # noqa: S608 - placeholders only
            "SET content = (SELECT new.content FROM new WHERE new.id = messages.id) "
            "WHERE id IN (SELECT new.id FROM new)",
            values,
        )


def _begun(pieces: Iterable[Piece], why: str) -> Iterator[Change]:
    """Outcomes of those of which something is committed that nobody has heard of."""
    for piece in pieces:
        progress = piece.progress
        if progress.position and not progress.is_told:
            yield progress.change("" if progress.is_done else why)


def marker_of(header: Header, row: Row) -> str:
    """The text that stands for the body of a tool message: what was there, its size, how to get it back."""
    known = dict(zip(header.columns, row, strict=True))
    content, name = known["content"], known.get("tool_name")
    plain = content if isinstance(content, bytes) else str(content).encode("utf-8", "surrogateescape")
    what = printable(name)[:_LONGEST_NAME] if isinstance(name, str) and name else "a tool"
    session_id = printable(str(known["session_id"]))
    return (
        f"{MARKER}the output of {what}, {len(plain)} bytes, is archived; "
        f"`hermes-retention restore {session_id}` puts it back]"
    )


def marked(header: Header, row: Row) -> Row:
    """``row`` with the marker in the place of its body."""
    at = header.columns.index("content")
    return (*row[:at], marker_of(header, row), *row[at + 1 :])
