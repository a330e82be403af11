"""``restore`` and ``undo``: what was archived comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import DAY, NOW, HomeBuilder
from host_databases import HostDatabase
from program import aged, run, type_at
from row_archives import RowArchive
from sites import site_of, snapshot_of

from hermes_retention.home.workspace import Workspace

OLD, OTHER = "20261010_080000_bbbbbbbb", "20261011_090000_cccccccc"


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """Two sessions that are due, in real time as well as at ``NOW``."""
    age = max(40 * DAY, aged(40 * DAY))
    return (
        HomeBuilder(tmp_path / "home")
        .session(OLD, age=age, files=("snapshot", "transcript"))
        .session(OTHER, age=age)
    )


def swept(home: HomeBuilder) -> str:
    return str(run(home, "sweep", "--yes", "--json").json["sweep"])


def test_restore_puts_the_files_back_as_they_were(home: HomeBuilder) -> None:
    before = snapshot_of(home.files)
    swept(home)
    result = run(home, "restore", OLD, OTHER)
    assert result.code == 0
    assert snapshot_of(home.files) == before
    assert "2 sessions back: 3 files" in result.out
    assert "time starts anew" in result.out


def test_restored_session_survives_the_next_sweep(home: HomeBuilder) -> None:
    swept(home)
    run(home, "restore", OLD)
    assert run(home, "sweep", "--json").json["counts"]["files_archived"] == 0


def test_beginning_of_an_id_is_enough_when_it_is_the_only_one(home: HomeBuilder) -> None:
    swept(home)
    assert run(home, "restore", "20261010_08").code == 0
    assert (home.files / f"session_{OLD}.json").exists()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("202610", f"2 ids begin like that; nothing was done. Write more of it: {OLD}, {OTHER}"),
        ("20261", "Write at least the first 6 characters"),
        ("20261010_080000_bbbbbbbc", f"The nearest: {OLD}"),
        ("xyz", "the archive has no copy of it"),
    ],
)
def test_unknown_session_is_wrong_usage_with_a_cure(home: HomeBuilder, wanted: str, said: str) -> None:
    swept(home)
    result = run(home, "restore", wanted)
    assert result.code == 2
    assert said in result.err
    assert list(home.files.glob("*.json")) == []


def test_restore_into_a_directory_leaves_the_store_alone(home: HomeBuilder, tmp_path: Path) -> None:
    before = snapshot_of(home.files)
    swept(home)
    result = run(home, "restore", OLD, "--to", str(tmp_path / "look" / "here"))
    assert result.code == 0
    assert snapshot_of(tmp_path / "look" / "here") == {
        name: it for name, it in before.items() if OLD.encode() in name
    }
    assert snapshot_of(home.files) == {}


def test_conflict_is_kept_and_named(home: HomeBuilder) -> None:
    swept(home)
    home.file(f"session_{OLD}.json", b"something newer")
    result = run(home, "restore", OLD)
    assert result.code == 1
    assert "1 file could not be written" in result.out
    assert "already has a file of that name" in result.out
    assert (home.files / f"session_{OLD}.json").read_bytes() == b"something newer"


def test_file_that_is_back_already_is_said_to_be(home: HomeBuilder) -> None:
    swept(home)
    run(home, "restore", OLD)
    result = run(home, "restore", OLD)
    assert result.code == 0
    assert "Nothing was written: 2 files had the same content there already" in result.out


def test_undo_puts_back_the_last_sweep(home: HomeBuilder) -> None:
    before = snapshot_of(home.files)
    sweep_id = swept(home)
    result = run(home, "undo", "--yes")
    assert result.code == 0
    assert sweep_id in result.out
    assert snapshot_of(home.files) == before


def test_undo_of_one_sweep_and_of_all(home: HomeBuilder) -> None:
    first = swept(home)
    home.session("20261012_100000_dddddddd", age=40 * DAY)
    second = swept(home)
    assert run(home, "undo", first, "--yes").code == 0
    assert {path.name for path in home.files.glob("session_*")} == {
        f"session_{OLD}.json",
        f"session_{OTHER}.json",
    }
    result = run(home, "undo", "--all", "--yes")
    assert f"  {second} " in result.out
    assert f"  {first} " not in result.out
    assert len(list(home.files.glob("session_*"))) == 3


def test_nothing_to_undo_is_wrong_usage(home: HomeBuilder) -> None:
    result = run(home, "undo", "--yes")
    assert result.code == 2
    assert "no sweep of this home" in result.err


def test_sweep_and_all_together_are_wrong_usage(home: HomeBuilder) -> None:
    assert run(home, "undo", "20261120-101500", "--all").code == 2


def test_undo_without_a_terminal_needs_yes(home: HomeBuilder) -> None:
    swept(home)
    result = run(home, "undo")
    assert result.code == 2
    assert "--yes" in result.err
    assert "no terminal" in result.err
    assert list(home.files.glob("session_*")) == []


@pytest.mark.parametrize(("answer", "back"), [("y\n", 2), ("n\n", 0)])
def test_undo_asks_on_a_terminal(home: HomeBuilder, answer: str, back: int) -> None:
    swept(home)
    result = type_at("undo", "--home", str(home.path), answer=answer)
    assert result.code == 0
    assert "Put all of this back?" in result.out
    assert len(list(home.files.glob("session_*"))) == back


def test_busy_home_is_left_alone(home: HomeBuilder) -> None:
    swept(home)
    with Workspace(home.path).locked():
        assert run(home, "restore", OLD).code == 3
        assert run(home, "undo", "--yes").code == 3
    assert list(home.files.glob("session_*")) == []


@pytest.fixture
def archived_rows(tmp_path: Path) -> tuple[HomeBuilder, HostDatabase]:
    """A conversation in two sessions of which a sweep archived all rows."""
    home = HomeBuilder(tmp_path / "home", database=False)
    database = HostDatabase(home.path / "state.db")
    database.session("first_part", ["alpha"], end_reason="compression")
    database.session("second_part", ["beta", "long " * 100], parent_session_id="first_part")
    site = site_of(home)
    archive = RowArchive(site, database)
    site.workspace.create()
    with site.workspace.ledger() as ledger:
        archive.sweep = ledger.begin_sweep(started_at=NOW, origin="test")
        archive.tool_output("second_part")
        archive.all_of("first_part", "second_part")
        ledger.finish_sweep(archive.sweep, finished_at=NOW, totals={"records_archived": 2})
    return home, database


def test_restore_says_which_rows_are_back(archived_rows: tuple[HomeBuilder, HostDatabase]) -> None:
    home, database = archived_rows
    result = run(home, "restore", "second_part")
    assert result.code == 0
    assert "2 sessions back: 2 records, 3 messages, 1 output of a tool put back" in result.out
    assert "session first_part came back too: second_part hangs on it" in result.out
    assert database.found("beta") == [2]
    result = run(home, "restore", "second_part")
    assert result.code == 0
    assert "Nothing was written: the database had the rows of 1 session already" in result.out


def test_rows_that_cannot_come_back_are_named_and_written_elsewhere(
    archived_rows: tuple[HomeBuilder, HostDatabase], tmp_path: Path
) -> None:
    home, database = archived_rows
    database.session("second_part", source="telegram")
    result = run(home, "restore", "second_part")
    assert result.code == 1
    assert "The rows of 1 session could not be put back" in result.out
    assert "session second_part: something else has this id now; nothing was changed" in result.out
    assert database.execute("SELECT id FROM sessions") == [("second_part",)]
    result = run(home, "restore", "second_part", "--to", str(tmp_path / "out"))
    assert result.code == 0
    assert "3 files" in result.out
    assert "beta" in (tmp_path / "out" / "messages_second_part.rows.jsonl").read_text()


def test_undo_lists_and_puts_back_rows(archived_rows: tuple[HomeBuilder, HostDatabase]) -> None:
    home, database = archived_rows
    result = run(home, "undo", "--yes")
    assert result.code == 0
    assert "tool output of 1 session, messages of 2 sessions, 2 records" in result.out
    assert "came back too" not in result.out
    assert database.execute("SELECT count(*) FROM messages") == [(3,)]
    database.check()
