"""Records leave as units and come back whole: same ids, same values, found by search again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from host_databases import HOSTS, SEARCH_TABLES, HostDatabase
from row_moves import Death, Mortal, removal_of_messages, removal_of_records, replacement_of_output

from hermes_retention.model.errors import RestoreConflict
from hermes_retention.stores.hermes import rows, state_db
from hermes_retention.stores.hermes.rows import fts, insert, tables
from hermes_retention.stores.hermes.rows.insert import Inserted, RowInserter
from hermes_retention.stores.hermes.rows.read import SeenUnit, read_unit
from hermes_retention.stores.hermes.rows.restore import ToolOutputRestorer
from hermes_retention.stores.hermes.rows.turn_machine import Change, State
from hermes_retention.stores.rows import Header, Row, decode, encode

DELEGATED = '{"_delegate_from": "%s"}'
BRANCHED = '{"_branched_from": "%s"}'
LONG = "the quick brown fox " * 100
Items = list[Header | Row]


@pytest.fixture(params=HOSTS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HostDatabase]:
    made = HostDatabase(tmp_path / "state.db", host=request.param)
    yield made
    made.check()


@pytest.fixture
def newest(tmp_path: Path) -> Iterator[HostDatabase]:
    made = HostDatabase(tmp_path / "state.db")
    yield made
    made.check()


def read(database: HostDatabase, session_id: str) -> tuple[SeenUnit, Items]:
    unit = SeenUnit(session_id)
    with state_db.reading(database.path) as connection:
        assert connection is not None
        items = list(read_unit(connection, unit))
    assert list(decode(encode(items))) == items
    return unit, items


def read_messages(database: HostDatabase, session_id: str) -> tuple[rows.read.Seen, Items]:
    seen = rows.read.Seen(session_id)
    with state_db.reading(database.path) as connection:
        assert connection is not None
        return seen, list(rows.read.read_messages(connection, seen))


def remove(database: HostDatabase, *units: SeenUnit) -> list[Change]:
    with state_db.writing(database.path) as connection:
        return list(removal_of_records(connection, units))


def remove_messages(database: HostDatabase, seen: rows.read.Seen) -> None:
    with state_db.writing(database.path) as connection:
        assert [it.state for it in removal_of_messages(connection, [seen])] == [State.DONE]


def restore(database: HostDatabase, items: Sequence[Header | Row]) -> Inserted:
    with state_db.writing(database.path, durable=True) as connection:
        return RowInserter(connection).insert_rows(lambda: iter(items))


def sessions(database: HostDatabase) -> list[object]:
    return [row[0] for row in database.execute("SELECT id FROM sessions ORDER BY id")]


def family(database: HostDatabase) -> HostDatabase:
    """Root, continued by next, which delegates to helper, that to deeper; a branch of next; a stranger."""
    database.session("root", ["alpha"], end_reason="compression")
    database.session("next", ["beta"], parent_session_id="root", title="the chat")
    database.session("helper", ["gamma"], parent_session_id="next", model_config=DELEGATED % "next")
    database.session("deeper", ["delta"], parent_session_id="helper", model_config=DELEGATED % "helper")
    database.session("branch", ["epsilon"], parent_session_id="next", model_config=BRANCHED % "next")
    return database.session("stranger", ["zeta"])


def test_unit_leaves_with_continuations_and_delegates_and_branches_stay(database: HostDatabase) -> None:
    before = family(database).dump()
    unit, items = read(database, "next")
    assert unit.session_ids == ("deeper", "helper", "next", "root")
    (outcome,) = remove(database, unit)
    assert outcome.state is State.DONE
    assert sessions(database) == ["branch", "stranger"]
    assert database.execute("SELECT parent_session_id FROM sessions WHERE id = 'branch'") == [(None,)]
    assert database.found("alpha") == []
    database.check()
    assert restore(database, items) == Inserted(4, 4, 0, ())
    assert database.dump() == before
    assert database.found("gamma", "messages_fts_trigram") == [3]


def test_session_delegated_by_another_leaves_without_it(database: HostDatabase) -> None:
    unit, _ = read(family(database), "helper")
    assert unit.session_ids == ("deeper", "helper")


def test_everything_that_hangs_on_a_session_leaves_and_comes_back(newest: HostDatabase) -> None:
    newest.execute("CREATE TABLE ratings(stars REAL, about TEXT REFERENCES sessions(id))")
    newest.execute("CREATE TABLE words(about TEXT PRIMARY KEY REFERENCES sessions) WITHOUT ROWID")
    newest.execute("CREATE TABLE notes(session_id TEXT)")
    newest.execute("ALTER TABLE sessions ADD COLUMN mood BLOB")
    newest.session("s1", ["alpha"], mood=b"\0\xff").session("s2")
    for one in ("s1", "s2"):
        newest.insert("session_model_usage", {"session_id": one, "model": "m", "input_tokens": 7})
        newest.insert("state_meta", {"key": f"goal:{one}", "value": "win"})
        newest.insert("ratings", {"stars": 4.0, "about": one})
        newest.insert("words", {"about": one}).insert("notes", {"session_id": one})
        binding = {"chat_id": one, "thread_id": "1", "session_key": "k", "session_id": one}
        newest.insert("telegram_dm_topic_bindings", binding)
        lock = {"session_id": one, "holder": "h", "acquired_at": 1.0, "expires_at": 2.0}
        newest.insert("compression_locks", lock)
        task = {"delegation_id": f"d-{one}", "origin_session": "k", "parent_session_id": one}
        newest.insert("async_delegations", task | {"state": "completed", "result_json": "{}"})
    before = newest.dump()
    unit, items = read(newest, "s1")
    assert remove(newest, unit)[0].state is State.DONE
    after = newest.dump()
    fewer = {table: len(before[table]) - len(found) for table, found in after.items()}
    assert fewer.pop("notes") == 0  # a table of which nobody says what it means
    assert fewer.pop("async_delegations") == 0  # a queue of the host, which clears it by itself
    assert set(fewer.values()) == {1}
    assert restore(newest, items).left_out == ()
    assert newest.dump() == before


def test_rows_that_no_key_tells_apart_come_back_as_often_as_they_were(newest: HostDatabase) -> None:
    newest.execute("CREATE TABLE notes(note, about REFERENCES sessions(id), also REFERENCES sessions(id))")
    newest.session("s1", ["alpha"])
    for note in ("a", "a", None, 1, 1.0, b"a"):
        newest.insert("notes", {"note": note, "about": "s1", "also": "s1"})
    before = newest.dump()
    unit, items = read(newest, "s1")
    assert remove(newest, unit) == [Change("s1", State.DONE, 8)]
    for restored in (Inserted(1, 1, 0, ()), Inserted(0, 0, 2, ())):
        assert restore(newest, items) == restored
        assert newest.dump() == before


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO messages(session_id, role, content, timestamp) VALUES ('helper', 'user', 'new', 5)",
        "UPDATE messages SET content = 'alphA' WHERE content = 'alpha'",
        "UPDATE sessions SET title = 'another' WHERE id = 'next'",
        "INSERT INTO sessions(id, source, started_at, parent_session_id) VALUES ('more', 'cli', 1, 'next')",
        "INSERT INTO state_meta(key, value) VALUES ('goal:root', 'win')",
        """INSERT INTO sessions(id, source, started_at, parent_session_id, model_config)
        VALUES ('more', 'cli', 1, 'next', '{"_delegate_from": "next"}')""",
    ],
)
def test_unit_of_which_anything_changed_stays_whole(database: HostDatabase, change: str) -> None:
    unit, _ = read(family(database), "next")
    stranger, _ = read(database, "stranger")
    database.execute(change)
    before = database.dump()
    outcomes = remove(database, unit, stranger)
    assert [it.state for it in outcomes] == [State.CHANGED, State.DONE]
    after = database.dump()
    assert [row for row in before["sessions"] if row[0] != b"stranger"] == after["sessions"]
    assert len(after["messages"]) == len(before["messages"]) - 1


def test_unit_that_something_unknown_refers_to_stays_alone(database: HostDatabase) -> None:
    database.execute("CREATE TABLE notes(message INTEGER REFERENCES messages(id))")
    database.session("s1", ["alpha"]).session("s2", ["beta"]).insert("notes", {"message": 1})
    outcomes = remove(database, read(database, "s1")[0], read(database, "s2")[0])
    assert [it.state for it in outcomes] == [State.CHANGED, State.DONE]
    assert sessions(database) == ["s1"]


def test_unit_that_is_named_twice_leaves_once(database: HostDatabase) -> None:
    units = [read(family(database), "next")[0], read(database, "root")[0]]
    assert [(it.state, it.rows) for it in remove(database, *units)] == [(State.DONE, 8), (State.CHANGED, 0)]


def test_messages_of_units_leave_no_merge_to_the_host(database: HostDatabase) -> None:
    names = [f"s{number}" for number in range(60)]
    for name in names:
        database.session(name, [f"{LONG} {name}"] * 4)
    units = [read(database, name)[0] for name in names]
    with state_db.writing(database.path) as connection:
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        outcomes = list(removal_of_records(connection, units))
        connection.set_trace_callback(None)
        structures = [fts.SearchTable(connection, table).structure() for table in SEARCH_TABLES]
    assert [(it.state, it.rows) for it in outcomes] == [(State.DONE, 5)] * 60
    assert not any(it is None or it.is_merge_due for it in structures)
    removals = {it for it in statements if it.startswith('DELETE FROM "messages"')}  # told again per trigger
    merges = sum("'merge'" in it for it in statements)
    assert len(removals) == statements.count("COMMIT") - merges, "FTS5 writes a segment for each statement"


def test_unit_with_many_messages_stays_until_they_are_gone(database: HostDatabase) -> None:
    database.session("s1", ["alpha"] * 60)
    before = database.dump()
    unit, _ = read(database, "s1")
    assert "60 messages" in remove(database, unit)[0].why
    seen, messages = read_messages(database, "s1")
    remove_messages(database, seen)
    unit, record = read(database, "s1")
    assert remove(database, unit)[0].state is State.DONE
    assert restore(database, [*messages, *record]) == Inserted(1, 60, 0, ())
    assert database.dump() == before


def test_messages_come_back_below_a_record_that_is_still_there(database: HostDatabase) -> None:
    before = database.session("s1", [LONG] * 40).dump()
    seen, items = read_messages(database, "s1")
    remove_messages(database, seen)
    database.session("s2", ["later"])
    assert restore(database, items) == Inserted(0, 40, 0, ())
    assert restore(database, items) == Inserted(0, 0, 40, ())
    assert [row for row in database.dump()["messages"] if row[1] == b"s1"] == before["messages"]
    assert len(database.found("quick")) == 40
    database.session("s3", ["next"])
    assert database.execute("SELECT max(id) FROM messages") == [(42,)]


def test_message_counts_as_there_whether_it_or_the_archive_has_a_marker(database: HostDatabase) -> None:
    database.session("s1", ["question", LONG])
    whole = read_messages(database, "s1")[1]
    output = rows.read.Seen("s1")
    with state_db.reading(database.path) as connection:
        assert connection is not None
        header, *bodies = rows.read.read_tool_output(connection, output, longer_than_bytes=9)
    with state_db.writing(database.path) as connection:
        list(replacement_of_output(connection, [output]))
    assert restore(database, whole) == Inserted(0, 0, 2, ())
    seen, marked = read_messages(database, "s1")
    remove_messages(database, seen)
    assert restore(database, marked) == Inserted(0, 2, 0, ())
    with state_db.writing(database.path) as connection:
        assert ToolOutputRestorer(connection).put_back(header, bodies) == 1  # type: ignore[arg-type]
    assert restore(database, marked) == Inserted(0, 0, 2, ()), "done again after it was cut short"
    database.execute("UPDATE messages SET content = content || '!'")
    with pytest.raises(RestoreConflict, match="message 1"):
        restore(database, marked)


@pytest.mark.parametrize(
    ("taken", "what"),
    [
        ("INSERT INTO sessions(id, source, started_at) VALUES ('s1', 'telegram', 5)", "session s1"),
        ("INSERT INTO messages(id, session_id, role, timestamp) VALUES (2, 's2', 'user', 5)", "message 2"),
    ],
)
def test_id_that_was_taken_meanwhile_is_an_error_that_changes_nothing(
    database: HostDatabase, taken: str, what: str
) -> None:
    database.session("s1", ["alpha", "beta"]).session("s2")
    unit, items = read(database, "s1")
    remove(database, unit)
    database.execute(taken)
    before = database.dump()
    with pytest.raises(RestoreConflict, match=f"{what}.*nothing was changed"):
        restore(database, items)
    assert database.dump() == before


def test_id_that_is_taken_while_rows_come_back_takes_them_all_back(newest: HostDatabase) -> None:
    newest.session("s2").session("s1", [LONG] * 40).insert("state_meta", {"key": "goal:s1", "value": "win"})
    newest.insert("session_model_usage", {"session_id": "s1", "model": "m"})
    seen, messages = read_messages(newest, "s1")
    remove_messages(newest, seen)
    unit, record = read(newest, "s1")
    remove(newest, unit)
    with state_db.writing(newest.path) as connection:
        passes = itertools.count()

        def content() -> Iterator[Header | Row]:
            if next(passes) == 1:  # between comparing and inserting
                newest.execute(
                    "INSERT INTO messages(id, session_id, role, timestamp) VALUES (40, 's2', 'user', 5)"
                )
            yield from [*record, *messages]

        with pytest.raises(RestoreConflict):
            RowInserter(connection).insert_rows(content)
    assert sessions(newest) == ["s2"]
    assert newest.execute("SELECT id FROM messages") == [(40,)]
    assert newest.dump()["state_meta"] == newest.dump()["session_model_usage"] == []


def test_column_that_is_missing_here_is_an_error_only_if_it_held_something(database: HostDatabase) -> None:
    database.execute("ALTER TABLE messages ADD COLUMN mood TEXT")
    database.session("s1", ["alpha"]).session("s2", ["beta"])
    database.execute("UPDATE messages SET mood = 'merry' WHERE id = 2")
    units = [read(database, name) for name in ("s1", "s2")]
    remove(database, *[unit for unit, _ in units])
    database.execute("ALTER TABLE messages DROP COLUMN mood")
    assert restore(database, units[0][1]).messages == 1
    with pytest.raises(RestoreConflict, match="mood"):
        restore(database, units[1][1])
    assert sessions(database) == ["s1"]


def test_column_that_came_later_gets_its_default(database: HostDatabase) -> None:
    unit, items = read(database.session("s1", ["alpha"]), "s1")
    remove(database, unit)
    database.execute("ALTER TABLE messages ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'")
    restore(database, items)
    assert database.execute("SELECT mood FROM messages") == [("calm",)]


def test_value_that_the_column_would_change_is_an_error(newest: HostDatabase) -> None:
    header = Header("messages", ("id", "session_id", "role", "timestamp", "content"))
    newest.session("s1")
    with pytest.raises(RestoreConflict, match="values"):
        restore(newest, [header, (7, "s1", "user", 1.0, 5)])


def test_record_whose_parent_is_gone_is_an_error(database: HostDatabase) -> None:
    unit, items = read(family(database), "branch")
    remove(database, unit)
    remove(database, read(database, "next")[0])
    with pytest.raises(RestoreConflict, match="FOREIGN KEY"):
        restore(database, items)
    assert sessions(database) == ["stranger"]


def test_place_that_something_newer_took_is_left_out_and_told(newest: HostDatabase) -> None:
    binding = {"chat_id": "1", "thread_id": "1", "session_key": "k"}
    newest.session("s1", ["alpha"]).insert("telegram_dm_topic_bindings", binding | {"session_id": "s1"})
    unit, items = read(newest, "s1")
    remove(newest, unit)
    newest.session("s2").insert("telegram_dm_topic_bindings", binding | {"session_id": "s2"})
    assert restore(newest, items) == Inserted(1, 1, 0, ("telegram_dm_topic_bindings",))


def test_child_that_found_another_parent_is_left_there(database: HostDatabase) -> None:
    unit, items = read(family(database), "next")
    assert tables.CHILDREN in items
    remove(database, unit)
    database.execute("UPDATE sessions SET parent_session_id = 'stranger' WHERE id = 'branch'")
    restore(database, items)
    assert database.execute("SELECT parent_session_id FROM sessions WHERE id = 'branch'") == [("stranger",)]


def test_strange_values_come_back_as_they_were(newest: HostDatabase) -> None:
    newest.session("s1", ["a\0b"])
    for value in ("CAST(x'ff00' AS TEXT)", "x'00ff'", "1e999", "-0.0", "9223372036854775807", "NULL", "''"):
        newest.execute(
            f"INSERT INTO messages(session_id, role, content, reasoning, token_count, timestamp) "
            f"VALUES ('s1', 'tool', {value}, {value}, {value}, 1)"
        )
    typed = "SELECT id, typeof(content), hex(content), typeof(token_count), quote(token_count) FROM messages"
    before = newest.dump(), newest.execute(typed)
    unit, items = read(newest, "s1")
    remove(newest, unit)
    restore(newest, items)
    assert (newest.dump(), newest.execute(typed)) == before


@pytest.mark.parametrize("at", [*range(1, 12), *range(12, 60, 6)])
def test_restore_that_dies_at_any_statement_is_completed_by_doing_it_again(tmp_path: Path, at: int) -> None:
    database = HostDatabase(tmp_path / "state.db").session("s1", [LONG] * 30)
    before = database.dump()
    seen, messages = read_messages(database, "s1")
    remove_messages(database, seen)
    unit, record = read(database, "s1")
    remove(database, unit)
    items = [*record, *messages]
    try:
        with state_db.writing(database.path) as connection:
            dying = Mortal(connection, "BEGIN", "COMMIT", "INSERT", at=at)
            RowInserter(dying).insert_rows(lambda: iter(items))  # type: ignore[arg-type]
    except Death:
        pass
    database.check()
    left = [message_id for (message_id,) in database.execute("SELECT id FROM messages ORDER BY id")]
    assert left == [*range(31 - len(left), 31)], "the newest are there, as after a removal"
    restore(database, items)
    assert database.dump() == before
    database.check()


def test_messages_that_do_not_fit_into_memory_come_back_all_the_same(
    newest: HostDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insert, "_WINDOW_BYTES", 7 * len(LONG))
    before = newest.session("s1", [LONG] * 40).session("s2", ["short"] * 3).dump()
    (one, first), (two, second) = read_messages(newest, "s1"), read_messages(newest, "s2")
    remove_messages(newest, one)
    remove_messages(newest, two)
    asked: list[int] = []
    compare = insert.Insertion._compare_batch  # noqa: SLF001 - how much is compared at a time

    def counted(self: object, fit: object, batch: Sequence[Row]) -> None:
        asked.append(len(batch))
        compare(self, fit, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(insert.Insertion, "_compare_batch", counted)
    assert restore(newest, [*first, *second]) == Inserted(0, 43, 0, ())
    assert newest.dump() == before
    assert restore(newest, [*first, *second]) == Inserted(0, 0, 43, ())
    assert max(asked) == 7


def test_unit_that_was_not_read_to_its_end_is_refused(database: HostDatabase) -> None:
    with pytest.raises(ValueError, match="s1"):
        remove(database, SeenUnit("s1"))
