"""A process that is killed while it moves rows: the database is consistent, and doing it again completes."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from host_databases import HostDatabase
from row_moves import MOVES, Move, Watch, database_at

BOUNDARIES = ("BEGIN", "COMMIT", "PRAGMA wal_checkpoint")
Count = Callable[[str], bool]


def in_child(act: Callable[[], object]) -> int:
    """The status of a child process that does it."""
    child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child never returns into the test
            os._exit(1)
    return os.waitpid(child, 0)[1]


def killer(counts: Count, at: int) -> Watch:
    """Kills its own process when statement number ``at`` of those that count begins."""
    number = 0

    def trace(statement: str) -> None:
        nonlocal number
        number += counts(statement)
        if number == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda connection: connection.set_trace_callback(trace)


class Killed:
    """A move on copies of one database, broken off at some statement and done again."""

    def __init__(self, folder: Path, name: str) -> None:
        self._pattern = database_at(folder / "pattern.db")
        self._move: Move = MOVES[name](self._pattern)
        self._copy = folder / "state.db"
        self.statements: list[str] = []
        self._before = self._pattern.dump()
        whole = self._pattern.copy(self._copy)
        self._move(whole.path, watch=lambda it: it.set_trace_callback(self.statements.append))
        self._after = whole.dump()
        assert self._after != self._before

    def at(self, counts: Count, number: int) -> bool:
        """Kill it there; whether it came that far. What was left then is checked, and what is in the end."""
        database = self._pattern.copy(self._copy)
        status = in_child(lambda: self._move(database.path, watch=killer(counts, number)))
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
        self._check_between(database)
        self._move(database.path)
        database.check()
        assert database.dump() == self._after
        return status != 0

    def _check_between(self, database: HostDatabase) -> None:
        """Each row is as it was before or as it is in the end, and none is there that neither knows."""
        database.check()
        for table, rows in database.dump().items():
            before, after = set(self._before[table]), set(self._after[table])
            assert before & after <= set(rows) <= before | after


@pytest.mark.parametrize("name", MOVES)
def test_killed_between_any_two_transactions(tmp_path: Path, name: str) -> None:
    killed = Killed(tmp_path, name)
    number = 1
    while killed.at(lambda it: it.startswith(BOUNDARIES), number):
        number += 1
    assert number > 6, "there were several transactions"


@pytest.mark.parametrize("name", MOVES)
def test_killed_within_a_transaction(tmp_path: Path, name: str) -> None:
    killed = Killed(tmp_path, name)
    last = len(killed.statements)
    outcomes = [killed.at(bool, number) for number in range(2, last, max(1, last // 10))]
    assert outcomes.count(True) >= 5


def test_killed_while_another_process_reads(tmp_path: Path) -> None:
    """A reader keeps the log from being emptied; what the next process finds in it is complete."""
    pattern = database_at(tmp_path / "state.db")
    move = MOVES["remove_messages"](pattern)
    reader = sqlite3.connect(pattern.path, isolation_level=None)
    try:
        reader.execute("BEGIN")
        before = reader.execute("SELECT count(*) FROM messages").fetchone()
        assert in_child(lambda: move(pattern.path, watch=killer(lambda it: it == "COMMIT", 4))) != 0
        assert reader.execute("SELECT count(*) FROM messages").fetchone() == before
        pattern.check()
    finally:
        reader.close()
    move(pattern.path)
    assert pattern.execute("SELECT count(*) FROM messages") == [(0,)]
    pattern.check()
