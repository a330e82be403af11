"""Before the very first removal on a home a person has a say; and what a terminal shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import DAY, HomeBuilder
from program import aged, run, start, type_at

OLD = "20261010_080000_bbbbbbbb"
SNAPSHOT = f"session_{OLD}.json"


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """A home with one session that is due, in real time as well as at ``NOW``."""
    return HomeBuilder(tmp_path / "home").session(OLD, age=max(40 * DAY, aged(40 * DAY)))


def is_there(home: HomeBuilder) -> bool:
    return (home.files / SNAPSHOT).exists()


def test_without_a_terminal_the_first_sweep_only_reports(home: HomeBuilder) -> None:
    result = run(home, "sweep")
    assert result.code == 0
    assert is_there(home)
    assert "to archive" in result.out
    assert "--yes" in result.out
    assert "HERMES_RETENTION_MODE=enforce" in result.out
    assert not (home.path / "retention").exists()


def test_without_a_terminal_json_says_why_nothing_was_removed(home: HomeBuilder) -> None:
    answer = run(home, "sweep", "--json").json
    assert answer["dry_run"] is True
    assert answer["counts"]["files_archived"] == 1
    assert "first sweep" in answer["warnings"][0]
    assert is_there(home)


def test_enforce_is_a_word_given_beforehand(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMES_RETENTION_MODE", "enforce")
    assert run(home, "sweep").code == 0
    assert not is_there(home)


def test_later_sweeps_do_not_ask(home: HomeBuilder) -> None:
    run(home, "sweep", "--yes")
    home.session("20261011_080000_cccccccc", age=40 * DAY)
    assert run(home, "sweep").code == 0
    assert not (home.files / "session_20261011_080000_cccccccc.json").exists()


def test_first_sweep_with_nothing_due_is_no_dry_run(tmp_path: Path) -> None:
    answer = run(HomeBuilder(tmp_path / "home"), "sweep", "--json").json
    assert answer["dry_run"] is False
    assert answer["warnings"] == []


def test_on_a_terminal_no_is_the_default(home: HomeBuilder) -> None:
    for answer in ("\n", "n\n", "\x04"):
        result = type_at("sweep", "--home", str(home.path), answer=answer)
        assert result.code == 0
        assert "to archive" in result.out
        assert "undo" in result.out
        assert "Nothing was removed." in result.out
        assert is_there(home)


def test_on_a_terminal_yes_goes_on(home: HomeBuilder) -> None:
    result = type_at("sweep", "--home", str(home.path), answer="y\n")
    assert result.code == 0
    assert "archived" in result.out
    assert not is_there(home)
    assert "[y/N]" not in type_at("sweep", "--home", str(home.path)).out


def test_json_never_asks_even_on_a_terminal(home: HomeBuilder) -> None:
    result = type_at("sweep", "--json", "--home", str(home.path))
    assert "[y/N]" not in result.out
    assert result.json["dry_run"] is True


def test_terminal_shows_colours_and_a_bar(home: HomeBuilder) -> None:
    shown = type_at("sweep", "--yes", "--home", str(home.path)).out
    assert "\x1b[" in shown
    assert "Archiving" in shown


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_escape_where_none_is_welcome(home: HomeBuilder, environ: dict[str, str]) -> None:
    result = type_at("sweep", "--yes", "--home", str(home.path), environ=environ)
    assert result.code == 0
    assert "\x1b" not in result.out
    assert "archived" in result.out


def test_lines_of_a_pipe_hold_no_escape_and_are_not_cut(home: HomeBuilder) -> None:
    result = start("sweep", "--dry-run", "--all", "--home", str(home.path))
    assert "\x1b" not in result.out
    assert OLD in result.out


def test_narrow_terminal_cuts_names_in_their_middle(home: HomeBuilder) -> None:
    result = type_at(
        "sweep", "--dry-run", "--all", "--home", str(home.path), columns=60, environ={"NO_COLOR": "1"}
    )
    assert OLD not in result.out
    assert "…" in result.out
    rows = [line for line in result.out.splitlines() if line.startswith("  files")]
    assert rows
    assert all(len(line) <= 60 for line in rows)
