"""``archive``: look into the vault, check it, take from it, remove from it."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from homes import DAY, HomeBuilder
from program import aged, run, type_at
from sites import snapshot_of

from hermes_retention.home.workspace import Workspace

OLD, OTHER, CRON = "20261010_080000_bbbbbbbb", "20261105_090000_cccccccc", "cron_news_20261015_080000"


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """Three archived sessions in two months; their originals are gone."""
    builder = (
        HomeBuilder(tmp_path / "home")
        .session(OLD, age=41 * DAY, title="A trip to Lisbon", files=("snapshot", "transcript"))
        .session(OTHER, age=15 * DAY)
        .session(CRON, source="cron", ended="cron_complete", age=36 * DAY, files=("snapshot",))
    )
    for day in (16, 17, 18):
        name = f"cron_news_202611{day}_080000"
        builder.session(name, source="cron", ended="cron_complete", age=(20 - day) * DAY, files=())
    run(builder, "sweep", "--yes")
    return builder


def break_partition(home: HomeBuilder, name: str) -> None:
    (home.path / "retention" / "archive" / f"{name}.db").write_bytes(b"garbage")


def test_list_shows_every_session_newest_first(home: HomeBuilder) -> None:
    result = run(home, "archive", "list")
    assert result.code == 0
    found = re.findall(r"^  (\S+) +(chat|cron) ", result.out, re.MULTILINE)
    assert found == [(OTHER, "chat"), (CRON, "cron"), (OLD, "chat")]
    assert "A trip to Lisbon" in result.out
    assert "3 sessions, " in result.out


def test_list_of_a_class_only(home: HomeBuilder) -> None:
    sessions = run(home, "archive", "list", "--class", "cron", "--json").json["sessions"]
    assert [one["session_id"] for one in sessions] == [CRON]


def test_list_as_json(home: HomeBuilder) -> None:
    answer = run(home, "archive", "list", "--json").json
    assert answer["format"] == 1
    last = answer["sessions"][-1]
    assert (last["session_id"], last["class"], last["title"]) == (OLD, "chat", "A trip to Lisbon")
    assert last["size"] == 4
    assert last["stored"] > 0
    assert last["partitions"] == ["2026-10"]


def test_empty_archive(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "empty")
    assert "The archive is empty" in run(home, "archive", "list").out
    assert "no such session" in run(home, "archive", "list", "--class", "cron").out
    result = run(home, "archive", "verify")
    assert (result.code, result.out) == (0, "The archive is empty: there is nothing to verify.\n")
    assert not (home.path / "retention").exists()


def test_damaged_month_hides_only_its_own(home: HomeBuilder) -> None:
    break_partition(home, "2026-10")
    result = run(home, "archive", "list")
    assert result.code == 5
    assert OTHER in result.out
    assert "2026-10.db" in result.err
    assert run(home, "archive", "show", OTHER).code == 5
    assert run(home, "archive", "show", OLD).code == 5


def test_show_names_every_file_with_its_checksum(home: HomeBuilder) -> None:
    text = run(home, "archive", "show", OLD[:12]).out
    assert f"session_{OLD}.json" in text
    assert f"{OLD}.jsonl" in text
    assert "title: A trip to Lisbon" in text
    answer = run(home, "archive", "show", OLD, "--json").json
    assert {one["kind"] for one in answer["artifacts"]} == {"snapshot", "transcript"}
    assert all(len(one["sha256"]) == 64 for one in answer["artifacts"])
    assert answer["source"] == "telegram"


def test_verify_reads_everything_back(home: HomeBuilder) -> None:
    result = run(home, "archive", "verify")
    assert result.code == 0
    assert result.out == "2026-10  ok\n2026-11  ok\n2 partitions read back whole.\n"


def test_verify_names_what_is_damaged(home: HomeBuilder) -> None:
    with closing(sqlite3.connect(home.path / "retention" / "archive" / "2026-11.db")) as database, database:
        database.execute("UPDATE artifacts SET sha256 = zeroblob(32)")
    result = run(home, "archive", "verify")
    assert result.code == 5
    assert "2026-10  ok" in result.out
    assert re.search(rf"2026-11  DAMAGED .*{OTHER}", result.out)
    assert "1 of 2 partitions damaged" in result.out


def test_export_writes_into_the_current_directory(
    home: HomeBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run(home, "archive", "export", OLD).code == 0
    assert set(snapshot_of(tmp_path / "here")) == {f"session_{OLD}.json".encode(), f"{OLD}.jsonl".encode()}
    assert run(home, "archive", "export", OTHER, "--to", "there").code == 0
    assert len(list((tmp_path / "here" / "there").iterdir())) == 1


def test_remove_is_final_and_noted(home: HomeBuilder) -> None:
    result = run(home, "archive", "remove", OLD, "--yes")
    assert result.code == 0
    assert "final" in result.out
    assert "1 session removed from the archive" in result.out
    assert run(home, "restore", OLD).code == 2
    assert run(home, "archive", "verify").code == 0
    assert "removed by a person" in run(home, "explain", OLD).out


def test_remove_takes_whole_ids_only(home: HomeBuilder) -> None:
    result = run(home, "archive", "remove", OLD[:12], "--yes")
    assert result.code == 2
    assert OLD in result.err
    assert run(home, "archive", "show", OLD).code == 0


def test_held_session_is_not_removed(home: HomeBuilder) -> None:
    run(home, "hold", "add", OLD, "--reason", "for the audit")
    result = run(home, "archive", "remove", OTHER, OLD, "--yes")
    assert result.code == 2
    assert "it is held (for the audit)" in result.err
    assert len(run(home, "archive", "list", "--json").json["sessions"]) == 3


def test_remove_without_a_terminal_needs_yes(home: HomeBuilder) -> None:
    result = run(home, "archive", "remove", OLD)
    assert result.code == 2
    assert "--yes" in result.err
    assert len(run(home, "archive", "list", "--json").json["sessions"]) == 3


@pytest.mark.parametrize(("answer", "left"), [("n\n", 3), ("y\n", 2)])
def test_remove_asks_on_a_terminal(home: HomeBuilder, answer: str, left: int) -> None:
    result = type_at("archive", "remove", OLD, "--home", str(home.path), answer=answer)
    assert result.code == 0
    assert "for good?" in result.out
    assert len(run(home, "archive", "list", "--json").json["sessions"]) == left


def test_remove_waits_for_nobody(home: HomeBuilder) -> None:
    with Workspace(home.path).locked():
        assert run(home, "archive", "remove", OLD, "--yes").code == 3
    assert run(home, "archive", "show", OLD).code == 0


def test_ages_of_other_clocks_are_no_matter(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "late").session(OLD, age=aged(40 * DAY))
    assert run(home, "archive", "list").code == 0
