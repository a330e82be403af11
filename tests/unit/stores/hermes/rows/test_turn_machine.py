"""The machine takes turns whatever the rows are: who stays, who is refused, when it stops, what is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from host_databases import HostDatabase

from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.rows.turn_machine import Change, RowWork, State, TurnMachine


class Title(msgspec.Struct):
    """A title to be given to a session; a turn takes two."""

    session_id: str
    title: str
    why_not: str = ""
    weight: int = 1000

    @property
    def session_ids(self) -> tuple[str]:
        return (self.session_id,)


class Titles(RowWork[Title]):
    def __init__(self, database: sqlite3.Connection, titles: Sequence[Title]) -> None:
        self._database, self._waiting = database, list(titles)
        self.turns: list[list[str]] = []

    def next_pieces(self, room: int) -> list[Title]:
        assert room >= 1000
        pieces, self._waiting = self._waiting[:2], self._waiting[2:]
        return pieces

    def why_not(self, piece: Title, going: Sequence[Title]) -> str:
        return piece.why_not

    def change(self, pieces: Sequence[Title]) -> int:
        self.turns.append([piece.session_id for piece in pieces])
        for piece in pieces:
            self._database.execute(
                "UPDATE sessions SET title = ? WHERE id = ?", (piece.title, piece.session_id)
            )
        return sum(piece.weight for piece in pieces)

    def done(self, piece: Title) -> Change:
        return Change(piece.session_id, State.DONE, 1)

    def kept(self, piece: Title, why: str) -> Change:
        return Change(piece.session_id, State.CHANGED, 0, why)

    def unfinished(self, why: str) -> Iterable[Change]:
        yield Change("the last", State.INTERRUPTED, 0, why)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[HostDatabase]:
    made = HostDatabase(tmp_path / "state.db")
    for number in range(6):
        made.session(f"s{number}")
    made.execute("CREATE UNIQUE INDEX own_titles ON sessions(title)")
    yield made
    made.check()


def titles_in(database: HostDatabase) -> list[tuple[object, ...]]:
    return database.execute("SELECT id, title FROM sessions WHERE title IS NOT NULL ORDER BY id")


def test_what_differs_stays_and_the_rest_of_its_turn_goes(database: HostDatabase) -> None:
    with state_db.writing(database.path) as connection:
        work = Titles(connection, [Title("s0", "a", "it was changed"), Title("s1", "b"), Title("s2", "c")])
        told = list(TurnMachine(connection).run(work))
    assert told == [
        Change("s0", State.CHANGED, 0, "it was changed"),
        Change("s1", State.DONE, 1),
        Change("s2", State.DONE, 1),
    ]
    assert work.turns == [["s1"], ["s2"]]
    assert titles_in(database) == [("s1", "b"), ("s2", "c")]


def test_refused_turn_is_tried_piece_by_piece(database: HostDatabase) -> None:
    database.execute("UPDATE sessions SET title = 'taken' WHERE id = 's5'")
    with state_db.writing(database.path) as connection:
        work = Titles(connection, [Title("s0", "taken"), Title("s1", "b"), Title("s2", "c")])
        told = list(TurnMachine(connection).run(work))
    assert [(change.session_id, change.state) for change in told] == [
        ("s0", State.CHANGED),
        ("s1", State.DONE),
        ("s2", State.DONE),
    ]
    assert "UNIQUE" in told[0].why
    assert work.turns == [["s0", "s1"], ["s0"], ["s1"], ["s2"]]
    assert titles_in(database) == [("s1", "b"), ("s2", "c"), ("s5", "taken")]


def test_stop_is_heard_before_the_next_turn(database: HostDatabase) -> None:
    told: list[Change] = []
    with state_db.writing(database.path) as connection:
        work = Titles(connection, [Title(f"s{number}", f"t{number}") for number in range(6)])
        told.extend(TurnMachine(connection, stop=lambda: len(work.turns) == 2).run(work))
    assert [change.session_id for change in told] == ["s0", "s1", "s2", "s3"]


def test_what_was_told_is_committed_when_the_consumer_leaves(database: HostDatabase) -> None:
    with state_db.writing(database.path) as connection:
        work = Titles(connection, [Title(f"s{number}", f"t{number}") for number in range(6)])
        assert next(TurnMachine(connection).run(work)) == Change("s0", State.DONE, 1)
    assert titles_in(database) == [("s0", "t0"), ("s1", "t1")]


def test_what_is_unfinished_is_told_before_an_error_of_the_database(database: HostDatabase) -> None:
    told: list[Change] = []
    with state_db.writing(database.path) as connection:
        work = Titles(connection, [Title("s0", "a")])
        connection.execute("PRAGMA query_only = ON")

        def act() -> None:
            told.extend(TurnMachine(connection).run(work))

        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            act()
    ((last),) = told
    assert (last.session_id, last.state) == ("the last", State.INTERRUPTED)
    assert "the database failed (attempt to write a readonly database)" in last.why
