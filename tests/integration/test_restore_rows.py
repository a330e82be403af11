"""Rows come back from the vault into the host's database as they were, and nothing else in it changes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest
from homes import NOW, HomeBuilder
from host_databases import HOSTS, HostDatabase
from row_archives import RowArchive
from sites import site_of
from vaults import damage_table

from hermes_retention.actions.restore.restore import (
    RestoreReport,
    export_sessions,
    restore_sessions,
    undo,
    undoable_sweeps,
)
from hermes_retention.home.home import Home
from hermes_retention.model.errors import ExitCode, FrameCorrupt, RestoreConflict, StoreUnreadable, UsageError
from hermes_retention.model.session import ArtifactKind
from hermes_retention.stores.hermes.rows import pacing
from hermes_retention.stores.rows import MARKER, Header, decode, encode

LONG = "the quick brown fox " * 100
DELEGATED = '{"_delegate_from": "%s"}'
BRANCHED = '{"_branched_from": "%s"}'


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    return HomeBuilder(tmp_path / "home", database=False)


@pytest.fixture(params=HOSTS)
def database(request: pytest.FixtureRequest, home: HomeBuilder) -> Iterator[HostDatabase]:
    made = HostDatabase(home.path / "state.db", host=request.param)
    yield made
    made.check()


@pytest.fixture
def newest(home: HomeBuilder) -> Iterator[HostDatabase]:
    made = HostDatabase(home.path / "state.db")
    yield made
    made.check()


@pytest.fixture
def site(home: HomeBuilder) -> Home:
    return site_of(home)


@pytest.fixture
def archive(site: Home, request: pytest.FixtureRequest) -> RowArchive:
    name = "newest" if "newest" in request.fixturenames else "database"
    return RowArchive(site, request.getfixturevalue(name))


def restore(site: Home, *session_ids: str) -> RestoreReport:
    return restore_sessions(site, session_ids, now=NOW)


def restore_all(site: Home, *session_ids: str) -> RestoreReport:
    report = restore(site, *session_ids)
    assert [str(failure.error) for failure in report.failures] == []
    return report


def counts(report: RestoreReport) -> tuple[int, int, int]:
    return report.rows.records, report.rows.messages, report.rows.tool_output


def begin_sweep(site: Home, started_at: float) -> str:
    with site.workspace.ledger() as ledger:
        return ledger.begin_sweep(started_at=started_at, origin="test")


def ids(database: HostDatabase, session_id: str) -> list[object]:
    rows = database.execute("SELECT id FROM messages WHERE session_id = ? ORDER BY id", session_id)
    return [number for (number,) in rows]


def errors(report: RestoreReport) -> str:
    return " ".join(str(failure.error) for failure in report.failures)


# -- what comes back ------------------------------------------------------------------------------------


def test_messages_come_back_and_search_finds_them(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    before = database.session("s1", ["alpha", "beta"]).session("s2", ["gamma"]).dump()
    archive.messages("s1")
    assert database.found("alpha") == []
    report = restore_all(site, "s1")
    assert database.dump() == before
    assert database.found("alpha") == database.found("alpha", "messages_fts_trigram") == [1]
    assert counts(report) == (0, 2, 0)
    assert (report.sessions, report.exit_code) == (1, ExitCode.DONE)
    assert not (site.path / "sessions" / "messages_s1.rows.jsonl").exists()


def test_every_value_comes_back_as_it_was(site: Home, newest: HostDatabase, archive: RowArchive) -> None:
    newest.session("s1", ["a\0b"], title=None, system_prompt="prompt")
    for value in ("CAST(x'ff00' AS TEXT)", "x'00ff'", "1e999", "-0.0", "9223372036854775807", "NULL", "''"):
        newest.execute(
            "INSERT INTO messages(session_id, role, content, reasoning, token_count, timestamp) "
            f"VALUES ('s1', 'tool', {value}, {value}, {value}, 1)"
        )
    typed = "SELECT id, typeof(content), hex(content), typeof(token_count), quote(token_count) FROM messages"
    before = newest.dump(), newest.execute(typed)
    archive.messages("s1")
    archive.record("s1")
    assert counts(restore_all(site, "s1")) == (1, 8, 0)
    assert (newest.dump(), newest.execute(typed)) == before


def test_record_comes_back_with_everything_that_went_with_it(
    site: Home, newest: HostDatabase, archive: RowArchive
) -> None:
    newest.session("s1", ["alpha"]).session("branch", parent_session_id="s1", model_config=BRANCHED % "s1")
    newest.insert("session_model_usage", {"session_id": "s1", "model": "m", "input_tokens": 7})
    newest.insert("state_meta", {"key": "goal:s1", "value": "win"})
    before = newest.dump()
    archive.all_of("s1")
    assert newest.execute("SELECT id, parent_session_id FROM sessions") == [("branch", None)]
    report = restore_all(site, "s1")
    assert newest.dump() == before
    assert {result.artifact.kind for result in report.results} == {"messages", "record"}


def test_record_that_is_still_there_gets_its_messages_only(
    site: Home, newest: HostDatabase, archive: RowArchive
) -> None:
    newest.session("s1", ["alpha"]).insert("state_meta", {"key": "goal:s1", "value": "win"})
    newest.insert(
        "compression_locks", {"session_id": "s1", "holder": "h", "acquired_at": 1.0, "expires_at": 2.0}
    )
    archive.messages("s1")
    newest.execute("DELETE FROM compression_locks")
    newest.execute("UPDATE state_meta SET value = 'another'")
    newest.execute("UPDATE sessions SET title = 'new'")
    before = newest.dump()
    report = restore_all(site, "s1")
    after = newest.dump()
    assert len(after.pop("messages")) == 1
    del before["messages"]
    assert after == before
    assert report.rows.notes == ()


def test_tool_output_comes_back_in_the_place_of_its_marker(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    before = database.session("s1", ["question", LONG]).dump()
    archive.tool_output("s1")
    assert counts(restore_all(site, "s1")) == (0, 0, 1)
    assert database.dump() == before


def test_tool_output_and_then_messages_both_come_back(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    before = database.session("s1", ["question", LONG, "more", LONG + "!"]).dump()
    archive.tool_output("s1", longer_than_bytes=len(LONG))
    archive.tool_output("s1")
    archive.all_of("s1")
    assert counts(restore_all(site, "s1")) == (1, 4, 2)
    assert database.dump() == before
    report = restore_all(site, "s1")
    assert counts(report) == (0, 0, 0)
    assert all(result.already_there for result in report.results)


def test_tool_output_of_a_session_that_is_gone_is_an_error_that_undo_gets_past(
    site: Home, database: HostDatabase, archive: RowArchive, tmp_path: Path
) -> None:
    database.session("s1", ["question", LONG])
    archive.sweep = begin(site, tool_output_archived=1)
    archive.tool_output("s1")
    database.execute("DELETE FROM messages")
    database.execute("DELETE FROM sessions")
    assert "no such session" in errors(restore(site, "s1"))
    export_sessions(site, ["s1"], tmp_path / "out")
    assert LONG in (tmp_path / "out" / "tool_output_s1.rows.jsonl").read_text()
    report = undo(site, undoable_sweeps(site, None, all_sweeps=False), now=NOW)
    assert report.exit_code is ExitCode.SOME_FAILED
    with pytest.raises(UsageError):
        undoable_sweeps(site, None, all_sweeps=False)


# -- several versions -------------------------------------------------------------------------------------


def test_removal_that_was_interrupted_and_continued_comes_back_whole(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    before = database.session("s1", list("abcdef")).dump()
    archive.interrupted_messages("s1", removed=3)
    archive.messages("s1")
    archive.record("s1")
    assert counts(restore_all(site, "s1")) == (1, 6, 0)
    assert database.dump() == before


def test_interrupted_removal_is_undone_before_it_is_continued(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    before = database.session("s1", list("abcdef")).dump()
    archive.interrupted_messages("s1", removed=3)
    assert counts(restore_all(site, "s1")) == (0, 3, 0)
    assert database.dump() == before


def test_session_that_went_on_after_its_messages_left_comes_back_whole(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    insert = "INSERT INTO messages(session_id, role, content, timestamp) VALUES ('s1', 'user', ?, 5)"
    database.session("s1", ["alpha", "beta"])
    archive.messages("s1")
    database.execute(insert, "gamma")
    archive.month = "2026-12"
    archive.messages("s1")
    database.execute(insert, "delta")
    restore_all(site, "s1")
    assert database.execute("SELECT id, content FROM messages ORDER BY id") == [
        (1, "alpha"),
        (2, "beta"),
        (3, "gamma"),
        (4, "delta"),
    ]


def test_clock_that_was_wrong_does_not_hide_what_was_archived_later(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    insert = "INSERT INTO messages(session_id, role, content, timestamp) VALUES ('s1', 'user', ?, 5)"
    database.session("s1", ["alpha", "beta"])
    site.workspace.create()
    archive.archived_at, archive.sweep = 4e9, begin_sweep(site, 4e9)
    archive.messages("s1")
    restore_all(site, "s1")
    database.execute(insert, "gamma")
    before = database.dump()
    archive.archived_at, archive.sweep = 1.8e9, begin_sweep(site, 1.8e9)
    archive.messages("s1")
    restore_all(site, "s1")
    assert database.dump() == before


def test_messages_that_the_host_deleted_do_not_come_back(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    database.session("s1", list("abcd"))
    archive.month = "2026-12"
    archive.copy_messages("s1")
    database.execute("DELETE FROM messages WHERE id > 2")
    archive.month = "2026-11"  # that of the newest message that is left
    archive.messages("s1")
    restore_all(site, "s1")
    assert ids(database, "s1") == [1, 2]


def test_record_is_the_one_that_was_archived_last(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    database.session("s1", ["alpha"], title="old")
    archive.messages("s1")
    database.execute("UPDATE sessions SET title = 'new'")
    archive.record("s1")
    restore_all(site, "s1")
    assert database.execute("SELECT title FROM sessions") == [("new",)]


# -- what hangs together ------------------------------------------------------------------------------------


def family(database: HostDatabase) -> HostDatabase:
    """Root, continued by next, which delegates to helper; a branch of next."""
    database.session("root", ["alpha"], end_reason="compression")
    database.session("next", ["beta", LONG], parent_session_id="root")
    database.session("helper", ["gamma"], parent_session_id="next", model_config=DELEGATED % "next")
    return database.session("branch", parent_session_id="next", model_config=BRANCHED % "next")


def test_session_brings_along_what_it_hangs_on(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    before = family(database).dump()
    archive.tool_output("next")
    archive.all_of("root", "next", "helper")
    assert database.execute("SELECT id FROM sessions") == [("branch",)]
    report = restore_all(site, "helper")
    assert database.dump() == before
    assert counts(report) == (3, 4, 1)
    assert report.sessions == 3
    assert len(report.rows.notes) == 2
    with site.workspace.ledger() as ledger:
        assert ledger.restored().keys() == {"helper", "next", "root"}


def test_session_leaves_what_hangs_on_it_in_the_archive(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    family(database)
    archive.all_of("root", "next", "helper")
    restore_all(site, "next")
    assert database.execute("SELECT id FROM sessions ORDER BY id") == [("branch",), ("next",), ("root",)]


def test_whole_family_comes_back_in_any_order(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    before = family(database).dump()
    archive.all_of("root", "next", "helper")
    report = restore_all(site, "helper", "root", "next")
    assert database.dump() == before
    assert len(report.results) == 6


@pytest.mark.parametrize("order", [("s1", "s2"), ("s2", "s1")])
def test_child_that_was_archived_after_its_parent_comes_back_below_it(
    site: Home, database: HostDatabase, archive: RowArchive, order: Sequence[str]
) -> None:
    database.session("s1").session("s2", ["alpha"], parent_session_id="s1", model_config=BRANCHED % "s1")
    before = database.dump()
    archive.all_of("s1", "s2")
    restore_all(site, *order)
    assert database.dump() == before


def test_child_comes_back_below_a_parent_that_left_twice(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    database.session("s1").session("s2", ["alpha"], parent_session_id="s1", model_config=BRANCHED % "s1")
    before = database.dump()
    archive.all_of("s1", "s2")
    restore_all(site, "s1")
    archive.all_of("s1")
    restore_all(site, "s2", "s1")
    assert database.dump() == before


def test_parent_that_nobody_has_is_left_out_and_told(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    database.session("s1").session("s2", ["alpha"], parent_session_id="s1")
    archive.all_of("s2")
    database.execute("DELETE FROM sessions")
    report = restore_all(site, "s2")
    assert database.execute("SELECT id, parent_session_id FROM sessions") == [("s2", None)]
    assert ids(database, "s2") == [1]
    (note,) = report.rows.notes
    assert "s2 came back without its link to s1" in note


def test_parent_that_may_be_in_a_damaged_month_is_waited_for(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    before = database.session("s1").session("s2", ["alpha"], parent_session_id="s1").dump()
    archive.all_of("s2")
    archive.month = "2026-12"
    archive.record("s1")
    month = site.workspace.vault.root / "2026-12.db"
    good = month.read_bytes()
    month.write_bytes(b"garbage " * 5000)
    assert restore(site, "s2").exit_code is ExitCode.VAULT_DAMAGED
    assert database.execute("SELECT count(*) FROM sessions") == [(0,)]
    month.write_bytes(good)
    restore_all(site, "s2")
    assert database.dump() == before


# -- what goes wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "what"),
    [
        ("INSERT INTO sessions(id, source, started_at) VALUES ('child', 'telegram', 5)", "session child"),
        (
            "INSERT INTO messages(id, session_id, role, timestamp) VALUES (2, 'other', 'user', 5)",
            "message 2",
        ),
    ],
)
def test_id_that_was_taken_meanwhile_changes_nothing_and_others_come_back(
    site: Home, database: HostDatabase, archive: RowArchive, taken: str, what: str
) -> None:
    database.session("parent", ["alpha"]).session("child", ["beta"], parent_session_id="parent")
    database.session("other").session("third", ["gamma"])
    archive.all_of("child", "parent", "third")
    database.execute(taken)
    before = database.dump()
    report = restore(site, "child")
    assert database.dump() == before
    assert isinstance(report.failures[0].error, RestoreConflict)
    assert what in errors(report)
    assert report.exit_code is ExitCode.SOME_FAILED
    report = restore(site, "child", "third")
    assert (report.sessions, ids(database, "third")) == (1, [3])


def test_restoring_twice_changes_nothing(site: Home, database: HostDatabase, archive: RowArchive) -> None:
    family(database)
    archive.all_of("root", "next", "helper")
    restore_all(site, "helper")
    before = database.dump()
    report = restore_all(site, "helper", "next", "root")
    assert database.dump() == before
    assert counts(report) == (0, 0, 0)
    assert all(result.already_there for result in report.results)
    assert report.exit_code is ExitCode.DONE


class Death(BaseException):
    pass


@pytest.mark.parametrize("swept", [False, True], ids=["", "after a sweep took what was back"])
@pytest.mark.parametrize("at", range(1, 8))
def test_restore_that_dies_is_completed_by_the_next(  # noqa: PLR0917 - fixtures
    site: Home,
    newest: HostDatabase,
    archive: RowArchive,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    swept: bool,  # noqa: FBT001 - a parameter
) -> None:
    newest.session("s1", [f"{number} {LONG}" for number in range(40)])
    newest.insert("state_meta", {"key": "goal:s1", "value": "win"})
    before = newest.dump()
    archive.tool_output("s1")
    archive.all_of("s1")
    count = 0
    begin = pacing.Turns._begin  # noqa: SLF001 - a death at any transaction

    def mortal(self: pacing.Turns) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise Death
        begin(self)

    with monkeypatch.context() as patch:
        patch.setattr(pacing.Turns, "_begin", mortal)
        try:
            restore(site, "s1")
        except Death:
            newest.check()
    if swept and ids(newest, "s1"):
        archive.tool_output("s1")
        archive.all_of("s1")
    restore_all(site, "s1")
    assert newest.dump() == before


def test_locked_database_is_an_error_and_files_come_back(
    home: HomeBuilder,
    site: Home,
    database: HostDatabase,
    archive: RowArchive,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pacing.Turns.__init__, "__kwdefaults__", {"wait_seconds": 0.1})
    database.session("s1", ["alpha"]).session("s2", ["beta"])
    archive.put_bytes("s1", ArtifactKind.SNAPSHOT, b"{}")
    archive.all_of("s1", "s2")
    before = database.dump()
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        report = restore(site, "s1", "s2")
    assert [type(failure.error) for failure in report.failures] == [StoreUnreadable] * 4
    assert "another process holds its lock" in errors(report)
    assert report.exit_code is ExitCode.SOME_FAILED
    assert len(os.listdir(home.files)) == 1
    assert database.dump() == before
    assert restore_all(site, "s1", "s2").sessions == 2


def _remove(path: Path) -> None:
    path.unlink()


def _damage(path: Path) -> None:
    path.write_bytes(b"garbage " * 5000)


@pytest.mark.parametrize(("harm", "said"), [(_remove, "restore --to DIR"), (_damage, "damaged")])
def test_database_that_cannot_be_used_is_an_error_for_its_rows(
    home: HomeBuilder, site: Home, harm: Callable[[Path], None], said: str
) -> None:
    archive = RowArchive(site, HostDatabase(home.path / "state.db").session("s1", ["alpha"]))
    archive.put_bytes("s1", ArtifactKind.SNAPSHOT, b"{}")
    archive.messages("s1")
    for path in home.path.glob("state.db*"):
        harm(path)
    report = restore(site, "s1")
    assert said in errors(report)
    assert [result.artifact.kind for result in report.failures] == ["messages"]
    assert len(os.listdir(home.files)) == 1
    assert (home.path / "state.db").exists() == (harm is _damage)


def test_damaged_copy_changes_nothing(
    home: HomeBuilder, site: Home, newest: HostDatabase, archive: RowArchive
) -> None:
    newest.session("s1", [f"{number} {LONG}" for number in range(8)]).session("s2", ["beta", LONG])
    archive.all_of("s1")
    archive.tool_output("s2")
    archive.all_of("s2")
    home.execute(
        "UPDATE artifacts SET sha256 = x'00' WHERE kind = 'tool_output' OR session = 1",
        database="retention/archive/2026-11.db",
    )
    report = restore(site, "s1", "s2")
    assert report.exit_code is ExitCode.VAULT_DAMAGED
    assert {type(failure.error) for failure in report.failures} == {FrameCorrupt}
    assert newest.execute("SELECT id FROM sessions") == [("s2",)]
    assert ids(newest, "s2") == [9, 10]  # with the marker: only the body is damaged
    assert newest.execute("SELECT count(*) FROM messages WHERE content LIKE ?", f"{MARKER}%") == [(1,)]


def test_error_of_the_archive_is_not_taken_for_one_of_the_database(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    database.session("s1", ["alpha"]).session("s2", ["beta"])
    archive.messages("s1")
    archive.month = "2026-12"
    archive.messages("s2")
    damage_table(site.workspace.vault.root / "2026-11.db", "frames")
    report = restore(site, "s1", "s2")
    assert "2026-11.db" in errors(report)
    assert (ids(database, "s1"), ids(database, "s2")) == ([], [2])
    assert report.exit_code is ExitCode.VAULT_DAMAGED


def test_rows_of_a_newer_format_are_refused(site: Home, database: HostDatabase, archive: RowArchive) -> None:
    database.session("s1", ["alpha"])
    archive.put_bytes("s1", ArtifactKind.MESSAGES, b'{"format":2,"table":"messages","columns":["id"]}\n')
    before = database.dump()
    assert "Install a newer hermes-retention" in errors(restore(site, "s1"))
    assert database.dump() == before


# -- undo ---------------------------------------------------------------------------------------------------


def begin(site: Home, **totals: int) -> str:
    site.workspace.create()
    with site.workspace.ledger() as ledger:
        sweep = ledger.begin_sweep(started_at=NOW, origin="test")
        ledger.finish_sweep(sweep, finished_at=NOW, totals=totals)
    return sweep


@pytest.mark.parametrize("total", ["tool_output_archived", "messages_archived", "records_archived"])
def test_sweep_that_archived_rows_can_be_undone(
    site: Home, database: HostDatabase, archive: RowArchive, total: str
) -> None:
    before = database.session("s1", ["question", LONG]).session("s2", ["beta"]).dump()
    begin(site, messages_archived=1)
    archive.tool_output("s1")
    archive.messages("s1")
    archive.sweep = begin(site, **{total: 1})
    archive.record("s1")
    begin(site, messages_archived=0, files_archived=0)
    (last,) = undoable_sweeps(site, None, all_sweeps=False)
    assert last.id == archive.sweep
    report = undo(site, [last], now=NOW)
    assert database.dump() == before  # with what earlier sweeps took of the same session
    assert (report.sessions, report.exit_code) == (1, ExitCode.DONE)
    assert archive.sweep not in {sweep.id for sweep in undoable_sweeps(site, None, all_sweeps=True)}


def test_undo_leaves_sessions_of_other_sweeps_in_the_archive(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    database.session("s1", ["alpha"]).session("s2", ["beta"])
    archive.messages("s1")
    archive.sweep = begin(site, messages_archived=1)
    archive.messages("s2")
    undo(site, undoable_sweeps(site, None, all_sweeps=False), now=NOW)
    assert (ids(database, "s1"), ids(database, "s2")) == ([], [2])


def test_undo_with_a_taken_id_can_be_tried_again(
    site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    database.session("s1", ["alpha"])
    archive.sweep = begin(site, records_archived=1)
    archive.all_of("s1")
    database.session("s1", source="telegram")
    sweeps = undoable_sweeps(site, None, all_sweeps=False)
    assert undo(site, sweeps, now=NOW).exit_code is ExitCode.SOME_FAILED
    database.execute("DELETE FROM sessions")
    assert undoable_sweeps(site, None, all_sweeps=False) == sweeps
    assert undo(site, sweeps, now=NOW).exit_code is ExitCode.DONE
    with pytest.raises(UsageError):
        undoable_sweeps(site, None, all_sweeps=False)


# -- elsewhere ----------------------------------------------------------------------------------------------


def test_export_writes_joined_rows_and_leaves_the_database_alone(
    site: Home, database: HostDatabase, archive: RowArchive, tmp_path: Path
) -> None:
    database.session("s1", ["question", LONG, "more"])
    archive.tool_output("s1")
    archive.interrupted_messages("s1", removed=2)
    archive.messages("s1")
    archive.record("s1")
    before = database.dump()
    report = export_sessions(site, ["s1"], tmp_path / "out")
    assert database.dump() == before
    assert report.exit_code is ExitCode.DONE
    names = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert names.keys() == {f"{kind}_s1.rows.jsonl" for kind in ("messages", "record", "tool_output")}
    items = list(decode([names["messages_s1.rows.jsonl"].read_bytes()]))
    assert [item.table for item in items if isinstance(item, Header)] == ["sessions", "messages"]
    assert [item[0] for item in items if not isinstance(item, Header)] == ["s1", 1, 2, 3]
    assert list(encode(chain(items))) == [names["messages_s1.rows.jsonl"].read_bytes()]
    assert {path.stat().st_mode & 0o777 for path in names.values()} == {0o600}
    again = export_sessions(site, ["s1"], tmp_path / "out")
    assert all(result.already_there for result in again.results)
    names["messages_s1.rows.jsonl"].write_bytes(b"mine")
    assert export_sessions(site, ["s1"], tmp_path / "out").exit_code is ExitCode.SOME_FAILED


def test_session_without_files_makes_no_folder_for_them(
    home: HomeBuilder, site: Home, database: HostDatabase, archive: RowArchive
) -> None:
    database.session("s1", ["alpha"])
    archive.messages("s1")
    home.files.rmdir()
    restore_all(site, "s1")
    assert not home.files.exists()
