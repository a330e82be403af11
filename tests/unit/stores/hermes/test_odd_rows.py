"""Rows that no host writes never stop a scan: they are kept, and said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import DAY, NOW, HomeBuilder

from hermes_retention.model.session import Record
from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.records import Rows


def rows_of(home: HomeBuilder) -> Rows:
    read = state_db.read(home.path / "state.db", now=NOW)
    assert read is not None
    return read[0]


def record_of(home: HomeBuilder, session_id: str) -> Record:
    return rows_of(home).records[session_id]


@pytest.mark.parametrize(
    ("column", "value", "doubt"),
    [
        ("started_at", "yesterday", "started_at is str"),
        ("started_at", b"\x00", "started_at is bytes"),
        ("ended_at", "never", "ended_at is str"),
        ("end_reason", b"\x00", "end_reason is bytes"),
        ("source", b"\x00", "source is bytes"),
        ("parent_session_id", b"\x00", "parent_session_id is bytes"),
    ],
)
def test_row_with_a_value_of_the_wrong_kind_is_kept(
    tmp_path: Path, column: str, value: object, doubt: str
) -> None:
    home = (
        HomeBuilder(tmp_path)
        .session("a")
        .session("b")
        .execute(f"UPDATE sessions SET {column} = ? WHERE id = 'a'", value)
    )
    rows = rows_of(home)
    assert rows.records["a"].busy == f"unclear record: {doubt}"
    assert rows.records["b"].busy is None
    (warning,) = rows.warnings
    assert "1 row(s) with values that no host writes, such as a" in warning
    assert doubt in warning


def test_message_with_a_time_of_the_wrong_kind_keeps_its_session(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a").execute("UPDATE messages SET timestamp = 'now'")
    assert record_of(home, "a").busy == "unclear record: the newest message's timestamp is str"


def test_row_without_start_is_kept(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, omit=["sessions.started_at"]).insert(
        "sessions", {"id": "a", "source": "cli"}
    )
    assert record_of(home, "a").busy == "unclear record: started_at is missing"


def test_whole_numbers_are_as_good_as_others(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, omit=["sessions"])
    home.execute("CREATE TABLE sessions (id TEXT, source TEXT, started_at INTEGER, ended_at INTEGER)")
    home.insert("sessions", {"id": "a", "source": "cli", "started_at": 100, "ended_at": 200})
    assert record_of(home, "a") == Record(source="cli", started_at=100.0, ended_at=200.0)
    assert rows_of(home).warnings == []


def test_rows_without_usable_id_are_left_alone(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a")
    for _ in range(2):
        home.insert("sessions", {"source": "cli", "started_at": NOW})
    home.insert("sessions", {"id": b"\xff", "source": "cli", "started_at": NOW})
    rows = rows_of(home)
    assert list(rows.records) == ["a"]
    (warning,) = rows.warnings
    assert "3 row(s) whose id is no text" in warning


def test_texts_that_are_not_utf8_keep_their_bytes(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a")
    home.execute("UPDATE sessions SET id = CAST(x'61ff' AS TEXT), source = CAST(x'fe' AS TEXT)")
    home.execute("UPDATE messages SET session_id = CAST(x'61ff' AS TEXT)")
    record = record_of(home, "a\udcff")
    assert (record.source, record.last_message_at) == ("\udcfe", NOW - DAY)


def test_ids_may_hold_anything_else(tmp_path: Path) -> None:
    ids = ["", " ", "a/b", "a\nb", "ä" * 200, "'; DROP TABLE sessions; --", "%s", "a\0b"]
    home = HomeBuilder(tmp_path)
    for session_id in ids:
        home.session(session_id, files=())
    assert sorted(rows_of(home).records) == sorted(ids)
