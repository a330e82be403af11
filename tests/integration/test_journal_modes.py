"""Sweeps and undos of databases in every journal mode, beside somebody who writes in that mode.

Without a write-ahead log a reader keeps every writer waiting. So no reader of ours stays in a transaction,
and what it reads in several is compared as a whole before it is removed.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_databases import HostDatabase

from hermes_retention.actions.restore.restore import undo, undoable_sweeps
from hermes_retention.actions.sweep import archive_rows
from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.home.home import Home
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import Lifecycle, Policy
from hermes_retention.stores.hermes import records, state_db
from hermes_retention.stores.hermes.rows import read
from hermes_retention.stores.hermes.rows.remove import HermesRowRemover
from hermes_retention.stores.hermes.store import HermesStore

DAY = 86400
NOW = 1e9 + 100 * DAY
LONG = "what the zebra said " * 100
MODES = ("wal", "delete", "truncate", "persist")
TOOL_OUTPUT = {"tool_output_after": DAY}
MESSAGES = {"messages_after": DAY}
RECORDS = {"record_after": DAY}


def database_at(folder: Path, journal: str, *, sessions: int = 9) -> HostDatabase:
    database = HostDatabase(folder / "state.db", journal=journal)
    for number in range(sessions):
        texts = [f"{number} {LONG}"] * (40 if number == 3 else 4)
        database.session(f"s{number}", texts, ended_at=1e9 + 50, end_reason="cron_complete")
        database.insert("session_model_usage", {"session_id": f"s{number}", "model": "m"})
    return database


def site(folder: Path, **lifecycle: object) -> Home:
    fields = {"files_after": None, "idle_after": DAY} | lifecycle
    policy = Policy(dict.fromkeys(SessionClass, Lifecycle(**fields)))  # type: ignore[arg-type]
    return Home(HermesStore(folder), Workspace(folder), policy)


def swept(folder: Path, **lifecycle: object) -> SweepReport:
    report = sweep(site(folder, **lifecycle), clock=lambda: NOW, origin="test")
    assert [str(failure.errors) for failure in report.failures] == []
    assert report.exit_code is ExitCode.DONE
    return report


def undone(folder: Path) -> None:
    report = undo(site(folder), undoable_sweeps(site(folder), None, all_sweeps=True), now=NOW)
    assert report.exit_code is ExitCode.DONE


def told(database: HostDatabase) -> dict[str, list[tuple[object, ...]]]:
    """All but what the writer wrote, and what it brought into the search tables."""
    tables = ("sessions", "messages", "session_model_usage")
    return {
        table: [row for row in database.execute(f"SELECT * FROM {table}") if "live" not in row]
        for table in tables
    }


@contextlib.contextmanager
def writer(path: Path, journal: str) -> Iterator[list[str]]:
    """Somebody who writes a message every few milliseconds; what is committed is in the list."""
    written: list[str] = []
    stop = threading.Event()

    def write() -> None:
        with contextlib.closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as database:
            database.execute(f"PRAGMA journal_mode = {journal}")
            insert = (
                "INSERT INTO messages(session_id, role, content, timestamp) VALUES ('live', 'user', ?, ?)"
            )
            while not stop.is_set():
                database.execute(insert, (f"line {len(written)}", NOW))
                written.append(f"line {len(written)}")
                time.sleep(0.005)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("journal", MODES)
def test_sweep_and_undo_beside_a_writer(
    tmp_path: Path, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_rows, "BATCH_STEPS", 3)
    database = database_at(tmp_path, journal).session("live", source="telegram", started_at=NOW)
    before = told(database)
    with writer(database.path, journal) as written:
        for tier in (TOOL_OUTPUT, MESSAGES, RECORDS):
            swept(tmp_path, **tier)
        assert told(database) == {"sessions": [], "messages": [], "session_model_usage": []}
        undone(tmp_path)
    assert told(database) == before
    found = database.execute("SELECT content FROM messages WHERE session_id = 'live' ORDER BY id")
    assert [content for (content,) in found] == written
    database.check()


@pytest.mark.parametrize("modes", [("wal", "delete", "wal"), ("delete", "wal", "delete")])
def test_mode_that_changes_between_two_sweeps(tmp_path: Path, modes: tuple[str, ...]) -> None:
    database = database_at(tmp_path, "wal")
    before = told(database)
    for mode, tier in zip(modes, (TOOL_OUTPUT, MESSAGES, RECORDS), strict=True):
        assert database.execute(f"PRAGMA journal_mode = {mode}") == [(mode,)]
        swept(tmp_path, **tier)
    assert told(database)["sessions"] == []
    undone(tmp_path)
    assert told(database) == before
    database.check()


def test_open_reader_keeps_no_writer_waiting(tmp_path: Path) -> None:
    """While our own reader is at a session, a host commits that does not wait, and so does the remover."""
    database = database_at(tmp_path, "delete")
    store = HermesStore(tmp_path)
    session = next(one for one in store.scan(now=NOW).sessions if one.id == "s3")
    with (
        store.reading_rows() as reader,
        contextlib.closing(sqlite3.connect(database.path, timeout=0)) as host,
    ):
        reading = reader.messages(session)
        next(reading.chunks)
        with host:
            host.execute("UPDATE sessions SET title = 'new' WHERE id = 's1'")
        for _ in reading.chunks:
            pass
        with store.removing_rows() as remover:
            (changed,) = remover.remove_messages([reading.ticket])
    assert (changed.rows, changed.error) == (40, None)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM messages WHERE id = (SELECT max(id) - 1 FROM messages WHERE session_id = 's3')",
        "UPDATE messages SET content = '' WHERE id = (SELECT min(id) FROM messages WHERE session_id = 's3')",
        "INSERT INTO messages(session_id, role, content, timestamp) VALUES ('s3', 'user', 'new', 1)",
        "UPDATE sessions SET title = 'new' WHERE id = 's3'",
    ],
)
def test_session_that_changes_while_it_is_read_stays(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "_ROWS_AT_A_TIME", 1)
    database = database_at(tmp_path, "delete")
    seen = read.Seen("s3")
    with state_db.reading_briefly(database.path) as connection:
        assert connection is not None
        rows = read.read_messages(connection, seen)
        for _ in range(5):
            next(rows)
        database.execute(change)
        for _ in rows:
            pass
    before = told(database)
    with state_db.writing(database.path) as connection:
        (changed,) = HermesRowRemover(database.path, connection).remove_messages([seen])
    assert changed.error is not None
    assert told(database) == before


@pytest.mark.parametrize("size", [0, 1, 2, 3, 9, 10])
def test_scan_in_slices_sees_every_session(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_ROWS_AT_A_TIME", 3)
    database = database_at(tmp_path, "delete", sessions=size)
    database.execute("DELETE FROM messages WHERE session_id IN ('s1', 's4')")
    database.execute("DELETE FROM session_model_usage WHERE session_id IN ('s1', 's4')")
    database.execute("DELETE FROM sessions WHERE id IN ('s1', 's4')")
    sliced = HermesStore(tmp_path).scan(now=NOW)
    database.execute("PRAGMA journal_mode = wal")
    assert sliced.sessions == HermesStore(tmp_path).scan(now=NOW).sessions


def test_transaction_of_a_writer_that_died_is_rolled_back(tmp_path: Path) -> None:
    """A kill in the middle of a commit leaves a journal, with which nobody can read who may not write."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    database = database_at(tmp_path / "whole", "delete")
    before = told(database)
    with contextlib.closing(sqlite3.connect(database.path, isolation_level=None)) as dying:
        dying.execute("PRAGMA cache_size = 1")
        dying.execute("BEGIN IMMEDIATE")
        dying.execute("UPDATE messages SET content = 'half of it'")
        for name in ("state.db", "state.db-journal"):
            shutil.copy(tmp_path / "whole" / name, tmp_path / "killed" / name)
    folder = tmp_path / "killed"
    assert len(HermesStore(folder).scan(now=NOW).sessions) == 9
    killed = object.__new__(HostDatabase)
    killed.path = folder / "state.db"
    assert told(killed) == before
    swept(folder, **MESSAGES)
    undone(folder)
    assert told(killed) == before
    killed.check()


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_doctor_and_status_name_the_mode(tmp_path: Path, journal: str) -> None:
    database_at(tmp_path, journal, sessions=1)
    store = HermesStore(tmp_path)
    (found,) = [finding.what for finding in store.checkup() if finding.check == "database"]
    assert f"journal mode {journal}, SQLite {sqlite3.sqlite_version}, file system " in found
    assert "unknown" not in found
    (setting,) = [one for one in store.host_settings() if one.name == "state.db: journal_mode"]
    assert (setting.value, setting.default) == (journal, "wal")
