"""What people mark in hosts since 0.20: pins keep, and what takes a session out of sight is only told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from homes import DAY, NOW, HomeBuilder
from host_databases import HostDatabase
from row_moves import (
    read_messages,
    read_output,
    read_units,
    removal_of_messages,
    removal_of_records,
    replacement_of_output,
)

from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.rows.turn_machine import State

PINNED = "a person pinned it in the host"
LONG = "what the zebra said " * 100


def marked_home(path: Path, *columns: str) -> HomeBuilder:
    """A home with two sessions, and columns that a newer host adds to their table."""
    home = HomeBuilder(path)
    for column in columns:
        home.execute(f"ALTER TABLE sessions ADD COLUMN {column}")
    return home.session("a", age=100 * DAY).session("b", age=100 * DAY)


def test_pinned_session_is_told_and_no_other(tmp_path: Path) -> None:
    home = marked_home(tmp_path, "pinned INTEGER NOT NULL DEFAULT 0")
    home.execute("UPDATE sessions SET pinned = 1 WHERE id = 'a'")
    assert home.store().scan(now=NOW).pins == {"a": PINNED}


@pytest.mark.parametrize(
    ("value", "what"),
    [(None, "missing"), ("yes", "str"), (b"\x00", "bytes"), (0.5, "float")],
)
def test_pin_that_nobody_understands_keeps(tmp_path: Path, value: object, what: str) -> None:
    home = marked_home(tmp_path, "pinned INTEGER DEFAULT 0")
    home.execute("UPDATE sessions SET pinned = ? WHERE id = 'a'", value)
    said = f"nobody can tell whether a person pinned it in the host: pinned is {what}"
    assert home.store().scan(now=NOW).pins == {"a": said}


def test_pin_that_follows_from_other_columns_counts(tmp_path: Path) -> None:
    home = marked_home(tmp_path, "pinned INTEGER GENERATED ALWAYS AS (title = 'keep') VIRTUAL")
    home.execute("UPDATE sessions SET title = CASE id WHEN 'a' THEN 'keep' ELSE 'else' END")
    assert home.store().scan(now=NOW).pins == {"a": PINNED}


@pytest.mark.parametrize("host", ["0.13", "0.19"])
def test_hosts_without_pins_have_none(tmp_path: Path, host: str) -> None:
    scan = HomeBuilder(tmp_path, host=host).session("a").store().scan(now=NOW)
    assert (scan.pins, scan.marks) == ({}, {})


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("archived = 1", "archived in the host, which takes it out of sight and keeps nothing"),
        ("archived = 1, auto_archived = 1", "archived by the host itself, which keeps nothing"),
        ("hidden = 1", "hidden by the host for its own purposes, which keeps nothing"),
        ("archived = 1, hidden = 1", "archived in the host"),
        ("auto_archived = 1", None),  # left over from a time when it was archived
    ],
)
def test_what_takes_a_session_out_of_sight_is_told_and_keeps_nothing(
    tmp_path: Path, columns: str, said: str | None
) -> None:
    flags = [f"{name} INTEGER NOT NULL DEFAULT 0" for name in ("auto_archived", "pinned", "hidden")]
    home = marked_home(tmp_path, *flags).execute(f"UPDATE sessions SET {columns} WHERE id = 'a'")
    scan = home.store().scan(now=NOW)
    assert scan.pins == {}
    assert scan.marks.keys() == ({"a"} if said else set())
    assert scan.marks.get("a", "").startswith(said or "")


def test_pin_that_was_set_after_the_scan_is_seen_when_rows_are_read(tmp_path: Path) -> None:
    home = marked_home(tmp_path, "pinned INTEGER NOT NULL DEFAULT 0")
    sessions = home.store().scan(now=NOW).sessions
    home.execute("UPDATE sessions SET pinned = 1 WHERE id = 'a'")
    with home.store().reading_rows() as reader:
        assert reader.changes(sessions, now=NOW) == {"a": PINNED}


Read = Callable[[Path, Sequence[str]], tuple[list[Any], Any]]


@pytest.mark.parametrize(
    ("read", "remove"),
    [
        (read_messages, removal_of_messages),
        (read_output, replacement_of_output),
        (read_units, removal_of_records),
    ],
    ids=["messages", "tool output", "record"],
)
def test_pin_that_was_set_after_the_rows_were_read_keeps_them(
    tmp_path: Path, read: Read, remove: Callable[..., Any]
) -> None:
    database = HostDatabase(tmp_path / "state.db")
    database.execute("ALTER TABLE sessions ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0")
    database.session("a", ["hello", LONG]).session("b", ["hello", LONG])
    seen, _ = read(database.path, ["a", "b"])
    database.execute("UPDATE sessions SET pinned = 1 WHERE id = 'a'")
    before = [row for row in database.dump()["messages"] if row[1] == b"a"]
    with state_db.writing(database.path) as connection:
        states = {change.session_id: change.state for change in remove(connection, seen)}
    assert states == {"a": State.CHANGED, "b": State.DONE}
    assert [row for row in database.dump()["messages"] if row[1] == b"a"] == before
    database.check()
