"""Rows of a database that the real host made leave and come back, and the host never notices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hermes_state import SessionDB  # type: ignore[import-not-found]  # only in the host's environment
from host_rows import check, dump, found
from row_moves import removal_of_messages, removal_of_records, replacement_of_output

from hermes_retention.stores.hermes import rows, state_db
from hermes_retention.stores.hermes.rows.insert import RowInserter
from hermes_retention.stores.hermes.rows.read import SeenUnit, read_unit
from hermes_retention.stores.hermes.rows.restore import ToolOutputRestorer
from hermes_retention.stores.hermes.rows.turn_machine import State
from hermes_retention.stores.rows import Header, Row, decode, encode

BODY = "what the zebra said " * 200


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


def read(path: Path, session_id: str) -> tuple[rows.read.Seen, list[Header | Row]]:
    seen = rows.read.Seen(session_id)
    with state_db.reading(path) as database:
        assert database is not None
        items = list(rows.read.read_messages(database, seen))
    return seen, list(decode(encode(items)))


def test_messages_leave_and_come_back(path: Path) -> None:
    before = dump(path)
    taken = [read(path, f"s{number}") for number in range(20)]
    with state_db.writing(path) as database:
        outcomes = list(removal_of_messages(database, (seen for seen, _ in taken)))
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
            RowInserter(database).insert_rows(items.copy)
    assert dump(path) == before
    assert found(path, "zebra") == {f"s{number}" for number in range(30)}
    with closing(SessionDB(db_path=path)) as host:
        host.append_message("s1", "user", "and then?")
        assert [it["role"] for it in host.get_messages("s1")] == ["user", "tool", "assistant", "user"]


def test_tool_output_leaves_and_comes_back(path: Path) -> None:
    before = dump(path)
    seen = rows.read.Seen("s1")
    with state_db.reading(path) as database:
        assert database is not None
        header, *bodies = rows.read.read_tool_output(database, seen, longer_than_bytes=1024)
    with state_db.writing(path) as database:
        assert [it.rows for it in replacement_of_output(database, [seen])] == [1]
        check(path)
        assert "s1" not in found(path, "zebra")
        assert "s1" in found(path, "question")
        assert ToolOutputRestorer(database).put_back(header, bodies) == 1  # type: ignore[arg-type]
    assert dump(path) == before


def test_record_leaves_and_comes_back(path: Path) -> None:
    with closing(SessionDB(db_path=path)) as host:
        host.create_session("child", "cron", model="x/y", parent_session_id="s1")
        host.set_meta("goal:s1", "win")
    before = dump(path)
    unit = SeenUnit("s1")
    with state_db.reading(path) as database:
        assert database is not None
        items = list(decode(encode(read_unit(database, unit))))
    with state_db.writing(path) as database:
        assert [it.state for it in removal_of_records(database, [unit])] == [State.DONE]
    check(path)
    with closing(SessionDB(db_path=path)) as host:
        assert host.get_session("s1") is None
        assert host.get_session("child")["parent_session_id"] is None
        assert host.get_meta("goal:s1") is None
    with state_db.writing(path, durable=True) as database:
        restored = RowInserter(database).insert_rows(lambda: iter(items))
    assert (restored.records, restored.messages, restored.left_out) == (1, 3, ())
    assert dump(path) == before
    assert "s1" in found(path, "zebra")


def shown(path: Path) -> dict[str, list[object]]:
    """What the host shows of each session, in order."""
    with closing(SessionDB(db_path=path)) as host:
        return {one: [it["content"] for it in host.get_messages(one)] for one in ("s1", "s2", "s3")}


@pytest.mark.skipif(not hasattr(SessionDB, "rewind_to_message"), reason="this host removes what it rewinds")
def test_messages_that_the_host_has_set_aside_leave_and_come_back_set_aside(path: Path) -> None:
    with closing(SessionDB(db_path=path)) as host:
        newest = host.append_message("s2", "user", "take that back")
        host.append_message("s2", "assistant", "taken")
        host.rewind_to_message("s2", newest)
        if hasattr(host, "archive_and_compact"):  # older ones go on in another session
            host.archive_and_compact("s3", [{"role": "user", "content": "in short"}])
    before, seen_before, searched = dump(path), shown(path), found(path, "zebra")
    assert "take that back" not in seen_before["s2"]
    taken = [read(path, one) for one in ("s1", "s2", "s3")]
    assert [len(seen) for seen, _ in taken][:2] == [3, 5]
    with state_db.writing(path) as database:
        outcomes = list(removal_of_messages(database, (seen for seen, _ in taken)))
    assert {it.state for it in outcomes} == {State.DONE}
    check(path)
    assert shown(path) == {"s1": [], "s2": [], "s3": []}
    assert found(path, "zebra") == searched - {"s1", "s2", "s3"}
    with state_db.writing(path, durable=True) as database:
        for _, items in taken:
            RowInserter(database).insert_rows(items.copy)
    assert (dump(path), shown(path), found(path, "zebra")) == (before, seen_before, searched)


def test_host_goes_on_writing_while_rows_leave(path: Path) -> None:
    """The host's own code, with its own patience, between any two transactions of ours."""
    taken = [read(path, f"s{number}")[0] for number in range(1, 30)]
    with closing(SessionDB(db_path=path)) as host, state_db.writing(path) as database:
        for outcome in removal_of_messages(database, taken):
            host.append_message("s0", "user", f"{outcome.session_id} has left")
        assert len(host.get_messages("s0")) == 3 + len(taken)
        assert [it["session_id"] for it in host.search_messages("zebra")] == ["s0"]
    check(path)
