"""``forget`` as people type it."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import DAY, HomeBuilder
from program import aged, run, type_at

OLD, OTHER = "20261010_080000_bbbbbbbb", "20261105_090000_cccccccc"


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """An archived session of Ann, and one of Bob."""
    builder = HomeBuilder(tmp_path / "home")
    builder.session(OLD, age=120 * DAY, user_id="ann").session(OTHER, age=15 * DAY, user_id="bob")
    assert run(builder, "sweep", "--yes").code == 0
    return builder


def test_dry_run_lists_what_would_go(home: HomeBuilder) -> None:
    result = run(home, "forget", "--user", "ann", "--dry-run")
    assert (result.code, OLD in result.out, OTHER in result.out) == (0, True, False)
    assert "This is a dry run: nothing was removed." in result.out
    assert run(home, "archive", "show", OLD).code == 0


def test_it_asks_and_without_a_terminal_needs_yes(home: HomeBuilder) -> None:
    assert run(home, "forget", OLD).code == 2
    assert run(home, "archive", "show", OLD).code == 0


def test_receipt_and_no_way_back(home: HomeBuilder) -> None:
    result = run(home, "forget", OLD, "--yes")
    assert (result.code, result.err) == (0, "")
    assert "1 session forgotten: 0 files, messages and records of 1, archived copies of 1" in result.out
    assert run(home, "restore", OLD).code == 2
    assert run(home, "undo", "--all", "--yes").code == 0
    assert run(home, "search", "--live", "hello", "--json").json["sessions"][0]["session_id"] == OTHER
    assert "forgotten: a person asked for it" in run(home, "explain", OLD).out


def test_receipt_as_json(home: HomeBuilder) -> None:
    assert run(home, "forget", OLD, "--json").code == 2
    assert run(home, "forget", OLD, "--json", "--dry-run").json["sessions"][0]["session_id"] == OLD
    answer = run(home, "forget", OLD, "--json", "--yes").json
    assert (answer["sessions"], answer["archived"], answer["free_pages_cleared"]) == (1, 1, True)


@pytest.mark.parametrize("arguments", [(), ("--platform", "telegram"), (OLD[:10],)])
def test_what_is_not_clear_is_wrong_usage(home: HomeBuilder, arguments: tuple[str, ...]) -> None:
    assert run(home, "forget", *arguments, "--yes").code == 2


def test_no_at_the_question_changes_nothing(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(OLD, age=aged(41 * DAY), user_id="ann")
    result = type_at("--home", str(home.path), "forget", OLD, answer="n\n")
    assert "Forget 1 session for good? [y/N]" in result.out
    assert (home.files / f"session_{OLD}.json").exists()


def test_status_tells_of_it(home: HomeBuilder) -> None:
    run(home, "forget", OLD, "--yes")
    (line,) = [line for line in run(home, "status").out.splitlines() if " forget " in line]
    assert line.endswith("1 forgotten")
