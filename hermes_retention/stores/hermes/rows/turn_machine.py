"""How rows of a host's database change: turn by turn, each of them a transaction of a few milliseconds.

``TurnMachine`` does the same for every kind of rows. A turn goes through these steps:

1. The work cuts what fits: pieces, each of one session or of sessions that leave together.
2. Without the lock: see what is in use by now, and compare what takes long to compare.
3. Under the lock: look again, compare each piece with what was read. What differs stays, the rest goes with
   one statement (the host's triggers write a segment of its search tables for each statement), and that is
   committed.
4. Tell what became of each piece. What is told is committed.
5. Without the lock: learn from how long that took, and do the merges of search tables that it made due.

When the database refuses a turn because something refers to one of its rows, each of its pieces gets a turn
of its own. ``RowWork`` is all that differs between messages, tool output and records. What must not live
here: which rows those are, and SQL.
"""

from __future__ import annotations

import enum
import os
import sqlite3
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeAlias, TypeVar

import msgspec

from hermes_retention.model.errors import Stop, never
from hermes_retention.stores.hermes.records import claims, columns_of
from hermes_retention.stores.hermes.rows.fts import SearchTables
from hermes_retention.stores.hermes.rows.pacing import Pace, Patience, Turns

Routes: TypeAlias = Callable[[], Mapping[str, Collection[str]]]
"""Reads session id → the keys that lead to it now."""
_Use: TypeAlias = tuple[str, str, object]
"""Session id, what uses it in words, and which of these it is."""
_State: TypeAlias = tuple[object, ...]


class State(enum.StrEnum):
    """What became of a session's rows."""

    DONE = "done"
    CHANGED = "changed"
    """The session is not what was read; nothing of it was touched."""
    INTERRUPTED = "interrupted"
    """It changed, or the database failed, after a part had gone. What is gone is what was read; put it back,
    or read the rest."""


class Change(msgspec.Struct, frozen=True):
    """The outcome for one session: how many rows were changed, and why not all."""

    session_id: str
    state: State
    rows: int
    why: str = ""


class Piece(Protocol):
    """What a turn takes of one session, or of sessions that leave together."""

    @property
    def session_ids(self) -> Sequence[str]:
        """Whose rows these are."""

    @property
    def weight(self) -> int:
        """What changing them costs, told in bytes of rows."""


_Piece = TypeVar("_Piece", bound=Piece)


class RowWork(ABC, Generic[_Piece]):
    """Rows of one kind that are to be changed, and how far that has come. For one run of a machine."""

    @abstractmethod
    def next_pieces(self, room: int) -> Sequence[_Piece]:
        """What the next turn takes, of each session once; empty when all is done.

        Their weight is at most ``room`` together, but at least one piece comes. Raises ``ValueError`` for
        what was not read to its end, before anything of it is touched.
        """

    def why_not_begun(self, piece: _Piece) -> str:
        """Why a piece stays, asked before its turn, without the lock; empty when it may go."""
        return ""

    @abstractmethod
    def why_not(self, piece: _Piece, going: Sequence[_Piece]) -> str:
        """Why a piece stays, asked in the transaction, where ``going`` are those of this turn that go."""

    @abstractmethod
    def change(self, pieces: Sequence[_Piece]) -> int:
        """Change these within the transaction; returns the weight of what was changed, perhaps 0."""

    @abstractmethod
    def done(self, piece: _Piece) -> Change | None:
        """Its change is committed: the outcome, or ``None`` when more of the session is to come."""

    @abstractmethod
    def kept(self, piece: _Piece, why: str) -> Change:
        """It stays, and all that would have come after it: the outcome."""

    def unfinished(self, why: str) -> Iterable[Change]:
        """The outcomes of what is committed in part and not told; nothing more comes of it."""
        return ()


class PacedTurns:
    """Turns of the right length, and what is due after each of them. For one thread."""

    def __init__(self, database: sqlite3.Connection, turns: Turns | None = None) -> None:
        self.turns = turns or Turns(database)
        self._search_tables = SearchTables(database)
        self._pace = Pace()

    @property
    def budget(self) -> int:
        """The weight of rows that takes as long as a turn should."""
        return self._pace.budget

    def room(self) -> int:
        """The weight that the next turn should take, lest it sets off merges; perhaps less than one row's."""
        return self._search_tables.limit(self._pace.budget, self.turns)

    def settle(self, weight: int) -> None:
        """After a turn of that weight: learn from it, and do the merges that it made due."""
        self._pace.learn(weight, self.turns.work_seconds)
        self._search_tables.settle(self.turns, weight)

    def condense(self, stop: Stop = never) -> bool:
        """Let search tables give back the pages of what was removed; whether that came to its end.

        It waits for moments in which nobody else writes, and ends when none comes.
        """
        done = self._search_tables.condense(self.turns, Patience(self.turns, stop).is_over)
        self.turns.finish()
        return done


class _Turn(msgspec.Struct, frozen=True):
    """A turn that is committed."""

    changes: tuple[Change, ...]
    weight: int


class TurnMachine:
    """Carries out work on a connection from ``state_db.writing``. For one thread."""

    def __init__(
        self,
        database: sqlite3.Connection,
        turns: Turns | None = None,
        watch: UseWatch | None = None,
        stop: Stop = never,
    ) -> None:
        """``stop`` ends a run between two turns; sessions of which a part is gone are not told then."""
        self.paced = PacedTurns(database, turns)
        self._watch = watch or Unwatched()
        self._stop = stop

    def run(self, work: RowWork[_Piece]) -> Iterator[Change]:
        """The outcomes of ``work``, each of which is final: it is committed.

        Raises ``ValueError`` for what was not read to its end, and ``sqlite3.Error`` when the database cannot
        be written; sessions that were not told until then are as they were.
        """
        try:
            while not self._stop() and (pieces := work.next_pieces(self.paced.room())):
                yield from self._carry_out(work, pieces)
        except sqlite3.Error as error:
            yield from work.unfinished(f"the database failed ({error})")
            raise
        self.paced.turns.finish()

    def _carry_out(self, work: RowWork[_Piece], pieces: Sequence[_Piece]) -> Iterator[Change]:
        """One turn; or one for each piece, when something refers to a row of one of them."""
        waiting = deque([pieces])
        while waiting:
            together = waiting.popleft()
            try:
                turn = self._take_turn(work, together)
            except sqlite3.IntegrityError as error:
                # All of it was rolled back. Find out whose row it is, so that the others are not kept too.
                if len(together) == 1:
                    yield work.kept(together[0], f"the database refuses ({error})")
                else:
                    waiting.extend([piece] for piece in together)
                continue
            # Told before merging: what is committed is known even when that fails.
            yield from turn.changes
            if turn.weight:
                self.paced.settle(turn.weight)

    def _take_turn(self, work: RowWork[_Piece], pieces: Sequence[_Piece]) -> _Turn:
        """One transaction. Raises ``sqlite3.IntegrityError`` when it was refused and rolled back."""
        self._watch.look()  # here nobody waits for it
        why_kept = [work.why_not_begun(piece) for piece in pieces]
        going: list[_Piece] = []
        with self.paced.turns.turn():
            self._watch.look()  # nobody writes from here on
            for number, piece in enumerate(pieces):
                why_kept[number] = (
                    why_kept[number]
                    or why_any_is_live(self._watch, piece.session_ids)
                    or work.why_not(piece, going)
                )
                if not why_kept[number]:
                    going.append(piece)
            weight = work.change(going) if going else 0
        outcomes = (
            work.kept(piece, why) if why else work.done(piece)
            for piece, why in zip(pieces, why_kept, strict=True)
        )
        return _Turn(tuple(outcome for outcome in outcomes if outcome is not None), weight)


# -- what is in use by now -----------------------------------------------------------------------------------
#
# Routes, compression locks and delegations that are new. A scan and every reading ask for these too; but rows
# leave for minutes, and a session that somebody takes up again in between must keep what it still has.


class UseWatch:
    """Tells of uses that were not there when it was made. For the thread of ``database``."""

    def __init__(self, database: sqlite3.Connection, routes: Routes, files: Sequence[Path]) -> None:
        """``files`` are what ``routes`` reads beside ``database``. Raises ``StoreUnreadable``."""
        self._database, self._routes, self._files = database, routes, files
        self._has_routes = bool(columns_of(database, "gateway_routing"))
        self._version, self._marks = self._current_version(), self._current_marks()
        self._routed, self._claimed = frozenset(self._route_uses()), frozenset(self._claim_uses())
        self._known = self._routed | self._claimed
        self._new: dict[str, str] = {}

    def look(self) -> None:
        """Read again what changed: before a transaction, where nobody waits for it, and at its beginning.

        Most of what a host writes are messages: whether anything else changed is asked in a way that costs
        little, since somebody may wait for the lock. Raises ``StoreUnreadable`` when nobody knows what is
        routed.
        """
        version = self._current_version()
        if version == self._version:
            return
        self._version = version
        marks, claimed = self._current_marks(), frozenset(self._claim_uses())
        if marks == self._marks and claimed == self._claimed:
            return
        if marks != self._marks:  # hosts since 0.20 claim a session for each turn: routes are another matter
            self._routed, self._marks = frozenset(self._route_uses()), marks
        self._claimed = claimed
        uses = (self._routed | claimed) - self._known
        self._new = {session_id: why for session_id, why, _ in uses}

    def why_live(self, session_id: str) -> str:
        """What had begun to use the session at the last look; empty when nothing had."""
        return self._new.get(session_id, "")

    def _route_uses(self) -> Iterator[_Use]:
        for session_id, keys in self._routes().items():
            for key in keys:
                yield session_id, "messages go to it again", key

    def _claim_uses(self) -> Iterator[_Use]:
        for session_id, what, which in claims(self._database):
            yield session_id, f"the host is at work on it: {what}", which

    def _current_version(self) -> _State:
        """Differs once anybody wrote, be it only a message."""
        (version,) = self._database.execute("PRAGMA data_version").fetchone()
        return (version, *map(_file_state, self._files))

    def _current_marks(self) -> _State:
        """Differs once a route is another."""
        routes = tuple(self._database.execute("SELECT * FROM gateway_routing")) if self._has_routes else ()
        return (*map(_file_state, self._files), hash(routes))


class Unwatched(UseWatch):
    """For databases that nobody else uses."""

    def __init__(self) -> None:
        """Nothing to look at."""
        self._new = {}

    def look(self) -> None:
        """Do nothing."""


def _file_state(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def why_any_is_live(watch: UseWatch, session_ids: Iterable[str]) -> str:
    """What uses one of these sessions; empty when nothing uses any."""
    return next(filter(None, map(watch.why_live, session_ids)), "")
