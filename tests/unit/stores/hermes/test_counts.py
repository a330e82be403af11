"""Counting one session: what was stored since the last look, and all of it when that cannot be right."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from host_databases import HostDatabase

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.session import SessionClass
from hermes_retention.stores.base import SessionSize, StoredMessages
from hermes_retention.stores.hermes.counts import HermesCounter

T0 = 1e9
"""Time of the first message."""


@pytest.fixture
def database(tmp_path: Path) -> HostDatabase:
    return HostDatabase(tmp_path / "state.db")


def add(
    database: HostDatabase, session_id: str, *texts: str, at: float = T0 + 100, **columns: object
) -> None:
    for text in texts:
        row = {"session_id": session_id, "role": "user", "content": text, "timestamp": at}
        database.insert("messages", row | columns)


def look(
    home: Path, since: StoredMessages | None = None, *, session_id: str = "s1", now: float = T0 + 200
) -> SessionSize:
    counter = HermesCounter(home)
    size = counter.look(session_id, since, now=now)
    counter.close()
    assert size is not None
    return size


def test_first_look_counts_everything(database: HostDatabase, tmp_path: Path) -> None:
    database.session("s1", ["one", "two"]).session("s2", ["other"] * 5)
    assert look(tmp_path).stored.messages == 2


def test_later_look_goes_on_from_the_one_before(database: HostDatabase, tmp_path: Path) -> None:
    database.session("s1", ["one", "two"])
    first = look(tmp_path).stored
    add(database, "s1", "three")
    add(database, "s1", "four")
    second = look(tmp_path, first).stored
    assert (second.messages, second.last_id) == (4, 4)
    assert second == look(tmp_path).stored


def test_look_that_finds_nothing_new_changes_nothing(database: HostDatabase, tmp_path: Path) -> None:
    database.session("s1", ["one", "two"])
    first = look(tmp_path).stored
    assert look(tmp_path, first).stored == first


def test_inactive_messages_count_too(database: HostDatabase, tmp_path: Path) -> None:
    database.session("s1", ["one", "two"])
    database.execute("UPDATE messages SET active = 0")
    add(database, "s1", "summary")
    assert look(tmp_path).stored.messages == 3


def test_messages_that_came_back_under_new_ids_are_not_counted_twice(
    database: HostDatabase, tmp_path: Path
) -> None:
    database.session("s1", ["one", "two", "three"])
    first = look(tmp_path).stored
    database.execute("DELETE FROM messages WHERE session_id = 's1'")
    add(database, "s1", "one", "two")
    assert look(tmp_path, first).stored.messages == 2


def test_messages_that_were_taken_back_are_not_counted(database: HostDatabase, tmp_path: Path) -> None:
    database.session("s1", ["one", "two", "three"])
    first = look(tmp_path).stored
    database.execute("DELETE FROM messages WHERE id = 3")
    assert look(tmp_path, first).stored.messages == 2


@pytest.mark.parametrize("others", [0, 50])
def test_message_that_was_sent_long_ago_is_found(database: HostDatabase, tmp_path: Path, others: int) -> None:
    """Whichever way is taken to what is new: past all newer rows, or through the session's own."""
    database.session("s1", ["one", "two"] * 20)
    first = look(tmp_path).stored
    database.session("s2", ["other"] * others)
    add(database, "s1", "late", at=T0 - 900_000)
    assert look(tmp_path, first).stored == look(tmp_path).stored
    assert look(tmp_path).stored.messages == 41


def test_recount_finds_what_looks_cannot(database: HostDatabase, tmp_path: Path) -> None:
    database.session("s1", ["one", "two", "three"])
    first = look(tmp_path).stored
    database.execute("DELETE FROM messages WHERE id = 2")
    assert look(tmp_path, first).stored.messages == 3
    counter = HermesCounter(tmp_path)
    assert counter.recount("s1") == 2
    counter.close()


def test_bytes_are_those_of_all_texts_and_files(database: HostDatabase, tmp_path: Path) -> None:
    database.session("s1", ["é" * 100])
    before = look(tmp_path)
    add(database, "s1", "x" * 1000, reasoning="y" * 500)
    more = look(tmp_path, before.stored).stored.bytes - before.stored.bytes
    assert 1500 < more < 1520  # its role and flags
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    (sessions / "session_s1.json").write_bytes(b"x" * 70)
    (sessions / "s1.jsonl").write_bytes(b"x" * 7)
    (sessions / "session_s10.json").write_bytes(b"x" * 900)
    (sessions / "request_dump_s1_20261120_101500_000001.json").write_bytes(b"x" * 9000)
    assert look(tmp_path).files_bytes == 77


def test_id_of_a_client_reaches_no_other_directory(database: HostDatabase, tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    (tmp_path / "secret.jsonl").write_text("x" * 99)
    database.session("../secret")
    assert look(tmp_path, session_id="../secret").files_bytes == 0


def test_last_minute_is_told_by_the_times_of_messages(database: HostDatabase, tmp_path: Path) -> None:
    database.session("s1")
    add(database, "s1", "old", at=T0)
    add(database, "s1", "a", "b", "c", at=T0 + 50)
    assert look(tmp_path, now=T0 + 100).last_minute == 3
    assert look(tmp_path, now=T0 + 200).last_minute == 0
    assert look(tmp_path, now=T0 - 100_000).last_minute == 0  # a clock that was put back


def test_tokens_and_costs_are_the_hosts_own(database: HostDatabase, tmp_path: Path) -> None:
    database.session("s1", input_tokens=100, output_tokens=5, cache_read_tokens=1000, estimated_cost_usd=0.25)
    assert (look(tmp_path).tokens, look(tmp_path).cost_usd) == (1105, 0.25)
    database.execute("UPDATE sessions SET actual_cost_usd = 0.2")
    assert look(tmp_path).cost_usd == 0.2


@pytest.mark.usefixtures("database")
def test_session_without_a_row_has_no_account(tmp_path: Path) -> None:
    assert look(tmp_path) == SessionSize(StoredMessages(), 0, 0, None, None)


def test_oldest_host_is_counted_as_well(tmp_path: Path) -> None:
    HostDatabase(tmp_path / "state.db", host="0.13").session("s1", ["one", "two"])
    assert look(tmp_path).stored.messages == 2


def test_home_without_a_database_tells_nothing(tmp_path: Path) -> None:
    counter = HermesCounter(tmp_path)
    assert counter.look("s1", None, now=T0) is None
    assert counter.recount("s1") is None


def test_database_that_comes_later_is_found(tmp_path: Path) -> None:
    counter = HermesCounter(tmp_path)
    assert counter.look("s1", None, now=T0) is None
    HostDatabase(tmp_path / "state.db").session("s1", ["one"])
    size = counter.look("s1", None, now=T0)
    assert size is not None
    assert size.stored.messages == 1
    counter.close()


@pytest.mark.usefixtures("database")
def test_id_that_no_database_can_hold_tells_nothing(tmp_path: Path) -> None:
    assert HermesCounter(tmp_path).look("a\udcff", None, now=T0) is None


def test_damaged_database_is_an_error_and_the_next_look_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"no database" * 100)
    counter = HermesCounter(tmp_path)
    with pytest.raises(StoreUnreadable):
        counter.look("s1", None, now=T0)
    path.unlink()
    HostDatabase(path).session("s1", ["one"])
    assert counter.look("s1", None, now=T0) is not None
    counter.close()


def test_open_counter_holds_up_no_checkpoint(database: HostDatabase, tmp_path: Path) -> None:
    database.session("s1", ["one"])
    counter = HermesCounter(tmp_path)
    counter.look("s1", None, now=T0)
    add(database, "s1", "two")
    with closing(sqlite3.connect(database.path)) as host:
        assert host.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    counter.close()


def steps(home: Path, since: StoredMessages | None) -> int:
    """How much work SQLite has with a look, in steps of its virtual machine."""
    counter = HermesCounter(home)
    counter.look("s1", since, now=T0 + 1e6)
    done: list[None] = []
    connection = counter._connection  # noqa: SLF001 - nobody else can tell what SQLite did
    assert connection is not None
    connection.set_progress_handler(lambda: done.append(None), 1)
    counter.look("s1", since, now=T0 + 1e6)
    counter.close()
    return len(done)


def test_look_costs_the_same_however_long_the_session_is(database: HostDatabase, tmp_path: Path) -> None:
    work: list[int] = []
    for length in (100, 2000):
        database.execute("DELETE FROM messages")
        database.execute("DELETE FROM sessions")
        database.session("s1", ["one"] * length)
        since = look(tmp_path).stored
        add(database, "s1", "new", "newer")
        work.append(steps(tmp_path, since))
    assert work[0] == work[1] < steps(tmp_path, None)


def test_look_after_a_long_time_does_not_walk_past_everybody_else(
    database: HostDatabase, tmp_path: Path
) -> None:
    database.session("s1", ["one"] * 10)
    since = look(tmp_path).stored
    few = steps(tmp_path, since)
    database.session("s2", ["other"] * 2000)
    assert steps(tmp_path, since) < few + 200


# Classes


@pytest.mark.parametrize(
    ("columns", "hook", "session_class"),
    [
        ({"source": "telegram"}, ("telegram", "agent:main:telegram:dm:1"), SessionClass.CHAT),
        ({"source": "newchat"}, ("newchat", "agent:main:newchat:dm:1"), SessionClass.CHAT),
        ({"source": "newchat"}, ("newchat", ""), SessionClass.OTHER),
        ({"source": "cron"}, ("cron", ""), SessionClass.CRON),
        ({"source": "api_server"}, ("api_server", ""), SessionClass.API),
        ({"source": "cli", "model_config": '{"_delegate_from": "p"}'}, ("cli", ""), SessionClass.SUBAGENT),
        (None, ("webhook", ""), SessionClass.HOOK),
        (None, ("telegram", ""), SessionClass.CHAT),
    ],
)
def test_class_of_a_session(
    database: HostDatabase,
    columns: dict[str, str] | None,
    hook: tuple[str, str],
    session_class: SessionClass,
) -> None:
    """By its row, and before it has one by what the hook says: platform and route key."""
    if columns is not None:
        database.session("s1", [], **columns)
    counter = HermesCounter(database.path.parent)
    assert counter.class_of("s1", *hook) is session_class
    counter.close()
