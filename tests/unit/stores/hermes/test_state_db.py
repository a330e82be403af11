"""The database is only ever read, and what cannot be read is said in one line."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from homes import DAY, MINUTE, NOW, HomeBuilder

from hermes_retention.model.errors import ExitCode, StoreUnreadable
from hermes_retention.stores.base import SessionMetadata
from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.state_db import read, read_metadata, read_space


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_db, "BUSY_SECONDS", 0.05)


def test_missing_database_is_no_error(tmp_path: Path) -> None:
    assert read(tmp_path / "state.db", now=NOW) is None
    assert read_metadata(tmp_path / "state.db", ["a"]) == {}


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_either_journal_is_read_and_the_database_stays_as_it_is(tmp_path: Path, journal: str) -> None:
    home = HomeBuilder(tmp_path, journal=journal).session("a")
    path = home.path / "state.db"
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    found = read(path, now=NOW)
    assert found is not None
    assert list(found[0].records) == ["a"]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_rows_that_only_the_write_ahead_log_holds_are_read(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    with closing(sqlite3.connect(home.path / "state.db", isolation_level=None)) as host:
        host.execute("PRAGMA wal_autocheckpoint = 0")
        host.execute("INSERT INTO sessions (id, source, started_at) VALUES ('a', 'cli', 1.0)")
        host.execute("BEGIN IMMEDIATE")  # and a writer at work keeps nobody from reading
        found = read(home.path / "state.db", now=NOW)
    assert found is not None
    assert list(found[0].records) == ["a"]


@pytest.mark.usefixtures("impatient")
def test_locked_database_is_unreadable(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, journal="delete").session("a")
    with closing(sqlite3.connect(home.path / "state.db", isolation_level=None)) as host:
        host.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            StoreUnreadable, match=r"state\.db: another process has held its lock.*Try again"
        ) as caught:
            read(home.path / "state.db", now=NOW)
    assert caught.value.exit_code is ExitCode.STORE_UNREADABLE
    assert caught.value.consequence == "nothing was removed"


@pytest.mark.parametrize(
    "content",
    [
        b"not a database at all, but long enough to have a header of its own" * 20,
        b"SQLite format 3\0" + b"\xff" * 4096,
    ],
)
def test_damaged_database_is_unreadable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.db").write_bytes(content)
    with pytest.raises(StoreUnreadable, match=r"state\.db: it is damaged.*nothing was removed"):
        read(tmp_path / "state.db", now=NOW)


def test_database_with_damaged_pages_is_unreadable(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, journal="delete")
    for number in range(200):
        home.insert("sessions", {"id": f"{number:0100}", "source": "cli", "started_at": 1.0})
    path = home.path / "state.db"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b"\xa5" * (len(content) - len(content) // 2)
    path.write_bytes(content)
    with pytest.raises(StoreUnreadable, match="it is damaged"):
        read(path, now=NOW)


def test_empty_file_is_a_database_without_tables(tmp_path: Path) -> None:
    (tmp_path / "state.db").touch()
    found = read(tmp_path / "state.db", now=NOW)
    assert found is not None
    assert not found[0].has_table


def test_database_behind_a_link_is_not_read(tmp_path: Path) -> None:
    elsewhere = HomeBuilder(tmp_path / "elsewhere")
    (tmp_path / "state.db").symlink_to(elsewhere.path / "state.db")
    with pytest.raises(StoreUnreadable, match="symbolic link"):
        read(tmp_path / "state.db", now=NOW)


def test_database_that_is_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state.db")
    with pytest.raises(StoreUnreadable, match="no regular file"):
        read(tmp_path / "state.db", now=NOW)


def test_path_may_hold_any_character(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / os.fsdecode(b"what?is#this%41 \xff")).session("a", files=())
    assert read(home.path / "state.db", now=NOW) is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any file")
def test_database_without_permission_is_unreadable(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    (home.path / "state.db").chmod(0)
    with pytest.raises(StoreUnreadable, match="Run hermes-retention as the user"):
        read(home.path / "state.db", now=NOW)


def test_table_of_routes_without_routes_is_unreadable(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, omit=["gateway_routing.entry_json"])
    with pytest.raises(StoreUnreadable, match="nobody knows what is routed"):
        read(home.path / "state.db", now=NOW)


# Metadata


def test_metadata_is_what_a_listing_shows(tmp_path: Path) -> None:
    home = (
        HomeBuilder(tmp_path)
        .session("p")
        .session(
            "a",
            age=DAY,
            ended="idle",
            title="Greetings",
            model="m",
            user_id="u",
            key="k",
            parent="p",
            messages=2,
        )
    )
    assert read_metadata(home.path / "state.db", ["a", "nobody"]) == {
        "a": SessionMetadata(
            source="telegram",
            title="Greetings",
            model="m",
            user_id="u",
            route_key="k",
            parent_id="p",
            started_at=NOW - DAY - MINUTE,
            ended_at=NOW - DAY,
            end_reason="idle",
            message_count=2,
        )
    }


def test_metadata_of_an_old_host_lacks_what_it_did_not_know(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, host="0.13", omit=["sessions.title"]).session("a")
    metadata = read_metadata(home.path / "state.db", ["a"])["a"]
    assert (metadata.source, metadata.title, metadata.route_key) == ("telegram", None, None)


def test_metadata_leaves_out_values_of_the_wrong_kind(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a", title=b"\xff", model="m")
    home.execute("UPDATE sessions SET started_at = 'x', ended_at = 5, message_count = 'many'")
    metadata = read_metadata(home.path / "state.db", ["a"])["a"]
    assert metadata == SessionMetadata(source="telegram", model="m", ended_at=5.0, end_reason="session_reset")


def test_metadata_of_more_ids_than_one_query_takes(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    with closing(sqlite3.connect(home.path / "state.db")) as host, host:
        host.executemany(
            "INSERT INTO sessions (id, source, started_at) VALUES (?, 'cli', 1.0)",
            [(f"s{number}",) for number in range(1200)],
        )
    ids = [f"s{number}" for number in range(1200)]
    assert sorted(read_metadata(home.path / "state.db", ids)) == sorted(ids)


def test_metadata_of_ids_that_are_no_plain_text(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a", files=())
    home.execute("UPDATE sessions SET id = CAST(x'61ff' AS TEXT)")
    assert list(read_metadata(home.path / "state.db", ["a\udcff", "\ud800"])) == ["a\udcff"]


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_space_counts_pages_that_nothing_uses(tmp_path: Path, journal: str) -> None:
    home = HomeBuilder(tmp_path, journal=journal)
    path = home.path / "state.db"
    assert read_space(tmp_path / "no.db") is None
    with closing(sqlite3.connect(path, isolation_level=None)) as host:
        host.execute("CREATE TABLE filler (content BLOB)")
        host.execute("INSERT INTO filler VALUES (zeroblob(1000000))")
        full = read_space(path)  # in WAL mode these pages lie in the log only
        host.execute("DELETE FROM filler")
        emptied = read_space(path)
    assert full is not None
    assert emptied is not None
    assert full.file_bytes == emptied.file_bytes > 1_000_000
    assert full.free_bytes == 0
    assert 900_000 < emptied.free_bytes < emptied.file_bytes
    assert emptied.free_share == emptied.free_bytes / emptied.file_bytes
