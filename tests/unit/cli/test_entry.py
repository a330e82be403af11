"""Every failure becomes one line and an exit code; a traceback is a bug."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from homes import HomeBuilder
from program import Result, run, run_bare

from hermes_retention.model.errors import ExitCode, RetentionError

if TYPE_CHECKING:
    from pytest_mock import MockerFixture


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """An empty home."""
    return HomeBuilder(tmp_path / "home")


def failing(mocker: MockerFixture, home: HomeBuilder, error: BaseException, *options: str) -> Result:
    """What ``status`` answers when ``error`` comes out of the middle of it."""
    mocker.patch("hermes_retention.actions.inspect.status.take_status", side_effect=error)
    return run(home, "status", *options)


def test_unforeseen_error_asks_for_a_report_and_repeats_no_content(
    mocker: MockerFixture, home: HomeBuilder
) -> None:
    result = failing(mocker, home, KeyError("a piece of a conversation"))
    assert result.code == ExitCode.SOME_FAILED
    assert result.err.count("\n") == 1
    assert "KeyError" in result.err
    assert "report" in result.err
    assert "-v" in result.err
    assert "conversation" not in result.err


def test_verbose_shows_the_traceback(mocker: MockerFixture, home: HomeBuilder) -> None:
    result = failing(mocker, home, KeyError("x"), "-v")
    assert result.code == 1
    assert "Traceback" in result.err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/some/where"), "/some/where: permission denied"),
        (OSError(28, "No space left on device"), "the operating system: no space left on device"),
        (sqlite3.OperationalError("disk I/O error"), "a database: disk i/o error"),
        (RetentionError("thing", "cause", consequence="state", cure="Cure."), "thing: cause; state. Cure."),
    ],
)
def test_refusals_of_the_system_are_said_in_its_words(
    mocker: MockerFixture, home: HomeBuilder, error: Exception, said: str
) -> None:
    result = failing(mocker, home, error)
    assert result.code == 1
    assert result.err.startswith(f"hermes-retention: {said}")
    assert result.err.count("\n") == 1


def test_error_is_an_object_for_whom_json_was_promised(mocker: MockerFixture, home: HomeBuilder) -> None:
    result = failing(mocker, home, KeyError("x"), "--json")
    assert result.json["error"]["exit_code"] == result.code == 1
    assert result.err.startswith("hermes-retention: ")


def test_interrupt_says_that_nothing_is_lost(mocker: MockerFixture, home: HomeBuilder) -> None:
    result = failing(mocker, home, KeyboardInterrupt())
    assert result.code == 130
    assert "nothing is lost" in result.err


def test_reader_that_went_away_is_no_error(mocker: MockerFixture, home: HomeBuilder) -> None:
    result = failing(mocker, home, BrokenPipeError())
    assert result.code == 141
    assert result.err == ""


def test_unsupported_system_is_told_before_anything_else(mocker: MockerFixture, tmp_path: Path) -> None:
    mocker.patch("hermes_retention.disk.directories.sys.platform", "win32")
    result = run(tmp_path / "nowhere", "sweep", "--yes")
    assert result.code == 2
    assert "win32" in result.err
    assert "nothing was touched" in result.err


def test_characters_that_a_terminal_lacks_are_escaped(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        from hermes_retention.cli import main

        home.file("räksmörgås.txt")
        assert main(["--home", str(home.path), "sweep", "--dry-run"]) == 0
    assert "r\\xe4ksm\\xf6rg\\xe5s.txt" in (tmp_path / "out").read_text()


def test_help_of_nothing_leaves_no_home_behind() -> None:
    assert run_bare("--help").code == 0


def test_exit_codes_are_numbers_in_json(mocker: MockerFixture, home: HomeBuilder) -> None:
    result = failing(mocker, home, RetentionError("a", "b"), "--json")
    assert json.loads(result.out)["error"]["exit_code"] == 1
