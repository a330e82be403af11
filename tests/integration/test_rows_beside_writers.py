"""Rows move while other processes write: nobody sees an error, nothing that was written is lost."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

import pytest
from host_databases import HostDatabase
from row_moves import (
    MOVES,
    NAMES,
    database_at,
    read_messages,
    read_output,
    read_units,
    removal_of_messages,
    removal_of_records,
    replacement_of_output,
)

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.rows import pacing
from hermes_retention.stores.hermes.rows.turn_machine import Change, State

WRITER = """
import random, sqlite3, sys, time
path, who, *names = sys.argv[1:]
chance = random.Random(who)
database = sqlite3.connect(path, timeout=1, isolation_level=None)
database.execute("PRAGMA foreign_keys = ON")

def write(content):
    name = chance.choice(names)
    for attempt in range(15):
        try:
            database.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError:
            if attempt == 14:
                raise
            time.sleep(chance.uniform(0.020, 0.150))
    database.execute("INSERT OR IGNORE INTO sessions(id, source, started_at) VALUES (?, 'cli', 1)", (name,))
    database.execute(
        "INSERT INTO messages(session_id, role, content, timestamp) VALUES (?, 'user', ?, 1)", (name, content)
    )
    database.execute("UPDATE sessions SET message_count = message_count + 1 WHERE id = ?", (name,))
    database.execute("COMMIT")

print("ready", flush=True)
sys.stdin.read(1)
number = 0
while True:
    number += 1
    write(f"{who} wrote {number}")
    print(number, flush=True)
    time.sleep(chance.uniform(0, 0.004))
"""
"""As the host writes: it waits a second, tries again 14 times, and makes a session that is not there."""

LOCKER = """
import sqlite3, sys
from hermes_retention.stores.hermes.rows.remove import MessageRemoval, RecordRemoval, ToolOutputReplacement
from hermes_retention.stores.hermes.rows.turn_machine import Change, State, TurnMachine
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
database.execute("ROLLBACK")
"""


class Writers:
    """Processes that write into sessions as long as the context lasts; ``written`` says what, afterwards."""

    def __init__(self, path: Path, *names: str) -> None:
        self._path, self._names = path, names
        self._processes: list[subprocess.Popen[str]] = []
        self.written: set[str] = set()

    def __enter__(self) -> Self:
        for who in ("anna", "bob"):
            command = [sys.executable, "-c", WRITER, str(self._path), who, *self._names]
            pipe = subprocess.PIPE
            self._processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("!")
            process.stdin.flush()
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "1\n"
        return self

    def __exit__(self, *_: object) -> None:
        for who, process in zip(("anna", "bob"), self._processes, strict=True):
            alive = process.poll() is None
            process.kill()
            numbers, errors = process.communicate()
            assert alive, errors
            assert errors == ""
            self.written |= {
                f"{who} wrote {number}" for number in range(1, int((numbers or "1").split()[-1]) + 1)
            }


def contents(database: HostDatabase) -> set[str]:
    found = database.execute("SELECT content FROM messages WHERE content LIKE '% wrote %'")
    return {str(content) for (content,) in found}


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_writers_see_no_error_and_lose_nothing(tmp_path: Path, journal: str, name: str) -> None:
    database = database_at(tmp_path / "state.db", journal=journal).session("live")
    move = MOVES[name](database)
    with Writers(database.path, "live") as writers:
        outcomes = move(database.path)
    assert {it.state for it in outcomes} <= {State.DONE}
    assert contents(database) >= writers.written
    database.check()


def test_messages_that_come_between_reading_and_removing_stay(tmp_path: Path) -> None:
    database = database_at(tmp_path / "state.db")
    seen, _ = read_messages(database.path, NAMES)
    units, _ = read_units(database.path, NAMES)
    outputs, _ = read_output(database.path, NAMES)
    before = len(database.dump()["messages"])
    with Writers(database.path, *NAMES) as writers, state_db.writing(database.path) as connection:
        replaced = list(replacement_of_output(connection, outputs))
        removed = list(removal_of_messages(connection, seen))
        records = list(removal_of_records(connection, units))
    assert State.CHANGED in {it.state for it in replaced}, "each writer had written at least once"
    assert {it.state for it in records} == {State.CHANGED}, "every session lost something or got a message"
    assert all(it.why for it in (*replaced, *removed, *records) if it.state is not State.DONE)
    assert contents(database) >= writers.written
    others = "SELECT count(*) FROM messages WHERE content NOT LIKE '% wrote %'"
    assert database.execute(others) == [(before - sum(it.rows for it in removed),)]
    database.check()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the write lock until the context ends, or its standard input does."""
    command = [sys.executable, "-c", LOCKER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process


@pytest.mark.parametrize("name", MOVES)
def test_lock_that_is_not_given_back_is_an_error_and_nothing_changed(tmp_path: Path, name: str) -> None:
    database = database_at(tmp_path / "state.db")
    move = MOVES[name](database)
    before = database.dump()
    with locked(database.path), pytest.raises(StoreUnreadable, match="another process holds its lock"):
        move(database.path, wait_seconds=0.2)
    assert database.dump() == before
    move(database.path, wait_seconds=0.2)
    assert database.dump() != before
    database.check()


def test_lock_that_is_held_for_30_seconds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that runs 1000 times as fast, for nobody wants to wait that long for a test."""
    database = database_at(tmp_path / "state.db")
    move = MOVES["remove_messages"](database)
    real_clock, real_sleep = pacing._clock, pacing._sleep  # noqa: SLF001 - what is replaced
    start = real_clock()
    monkeypatch.setattr(pacing, "_clock", lambda: start + 1000 * (real_clock() - start))
    waited: list[float] = []
    with locked(database.path) as process:

        def sleep(seconds: float) -> None:
            real_sleep(seconds / 1000)
            waited.append(pacing._clock() - start)  # noqa: SLF001
            if waited[-1] > 30 and not process.stdin.closed:  # type: ignore[union-attr]  # it is a pipe
                process.stdin.close()  # type: ignore[union-attr]
                process.wait()

        monkeypatch.setattr(pacing, "_sleep", sleep)
        outcomes = move(database.path)
    assert {it.state for it in outcomes} == {State.DONE}
    assert waited[-1] > 30
    assert database.execute("SELECT count(*) FROM messages") == [(0,)]


def test_what_was_told_before_the_lock_was_lost_is_gone_and_the_rest_is_not(tmp_path: Path) -> None:
    database = database_at(tmp_path / "state.db")
    seen, _ = read_messages(database.path, NAMES)
    told: list[Change] = []
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:

        def act() -> None:
            with state_db.writing(database.path) as connection:
                patient = pacing.Turns(connection, wait_seconds=0.1)
                for change in removal_of_messages(connection, seen, patient):
                    told.append(change)
                    if not other.in_transaction:
                        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreUnreadable, match="lock"):
            act()
        other.execute("ROLLBACK")
    assert 0 < len(told) < len(NAMES)
    rows = database.execute("SELECT session_id, count(*) FROM messages GROUP BY 1")
    left = {str(name): int(str(number)) for name, number in rows}
    gone = {it.session_id: it.rows for it in told}
    assert {one.session_id: len(one) - gone.get(one.session_id, 0) for one in seen} == dict.fromkeys(
        NAMES, 0
    ) | left
    assert [it.session_id for it in told if it.state is not State.DONE] == [it for it in gone if it in left]
    database.check()
