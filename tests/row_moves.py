"""Everything that moves rows of a host's database, each to be done on a database that was prepared for it.

    move = MOVES["remove_messages"](database)
    outcomes = move(database.path)

A move that was broken off is completed by doing it again. What it removes it reads anew each time, as a sweep
does; what it puts back was archived when it was prepared.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from host_databases import HostDatabase

from hermes_retention.stores.hermes import rows, state_db
from hermes_retention.stores.hermes.rows.insert import RowInserter
from hermes_retention.stores.hermes.rows.pacing import WAIT_SECONDS, Turns
from hermes_retention.stores.hermes.rows.read import SeenUnit, read_unit
from hermes_retention.stores.hermes.rows.remove import MessageRemoval, RecordRemoval, ToolOutputReplacement
from hermes_retention.stores.hermes.rows.restore import ToolOutputRestorer
from hermes_retention.stores.hermes.rows.turn_machine import Change, TurnMachine
from hermes_retention.stores.rows import Header, Row

LONG = "the quick brown fox " * 100
LONG_ONE = "s3"
"""Takes several transactions, the oldest messages first."""
NAMES = tuple(f"s{number}" for number in range(8))
Items = list[Header | Row]
Watch = Callable[[sqlite3.Connection], object]


class Move(Protocol):
    """Does it; ``watch`` gets the connection first, and each outcome is appended to ``told`` as it comes."""

    def __call__(
        self,
        path: Path,
        *,
        watch: Watch = ...,
        wait_seconds: float = ...,
        told: list[Change] | None = ...,
    ) -> list[Change]: ...


_Act = Callable[[sqlite3.Connection, Turns], Iterable[Change]]


def database_at(path: Path, *, journal: str = "wal") -> HostDatabase:
    """Sessions with some messages, one with many, and what hangs on them. A turn takes a few."""
    database = HostDatabase(path, journal=journal)
    for name in NAMES:
        database.session(name, [f"{LONG} {name}"] * (30 if name == LONG_ONE else 4), title=name)
        database.insert("session_model_usage", {"session_id": name, "model": "m"})
        database.insert("state_meta", {"key": f"goal:{name}", "value": "win"})
    return database


def read_messages(path: Path, names: Iterable[str]) -> tuple[list[rows.read.Seen], Items]:
    """All messages, and what removing them takes."""
    seen = [rows.read.Seen(name) for name in names]
    with state_db.reading(path) as connection:
        assert connection is not None
        return seen, [item for one in seen for item in rows.read.read_messages(connection, one)]


def read_output(path: Path, names: Iterable[str]) -> tuple[list[rows.read.Seen], Items]:
    """Bodies of tool output, and what replacing them takes."""
    seen = [rows.read.Seen(name) for name in names]
    with state_db.reading(path) as connection:
        assert connection is not None
        found = (rows.read.read_tool_output(connection, one, longer_than_bytes=1000) for one in seen)
        return seen, [item for items in found for item in items]


def read_units(path: Path, names: Iterable[str]) -> tuple[list[SeenUnit], Items]:
    """Records with all that goes with them, and what removing them takes."""
    units = [SeenUnit(name) for name in names]
    with state_db.reading(path) as connection:
        assert connection is not None
        items = [item for unit in units for item in read_unit(connection, unit)]
    return [unit for unit in units if unit.session_ids], items


def removal_of_messages(
    connection: sqlite3.Connection, seen: Iterable[rows.read.Seen], turns: Turns | None = None
) -> Iterator[Change]:
    return TurnMachine(connection, turns).run(MessageRemoval(connection, seen))


def replacement_of_output(
    connection: sqlite3.Connection, seen: Iterable[rows.read.Seen], turns: Turns | None = None
) -> Iterator[Change]:
    return TurnMachine(connection, turns).run(ToolOutputReplacement(connection, seen))


def removal_of_records(
    connection: sqlite3.Connection, units: Iterable[SeenUnit], turns: Turns | None = None
) -> Iterator[Change]:
    return TurnMachine(connection, turns).run(RecordRemoval(connection, units))


def _move(read: Callable[[Path], _Act]) -> Move:
    def move(
        path: Path,
        *,
        watch: Watch = lambda _: None,
        wait_seconds: float = WAIT_SECONDS,
        told: list[Change] | None = None,
    ) -> list[Change]:
        told = [] if told is None else told
        act = read(path)
        with state_db.writing(path, durable=True) as connection:
            watch(connection)
            told.extend(act(connection, Turns(connection, wait_seconds=wait_seconds)))
        return told

    return move


def remove_messages(_: HostDatabase) -> Move:
    def read(path: Path) -> _Act:
        seen, _ = read_messages(path, NAMES)
        return lambda connection, turns: removal_of_messages(connection, seen, turns)

    return _move(read)


def replace_tool_output(_: HostDatabase) -> Move:
    def read(path: Path) -> _Act:
        seen, _ = read_output(path, NAMES)
        return lambda connection, turns: replacement_of_output(connection, seen, turns)

    return _move(read)


def remove_records(_: HostDatabase) -> Move:
    def read(path: Path) -> _Act:
        units, _ = read_units(path, NAMES)
        return lambda connection, turns: removal_of_records(connection, units, turns)

    return _move(read)


def insert_rows(database: HostDatabase) -> Move:
    _, items = read_units(database.path, NAMES)
    remove_records(database)(database.path)
    assert database.execute("SELECT count(*) FROM messages") == [(0,)]

    def act(connection: sqlite3.Connection, turns: Turns) -> Iterable[Change]:
        RowInserter(connection, turns).insert_rows(items.copy)
        return ()

    return _move(lambda _: act)


def restore_tool_output(database: HostDatabase) -> Move:
    _, items = read_output(database.path, NAMES)
    replace_tool_output(database)(database.path)
    header = next(item for item in items if isinstance(item, Header))
    bodies = [item for item in items if not isinstance(item, Header)]

    def act(connection: sqlite3.Connection, turns: Turns) -> Iterable[Change]:
        ToolOutputRestorer(connection, turns).put_back(header, bodies)
        return ()

    return _move(lambda _: act)


MOVES: dict[str, Callable[[HostDatabase], Move]] = {
    "remove_messages": remove_messages,
    "replace_tool_output": replace_tool_output,
    "remove_records": remove_records,
    "insert_rows": insert_rows,
    "restore_tool_output": restore_tool_output,
}


class Death(BaseException):
    """The process ends, which nothing catches."""


class Mortal:
    """A connection on which the process dies at statement ``at`` of those that begin with ``words``."""

    def __init__(self, connection: sqlite3.Connection, *words: str, at: int) -> None:
        self._connection, self._words, self._left = connection, words, at

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, sql: str, *args: object) -> object:
        if sql.startswith(self._words):
            self._left -= 1
            if not self._left:
                raise Death
        return self._connection.execute(sql, *args)  # type: ignore[arg-type]
