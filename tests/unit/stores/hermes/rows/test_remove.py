"""Messages and tool output go, unless somebody changed them; what belongs together stays right."""

from __future__ import annotations

import itertools
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from host_databases import HOSTS, HostDatabase
from row_moves import Death, Mortal, removal_of_messages, replacement_of_output

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.stores.hermes import rows, state_db
from hermes_retention.stores.hermes.rows import fts, pacing
from hermes_retention.stores.hermes.rows.read import Seen
from hermes_retention.stores.hermes.rows.remove import MessageRemoval
from hermes_retention.stores.hermes.rows.restore import ToolOutputRestorer
from hermes_retention.stores.hermes.rows.turn_machine import Change, State, TurnMachine
from hermes_retention.stores.rows import Header, Row

LONG = "the quick brown fox " * 100


@pytest.fixture(params=HOSTS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HostDatabase]:
    made = HostDatabase(tmp_path / "state.db", host=request.param)
    yield made
    made.check()


def read(database: HostDatabase, session_id: str) -> tuple[Seen, list[Header | Row]]:
    seen = Seen(session_id)
    with state_db.reading(database.path) as connection:
        assert connection is not None
        return seen, list(rows.read.read_messages(connection, seen))


def read_output(database: HostDatabase, session_id: str, size: int = 100) -> tuple[Seen, list[Header | Row]]:
    seen = Seen(session_id)
    with state_db.reading(database.path) as connection:
        assert connection is not None
        found = rows.read.read_tool_output(connection, seen, longer_than_bytes=size)
        return seen, list(found)


def remove(database: HostDatabase, *seen: Seen) -> list[Change]:
    with state_db.writing(database.path) as connection:
        return list(removal_of_messages(connection, seen))


def replace(database: HostDatabase, *seen: Seen) -> list[Change]:
    with state_db.writing(database.path) as connection:
        return list(replacement_of_output(connection, seen))


def test_messages_go_and_the_record_stays_as_it_was(database: HostDatabase) -> None:
    database.session("s1", ["alpha", "beta"], title="kept").session("s2", ["gamma"])
    before = database.dump()
    seen, items = read(database, "s1")
    assert [row[3] for row in items[1:] if isinstance(row, tuple)] == ["alpha", "beta"]
    assert remove(database, seen) == [Change("s1", State.DONE, 2)]
    after = database.dump()
    assert after["sessions"] == before["sessions"]
    assert [row[3] for row in after["messages"]] == [b"gamma"]
    assert database.found("alpha") == []
    assert database.found("gamma") == [3]


def test_unknown_columns_are_read_and_guarded(database: HostDatabase) -> None:
    database.session("s1", ["alpha"]).execute("ALTER TABLE messages ADD COLUMN mood BLOB DEFAULT x'00ff'")
    seen, items = read(database, "s1")
    assert isinstance(items[0], Header)
    assert items[0].columns[-1] == "mood"
    assert items[1][-1] == b"\x00\xff"  # type: ignore[index]
    database.execute("UPDATE messages SET mood = x'01'")
    assert remove(database, seen)[0].state is State.CHANGED


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO messages(session_id, role, content, timestamp) VALUES ('s1', 'user', 'new', 5)",
        "UPDATE messages SET content = 'alphA' WHERE content = 'alpha'",
        "UPDATE messages SET timestamp = timestamp + 1 WHERE id = 2",
        "UPDATE messages SET role = 'assistant' WHERE id = 1",
        "DELETE FROM messages WHERE id = 2",
        "UPDATE sessions SET ended_at = 5 WHERE id = 's1'",
    ],
)
def test_session_that_changed_since_the_read_is_not_touched(database: HostDatabase, change: str) -> None:
    database.session("s1", ["alpha", "beta"]).session("s2", ["gamma"])
    seen = [read(database, "s1")[0], read(database, "s2")[0]]
    database.execute(change)
    before = database.dump()["messages"]
    outcomes = remove(database, *seen)
    assert [it.state for it in outcomes] == [State.CHANGED, State.DONE]
    assert outcomes[0].why
    assert database.dump()["messages"] == [row for row in before if row[1] == b"s1"]


def test_many_small_sessions_share_a_transaction(database: HostDatabase) -> None:
    for number in range(20):
        database.session(f"s{number}", ["alpha"])
    seen = [read(database, f"s{number}")[0] for number in range(20)]
    with state_db.writing(database.path) as connection:
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        assert all(it.state is State.DONE for it in removal_of_messages(connection, seen))
    merges = sum("'merge'" in it for it in statements)
    assert statements.count("COMMIT") - merges == 1


def test_long_session_takes_several_transactions_oldest_first(database: HostDatabase) -> None:
    database.session("s1", [LONG] * 120)
    seen = read(database, "s1")[0]
    lowest: list[object] = []
    with state_db.writing(database.path) as connection:

        def looking() -> bool:  # asked before each turn
            if database.execute("SELECT 1 FROM messages"):
                lowest.extend(connection.execute("SELECT min(id) FROM messages").fetchone())
            return False

        changes = TurnMachine(connection, stop=looking).run(MessageRemoval(connection, [seen]))
        assert list(changes) == [Change("s1", State.DONE, 120)]
    assert len(lowest) > 3
    assert lowest == sorted(lowest)  # type: ignore[type-var]


@pytest.mark.parametrize("at", range(1, 40, 3))
def test_death_at_any_statement_leaves_whole_transactions_and_is_completed_later(
    tmp_path: Path, at: int
) -> None:
    database = HostDatabase(tmp_path / "state.db").session("s1", [LONG] * 40).session("s2", ["beta"] * 3)
    seen = [read(database, "s1")[0], read(database, "s2")[0]]
    items = read(database, "s1")[1]
    try:
        with state_db.writing(database.path) as connection:
            dying = Mortal(connection, "BEGIN", "DELETE", "COMMIT", "SELECT count", "INSERT", at=at)
            list(removal_of_messages(dying, seen))  # type: ignore[arg-type]
    except Death:
        pass
    database.check()
    left = read(database, "s1")[1][1:]
    assert left == items[len(items) - len(left) :]  # the newest, unchanged
    outcomes = remove(database, read(database, "s1")[0], read(database, "s2")[0])
    assert [it.state for it in outcomes] == [State.DONE, State.DONE]
    assert database.execute("SELECT count(*) FROM messages") == [(0,)]
    database.check()


def test_session_that_grows_on_the_way_is_told_as_interrupted(database: HostDatabase) -> None:
    database.session("s1", [LONG] * 60)
    seen = read(database, "s1")[0]
    with state_db.writing(database.path) as connection:
        asked = itertools.count()

        def growing() -> bool:  # asked before each turn
            if next(asked) == 1:
                database.execute("INSERT INTO messages(session_id, role, timestamp) VALUES ('s1', 'user', 9)")
            return False

        (outcome,) = TurnMachine(connection, stop=growing).run(MessageRemoval(connection, [seen]))
    assert outcome.state is State.INTERRUPTED
    assert 0 < outcome.rows < 60
    assert database.execute("SELECT count(*) FROM messages") == [(61 - outcome.rows,)]


def test_what_is_gone_is_told_although_merging_after_it_fails(
    database: HostDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("s1", "s2"):
        database.session(name, [LONG] * 4)
    seen = [read(database, name)[0] for name in ("s1", "s2")]

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(fts.SearchTable, "settle", fail)
    told: list[Change] = []

    def act() -> None:
        with state_db.writing(database.path) as connection:
            told.extend(removal_of_messages(connection, seen))

    with pytest.raises(StoreUnreadable, match="locked"):
        act()
    assert [(it.session_id, it.state) for it in told] == [("s1", State.DONE), ("s2", State.INTERRUPTED)]
    assert "locked" in told[1].why
    left = "SELECT session_id, count(*) FROM messages GROUP BY 1"
    assert database.execute(left) == [("s2", 4 - told[1].rows)]


def test_session_that_was_not_read_to_its_end_is_refused(database: HostDatabase) -> None:
    with pytest.raises(ValueError, match="s1"):
        remove(database.session("s1", ["alpha"]), Seen("s1"))


def test_ids_and_texts_that_are_not_utf8_are_read_and_removed(database: HostDatabase) -> None:
    database.execute("INSERT INTO sessions(id, source, started_at) VALUES (CAST(x'73ff' AS TEXT), 'cli', 1)")
    database.execute(
        "INSERT INTO messages(session_id, role, content, timestamp) "
        "VALUES (CAST(x'73ff' AS TEXT), 'tool', CAST(x'fe' AS TEXT), 1)"
    )
    seen, items = read(database, "s\udcff")
    assert items[1][3] == "\udcfe"  # type: ignore[index]
    assert remove(database, seen) == [Change("s\udcff", State.DONE, 1)]


def test_row_that_something_unknown_refers_to_is_kept_alone(database: HostDatabase) -> None:
    database.execute("CREATE TABLE notes(message INTEGER REFERENCES messages(id))")
    database.session("s1", ["alpha"]).session("s2", ["beta"]).insert("notes", {"message": 1})
    outcomes = remove(database, read(database, "s1")[0], read(database, "s2")[0])
    assert [it.state for it in outcomes] == [State.CHANGED, State.DONE]
    assert "FOREIGN KEY" in outcomes[0].why


def test_tool_output_gives_way_to_a_marker_and_comes_back(database: HostDatabase) -> None:
    database.session("s1", ["question", LONG, "short", "short", LONG, LONG])
    before = database.dump()
    seen, items = read_output(database, "s1")
    assert list(seen.ids) == [2, 6]
    assert replace(database, seen) == [Change("s1", State.DONE, 2)]
    ((marker,),) = database.execute("SELECT content FROM messages WHERE id = 2")
    assert marker == (
        "[hermes-retention: the output of read_file, 2000 bytes, is archived; "
        "`hermes-retention restore s1` puts it back]"
    )
    assert database.found("quick") == [5]
    assert database.found("archived") == [2, 6]
    database.check()
    assert len(read_output(database, "s1", size=4)[0]) == 1  # the short one: markers are not read again
    header, *bodies = items
    with state_db.writing(database.path) as connection:
        restorer = ToolOutputRestorer(connection)
        assert restorer.put_back(header, bodies) == 2  # type: ignore[arg-type]
        assert restorer.put_back(header, bodies) == 0  # type: ignore[arg-type]
    assert database.dump() == before
    assert database.found("quick", "messages_fts_trigram") == [2, 5, 6]


def test_output_that_changed_since_the_read_stays(database: HostDatabase) -> None:
    database.session("s1", ["question", LONG])
    seen, _ = read_output(database, "s1")
    database.execute("UPDATE messages SET content = content || '!' WHERE id = 2")
    assert replace(database, seen)[0].state is State.CHANGED


def test_body_is_not_put_over_something_else_than_its_marker(database: HostDatabase) -> None:
    database.session("s1", ["question", LONG])
    seen, (header, *bodies) = read_output(database, "s1")
    replace(database, seen)
    database.execute("UPDATE messages SET content = 'mine' WHERE id = 2")
    with state_db.writing(database.path) as connection:
        assert ToolOutputRestorer(connection).put_back(header, bodies) == 0  # type: ignore[arg-type]


def test_database_locked_for_a_while_is_waited_for(database: HostDatabase) -> None:
    seen = read(database.session("s1", ["alpha"]), "s1")[0]
    held = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            held.set()
            time.sleep(1.5)
            other.execute("ROLLBACK")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    assert remove(database, seen)[0].state is State.DONE
    thread.join()


def test_database_that_stays_locked_is_an_error_and_nothing_changed(
    database: HostDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing.Turns.__init__, "__kwdefaults__", {"wait_seconds": 0.1})
    seen = read(database.session("s1", ["alpha"]), "s1")[0]
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnreadable, match="lock"):
            remove(database, seen)
    assert database.execute("SELECT count(*) FROM messages") == [(1,)]


def test_missing_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreadable, match="no such database"), state_db.writing(tmp_path / "state.db"):
        pass


def test_read_only_database_is_an_error_that_says_so(database: HostDatabase) -> None:
    seen = read(database.session("s1", ["alpha"]), "s1")[0]

    def fail() -> None:
        with state_db.writing(database.path) as connection:
            connection.execute("PRAGMA query_only = ON")  # root may write to any file
            list(removal_of_messages(connection, [seen]))

    with pytest.raises(StoreUnreadable, match="read-only"):
        fail()


WRITER = """
import sqlite3, sys, time, pathlib
from hermes_retention.stores.hermes.rows.remove import MessageRemoval, ToolOutputReplacement
from hermes_retention.stores.hermes.rows.restore import ToolOutputRestorer
from hermes_retention.stores.hermes.rows.turn_machine import Change, State, TurnMachine
database = sqlite3.connect(sys.argv[1], timeout=1, isolation_level=None)
insert = "INSERT INTO messages(session_id, role, content, timestamp) VALUES ('live', 'user', 'hi', 1)"
number = 0
while not pathlib.Path(sys.argv[2]).exists():
    database.execute("BEGIN IMMEDIATE")
    database.execute(insert)
    database.execute("COMMIT")
    number += 1
    print(number, flush=True)
    time.sleep(0.002)
"""


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_writer_in_another_process_sees_no_error_and_loses_no_row(tmp_path: Path, journal: str) -> None:
    database = HostDatabase(tmp_path / "state.db", journal=journal).session("live")
    names = [f"s{number}" for number in range(60)]
    for name in names:
        database.session(name, [LONG] * 8)
    stop = tmp_path / "stop"
    command = [sys.executable, "-c", WRITER, str(database.path), str(stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        outcomes = remove(database, *[read(database, name)[0] for name in names])
        stop.touch()
        written, errors = writer.communicate()
    assert errors == ""
    assert {it.state for it in outcomes} == {State.DONE}
    assert database.execute("SELECT session_id, count(*) FROM messages GROUP BY 1") == [
        ("live", int(written.split()[-1]))
    ]
    database.check()


def test_merges_are_done_in_pieces_and_none_is_left_to_the_host(
    database: HostDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"s{number}" for number in range(40)]
    for name in names:
        database.session(name, [f"{LONG} {name}"] * 8)
    seen = [read(database, name)[0] for name in names]
    settled: list[str] = []
    real = fts.SearchTable.settle

    def noting(self: fts.SearchTable, turns: pacing.Turns) -> None:
        real(self, turns)
        structure = self.structure()
        assert structure is not None
        assert not structure.is_merge_due
        settled.append(self.table)

    monkeypatch.setattr(fts.SearchTable, "settle", noting)
    assert all(it.state is State.DONE for it in remove(database, *seen))
    assert set(settled) == {"messages_fts", "messages_fts_trigram"}
    assert database.execute("SELECT count(*) FROM messages_fts_config") == [(1,)]  # no setting was added


@pytest.mark.parametrize("block", [b"", b"\0" * 4, b"\0\0\0\1\x1a\x01", b"\0\0\0\0\0\0\0\0", b"\xff" * 40])
def test_structure_record_that_cannot_be_understood_is_none(block: bytes) -> None:
    assert fts.parse_structure(block) is None


def test_room_is_left_for_a_segment_that_another_process_may_add(database: HostDatabase) -> None:
    """With two segments a turn may fill the pages after which FTS5 merges; with a third from outside not."""
    database.session("s1", [LONG])
    with state_db.writing(database.path) as connection:
        index = fts.SearchTable(connection, "messages_fts")
        structure = fts.Structure(written_pages=56, segments=(2, 0), merging_segments=0)
        index.structure = lambda: structure  # type: ignore[method-assign]
        assert index.limit(100_000) == 100_000
        assert index.limit(100_000, between=1) * 1e-3 < structure.pages_left
        assert structure.with_more(2).is_merge_due
