"""Whatever the host's database holds, in whatever column: it leaves tier by tier and comes back the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hermes_state import SessionDB  # type: ignore[import-not-found]  # only in the host's environment
from host_rows import check, dump, found_rows
from row_moves import removal_of_messages, removal_of_records, replacement_of_output

from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.rows import read
from hermes_retention.stores.hermes.rows.insert import RowInserter
from hermes_retention.stores.hermes.rows.read import SeenUnit, read_unit
from hermes_retention.stores.hermes.rows.restore import ToolOutputRestorer
from hermes_retention.stores.hermes.rows.turn_machine import Change, State
from hermes_retention.stores.rows import Header, Row, decode, encode

SCHEMA_OF_0_13 = Path(__file__).with_name("state_db_of_0_13.sql")
VALUES = (None, -3, 2.5, "quagga", "", b"\x00\xff", b"")
NOT_UTF8 = "CAST(x'66fe' AS TEXT)"
IDENTITY = {"id", "session_id", "parent_session_id", "key"}
"""Columns by which rows are found; what they hold are the ids of sessions and messages."""
WORD = "zebra"
BODY = f"what the {WORD} said " * 100
Items = list[Header | Row]


def made_by_this_host(path: Path) -> None:
    with closing(SessionDB(db_path=path)) as host:
        host.apply_telegram_topic_migration()


def left_by_0_13(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.executescript(SCHEMA_OF_0_13.read_text())


def left_by_0_13_and_opened_by_this_host(path: Path) -> None:
    left_by_0_13(path)
    made_by_this_host(path)


MAKERS = (made_by_this_host, left_by_0_13, left_by_0_13_and_opened_by_this_host)


class Filler:
    """Puts every kind of value that SQLite takes into every column, each in a row of its own."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.sessions: list[str] = []
        self.values = 0

    def fill(self) -> None:
        """All tables that hold rows of sessions, and a table and columns that nobody knows."""
        for table in ("sessions", "messages"):
            self._database.execute(f"ALTER TABLE {table} ADD COLUMN x")
        self._database.execute("CREATE TABLE y(note, session_id REFERENCES sessions(id))")
        tables = [
            it for (it,) in self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        for table in tables:
            columns = self._columns(table)
            if table == "sessions" or "session_id" in columns:
                for column in columns:
                    self._fill_column(table, column)
        self._session()
        self._database.execute(
            "INSERT INTO state_meta VALUES (?, ?)", (f"goal:{self.sessions[-1]}", b"\x00win")
        )

    def _columns(self, table: str) -> dict[str, bool]:
        """Name, and whether a value must be given."""
        info = self._database.execute(
            'SELECT name, "notnull" AND dflt_value IS NULL FROM pragma_table_info(?)', (table,)
        )
        return dict(info.fetchall())

    def _fill_column(self, table: str, column: str) -> None:
        if column in IDENTITY:
            return
        for value in (*VALUES, NOT_UTF8):
            session_id = self._session()
            if table not in ("sessions", "messages"):
                needed = {
                    name: f"{table} {session_id}" for name, must in self._columns(table).items() if must
                }
                self._insert(table, needed | {"session_id": session_id})
            place = NOT_UTF8 if value is NOT_UTF8 else "?"
            where = "id" if table == "sessions" else "session_id"
            try:
                self._database.execute(
                    f"UPDATE OR ABORT {table} SET {column} = {place} WHERE {where} = ?",
                    ([] if value is NOT_UTF8 else [value]) + [session_id],
                )
            except sqlite3.IntegrityError:
                continue  # NOT NULL, mostly
            self.values += 1

    def _session(self) -> str:
        session_id = f"v{len(self.sessions)}"
        self.sessions.append(session_id)
        self._insert("sessions", {"id": session_id, "source": "cron", "started_at": 1e9})
        message = {"session_id": session_id, "role": "tool", "timestamp": 1e9}
        self._insert("messages", message | {"content": BODY, "tool_name": "read_file"})
        return session_id

    def _insert(self, table: str, row: Mapping[str, object]) -> None:
        places = ", ".join("?" * len(row))
        self._database.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values())
        )


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[str]]:
    path = tmp_path / "state.db"
    request.param(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        filler = Filler(database)
        filler.fill()
    assert filler.values > 200
    return path, filler.sessions


def copied(items: Iterable[Header | Row]) -> Items:
    """As it comes back from the archive."""
    return list(decode(encode(items)))


class Tiers:
    """What a database loses tier by tier, and gets back."""

    def __init__(self, path: Path, sessions: Sequence[str]) -> None:
        self._path, self._sessions = path, sessions
        self._output: dict[str, Items] = {}
        self._messages: dict[str, Items] = {}
        self._records: dict[str, Items] = {}

    def replace_tool_output(self) -> list[Change]:
        seen = [read.Seen(one) for one in self._sessions]
        with state_db.reading(self._path) as database:
            assert database is not None
            for one in seen:
                found = read.read_tool_output(database, one, longer_than_bytes=1000)
                self._output[one.session_id] = copied(found)
        with state_db.writing(self._path) as database:
            return list(replacement_of_output(database, seen))

    def remove_messages(self) -> list[Change]:
        seen = [read.Seen(one) for one in self._sessions]
        with state_db.reading(self._path) as database:
            assert database is not None
            for one in seen:
                self._messages[one.session_id] = copied(read.read_messages(database, one))
        with state_db.writing(self._path) as database:
            return list(removal_of_messages(database, seen))

    def remove_records(self) -> list[Change]:
        units = [SeenUnit(one) for one in self._sessions]
        with state_db.reading(self._path) as database:
            assert database is not None
            for unit in units:
                self._records[unit.session_id] = copied(read_unit(database, unit))
        with state_db.writing(self._path) as database:
            return list(removal_of_records(database, units))

    def restore_rows(self) -> set[tuple[str, ...]]:
        """Records and messages; which tables were left out."""
        with state_db.writing(self._path, durable=True) as database:
            restorer = RowInserter(database)
            return {
                restorer.insert_rows([*self._records[one], *self._messages[one]].copy).left_out
                for one in self._sessions
            }

    def restore_tool_output(self) -> int:
        with state_db.writing(self._path, durable=True) as database:
            restorer = ToolOutputRestorer(database)
            count = 0
            for header, *bodies in self._output.values():
                count += restorer.put_back(header, bodies)  # type: ignore[arg-type]
            return count


def test_every_value_in_every_column_leaves_and_comes_back(filled: tuple[Path, list[str]]) -> None:
    path, sessions = filled
    tiers = Tiers(path, sessions)
    before, searched = dump(path), found_rows(path, WORD)
    check(path)
    assert all(len(it) > 200 for it in searched)

    outcomes = tiers.replace_tool_output()
    replaced = sum(it.rows for it in outcomes)
    assert {it.state for it in outcomes} == {State.DONE}
    check(path)
    assert [len(it) for it in found_rows(path, WORD)] == [len(it) - replaced for it in searched]

    assert {it.state for it in tiers.remove_messages()} == {State.DONE}
    check(path)
    assert dump(path)["messages"] == []
    assert found_rows(path, WORD) == found_rows(path, "quagga") == [[], []]

    outcomes = tiers.remove_records()
    assert {(it.state, it.why) for it in outcomes} == {(State.DONE, "")}
    check(path)
    left = {name for name, rows_ in dump(path).items() if rows_}
    assert left <= {"schema_version", "state_meta"}

    assert tiers.restore_rows() == {()}
    check(path)
    assert tiers.restore_tool_output() == replaced
    check(path)
    assert dump(path) == before
    assert found_rows(path, WORD) == searched
    assert tiers.restore_rows() == {()}
    assert dump(path) == before, "a second time changes nothing"
    with closing(SessionDB(db_path=path)) as host:  # which brings an old one up to date
        assert host.get_session(sessions[0])["source"] == "cron"
        host.create_session("next", "cli")
        host.append_message("next", "user", "and then?")
    check(path)


def test_old_schema_is_the_one_that_the_real_host_made(tmp_path: Path) -> None:
    """Compared where the oldest host is installed."""
    made, old = tmp_path / "made.db", tmp_path / "old.db"
    with closing(SessionDB(db_path=made)):
        pass
    left_by_0_13(old)
    schemas = []
    for path in (made, old):
        with closing(sqlite3.connect(path)) as database:
            version = database.execute("SELECT version FROM schema_version").fetchall()
            schemas.append(
                (version, sorted(database.execute("SELECT type, name, sql FROM sqlite_master"), key=repr))
            )
    if schemas[0][0] != schemas[1][0]:
        pytest.skip("this host makes a newer schema")
    assert schemas[0] == schemas[1]
