"""``sweep`` as people and their scripts use it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from homes import DAY, HOUR, MINUTE, NOW, HomeBuilder
from program import Result, run

from hermes_retention.disk.originals import Remover
from hermes_retention.home.workspace import Workspace

if TYPE_CHECKING:
    from pytest_mock import MockerFixture

KEY = "agent:main:telegram:dm:1"
LIVE, OLD, CRON = "20261119_080000_aaaaaaaa", "20261010_080000_bbbbbbbb", "cron_news_20261015_080000"
FIELDS = {
    "format", "sweep", "dry_run", "home", "seconds", "sessions", "bytes_before", "bytes_after", "bytes_freed",
    "drill", "database", "routes_dropped", "counts", "steps", "failures", "unknown", "warnings",
}  # fmt: skip
COUNTS = {
    "kept", "files_archived", "tool_output_archived", "messages_archived", "records_archived", "deleted",
    "expired", "failed",
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """A live chat, a superseded one, a long gone cron run beside three newer ones, and a stranger's file."""
    builder = (
        HomeBuilder(tmp_path / "home").session(LIVE, ended=None, age=HOUR, key=KEY).route(KEY, LIVE, age=HOUR)
    )
    builder.session(OLD, age=40 * DAY).file("notes.txt", b"mine", age=DAY)
    for day in (16, 17, 18):
        builder.session(
            f"cron_news_202611{day}_080000", source="cron", ended="cron_complete", age=(20 - day) * DAY
        )
    return builder.session(CRON, source="cron", ended="cron_complete", age=36 * DAY)


def files(home: HomeBuilder) -> set[str]:
    return {path.name for path in home.files.iterdir()}


def sweep(home: HomeBuilder, *options: str) -> Result:
    return run(home, "sweep", "--yes", *options)


def test_sweep_archives_what_is_due_and_says_what_it_did(home: HomeBuilder) -> None:
    result = sweep(home)
    assert result.code == 0
    assert f"session_{OLD}.json" not in files(home)
    assert {f"session_{LIVE}.json", "notes.txt"} <= files(home)
    assert "6 sessions with 6 files" in result.out
    assert re.search(r"^  total +2 .* +4$", result.out, re.MULTILINE)
    assert "their chat went on in a new session (ON_RESET)" in result.out
    assert "among the newest of its job or chat (KEEP_LAST)" in result.out
    assert re.search(r"hermes-retention undo \S+$", result.out, re.MULTILINE)


def test_dry_run_speaks_of_the_future_and_changes_nothing(home: HomeBuilder) -> None:
    before = files(home)
    result = run(home, "sweep", "--dry-run")
    assert result.code == 0
    assert "to archive" in result.out
    assert "archived" not in result.out
    assert "and would take about" in result.out
    assert result.out.rstrip().endswith("Nothing was removed: this is a dry run.")
    assert files(home) == before
    assert not (home.path / "retention").exists()


def test_json_has_the_promised_fields_and_nothing_else_is_printed(home: HomeBuilder) -> None:
    result = sweep(home, "--json")
    answer = result.json
    assert set(answer) == FIELDS
    assert set(answer["counts"]) == COUNTS
    assert answer["format"] == 1
    assert answer["dry_run"] is False
    assert answer["home"] == str(home.path.resolve())
    assert answer["counts"]["files_archived"] == 2
    assert answer["counts"]["kept"] == 4
    assert answer["bytes_freed"] == answer["bytes_before"] - answer["bytes_after"]
    assert {step["session_id"] for step in answer["steps"]} == {OLD, CRON}
    (step,) = [
        step for step in answer["steps"] if step["session_id"] == OLD and step["verdict"] == "archive_files"
    ]
    assert set(step) == {"session_id", "class", "liveness", "verdict", "rule", "reason", "bytes"}
    assert (step["class"], step["liveness"], step["verdict"]) == ("chat", "superseded", "archive_files")
    assert answer["unknown"][0]["name"] == "notes.txt"


def test_json_of_a_dry_run_agrees_with_the_sweep_that_follows(home: HomeBuilder) -> None:
    foretold, done = run(home, "sweep", "--dry-run", "--json").json, sweep(home, "--json").json
    assert foretold["dry_run"] is True
    assert foretold["warnings"] == []
    assert foretold["sweep"] is None
    # Only the sweep itself looks whether there is large tool output: here is none.
    steps = [step for step in foretold["steps"] if step["verdict"] != "archive_tool_output"]
    assert steps == done["steps"]
    assert foretold["counts"] | {"tool_output_archived": 0} == done["counts"]


def test_all_lists_the_kept_ones_too(home: HomeBuilder) -> None:
    assert {
        step["session_id"] for step in run(home, "sweep", "--dry-run", "--all", "--json").json["steps"]
    } >= {LIVE, OLD}
    text = run(home, "sweep", "--dry-run", "--all").out
    assert re.search(rf"^  to keep +{LIVE} +chat .*routed from", text, re.MULTILINE)


def test_verbose_lists_each_removal(home: HomeBuilder) -> None:
    text = run(home, "-v", "sweep", "--dry-run").out
    assert re.search(rf"^  files +{OLD} +chat ", text, re.MULTILINE)
    assert LIVE not in text


def test_second_sweep_finds_nothing_due(home: HomeBuilder) -> None:
    sweep(home)
    result = run(home, "sweep")
    assert result.code == 0
    assert "Nothing is due." in result.out
    assert "undo" not in result.out


def test_names_that_are_not_text_come_out_as_valid_json(home: HomeBuilder) -> None:
    home.file(b"caf\xe9.json").file("two\nlines.json")
    home.session("client id\n1", source="api_server", ended=None, age=30 * DAY, files=())
    home.file("session_client id\n1.json", age=30 * DAY)
    answer = run(home, "sweep", "--dry-run", "--all", "--json").json
    assert {"caf\\xe9.json", "two\\nlines.json"} <= {one["name"] for one in answer["unknown"]}
    assert "client id\\n1" in {step["session_id"] for step in answer["steps"]}


def test_observe_never_removes_even_with_yes(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMES_RETENTION_MODE", "observe")
    before = files(home)
    result = sweep(home)
    assert result.code == 0
    assert "HERMES_RETENTION_MODE is observe" in result.out
    assert files(home) == before


def test_off_does_nothing_and_says_so(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMES_RETENTION_MODE", "off")
    before = files(home)
    assert sweep(home).out == "Nothing was done: HERMES_RETENTION_MODE is off, so there are no sweeps.\n"
    answer = sweep(home, "--json").json
    assert set(answer) == FIELDS
    assert answer["dry_run"] is True
    assert answer["steps"] == []
    assert "MODE is off" in answer["warnings"][0]
    assert files(home) == before


def test_sweep_beside_another_one_says_busy(home: HomeBuilder) -> None:
    with Workspace(home.path).locked():
        result = sweep(home)
    assert result.code == 3
    assert result.err.startswith("hermes-retention: ")
    assert "another process" in result.err
    assert result.out == ""


def test_error_is_an_object_in_json(home: HomeBuilder) -> None:
    with Workspace(home.path).locked():
        result = sweep(home, "--json")
    error = result.json["error"]
    assert (error["kind"], error["exit_code"]) == ("SweepRunning", 3)
    assert set(error) == {"kind", "what", "why", "consequence", "cure", "exit_code"}
    assert error["why"] in result.err


def test_unreadable_store_is_left_alone(home: HomeBuilder) -> None:
    before = files(home)
    (home.path / "state.db").write_bytes(b"this is no database, and it is long enough to look like one" * 20)
    (home.path / "state.db-wal").unlink(missing_ok=True)
    result = sweep(home)
    assert result.code == 4
    assert "nothing was removed" in result.err
    assert "Traceback" not in result.err
    assert files(home) == before


def test_damaged_month_fails_its_own_sessions_only(home: HomeBuilder) -> None:
    vault = home.path / "retention" / "archive"
    vault.mkdir(parents=True)
    (vault / "2026-10.db").write_bytes(b"garbage")
    home.session("20261101_080000_dddddddd", age=10 * DAY)
    result = sweep(home, "--json")
    assert result.code == 5
    assert result.json["counts"]["files_archived"] == 1
    assert result.json["counts"]["failed"] == 2
    assert {failure["session_id"] for failure in result.json["failures"]} == {OLD, CRON}
    text = run(home, "sweep").out
    assert f"{OLD} and 1 more: " in text or f"{CRON} and 1 more: " in text


def test_failures_beyond_ten_are_counted_and_shown_with_verbose(
    home: HomeBuilder, mocker: MockerFixture
) -> None:
    for number in range(12):
        home.session(f"20261001_0800{number:02}_eeeeeeee", age=50 * DAY)
    remove = Remover.remove

    def touch_and_remove(remover: Remover, artifact: object) -> None:
        os.utime(home.files / artifact.name)  # type: ignore[attr-defined]  # an Artifact
        remove(remover, artifact)  # type: ignore[arg-type]

    mocker.patch.object(Remover, "remove", touch_and_remove)
    result = sweep(home)
    assert result.code == 1
    assert "14 sessions failed" in result.out
    assert "… and 4 more; -v shows all" in result.out
    assert len(re.findall(r"it changed since the scan", result.out)) == 10
    assert (
        len(
            re.findall(
                r"it changed since the scan", run(home, "sweep", "--yes", "-v", now=NOW + 30 * DAY).out
            )
        )
        >= 14
    )


def test_warnings_of_policy_and_host_go_to_standard_error(home: HomeBuilder) -> None:
    home.file(f"session_{LIVE}.json", age=-3 * HOUR)
    (home.path / "config.yaml").write_text("sessions: {auto_prune: true}\n")
    result = run(home, "sweep", "--dry-run")
    assert "auto_prune" in result.err
    assert "in the future" in result.err
    assert all(line.startswith("warning: ") for line in result.err.splitlines())
    assert "auto_prune" not in result.out
    warnings = run(home, "sweep", "--dry-run", "--json").json["warnings"]
    assert any("auto_prune" in warning for warning in warnings)


def test_empty_home_is_nothing_special(tmp_path: Path) -> None:
    result = run(HomeBuilder(tmp_path / "home"), "sweep")
    assert result.code == 0
    assert "0 sessions with 0 files" in result.out
    assert "Nothing is due." in result.out


def test_just_superseded_session_waits_for_min_age(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(OLD, age=5 * MINUTE)
    answer = run(home, "sweep", "--all", "--json").json
    assert [step["rule"] for step in answer["steps"]] == ["min_age"]


def test_json_is_ascii(home: HomeBuilder) -> None:
    home.file("räksmörgås.json")
    out = run(home, "sweep", "--dry-run", "--json").out
    assert out.isascii()
    assert json.loads(out)["unknown"][-1]["name"] == "räksmörgås.json"
