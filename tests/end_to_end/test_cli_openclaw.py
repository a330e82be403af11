"""The command line on homes of the OpenClaw family."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from homes import DAY, HOUR, MINUTE, HomeBuilder
from openclaw_homes import OpenClawHome
from program import run


@pytest.fixture
def home(tmp_path: Path) -> OpenClawHome:
    return OpenClawHome(tmp_path / "claw")


def keys(home: OpenClawHome) -> list[str]:
    return [key.split(":")[2] for key in home.read()]


def test_defaults_are_those_of_this_host(home: OpenClawHome) -> None:
    """Each kind on both sides of its age, and what never goes by itself."""
    kept = [
        home.session("main", age=400 * DAY),
        home.session("hook", age=50 * MINUTE),
        home.session("run", age=23 * HOUR),
        home.session("subagent", age=23 * HOUR),
        *(home.session(kind, age=400 * DAY) for kind in ("direct", "group", "dashboard")),
        home.session("something:new", age=400 * DAY),
        *(home.session(kind, age=6 * DAY, status="failed") for kind in ("hook", "run", "subagent")),
    ]
    gone = [
        home.session("hook", age=70 * MINUTE),
        home.session("run", age=25 * HOUR),
        home.session("cron", age=25 * HOUR),
        home.session("subagent", age=25 * HOUR),
        *(home.session(kind, age=8 * DAY, status="failed") for kind in ("hook", "run", "subagent")),
    ]
    home.write()
    result = run(home.path, "sweep", "--yes", "--json")
    assert (result.code, result.json["counts"]["files_archived"]) == (0, len(gone))
    assert {entry["sessionId"] for entry in home.read().values()} == set(kept)


def test_hook_that_is_a_day_old_goes_although_it_is_used(home: OpenClawHome) -> None:
    from homes import NOW

    home.session("hook", age=20 * MINUTE, sessionStartedAt=int((NOW - 25 * HOUR) * 1000))
    home.session("hook", age=20 * MINUTE, sessionStartedAt=int((NOW - 23 * HOUR) * 1000))
    home.write()
    run(home.path, "sweep", "--yes")
    assert len(home.read()) == 1


def test_prune_of_hooks(home: OpenClawHome) -> None:
    home.session("main", age=DAY)
    for hours in (1, 3, 30):
        home.session("hook", age=hours * HOUR + MINUTE)
    home.session("run", age=30 * HOUR)
    home.write()
    result = run(home.path, "prune", "--older-than", "2h", "--class", "hook", "--yes")
    assert result.code == 0
    assert keys(home) == ["main", "hook", "cron"]


def test_settings_show_the_defaults_of_this_host(home: OpenClawHome, tmp_path: Path) -> None:
    home.session("hook", age=HOUR)
    home.write()

    def shown(path: Path) -> dict[str, str]:
        lines = run(path, "settings", "--json").json["settings"]
        return {line["name"]: line["value"] for line in lines}

    mine, other = shown(home.path), shown(HomeBuilder(tmp_path / "hermes").path)
    assert mine["HERMES_RETENTION_CHAT__IDLE_AFTER"] == "never"
    assert mine["HERMES_RETENTION_CRON__KEEP_LAST"] == "0"
    assert other["HERMES_RETENTION_CHAT__IDLE_AFTER"] != "never"
    assert mine.keys() == other.keys()


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "10 apples"])
def test_limit_of_the_cache_that_is_nonsense(
    home: OpenClawHome, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    home.session("hook", age=40 * DAY)
    home.write()
    before = home.index().read_bytes()
    monkeypatch.setenv("HERMES_RETENTION_INDEX__CACHE_MAX_BYTES", value)
    result = run(home.path, "sweep", "--yes")
    assert result.code == 2
    assert "HERMES_RETENTION_INDEX__CACHE_MAX_BYTES" in result.err
    assert home.index().read_bytes() == before


def test_damaged_index_is_one_line_and_exit_code_4(home: OpenClawHome) -> None:
    home.session("hook", age=40 * DAY)
    home.write()
    content = home.index().read_bytes()[:-40]
    home.index().write_bytes(content)
    result = run(home.path, "sweep", "--yes")
    assert result.code == 4
    assert result.err.count("\n") == 1
    assert home.index().read_bytes() == content
    assert len(list(home.directory().glob("*.jsonl"))) == 1


def test_session_is_found_explained_held_and_restored_by_its_id(home: OpenClawHome) -> None:
    own = home.session("hook", age=DAY, displayName="Deploy")
    home.write()
    assert "main" in run(home.path, "explain", f"main/{own}").out
    run(home.path, "hold", "add", f"main/{own}", "--reason", "mine")
    run(home.path, "sweep", "--yes")
    assert len(home.read()) == 1
    run(home.path, "hold", "remove", f"main/{own}")
    run(home.path, "sweep", "--yes")
    assert home.read() == {}
    listed = run(home.path, "archive", "list", "--json").json["sessions"]
    assert [(one["session_id"], one["title"]) for one in listed] == [(f"main/{own}", "Deploy")]
    assert run(home.path, "archive", "verify").code == 0
    assert run(home.path, "restore", f"main/{own[:8]}").code == 0
    assert len(home.read()) == 1


def test_exported_entry_can_be_read_with_any_tool(home: OpenClawHome, tmp_path: Path) -> None:
    own = home.session("hook", age=DAY)
    home.write()
    before = home.read()
    run(home.path, "sweep", "--yes")
    run(home.path, "archive", "export", f"main/{own}", "--to", str(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / f"{own}.entry.json").read_text()) == before
    assert (tmp_path / "out" / f"{own}.jsonl").exists()


def test_prestart(home: OpenClawHome) -> None:
    home.session("hook", age=20 * MINUTE, status="failed")
    for hours in (1, 2, 3):
        home.session("direct", age=hours * HOUR, abortedLastRun=True)
    home.write()
    seen = run(home.path, "prestart", "--resume-max", "1")
    assert (seen.code, len(home.read())) == (0, 4)
    assert "without a terminal" not in seen.out
    assert "needs a person's word" in seen.out
    done = run(home.path, "prestart", "--resume-max", "1", "--yes", "--json").json
    assert (done["dropped"], len(done["resumed"]), len(done["cleared"])) == (1, 1, 2)
    assert [entry["abortedLastRun"] for entry in home.read().values()] == [True, False, False]
    again = run(home.path, "prestart", "--resume-max", "1")
    assert "1 interrupted session may be resumed; 0 older ones lost the mark" in again.out


def test_number_of_resumed_sessions_is_for_this_host_only(tmp_path: Path) -> None:
    result = run(HomeBuilder(tmp_path / "hermes"), "prestart", "--resume-max", "1")
    assert result.code == 2
    assert "it is for OpenClaw gateways" in result.err


def test_compacting_makes_no_sense_here(home: OpenClawHome) -> None:
    home.session("hook", age=DAY)
    home.write()
    assert "not in a database" in run(home.path, "compact").err


def test_record_after_is_no_trap(home: OpenClawHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no record apart from the entry, which leaves with the files."""
    home.session("hook", age=40 * DAY)
    home.session("direct", age=40 * DAY)
    home.write()
    for kind in ("HOOK", "CHAT", "OTHER"):
        monkeypatch.setenv(f"HERMES_RETENTION_{kind}__RECORD_AFTER", "1d")
        monkeypatch.setenv(f"HERMES_RETENTION_{kind}__MESSAGES_AFTER", "1d")
    result = run(home.path, "sweep", "--yes")
    assert result.code == 0
    assert keys(home) == ["telegram"]
