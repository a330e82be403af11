"""Rows of every schema that a host ever had become records, and odd rows never stop a scan."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from homes import DAY, HOUR, MINUTE, NOW, TABLES, HomeBuilder

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.session import Lineage, Record
from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.records import Rows, newest_message

PARENT, CHILD = "20261101_090000_0a1b2c3d", "20261101_093000_a1b2c3"


def rows_of(home: HomeBuilder) -> Rows:
    read = state_db.read(home.path / "state.db", now=NOW)
    assert read is not None
    return read[0]


def record_of(home: HomeBuilder, session_id: str) -> Record:
    return rows_of(home).records[session_id]


def test_record_holds_what_the_row_says(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a", source="discord", age=DAY, ended="idle", messages=3)
    assert record_of(home, "a") == Record(
        source="discord",
        started_at=NOW - DAY - MINUTE,
        ended_at=NOW - DAY,
        end_reason="idle",
        last_message_at=NOW - DAY,
        message_count=3,
    )


def test_session_without_end_and_messages_has_neither(tmp_path: Path) -> None:
    record = record_of(HomeBuilder(tmp_path).session("a", ended=None, messages=0), "a")
    assert (record.ended_at, record.end_reason, record.last_message_at) == (None, None, None)


def test_newest_message_counts_even_if_it_is_not_the_last_row(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a", age=DAY, messages=2)
    for age in (HOUR, 2 * DAY):
        home.insert("messages", {"session_id": "a", "role": "user", "timestamp": NOW - age})
    assert record_of(home, "a").last_message_at == NOW - HOUR


@pytest.mark.parametrize("host", sorted(TABLES))
def test_route_key_and_user_are_read_where_they_exist(tmp_path: Path, host: str) -> None:
    home = HomeBuilder(tmp_path, host=host).session("a", user_id="u1")
    if host == "0.19":
        home.execute("UPDATE sessions SET session_key = 'agent:main:telegram:dm:1'")
    rows = rows_of(home)
    assert rows.users == {"a": "u1"}
    assert rows.keys == ({"a": "agent:main:telegram:dm:1"} if host == "0.19" else {})


OPTIONAL = [
    f"sessions.{column.split()[0]}"
    for column in TABLES["0.19"]["sessions"].split(",")
    if column.split()[0] not in {"id", "source", "started_at"}
]


@pytest.mark.parametrize(
    "missing", [*OPTIONAL, "messages", "gateway_routing", "compression_locks", "state_meta"]
)
def test_any_one_column_or_table_may_be_missing(tmp_path: Path, missing: str) -> None:
    home = HomeBuilder(tmp_path, omit=[missing])
    home.insert("sessions", {"id": "a", "source": "telegram", "started_at": NOW - DAY})
    rows = rows_of(home)
    assert rows.records["a"].started_at == NOW - DAY
    assert rows.records["a"].busy is None
    assert rows.warnings == []


def test_all_optional_columns_may_be_missing_at_once(tmp_path: Path) -> None:
    home = HomeBuilder(
        tmp_path, omit=[*OPTIONAL, "gateway_routing", "compression_locks", "async_delegations"]
    )
    home.insert("sessions", {"id": "a", "source": "cli", "started_at": NOW - DAY})
    assert record_of(home, "a") == Record(source="cli", started_at=NOW - DAY)


def test_columns_and_tables_of_a_newer_host_are_ignored(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).execute("ALTER TABLE sessions ADD COLUMN mood TEXT DEFAULT 'good'")
    home.execute("CREATE TABLE moods (session_id TEXT, mood BLOB)").session("a")
    assert rows_of(home).warnings == []


def test_database_without_sessions_has_no_records(tmp_path: Path) -> None:
    rows = rows_of(HomeBuilder(tmp_path, omit=["sessions"]))
    assert (rows.has_table, rows.records) == (False, {})


@pytest.mark.parametrize(
    ("omit", "why"),
    [("sessions.id", "no column id"), ("messages.timestamp", "no session_id and timestamp")],
)
def test_tables_of_no_known_form_are_unreadable(tmp_path: Path, omit: str, why: str) -> None:
    home = HomeBuilder(tmp_path, omit=[omit])
    with pytest.raises(StoreUnreadable, match=f"{why}.*nothing was removed"):
        rows_of(home)


@pytest.mark.parametrize("omit", [(), ("messages.timestamp",)])
def test_newest_message_is_looked_up_only_where_an_index_makes_that_cheap(
    tmp_path: Path, omit: tuple[str, ...]
) -> None:
    home = HomeBuilder(tmp_path, omit=omit)
    if omit:  # the same column again, but no index
        home.execute("ALTER TABLE messages ADD COLUMN timestamp REAL")
    with closing(sqlite3.connect(home.path / "state.db")) as database:
        assert bool(newest_message(database, "state.db")[1]) is bool(omit)


def test_newest_message_is_found_without_the_index(tmp_path: Path) -> None:
    home = (
        HomeBuilder(tmp_path).execute("DROP INDEX idx_messages_session").session("a").session("b", messages=0)
    )
    assert record_of(home, "a").last_message_at == NOW - DAY
    assert record_of(home, "b").last_message_at is None


# Lineage


def family(tmp_path: Path, *, parent_ended: str | None, config: dict[str, object] | None = None) -> Lineage:
    home = HomeBuilder(tmp_path).session(PARENT, ended=parent_ended)
    home.session(CHILD, parent=PARENT, model_config=None if config is None else json.dumps(config))
    record = record_of(home, CHILD)
    assert record.parent_id == PARENT
    return record.lineage


def test_child_of_a_compressed_session_continues_it(tmp_path: Path) -> None:
    assert family(tmp_path, parent_ended="compression") is Lineage.COMPRESSION


def test_child_of_a_branched_session_is_a_branch(tmp_path: Path) -> None:
    assert family(tmp_path, parent_ended="branched") is Lineage.BRANCH


@pytest.mark.parametrize("parent_ended", [None, "session_reset"])
def test_other_children_are_only_linked(tmp_path: Path, parent_ended: str | None) -> None:
    assert family(tmp_path, parent_ended=parent_ended) is Lineage.NONE


def test_marks_in_the_configuration_speak_louder_than_the_parent(tmp_path: Path) -> None:
    config = {"max_iterations": 90, "_delegate_from": PARENT}
    assert family(tmp_path, parent_ended="compression", config=config) is Lineage.DELEGATION


def test_branch_carries_its_own_mark(tmp_path: Path) -> None:
    assert family(tmp_path, parent_ended=None, config={"_branched_from": PARENT}) is Lineage.BRANCH


def test_mark_without_a_value_is_none(tmp_path: Path) -> None:
    assert (
        family(tmp_path, parent_ended="compression", config={"_delegate_from": None}) is Lineage.COMPRESSION
    )


def test_orphaned_subagent_keeps_its_mark(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a", model_config='{"_delegate_from": "__orphaned__"}')
    assert record_of(home, "a").lineage is Lineage.DELEGATION


@pytest.mark.parametrize("config", ['{"_delegate_from": ', '["_delegate_from"]', b"_delegate_from\xff"])
def test_configuration_that_is_no_object_says_nothing(tmp_path: Path, config: str | bytes) -> None:
    assert record_of(HomeBuilder(tmp_path).session("a", model_config=config), "a").lineage is Lineage.NONE


# Busy


@pytest.mark.parametrize(
    ("expires", "busy"),
    [
        (NOW + 1, "compression lock"),
        (NOW, "compression lock"),
        (NOW - 1, None),
        ("soon", "compression lock"),
        (None, "compression lock"),
    ],
)
def test_compression_lock_holds_until_it_expires(tmp_path: Path, expires: object, busy: str | None) -> None:
    home = HomeBuilder(tmp_path).session("a")
    home.insert("compression_locks", {"session_id": "a", "holder": "1:2:3", "expires_at": expires})
    assert record_of(home, "a").busy == busy


@pytest.mark.parametrize(
    ("state", "busy"),
    [
        ("pending", "hand-off pending"),
        ("running", "hand-off running"),
        ("completed", None),
        ("failed", None),
        (None, None),
    ],
)
def test_hand_off_that_is_not_over_is_busy(tmp_path: Path, state: str | None, busy: str | None) -> None:
    assert record_of(HomeBuilder(tmp_path).session("a", handoff_state=state), "a").busy == busy


@pytest.mark.parametrize("column", ["parent_session_id", "origin_session", "origin_ui_session_id"])
@pytest.mark.parametrize(
    ("state", "busy"),
    [
        ("running", "background delegation"),
        ("finalizing", "background delegation"),
        ("completed", None),
        ("unknown", None),
    ],
)
def test_delegation_in_the_background_keeps_its_origin_busy(
    tmp_path: Path, column: str, state: str, busy: str | None
) -> None:
    home = HomeBuilder(tmp_path).session("a").session("b")
    home.insert(
        "async_delegations", {"delegation_id": "d", "origin_session": "", "state": state} | {column: "a"}
    )
    assert record_of(home, "a").busy == busy
    assert record_of(home, "b").busy is None


def test_delegation_names_its_origin_by_route_key(tmp_path: Path) -> None:
    key = "agent:main:telegram:dm:1"
    home = HomeBuilder(tmp_path).session("a", key=key)
    home.insert("async_delegations", {"delegation_id": "d", "origin_session": key, "state": "running"})
    rows = rows_of(home)
    assert rows.records["a"].busy == "background delegation"
    assert list(rows.records) == ["a"]


def test_work_on_a_session_without_row_makes_it_known(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    home.insert("compression_locks", {"session_id": "a", "holder": "1:2:3", "expires_at": NOW + 1})
    assert record_of(home, "a") == Record(source="", started_at=0.0, busy="compression lock")
