"""``compact`` on the command line."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from homes import HomeBuilder
from program import run

from hermes_retention.model.errors import ExitCode


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """A home whose database is mostly free pages."""
    home = HomeBuilder(tmp_path / "home")
    home.execute("CREATE TABLE ballast(content)")
    home.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) "
        "INSERT INTO ballast SELECT randomblob(8192) FROM n"
    )
    return home.execute("DELETE FROM ballast")


def size(home: HomeBuilder) -> int:
    return (home.path / "state.db").stat().st_size


def test_dry_run_says_what_is_free_and_changes_nothing(home: HomeBuilder) -> None:
    before = (home.path / "state.db").read_bytes()
    done = run(home, "compact", "--dry-run")
    assert done.code == ExitCode.DONE
    assert "of it free" in done.out
    assert "nothing was changed" in done.out
    assert (home.path / "state.db").read_bytes() == before


def test_free_pages_go_back_to_the_disk(home: HomeBuilder) -> None:
    before = size(home)
    done = run(home, "compact", "--json")
    assert done.code == ExitCode.DONE
    assert done.json["compacted"]
    assert done.json["bytes_before"] == before
    assert done.json["bytes_after"] == size(home) < before / 4


def test_it_is_not_worth_it_below_the_share_that_was_asked_for(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = size(home)
    monkeypatch.setenv("HERMES_RETENTION_COMPACT_ABOVE", "100%")
    assert "Not worth it below 100%" in run(home, "compact").out
    assert size(home) == before
    assert "freed" in run(home, "compact", "--above", "0.1").out


@pytest.mark.parametrize("share", ["10", "x%", "101%", "-5%", "", "nan", "5%%"])
def test_share_that_is_none_is_refused(home: HomeBuilder, share: str) -> None:
    done = run(home, "compact", f"--above={share}")
    assert done.code == ExitCode.USAGE
    assert "is not a share such as 25% or 0.25" in " ".join(done.err.split())


def test_open_database_is_left_alone(home: HomeBuilder) -> None:
    before = size(home)
    with closing(sqlite3.connect(home.path / "state.db")) as other:
        other.execute("SELECT count(*) FROM sessions").fetchone()
        done = run(home, "compact")
    assert done.code == ExitCode.BUSY
    assert "state.db" in done.err
    assert size(home) == before


def test_before_the_gateway_starts_it_compacts_only_when_asked_to(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = size(home)
    assert "COMPACT_ON_START is not set" in run(home, "prestart").out
    monkeypatch.setenv("HERMES_RETENTION_COMPACT_ON_START", "true")
    for changes_nothing in ("observe", "off"):
        monkeypatch.setenv("HERMES_RETENTION_MODE", changes_nothing)
        assert run(home, "prestart").code == ExitCode.DONE
    monkeypatch.delenv("HERMES_RETENTION_MODE")
    assert "dry run" in run(home, "prestart", "--dry-run").out
    assert size(home) == before
    assert "freed" in run(home, "prestart").out
    assert size(home) < before / 4


def test_before_the_gateway_starts_a_database_in_use_stays(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = size(home)
    monkeypatch.setenv("HERMES_RETENTION_COMPACT_ON_START", "true")
    with closing(sqlite3.connect(home.path / "state.db")) as database:
        database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        done = run(home, "prestart")
    assert done.code == ExitCode.BUSY
    assert size(home) == before
