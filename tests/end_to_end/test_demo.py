"""``demo``: the whole program on a home of its own, and what it takes to call that a proof."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from homes import NOW
from program import Result, run, run_bare, start
from pytest_mock import MockerFixture

from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.actions.sweep.sweep import sweep as real_sweep
from hermes_retention.cli.demo import tour
from hermes_retention.cli.demo.home import build_home
from hermes_retention.cli.demo.tour import Print, compare, prints_of_files
from hermes_retention.home.home import Home
from hermes_retention.stores.hermes.store import HermesStore


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, with nothing in it."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", None)  # what an earlier test has found does not hold here
    return directory


def without_times(text: str) -> str:
    return re.sub(r"in \d+\.\d s", "in some time", text)


def test_it_proves_itself_and_leaves_nothing_behind(temporary: Path) -> None:
    result = start("demo")
    assert (result.code, result.err) == (0, "")
    assert re.search(
        r"All \d+ archived files read back with the bytes, time and mode they had; "
        r"the other \d+ are untouched\.",
        result.out,
    )
    assert list(temporary.iterdir()) == []


def test_it_fits_on_a_screen() -> None:
    lines = run_bare("demo").out.splitlines()
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    "reason",
    [
        "over, and older than FILES_AFTER",
        "their chat went on in a new session",
        "orphans",
        "request dumps older than DUMPS_AFTER",
        "among the newest of its job",
        "failed (KEEP_FAILED)",
        "messages still go to it",
        "linked to a live session",
        "active within MIN_AGE",
        "held: the lease is not signed yet",
    ],
)
def test_every_kind_of_reason_is_shown(reason: str, demonstration: Result) -> None:
    assert reason in demonstration.out


@pytest.fixture(scope="module")
def demonstration() -> Result:
    return run_bare("demo")


def test_it_saves_most_of_the_space_and_says_what_the_archive_takes(demonstration: Result) -> None:
    share = re.search(r"(\d+)% freed", demonstration.out)
    assert share is not None
    assert int(share[1]) > 50
    assert re.search(r"archive, ledger +\d+ +[\d.]+ MB", demonstration.out)


def test_restored_files_are_shown_with_hash_time_and_mode(demonstration: Result) -> None:
    shown = r" +([\d,]+  [0-9a-f]{24}…  20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z  0640)\n"
    pairs = re.findall(rf"(transcript|snapshot) +was{shown} +is{shown}", demonstration.out)
    assert [kind for kind, _, _ in pairs] == ["transcript", "snapshot"]
    assert all(was == back for _, was, back in pairs)


def test_settings_and_home_of_the_person_do_not_matter(
    demonstration: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERMES_HOME", str(tmp_path))
    monkeypatch.setenv("HERMES_RETENTION_MODE", "off")
    monkeypatch.setenv("HERMES_RETENTION_CRON__FILES_AFTER", "never")
    assert without_times(run_bare("demo").out) == without_times(demonstration.out)
    assert list(tmp_path.iterdir()) == []


def test_kept_home_can_be_tried(temporary: Path) -> None:
    result = run_bare("demo", "--keep")
    assert result.code == 0
    named = re.search(r"--home (\S+)$", result.out)
    assert named is not None
    home = Path(named[1])
    assert home.is_relative_to(temporary)
    made = json.loads((home / "sessions" / "sessions.json").read_bytes())
    assert len(made) > 6
    assert run(home, "undo", "--all", "--yes").code == 0
    report = run(home, "sweep", "--dry-run", "--json").json
    assert report["sessions"] == 590
    assert report["counts"]["files_archived"] < 10  # what undo put back starts its time anew


def test_a_file_that_is_not_what_it_was_fails_the_proof(mocker: MockerFixture) -> None:
    def careless(site: Home, **how: object) -> SweepReport:
        report = real_sweep(site, **how)  # type: ignore[arg-type]  # handed on as they came
        (site.store.files_directory / "notes.txt").write_bytes(b"")
        return report

    mocker.patch.object(tour, "sweep", careless)
    result = run_bare("demo")
    assert result.code == 1
    assert "NOT PROVED: 1 file cannot be found as they were:\n  notes.txt" in result.out


def test_a_restore_that_brings_nothing_back_fails_the_proof(mocker: MockerFixture) -> None:
    mocker.patch.object(tour, "restore_sessions")
    result = run_bare("demo")
    assert result.code == 1
    assert "missing" in result.out


def print_of(content: bytes = b"x", *, mtime_ns: int = 1, mode: int = 0o600) -> Print:
    return Print(len(content), content, mtime_ns, mode)


@pytest.mark.parametrize("other", [print_of(b"y"), print_of(mtime_ns=2), print_of(mode=0o644)])
def test_a_copy_with_another_content_time_or_mode_does_not_count(other: Print) -> None:
    before = {"a": print_of(), "b": print_of()}
    comparison = compare(before, {"a": other}, {"a": print_of(), "b": other})
    assert comparison.lost == ("a", "b")


def test_a_file_counts_where_it_is() -> None:
    before = {"a": print_of(), "b": print_of()}
    comparison = compare(before, {"a": print_of()}, {"a": print_of(), "b": print_of()})
    assert (comparison.in_place, comparison.in_vault, comparison.lost) == (1, 1, ())


def test_equal_arguments_make_equal_homes(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("one", "other")]
    for home in homes:
        home.mkdir()
        build_home(home, now=NOW)
    one, other = (prints_of_files(home / "sessions") for home in homes)
    assert one == other
    assert len(one) > 600


def test_home_is_what_it_says(tmp_path: Path) -> None:
    made = build_home(tmp_path, now=NOW)
    scan = HermesStore(tmp_path).scan(now=NOW)
    classes = [session.session_class.value for session in scan.sessions]
    assert made.sessions == len(scan.sessions)
    assert made.cron_runs + 1 == classes.count("cron")  # one is still going on
    assert 0.6 < classes.count("cron") / len(classes) < 0.8
    assert set(classes) == {"api", "chat", "cli", "cron", "hook", "subagent"}
    assert not scan.warnings
    assert [unknown.name for unknown in scan.unknown] == ["notes.txt"]


def test_snapshots_look_like_those_of_the_host_and_never_repeat_a_message(tmp_path: Path) -> None:
    build_home(tmp_path, now=NOW)
    texts: list[str] = []
    for path in sorted((tmp_path / "sessions").glob("session_*.json")):
        content = path.read_text("utf-8")
        snapshot = json.loads(content)
        assert content == json.dumps(snapshot, indent=2, ensure_ascii=False)
        assert path.name == f"session_{snapshot['session_id']}.json"
        assert snapshot["message_count"] == len(snapshot["messages"])
        assert 50_000 < len(content) < 150_000
        texts.extend(message["content"] for message in snapshot["messages"][1:] if message["content"])
    assert len(texts) > 3500
    assert len(texts) == len(set(texts))
