"""``prune``: a one-off with an age of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import DAY, HOUR, HomeBuilder
from program import aged, run, type_at

CHAT, CLI, FRESH = "20261118_080000_bbbbbbbb", "20261118_080000_cccccc", "20261120_080000_dddddddd"
KEY = "agent:main:telegram:dm:1"


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """Two sessions that are over since two days, one since four hours, and a live one with an old dump."""
    return (
        HomeBuilder(tmp_path / "home")
        .session(CHAT, age=2 * DAY, ended="session_expired")
        .session(CLI, source="cli", age=2 * DAY, ended="cli_close")
        .session(FRESH, age=4 * HOUR, ended="session_reset")
        .session(
            "20261001_080000_eeeeeeee", age=30 * DAY, ended=None, key=KEY, files=("snapshot", "request_dump")
        )
        .route(KEY, "20261001_080000_eeeeeeee", age=30 * DAY)
    )


def left(home: HomeBuilder) -> set[str]:
    return {path.name for path in home.files.glob("session_*.json")}


def test_prune_takes_what_is_older_and_over(home: HomeBuilder) -> None:
    result = run(home, "prune", "--older-than", "1d", "--yes")
    assert result.code == 0
    assert "MIN_AGE keep" in result.out
    assert left(home) == {f"session_{FRESH}.json", "session_20261001_080000_eeeeeeee.json"}
    assert len(list(home.files.glob("request_dump_*"))) == 1
    assert "hermes-retention undo" in result.out


def test_superseded_session_waits_for_the_age_of_this_run(home: HomeBuilder) -> None:
    run(home, "prune", "--older-than", "1d", "--yes")
    assert f"session_{FRESH}.json" in left(home)
    run(home, "prune", "--older-than", "3h", "--yes")
    assert f"session_{FRESH}.json" not in left(home)


def test_only_the_chosen_classes(home: HomeBuilder) -> None:
    run(home, "prune", "--older-than", "1d", "--class", "cli", "--class", "cron", "--yes")
    assert f"session_{CLI}.json" not in left(home)
    assert f"session_{CHAT}.json" in left(home)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ((), "In this run FILES_AFTER is 1 d for every class."),
        (("--class", "cron"), "In this run FILES_AFTER is 1 d for cron and never for every other class."),
    ],
)
def test_it_says_what_files_after_means_this_time(
    home: HomeBuilder, chosen: tuple[str, ...], said: str
) -> None:
    assert said in run(home, "prune", "--older-than", "1d", "--dry-run", *chosen).out


def test_dry_run_changes_nothing(home: HomeBuilder) -> None:
    before = left(home)
    result = run(home, "prune", "--older-than", "1d", "--dry-run")
    assert result.code == 0
    assert "to archive" in result.out
    assert "this is a dry run" in result.out
    assert left(home) == before


def test_without_a_terminal_it_needs_yes(home: HomeBuilder) -> None:
    before = left(home)
    result = run(home, "prune", "--older-than", "1d")
    assert result.code == 2
    assert "--yes" in result.err
    assert left(home) == before


@pytest.mark.parametrize(("answer", "goes"), [("y\n", True), ("n\n", False)])
def test_it_asks_on_a_terminal(tmp_path: Path, answer: str, goes: bool) -> None:  # noqa: FBT001 - a fact of the case
    home = HomeBuilder(tmp_path / "home").session(CHAT, age=aged(2 * DAY), ended="session_expired")
    result = type_at("prune", "--older-than", "1d", "--home", str(home.path), answer=answer)
    assert result.code == 0
    assert "Remove the files of 1 session from the store?" in result.out
    assert (left(home) == set()) is goes


def test_removal_for_good_is_named(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMES_RETENTION_CLI__ARCHIVE", "false")
    result = run(home, "prune", "--older-than", "1d", "--class", "cli", "--yes")
    assert "1 session would be deleted for good" in result.out
    assert left(home) >= {f"session_{CHAT}.json"}
    assert f"session_{CLI}.json" not in left(home)


@pytest.mark.parametrize(("mode", "said"), [("observe", "MODE is observe"), ("off", "MODE is off")])
def test_mode_holds_for_prune_as_well(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch, mode: str, said: str
) -> None:
    monkeypatch.setenv("HERMES_RETENTION_MODE", mode)
    before = left(home)
    result = run(home, "prune", "--older-than", "1d", "--yes")
    assert result.code == 0
    assert said in result.out
    assert left(home) == before


def test_nothing_old_enough(home: HomeBuilder) -> None:
    result = run(home, "prune", "--older-than", "52w")
    assert result.code == 0
    assert "Nothing is older than 364 d and free to go." in result.out


@pytest.mark.parametrize("age", ["3", "never", "-1d", "1y"])
def test_age_needs_a_unit(home: HomeBuilder, age: str) -> None:
    result = run(home, "prune", f"--older-than={age}", "--yes")
    assert result.code == 2
    assert "such as 90s, 30m, 12h, 7d or 2w" in result.err
