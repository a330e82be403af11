"""Rows that leave the host's database: messages, tool output, and records with all that goes with them.

Each is a ``RowWork`` of the machine that takes turns (``turn_machine``): how it is cut, compared and changed.
What somebody changed since it was read stays. The statements of the host's own triggers keep the search
tables right, and they do so once per *statement*: FTS5 writes a segment for each, so a turn has exactly one
for its messages, with its rows in ascending order. That is what makes it fast.

A session that is too long for one turn loses its oldest messages first. In between the host shows what is
left, the newest; the time of its last activity stays, so the next sweep decides as this one did. Whoever
removes has the whole session in the vault, so a removal that was cut short is completed by removing again, or
undone by inserting: rows that are there already are left alone (``insert``). What must not live here:
archiving, opening databases, and decisions.
"""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from hermes_retention.model.errors import ArtifactChanged, Stop, never
from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.rows.read import Seen, SeenUnit, children_of, read_unit
from hermes_retention.stores.hermes.rows.tables import (
    MESSAGES,
    META,
    SESSIONS,
    VARIABLES,
    clear_parents,
    columns_in_order,
    count_all_messages,
    count_messages,
    delete_where,
    goal_key,
    header_of,
    marker_of,
    message_ids,
    owners,
    places,
    record_digest,
    select,
    set_contents,
)
from hermes_retention.stores.hermes.rows.turn_machine import Change, RowWork, State, TurnMachine, UseWatch
from hermes_retention.stores.rows import RowsChanged

MOST_MESSAGES = 50
"""A unit with more messages than these is not removed: they would hold the lock for too long."""
_MOST_SESSIONS = 100
"""In one turn: what belongs to a session is looked up for each, also where no bytes tell of it."""
_ROWS_PER_UPDATE = 100
_SESSION_WEIGHT = 500
"""What a session costs to check, at least, told in bytes of rows."""
_WORTH_CONDENSING = 0.1
"""Of the messages that are left, the share that must have gone: condensing reads all of the search tables."""


class HermesRowRemover:
    """Changes rows through ``database``, which ``state_db.writing`` opened. For one thread."""

    def __init__(
        self, path: Path, database: sqlite3.Connection, watch: UseWatch | None = None, stop: Stop = never
    ) -> None:
        self._path, self._database, self._stop = path, database, stop
        self._machine = TurnMachine(database, None, watch, stop)

    def remove_messages(self, tickets: Sequence[Seen]) -> Iterator[RowsChanged]:
        """Remove what ``messages`` read; records stay."""
        # In order of their ids, so that a turn finds its rows close together.
        ordered = sorted(tickets, key=lambda seen: seen.ids[0] if len(seen) else 0)
        return self._told(self._machine.run(MessageRemoval(self._database, ordered)))

    def replace_tool_output(self, tickets: Sequence[Seen]) -> Iterator[RowsChanged]:
        """Put a marker in the place of each body that ``tool_output`` read."""
        return self._told(self._machine.run(ToolOutputReplacement(self._database, tickets)))

    def remove_units(self, tickets: Sequence[SeenUnit]) -> Iterator[RowsChanged]:
        """Remove each unit with all that is left of its sessions, or nothing of it."""
        return self._told(self._machine.run(RecordRemoval(self._database, tickets)))

    def tidy(self, changed_rows: int) -> bool:
        """Let the search tables give their pages back if enough of them was removed, and say whether.

        In a very large table single pieces of that take a quarter of a second, however small they are asked
        to be. So this waits for a moment in which nobody else writes, and is left to a later sweep when none
        comes; what was merged until then stays merged.
        """
        with state_db.write_errors(self._path):
            if self._stop() or changed_rows < _WORTH_CONDENSING * count_all_messages(self._database):
                return False
            return self._machine.paced.condense(self._stop)

    def _told(self, changes: Iterator[Change]) -> Iterator[RowsChanged]:
        with state_db.write_errors(self._path):
            for change in changes:
                yield RowsChanged(change.session_id, change.rows, _why_not(change))


def _why_not(change: Change) -> ArtifactChanged | None:
    if change.state is State.DONE:
        return None
    consequence = "its rows were kept"
    if change.state is State.INTERRUPTED:
        consequence = f"{change.rows} of its rows are in the archive only, the others stayed"
    return ArtifactChanged(f"session {change.session_id}", change.why, consequence=consequence)


# -- messages and tool output -------------------------------------------------------------------------------


class MessagePiece(msgspec.Struct, frozen=True):
    """Consecutive messages of one session that a turn takes."""

    seen: Seen
    start: int
    end: int
    weight: int

    @property
    def session_ids(self) -> tuple[str]:
        """The session."""
        return (self.seen.session_id,)

    @property
    def ids(self) -> Sequence[int]:
        """Of its messages, ascending."""
        return self.seen.ids[self.start : self.end]

    @property
    def is_last(self) -> bool:
        """Whether nothing of the session comes after it."""
        return self.end == len(self.seen)


class _MessageWork(RowWork[MessagePiece]):
    """Messages that were read. A long session takes several turns."""

    most_rows = VARIABLES
    """In one statement."""

    def __init__(self, database: sqlite3.Connection, sessions: Iterable[Seen]) -> None:
        """``sessions`` are best in order of their first id, so that a turn finds its rows close together."""
        self._database = database
        self._messages = header_of(database, MESSAGES)
        self._waiting = deque(sessions)
        self._begun: tuple[Seen, int] | None = None
        """The session of which a part is committed, and up to which place."""

    def next_pieces(self, room: int) -> list[MessagePiece]:
        """Small sessions together, or as much of a long one as fits; its rest comes first the next time."""
        pieces: list[MessagePiece] = []
        rows = self.most_rows
        if self._begun is not None:
            pieces.append(_cut(*self._begun, room, rows))
        while self._waiting and (not pieces or pieces[-1].is_last):
            left = room - sum(piece.weight for piece in pieces)
            rows = self.most_rows - sum(max(1, len(piece.ids)) for piece in pieces)
            if pieces and (left <= 0 or rows <= 0):
                break
            pieces.append(_cut(_complete(self._waiting.popleft()), 0, left, rows))
        return pieces

    def why_not_begun(self, piece: MessagePiece) -> str:
        """Compare all of a long session once before its first row goes: it may take long.

        Its rows are compared again as they go, so this only makes an interruption rarer.
        """
        if piece.start > 0 or piece.is_last:
            return ""
        return self._why_rows_differ(piece.seen, 0, len(piece.seen))

    def why_not(self, piece: MessagePiece, going: Sequence[MessagePiece]) -> str:
        """Something was added to its session or changed in it, or one of these messages was."""
        seen = piece.seen
        left = self.left(piece)
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

    def change(self, pieces: Sequence[MessagePiece]) -> int:
        """All of them with one statement, ids ascending; sessions without messages need none."""
        ids = sorted(message_id for piece in pieces for message_id in piece.ids)
        if not ids:
            return 0
        self.change_rows(ids)
        return sum(piece.weight for piece in pieces)

    def done(self, piece: MessagePiece) -> Change | None:
        """A session is told once its last piece is done."""
        self._begun = None if piece.is_last else (piece.seen, piece.end)
        return Change(piece.seen.session_id, State.DONE, piece.end) if piece.is_last else None

    def kept(self, piece: MessagePiece, why: str) -> Change:
        """What went in earlier turns is gone; the rest of the session stays."""
        if piece.start > 0:
            self._begun = None
        state = State.INTERRUPTED if piece.start else State.CHANGED
        return Change(piece.seen.session_id, state, piece.start, why)

    def unfinished(self, why: str) -> Iterator[Change]:
        """The long session that was on its way, if there is one."""
        if self._begun is not None:
            seen, position = self._begun
            yield Change(seen.session_id, State.INTERRUPTED, position, why)

    @abstractmethod
    def left(self, piece: MessagePiece) -> int:
        """How many messages the session must have before ``piece`` is changed."""

    @abstractmethod
    def change_rows(self, ids: Sequence[int]) -> None:
        """One statement for these messages, of which there is at least one."""


class MessageRemoval(_MessageWork):
    """Remove all messages of each session that is still what was read; records stay as they are."""

    def left(self, piece: MessagePiece) -> int:
        """Without those that earlier turns took."""
        return piece.seen.total - piece.start

    def change_rows(self, ids: Sequence[int]) -> None:
        """Delete them."""
        self._database.execute(f"DELETE FROM messages WHERE id IN ({places(ids)})", ids)  # noqa: S608


class ToolOutputReplacement(_MessageWork):
    """Put a marker in the place of each body that was read, unless it changed since.

    Do it again after a crash: what has its marker is not read any more.
    """

    most_rows = _ROWS_PER_UPDATE

    def left(self, piece: MessagePiece) -> int:
        """All of them: messages stay."""
        return piece.seen.total

    def change_rows(self, ids: Sequence[int]) -> None:
        """Give each its marker."""
        rows = select(self._database, self._messages, "id", ids, order="id")
        at = self._messages.columns.index("id")
        set_contents(self._database, [(row[at], marker_of(self._messages, row)) for row in rows])


def _complete(seen: Seen) -> Seen:
    if not seen.complete:
        message = f"session {seen.session_id!r} was not read to its end"
        raise ValueError(message)
    return seen


def _cut(seen: Seen, start: int, room: int, rows: int) -> MessagePiece:
    """As many rows as fit, at least one if there are any."""
    weights = seen.weights
    end, weight = start, 0
    while end < len(weights) and end - start < rows and (end == start or weight + weights[end] <= room):
        weight += weights[end]
        end += 1
    return MessagePiece(seen, start, end, max(weight, _SESSION_WEIGHT))


# -- records ------------------------------------------------------------------------------------------------


class RecordRemoval(RowWork[SeenUnit]):
    """Remove each unit that is still what was read: in one turn, with all that goes with it, or not at all.

    In its turn a unit is read again and compared as a whole. Messages go with it when they are few; otherwise
    remove them first.
    """

    def __init__(self, database: sqlite3.Connection, units: Iterable[SeenUnit]) -> None:
        self._database = database
        self._waiting = deque(units)
        self._rows: dict[str, int] = {}
        """How many rows went with the units of this turn."""

    def next_pieces(self, room: int) -> list[SeenUnit]:
        """As many units as fit."""
        units: list[SeenUnit] = []
        while self._waiting and (not units or _fits(self._waiting[0], units, room)):
            unit = self._waiting.popleft()
            if unit.digest is None:
                message = f"the unit of session {unit.session_id!r} was not read to its end"
                raise ValueError(message)
            units.append(unit)
        return units

    def why_not(self, piece: SeenUnit, going: Sequence[SeenUnit]) -> str:
        """It goes with another unit of this turn already, is large, or is not what was read."""
        taken = {one for unit in going for one in unit.session_ids}
        if not taken.isdisjoint(piece.session_ids):
            return "it leaves with another session of its unit"
        if piece.messages > MOST_MESSAGES:
            return f"it has {piece.messages} messages, and these have to go first"
        now = SeenUnit(piece.session_id)
        for number, _ in enumerate(read_unit(self._database, now)):
            # Known with the first row. What is much larger by now must not be read to its end under the lock.
            if number == 0 and (now.session_ids, now.messages) != (piece.session_ids, piece.messages):
                return "it has other sessions or messages now"
        return piece.why_changed(now)

    def change(self, pieces: Sequence[SeenUnit]) -> int:
        """One statement takes the messages of all; then each unit, what refers to its sessions first."""
        # Rows of units refer to each other; only what is left at the end of the transaction counts.
        self._database.execute("PRAGMA defer_foreign_keys = ON")
        session_ids = [one for unit in pieces for one in unit.session_ids]
        ids = sorted(message_id for one in session_ids for message_id in message_ids(self._database, one))
        delete_where(self._database, MESSAGES, "id", ids)
        self._rows = {unit.session_id: unit.messages + self._delete(unit.session_ids) for unit in pieces}
        return sum(unit.weight for unit in pieces)

    def _delete(self, session_ids: Sequence[str]) -> int:
        """What refers to the sessions goes first. Nothing is left to cascades: what was read is named."""
        rows = sum(
            delete_where(self._database, owner.table, owner.column, session_ids)
            for owner in owners(self._database)
        )
        if "key" in columns_in_order(self._database, META):
            rows += delete_where(self._database, META, "key", [goal_key(one) for one in session_ids])
        children = children_of(self._database, session_ids, of=session_ids)
        clear_parents(self._database, [child for child, _ in children])
        return rows + delete_where(self._database, SESSIONS, "id", session_ids)

    def done(self, piece: SeenUnit) -> Change:
        """All of it is gone."""
        return Change(piece.session_id, State.DONE, self._rows[piece.session_id])

    def kept(self, piece: SeenUnit, why: str) -> Change:
        """All of it is as it was."""
        return Change(piece.session_id, State.CHANGED, 0, why)


def _fits(unit: SeenUnit, others: Sequence[SeenUnit], room: int) -> bool:
    """Whether one more unit makes a transaction neither too long nor its statements too wide."""
    together = [*others, unit]
    return (
        sum(one.weight for one in together) <= room
        and sum(one.messages for one in together) <= VARIABLES
        and sum(len(one.session_ids) for one in together) <= _MOST_SESSIONS
    )
