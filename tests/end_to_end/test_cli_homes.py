"""Which home is meant, and homes that are not served."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import DAY, HomeBuilder
from program import run, run_bare

OLD = "20261010_080000_bbbbbbbb"


@pytest.fixture(autouse=True)
def _own_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "me").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "me"))


def openclaw(path: Path) -> Path:
    sessions = path / "agents" / "main" / "sessions"
    sessions.mkdir(parents=True)
    (sessions / "sessions.json").write_text("{}")
    return path


def listing(path: Path) -> list[Path]:
    return sorted(path.rglob("*"))


def test_usual_home_of_the_host_is_found(tmp_path: Path) -> None:
    HomeBuilder(tmp_path / "me" / ".hermes").session(OLD, age=40 * DAY)
    assert run_bare("sweep", "--json").json["home"] == str((tmp_path / "me" / ".hermes").resolve())


def test_variable_of_the_host_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    HomeBuilder(tmp_path / "elsewhere")
    monkeypatch.setenv("HERMES_HOME", str(tmp_path / "elsewhere"))
    assert run_bare("status", "--json").json["home"] == str((tmp_path / "elsewhere").resolve())


def test_option_wins_over_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMES_HOME", str(tmp_path / "nowhere"))
    assert run(HomeBuilder(tmp_path / "here"), "status").code == 0


def test_home_may_be_named_by_a_link_and_with_a_tilde(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "here")
    (tmp_path / "me" / "link").symlink_to(home.path)
    assert run_bare("--home", "~/link", "status", "--json").json["home"] == str(home.path.resolve())


@pytest.mark.parametrize("command", ["sweep", "status", "settings", "undo"])
def test_missing_home_is_wrong_usage(tmp_path: Path, command: str) -> None:
    result = run(tmp_path / "nowhere", command)
    assert result.code == 2
    assert "there is no such directory" in result.err
    assert "--home DIR" in result.err
    assert not (tmp_path / "nowhere").exists()


def test_directory_without_sessions_of_a_host_is_left_alone(tmp_path: Path) -> None:
    result = run(tmp_path / "me", "sweep", "--yes")
    assert result.code == 4
    assert listing(tmp_path / "me") == []


def test_home_of_which_only_the_archive_is_left_stays_within_reach(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(OLD, age=40 * DAY)
    run(home, "sweep", "--yes")
    for path in [*home.path.glob("state.db*")]:
        path.unlink()
    home.files.rmdir()
    assert run(home, "restore", OLD).code == 0
    assert (home.files / f"session_{OLD}.json").exists()


@pytest.mark.parametrize("store", ["auto", "openclaw"])
def test_openclaw_is_recognised_and_served(tmp_path: Path, store: str) -> None:
    home = openclaw(tmp_path / "claw")
    result = run(home, "--store", store, "sweep", "--yes", "--json")
    assert (result.code, result.json["home"]) == (0, str(home.resolve()))


@pytest.mark.parametrize("name", [".openclaw", ".clawdbot", ".moltbot"])
def test_openclaw_is_found_where_it_usually_is(tmp_path: Path, name: str) -> None:
    home = openclaw(tmp_path / "me" / name)
    for arguments in (["sweep", "--json"], ["--store", "openclaw", "sweep", "--json"]):
        assert run_bare(*arguments).json["home"] == str(home.resolve())


@pytest.mark.parametrize("variable", ["OPENCLAW_STATE_DIR", "CLAWDBOT_STATE_DIR", "MOLTBOT_STATE_DIR"])
def test_openclaw_is_found_where_a_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    openclaw(tmp_path / "me" / ".openclaw")
    home = openclaw(tmp_path / "elsewhere")
    monkeypatch.setenv(variable, str(home))
    for arguments in (["sweep", "--json"], ["--store", "openclaw", "sweep", "--json"]):
        assert run_bare(*arguments).json["home"] == str(home.resolve())


def test_openclaw_is_not_looked_for_beside_a_hermes_home(tmp_path: Path) -> None:
    openclaw(tmp_path / "me" / ".openclaw")
    HomeBuilder(tmp_path / "me" / ".hermes")
    assert run_bare("status").code == 0


@pytest.mark.parametrize("store", ["auto", "openclaw"])
@pytest.mark.parametrize("name", ["state/openclaw.sqlite", "agents/main/agent/openclaw-agent.sqlite"])
@pytest.mark.parametrize("command", [["sweep", "--yes"], ["prestart", "--yes"], ["status"]])
def test_new_openclaw_is_told_to_look_after_itself(
    tmp_path: Path, store: str, name: str, command: list[str]
) -> None:
    home = openclaw(tmp_path / "claw")
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_bytes(b"")
    before = listing(home)
    result = run(home, "--store", store, *command)
    assert result.code == 4
    assert result.err.count("\n") == 1
    assert "OpenClaw 2026.8 and newer keeps sessions in SQLite databases" in result.err
    assert listing(home) == before


def test_openclaw_asked_for_where_there_is_none(tmp_path: Path) -> None:
    result = run(HomeBuilder(tmp_path / "home"), "--store", "openclaw", "sweep")
    assert result.code == 4
    assert "no OpenClaw sessions lie there" in result.err
