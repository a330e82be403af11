"""``simulate`` on a home: what it says is what sweeps do, and it changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import DAY, HOUR, NOW, HomeBuilder
from program import run
from sites import snapshot_of


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    made = HomeBuilder(tmp_path / "home")
    for number in range(1, 40):
        made.session(
            f"202611{number:02}_080000_aaaaaaaa", age=number * DAY, messages=3, ended="session_expired"
        )
    return made


def test_today_is_what_a_sweep_leaves(home: HomeBuilder) -> None:
    answer = run(home, "simulate", "--days", "30", "--json").json
    (today,) = [one for one in answer["current"]["points"] if one["at"] == answer["now"]]
    (untouched,) = [one for one in answer["without"]["points"] if one["at"] == answer["now"]]
    assert answer["proposed"] is None
    assert untouched["files_bytes"] == run(home, "status", "--json").json["usage"]["sessions_bytes"]
    run(home, "sweep", "--yes")
    left = run(home, "status", "--json").json["usage"]
    assert today["files_bytes"] == left["sessions_bytes"]
    again = run(home, "simulate", "--days", "30", "--json").json
    files = [[one["files_bytes"] for one in it["current"]["points"]] for it in (answer, again)]
    assert files[0] == files[1], "what was archived is still part of the history"
    assert again["is_measured"]
    assert not answer["is_measured"]


def test_proposed_settings_are_compared(home: HomeBuilder) -> None:
    before = snapshot_of(home.files)
    result = run(
        home, "simulate", "--days", "20", "--set", "chat__files_after=never", "--set", "KEEP_FREE=off"
    )
    assert result.code == 0
    assert "  proposed: HERMES_RETENTION_CHAT__FILES_AFTER=never\n" in result.out
    assert "2026-11-20 today" in result.out
    assert "no sweeps" in result.out
    assert "is unknown, and\n  tool output counts as gone only with its messages.\n" in result.out
    arguments = ("simulate", "--json", "--set", "HERMES_RETENTION_CHAT__FILES_AFTER=never")
    answer = run(home, *arguments).json
    totals = [answer[it]["points"][-1]["files_bytes"] for it in ("current", "proposed", "without")]
    assert 0 < totals[0] <= totals[1] <= totals[2]
    assert run(home, *arguments).json["proposed"] == answer["proposed"]
    assert snapshot_of(home.files) == before
    assert not (home.path / "retention").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--set", "CRON__FILE_AFTER=1d"), "the nearest is HERMES_RETENTION_CRON__FILES_AFTER"),
        (("--set", "MIN_AGE=10"), "a number alone has no unit"),
        (("--set", "MIN_AGE"), "it is not NAME=VALUE"),
        (("--days", "0"), "is not a whole number of days from 1 to 3650"),
    ],
)
def test_wrong_settings_fail_as_settings_do(home: HomeBuilder, arguments: tuple[str, ...], text: str) -> None:
    result = run(home, "simulate", *arguments)
    assert result.code == 2
    assert text in result.err


def test_empty_home_has_an_empty_course(tmp_path: Path) -> None:
    answer = run(HomeBuilder(tmp_path / "home", database=False), "simulate", "--json").json
    assert {one["total_bytes"] for one in answer["current"]["points"]} == {0}


def test_damaged_month_is_told(home: HomeBuilder) -> None:
    run(home, "sweep", "--yes")
    (home.path / "retention" / "archive" / "2026-10.db").write_bytes(b"garbage")
    result = run(home, "simulate", "--days", "30", now=NOW + HOUR)
    assert result.code == 5
    assert "2026-10.db" in result.err
