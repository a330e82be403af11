"""Rows of a database that the real host made leave and come back, and the host never notices."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hermes_state import SessionDB  # type: ignore[import-not-found]  # only in the host's environment

from hermes_retention.stores.hermes import rows, state_db
from hermes_retention.stores.hermes.record_writer import RecordWriter, Unit, read_unit
from hermes_retention.stores.hermes.row_codec import Header, Row, decode, encode
from hermes_retention.stores.hermes.row_queue import State
from hermes_retention.stores.hermes.row_restore import RowRestorer
from hermes_retention.stores.hermes.row_writer import MARKER, RowWriter

BODY = "what the zebra said " * 200
Dump = dict[str, list[tuple[object, ...]]]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "state.db"
    with closing(SessionDB(db_path=made)) as host:
        for number in range(30):
            host.create_session(f"s{number}", "cron", model="x/y", system_prompt="be kind")
            host.append_message(f"s{number}", "user", f"question {number}")
            host.append_message(f"s{number}", "tool", f"{BODY} {number}", tool_name="read_file")
            host.append_message(f"s{number}", "assistant", "answer", tool_calls=[{"id": "c", "name": "f"}])
            host.end_session(f"s{number}", "cron_complete")
        host.set_session_title("s1", "kept")
    yield made
    check(made)


def check(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        for table in ("messages_fts", "messages_fts_trigram"):
            database.execute(f"INSERT INTO {table}({table}) VALUES('integrity-check')")
            missing = f"SELECT count(*) FROM messages WHERE id NOT IN (SELECT rowid FROM {table})"
            assert database.execute(missing).fetchone() == (0,)
            counts = f"SELECT (SELECT count(*) FROM {table}), (SELECT count(*) FROM messages)"
            assert len(set(database.execute(counts).fetchone())) == 1


def dump(path: Path) -> Dump:
    with closing(sqlite3.connect(path)) as database:
        tables = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'messages_fts%' "
            "AND name NOT LIKE 'sqlite_%'"
        )
        return {name: database.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables.fetchall()}


def found(path: Path, word: str) -> set[str]:
    with closing(SessionDB(db_path=path)) as host:
        return {it["session_id"] for it in host.search_messages(word, limit=100)}


def read(path: Path, session_id: str) -> tuple[rows.Seen, list[Header | Row]]:
    seen = rows.Seen(session_id)
    with state_db.reading(path) as database:
        assert database is not None
        items = list(rows.read_messages(database, seen))
    return seen, list(decode(encode(items)))


def test_messages_leave_and_come_back(path: Path) -> None:
    before = dump(path)
    taken = [read(path, f"s{number}") for number in range(20)]
    with state_db.writing(path) as database:
        outcomes = list(RowWriter(database).remove_messages(seen for seen, _ in taken))
    assert {it.state for it in outcomes} == {State.DONE}
    check(path)
    with closing(SessionDB(db_path=path)) as host:
        listed = {it["id"]: it for it in host.list_sessions_rich(limit=50)}
        assert listed["s1"]["title"] == "kept"
        assert listed["s1"]["message_count"] == 3
        assert host.get_messages("s1") == []
    assert found(path, "zebra") == {f"s{number}" for number in range(20, 30)}
    with state_db.writing(path, durable=True) as database:
        for _, items in taken:
            RowRestorer(database).insert_rows(items.copy)
    assert dump(path) == before
    assert found(path, "zebra") == {f"s{number}" for number in range(30)}
    with closing(SessionDB(db_path=path)) as host:
        host.append_message("s1", "user", "and then?")
        assert [it["role"] for it in host.get_messages("s1")] == ["user", "tool", "assistant", "user"]


def test_tool_output_leaves_and_comes_back(path: Path) -> None:
    before = dump(path)
    seen = rows.Seen("s1")
    with state_db.reading(path) as database:
        assert database is not None
        header, *bodies = rows.read_tool_output(database, seen, longer_than_bytes=1024, marker=MARKER)
    with state_db.writing(path) as database:
        writer = RowWriter(database)
        assert [it.rows for it in writer.replace_tool_output([seen])] == [1]
        check(path)
        assert "s1" not in found(path, "zebra")
        assert "s1" in found(path, "question")
        assert writer.restore_tool_output(header, bodies) == 1  # type: ignore[arg-type]
    assert dump(path) == before


def test_record_leaves_and_comes_back(path: Path) -> None:
    with closing(SessionDB(db_path=path)) as host:
        host.create_session("child", "cron", model="x/y", parent_session_id="s1")
        host.set_meta("goal:s1", "win")
    before = dump(path)
    unit = Unit("s1")
    with state_db.reading(path) as database:
        assert database is not None
        items = list(decode(encode(read_unit(database, unit))))
    with state_db.writing(path) as database:
        assert [it.state for it in RecordWriter(database).remove_records([unit])] == [State.DONE]
    check(path)
    with closing(SessionDB(db_path=path)) as host:
        assert host.get_session("s1") is None
        assert host.get_session("child")["parent_session_id"] is None
        assert host.get_meta("goal:s1") is None
    with state_db.writing(path, durable=True) as database:
        restored = RowRestorer(database).insert_rows(lambda: iter(items))
    assert (restored.records, restored.messages, restored.left_out) == (1, 3, ())
    after = dump(path)
    assert {name: sorted(it, key=repr) for name, it in after.items()} == {
        name: sorted(it, key=repr) for name, it in before.items()
    }
    assert "s1" in found(path, "zebra")
