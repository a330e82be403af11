"""``status``, ``explain`` and ``settings``: what only looks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from homes import DAY, HOUR, NOW, HomeBuilder
from program import run

KEY = "agent:main:telegram:dm:1"
LIVE, OLD, ENDED = "20261119_080000_aaaaaaaa", "20261010_080000_bbbbbbbb", "20261118_080000_cccccccc"


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """A live chat, a superseded one, one that ended two days ago, and a stranger's file."""
    return (
        HomeBuilder(tmp_path / "home")
        .session(LIVE, ended=None, age=HOUR, key=KEY)
        .route(KEY, LIVE, age=HOUR)
        .session(OLD, age=40 * DAY, title="A trip to Lisbon")
        .session(ENDED, age=2 * DAY, ended="session_expired")
        .file("notes.txt", b"mine")
    )


def test_status_before_any_sweep(home: HomeBuilder) -> None:
    result = run(home, "status")
    assert result.code == 0
    assert re.search(r"^  chat +1 +1 +1 +3$", result.out, re.MULTILINE)
    assert re.search(r"^  chat +3 +3 +12\.3 KB +6 ", result.out, re.MULTILINE)
    assert re.search(r"due now   to archive: files of 1 session \(", result.out)
    assert "1 entry left alone" in result.out
    assert "not set: the first sweep that would remove something asks" in result.out
    assert "No sweep has changed anything here yet." in result.out
    assert not (home.path / "retention").exists()


def test_status_after_a_sweep(home: HomeBuilder) -> None:
    sweep = run(home, "sweep", "--yes", "--json").json["sweep"]
    result = run(home, "status", now=NOW + 3 * HOUR)
    assert re.search(rf"^  {sweep} +3 h ago +command line .* archived files of 1$", result.out, re.MULTILINE)
    assert re.search(r"archive +1 session, 2 B stored in ", result.out)
    answer = run(home, "status", "--json").json
    assert answer["swept_before"] is True
    assert answer["mode"] is None
    assert answer["sweeps"][0]["sweep"] == sweep
    assert answer["archive"]["sessions"] == 1
    run(home, "undo", "--yes")
    assert "undone" in run(home, "status").out


def test_status_shows_warnings_of_the_host(home: HomeBuilder) -> None:
    (home.path / "config.yaml").write_text("sessions: {auto_prune: true}\n")
    assert "warning: " in run(home, "status").err
    assert "auto_prune" in run(home, "status", "--json").json["warnings"][0]


def test_status_with_a_damaged_month(home: HomeBuilder) -> None:
    run(home, "sweep", "--yes")
    (home.path / "retention" / "archive" / "2026-10.db").write_bytes(b"garbage")
    result = run(home, "status")
    assert result.code == 5
    assert "DAMAGED" in result.out
    assert "2026-10.db" in result.err
    assert run(home, "status", "--json").json["archive"] is None


def test_damaged_ledger_is_one_clear_line(home: HomeBuilder) -> None:
    run(home, "sweep", "--yes")
    (home.path / "retention" / "ledger.db").write_bytes(b"garbage" * 100)
    result = run(home, "status")
    assert result.code == 1
    assert "the ledger cannot be used" in result.err
    assert "Traceback" not in result.err


def test_explain_of_a_live_session(home: HomeBuilder) -> None:
    out = run(home, "explain", LIVE).out
    assert f"routed from {KEY}" in out
    assert "liveness: live" in out
    assert "due: never by itself: messages still go to it" in out
    assert f"session_{LIVE}.json" in out


def test_explain_says_when_and_by_which_setting_it_is_due(home: HomeBuilder) -> None:
    out = run(home, "explain", ENDED).out
    assert (
        "files due: 2026-11-25T12:00:00Z (in 5 d) if nothing happens until then "
        "[HERMES_RETENTION_CHAT__FILES_AFTER]" in out
    )
    due = run(home, "explain", ENDED, "--json").json["due"]
    assert due["rule"] == "files_after"
    assert due["at"] == pytest.approx(NOW + 5 * DAY, abs=0.01)
    assert run(home, "sweep", "--dry-run", "--json", now=due["at"] - 1).json["counts"]["files_archived"] == 1
    assert run(home, "sweep", "--dry-run", "--json", now=due["at"]).json["counts"]["files_archived"] == 2


def test_explain_says_for_each_part_when_it_is_due(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERMES_RETENTION_CHAT__TOOL_OUTPUT_AFTER", "1d")
    out = run(home, "explain", ENDED).out
    assert "store: 1 file, " in out
    assert "; record and about 1 message in state.db; no route leads to it" in out
    assert "next sweep: archive tool output [tool_output_after]: ended (session_expired); idle for 2 d" in out
    assert "tool output due: now [HERMES_RETENTION_CHAT__TOOL_OUTPUT_AFTER]" in out
    assert "messages due: 2027-02-16T12:00:00Z (in 88 d) if nothing happens until then [" in out
    assert "record due: never [HERMES_RETENTION_CHAT__RECORD_AFTER]" in out
    answer = run(home, "explain", ENDED, "--json").json
    assert [(it["verdict"], it["rule"], it["bytes"]) for it in answer["next"]] == [
        ("archive_tool_output", "tool_output_after", 0)
    ]
    assert answer["messages"] == 1
    assert answer["tool_output_due"]["at"] <= NOW
    assert answer["messages_due"]["setting"] == "HERMES_RETENTION_CHAT__MESSAGES_AFTER"
    assert answer["messages_due"]["at"] == pytest.approx(NOW + 88 * DAY, abs=0.01)
    assert (answer["record_due"], answer["kept_by"]) == (None, None)


def test_explain_of_a_record_that_stays_with_another(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERMES_RETENTION_CHAT__RECORD_AFTER", "30d")
    monkeypatch.setenv("HERMES_RETENTION_CHAT__FILES_AFTER", "never")
    monkeypatch.setenv("HERMES_RETENTION_ON_RESET", "keep")
    out = run(home, "explain", OLD).out
    assert "files due: never [HERMES_RETENTION_CHAT__FILES_AFTER]" in out
    assert "record due: never by itself: sessions or files that would go with it stay" in out


def test_explain_tells_the_whole_way_of_a_session(home: HomeBuilder) -> None:
    sweep = run(home, "sweep", "--yes", "--json").json["sweep"]
    archived = run(home, "explain", OLD).out
    assert "title: A trip to Lisbon" in archived
    assert "archive: copies in 2026-10" in archived
    assert "archived copy expires: never" in archived
    assert re.search(rf"^  {sweep} .*archive files", archived, re.MULTILINE)
    run(home, "restore", OLD, now=NOW + HOUR)
    restored = run(home, "explain", OLD, now=NOW + 2 * HOUR).out
    assert "put back: 2026-11-20T13:00:00Z" in restored
    assert "its time starts anew" in restored
    run(home, "hold", "add", OLD, "--reason", "for the audit", now=NOW + HOUR)
    assert (
        "held: since 2026-11-20T13:00:00Z: for the audit" in run(home, "explain", OLD, now=NOW + 2 * HOUR).out
    )


def test_explain_foretells_expiry(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    run(home, "sweep", "--yes")
    monkeypatch.setenv("HERMES_RETENTION_CHAT__ARCHIVE_AFTER", "10d")
    assert "archived copy expires: 2026-11-30T12:00:00Z (in 10 d)" in run(home, "explain", OLD).out
    assert "clock of this machine is in doubt" in run(home, "sweep", now=NOW + 10 * DAY).err
    run(home, "sweep", now=NOW + 11 * DAY)
    gone = run(home, "explain", OLD, now=NOW + 11 * DAY).out
    assert "archive: no copy" in gone
    assert "expire archive" in gone


def test_explain_knows_what_only_the_ledger_remembers(home: HomeBuilder) -> None:
    run(home, "sweep", "--yes")
    run(home, "archive", "remove", OLD, "--yes")
    home.execute("DELETE FROM sessions WHERE id = ?", OLD)
    result = run(home, "explain", OLD)
    assert result.code == 0
    assert "no longer in store or archive" in result.out
    assert "archive files" in result.out
    assert run(home, "explain", OLD, "--json").json["class"] is None


def test_explain_of_nobody_names_the_nearest(home: HomeBuilder) -> None:
    result = run(home, "explain", "20261010_080000_bbbbbbbx")
    assert result.code == 2
    assert f"The nearest: {OLD}" in result.err


def test_settings_names_value_and_origin(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMES_RETENTION_CRON__KEEP_LAST", "5")
    (home.path / ".env").write_text("HERMES_RETENTION_MIN_AGE=20m\n")
    out = run(home, "settings").out
    assert re.search(r"^  HERMES_RETENTION_CRON__KEEP_LAST +5 +environment$", out, re.MULTILINE)
    assert re.search(r"^  HERMES_RETENTION_MIN_AGE +20m +/.*\.env$", out, re.MULTILINE)
    assert re.search(r"^  HERMES_RETENTION_MODE +not set +default$", out, re.MULTILINE)
    by_name = {one["name"]: one for one in run(home, "settings", "--json").json["settings"]}
    assert by_name["HERMES_RETENTION_CRON__KEEP_LAST"]["value"] == "5"
    assert "A whole number" in run(home, "settings", "-v").out


def test_wrong_setting_stops_every_command(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMES_RETENTION_MODE", "enforced")
    for command in (["sweep", "--yes"], ["status"], ["settings"], ["undo", "--yes"], ["explain", OLD]):
        result = run(home, *command)
        assert result.code == 2
        assert "HERMES_RETENTION_MODE='enforced'" in result.err
