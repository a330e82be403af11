"""``hold``: what a person wants kept stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import DAY, HomeBuilder
from program import run

from hermes_retention.home.workspace import Workspace

OLD = "20261010_080000_bbbbbbbb"


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """A home with one session that is due."""
    return HomeBuilder(tmp_path / "home").session(OLD, age=40 * DAY)


def test_held_session_is_kept_and_says_why(home: HomeBuilder) -> None:
    assert run(home, "hold", "add", OLD, "--reason", "for the audit").code == 0
    answer = run(home, "sweep", "--yes", "--all", "--json").json
    assert [(step["rule"], step["reason"]) for step in answer["steps"]] == [("held", "held: for the audit")]


def test_list_shows_since_when_and_why(home: HomeBuilder) -> None:
    assert run(home, "hold", "list").out == "Nothing is held.\n"
    run(home, "hold", "add", OLD, "--reason", "for the [bold]audit")
    out = run(home, "hold", "list").out
    assert OLD in out
    assert "for the [bold]audit" in out
    assert "2026-11-20 12:00Z" in out


def test_reason_may_hold_any_byte(home: HomeBuilder) -> None:
    assert run(home, "hold", "add", OLD, "--reason", "for \udcff").code == 0
    assert r"for \xff" in run(home, "hold", "list").out


def test_removed_hold_lets_go(home: HomeBuilder) -> None:
    run(home, "hold", "add", OLD)
    assert run(home, "hold", "remove", OLD).code == 0
    assert run(home, "sweep", "--yes", "--json").json["counts"]["files_archived"] == 1


def test_unknown_session_cannot_be_held(home: HomeBuilder) -> None:
    result = run(home, "hold", "add", OLD[:12])
    assert result.code == 2
    assert "neither the store nor the archive has it" in result.err
    assert OLD in result.err
    assert not (home.path / "retention").exists()


def test_archived_session_can_be_held(home: HomeBuilder) -> None:
    run(home, "sweep", "--yes")
    home.execute("DELETE FROM sessions")
    assert run(home, "hold", "add", OLD).code == 0


def test_letting_go_of_what_is_not_held_is_wrong_usage(home: HomeBuilder) -> None:
    assert run(home, "hold", "remove", OLD).code == 2


def test_hold_during_a_sweep_is_refused(home: HomeBuilder) -> None:
    with Workspace(home.path).locked():
        assert run(home, "hold", "add", OLD).code == 3
    assert run(home, "hold", "list").out == "Nothing is held.\n"


def test_unreadable_holds_stop_every_sweep(home: HomeBuilder) -> None:
    run(home, "hold", "add", OLD)
    (home.path / "retention" / "holds.json").write_text("{")
    result = run(home, "sweep", "--yes")
    assert result.code == 4
    assert "holds.json" in result.err
    assert (home.files / f"session_{OLD}.json").exists()
