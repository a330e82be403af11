"""What a gateway's worker does for a home: when it sweeps, what it announces, what it leaves to others."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from homes import DAY, HOUR, MINUTE, NOW, HomeBuilder, name_of
from program import run as run_program
from rounds import Clocks, pass_until_next, rounds_of
from sites import site_of

from hermes_retention.actions.inspect.status import take_status
from hermes_retention.actions.sweep.mode import may_remove
from hermes_retention.gateway.sweep_job import SweepJob, Swept
from hermes_retention.home.queue import Occasion, Pending
from hermes_retention.home.workspace import Workspace

OLD = "20261010_080000_bbbbbbbb"
FRESH = "20261120_115500_dddddddd"
KEY = "agent:main:telegram:dm:1"


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """An old chat that is over, and a live one."""
    return (
        HomeBuilder(tmp_path / "home")
        .session(OLD, age=40 * DAY)
        .session(FRESH, ended=None, age=MINUTE, key=KEY)
        .route(KEY, FRESH)
    )


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture(autouse=True)
def _all_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hermes_retention")


def files(home: HomeBuilder) -> set[str]:
    return set(os.listdir(home.files)) - {"sessions.json"}


def lines(home: HomeBuilder) -> list[Pending]:
    with Workspace(home.path).ledger() as ledger:
        return ledger.queue.lines()


def queue(home: HomeBuilder, *pending: Pending) -> None:
    workspace = Workspace(home.path)
    workspace.create()
    with workspace.ledger() as ledger:
        ledger.queue.add(pending)


def began(rounds: SweepJob) -> SweepJob:
    rounds.begin()
    return rounds


# Regular sweeps


def test_enforcing_gateway_sweeps_after_its_delay_and_then_at_every_interval(
    home: HomeBuilder, clocks: Clocks
) -> None:
    rounds = began(rounds_of(home, clocks, MODE="enforce"))
    assert rounds.run_due() == 10.0
    assert name_of("snapshot", OLD) in files(home)
    clocks.pass_by(10)
    rounds.run_due()
    assert files(home) == {name_of("snapshot", FRESH)}
    home.session("20261012_080000_cccccccc", age=39 * DAY)
    clocks.pass_by(HOUR - 1)
    rounds.run_due()
    assert len(files(home)) == 2
    clocks.pass_by(1)
    rounds.run_due()
    assert files(home) == {name_of("snapshot", FRESH)}


def test_interval_is_measured_by_a_clock_that_nobody_sets(home: HomeBuilder, clocks: Clocks) -> None:
    rounds = began(rounds_of(home, clocks, MODE="enforce", SWEEP_INTERVAL="2h"))
    pass_until_next(rounds, clocks)
    home.session("20261012_080000_cccccccc", age=39 * DAY)
    clocks.now += 30 * DAY
    assert rounds.run_due() == 60.0
    assert name_of("snapshot", "20261012_080000_cccccccc") in files(home)
    clocks.now -= 60 * DAY
    clocks.tick += 2 * HOUR
    clocks.now = NOW + 2 * HOUR
    rounds.run_due()
    assert name_of("snapshot", "20261012_080000_cccccccc") not in files(home)


def test_short_process_does_not_sweep_regularly(home: HomeBuilder, clocks: Clocks) -> None:
    rounds = rounds_of(home, clocks, MODE="enforce")
    for _ in range(5):
        rounds.run_due()
        clocks.pass_by(DAY)
    assert name_of("snapshot", OLD) in files(home)
    assert not (home.path / "retention").exists()


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_gateway_that_must_not_remove_changes_nothing_at_all(
    home: HomeBuilder, clocks: Clocks, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = began(rounds_of(home, clocks, MODE=mode))
    rounds.keep([Pending(Occasion.RESET, OLD, NOW)])
    pass_until_next(rounds, clocks)
    pass_until_next(rounds, clocks)
    rounds.close()
    assert name_of("snapshot", OLD) in files(home)
    assert not (home.path / "retention").exists()
    told = "nothing was removed, MODE is observe; a sweep would do this: files of 1 session archived"
    assert caplog.text.count(told) == (2 if mode == "observe" else 0)


def test_home_in_which_nothing_lies_yet_is_no_trouble(
    tmp_path: Path, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "home").mkdir()
    home = HomeBuilder.__new__(HomeBuilder)
    home.path = tmp_path / "home"
    pass_until_next(began(rounds_of(home, clocks)), clocks)
    assert caplog.text == ""


# The first sweep


def test_first_sweep_is_announced_and_acts_when_its_time_has_come(
    home: HomeBuilder, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = began(rounds_of(home, clocks))
    pass_until_next(rounds, clocks)
    (told,) = caplog.messages
    assert told.startswith(
        f"the first sweep of {home.path} is due in 1 d and would now take files of 1 session"
    )
    assert "undo" in told
    while clocks.now < NOW + DAY - HOUR:
        pass_until_next(rounds, clocks)
        assert name_of("snapshot", OLD) in files(home)
    pass_until_next(rounds, clocks)
    pass_until_next(rounds, clocks)
    assert files(home) == {name_of("snapshot", FRESH)}
    assert len(caplog.messages) == 2
    assert "files of 1 session archived" in caplog.messages[1]


def test_announcement_outlives_the_gateway_and_is_repeated_in_its_log(
    home: HomeBuilder, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    pass_until_next(began(rounds_of(home, clocks)), clocks)
    clocks.pass_by(23 * HOUR)
    again = began(rounds_of(home, clocks))
    pass_until_next(again, clocks)
    assert "is due in 59 min" in caplog.messages[-1]
    assert name_of("snapshot", OLD) in files(home)
    pass_until_next(again, clocks)
    assert files(home) == {name_of("snapshot", FRESH)}


def test_announcement_is_in_status(home: HomeBuilder, clocks: Clocks) -> None:
    rounds = began(rounds_of(home, clocks, FIRST_SWEEP_DELAY="3h"))
    pass_until_next(rounds, clocks)
    shown = run_program(home, "status", now=clocks.now)
    assert "a gateway announced the first sweep, in 3 h, of 1 session" in " ".join(shown.out.split())
    status = run_program(home, "status", "--json", now=clocks.now).json
    assert status["first_sweep"]["sessions"] == 1
    assert status["first_sweep"]["acts_at"] - status["first_sweep"]["announced_at"] == 3 * HOUR
    assert status["next_sweep_at"] > clocks.now
    assert "sweeps in 1 h" in shown.out
    rounds.close()
    assert run_program(home, "status", "--json", now=clocks.now).json["next_sweep_at"] is None


def test_nothing_is_announced_where_nothing_would_be_removed(
    tmp_path: Path, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    home = HomeBuilder(tmp_path / "home").session(FRESH, ended=None, age=MINUTE)
    pass_until_next(began(rounds_of(home, clocks)), clocks)
    assert caplog.text == ""
    assert not (home.path / "retention").exists()


def test_clock_that_is_set_forward_does_not_bring_the_first_sweep_on(
    home: HomeBuilder, clocks: Clocks
) -> None:
    rounds = began(rounds_of(home, clocks))
    pass_until_next(rounds, clocks)
    clocks.now += 400 * DAY
    pass_until_next(rounds, clocks)
    assert name_of("snapshot", OLD) in files(home)


def test_announcement_from_the_future_does_not_count(home: HomeBuilder, clocks: Clocks) -> None:
    clocks.now += 400 * DAY
    pass_until_next(began(rounds_of(home, clocks)), clocks)
    clocks.now = NOW
    later = began(rounds_of(home, clocks))
    pass_until_next(later, clocks)
    status = take_status(site_of(home), now=clocks.now)
    assert status.mode.announcement is not None
    assert NOW <= status.mode.announcement.announced_at <= NOW + MINUTE


def test_home_that_was_swept_before_waits_for_nothing(home: HomeBuilder, clocks: Clocks) -> None:
    pass_until_next(began(rounds_of(home, clocks, MODE="enforce")), clocks)
    home.session("20261012_080000_cccccccc", age=39 * DAY)
    pass_until_next(began(rounds_of(home, clocks)), clocks)
    assert files(home) == {name_of("snapshot", FRESH)}


def test_short_process_announces_nothing(
    home: HomeBuilder, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    queue(home, Pending(Occasion.RESET, OLD, NOW, NOW))
    rounds_of(home, clocks).run_due()
    assert caplog.text == ""
    assert not may_remove(site_of(home))


# What hooks announced


def test_superseded_session_goes_soon_after_its_reset(home: HomeBuilder, clocks: Clocks) -> None:
    old, new = "20261120_110000_eeeeeeee", "20261120_120000_ffffffff"
    key = "agent:main:telegram:dm:2"
    home.session(old, age=MINUTE, key=key, ended="new_session").session(new, ended=None, age=0.0, key=key)
    home.route(key, new)
    rounds = began(rounds_of(home, clocks, MODE="enforce", SWEEP_INTERVAL="30d"))
    pass_until_next(rounds, clocks)
    rounds.keep([Pending(Occasion.RESET, old, clocks.now)])
    clocks.pass_by(9 * MINUTE)
    rounds.run_due()
    assert name_of("snapshot", old) in files(home)
    clocks.pass_by(MINUTE)
    rounds.run_due()
    assert files(home) == {name_of("snapshot", FRESH), name_of("snapshot", new)}
    assert lines(home) == []


def test_reset_waits_for_regular_sweeps_where_it_makes_no_haste(home: HomeBuilder, clocks: Clocks) -> None:
    rounds = rounds_of(home, clocks, ON_RESET="keep")
    rounds.keep([Pending(Occasion.RESET, OLD, NOW), Pending(Occasion.END, FRESH, NOW)])
    rounds.keep([Pending(Occasion.CRON, "cron_a_20261120_120000", NOW)])
    assert [line.due_at for line in lines(home)] == [None, None, None]


def test_session_that_is_still_written_to_is_looked_at_again_later(home: HomeBuilder, clocks: Clocks) -> None:
    rounds = began(rounds_of(home, clocks, MODE="enforce", SWEEP_INTERVAL="30d"))
    pass_until_next(rounds, clocks)
    rounds.keep([Pending(Occasion.RESET, FRESH, clocks.now)])
    clocks.pass_by(10 * MINUTE)
    rounds.run_due()
    (line,) = lines(home)
    assert line.due_at is not None
    assert line.due_at > clocks.now
    clocks.pass_by(2 * DAY)
    rounds.run_due()
    assert lines(home) == []


def test_sweep_on_the_command_line_sees_to_what_a_dead_gateway_left(home: HomeBuilder) -> None:
    queue(
        home,
        Pending(Occasion.RESET, OLD, NOW - HOUR, NOW - HOUR + 600),
        Pending(Occasion.END, "gone", NOW - 5),
    )
    status = run_program(home, "status").out
    assert "2 sessions announced (1 ended, 1 reset); the first is due now" in status
    assert run_program(home, "sweep", "--yes").code == 0
    assert lines(home) == []


def test_sweep_that_finds_nothing_to_do_clears_the_queue_too(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(FRESH, ended=None, age=MINUTE)
    queue(home, Pending(Occasion.END, "gone", NOW - 5))
    run_program(home, "sweep", "--yes")
    assert lines(home) == []


def test_short_process_sees_to_what_is_overdue(home: HomeBuilder, clocks: Clocks) -> None:
    queue(home, Pending(Occasion.RESET, OLD, NOW - HOUR, NOW - HOUR))
    rounds_of(home, clocks, MODE="enforce").run_due()
    assert files(home) == {name_of("snapshot", FRESH)}
    assert lines(home) == []


def test_busy_gateway_does_not_sweep_all_the_time(home: HomeBuilder, clocks: Clocks) -> None:
    rounds = began(rounds_of(home, clocks, MODE="enforce", SWEEP_INTERVAL="30d"))
    pass_until_next(rounds, clocks)
    home.session("20261012_080000_cccccccc", age=39 * DAY)
    queue(home, Pending(Occasion.RESET, "x", NOW, NOW))
    assert rounds.run_due() == pytest.approx(60, abs=1)
    assert len(files(home)) == 2
    clocks.pass_by(60)
    rounds.run_due()
    assert len(files(home)) == 1


# Cron runs that leave nothing


RUNS = [f"cron_news_20261120_{hour:02}0000" for hour in (9, 10, 11)]


@pytest.fixture
def cron_home(tmp_path: Path) -> HomeBuilder:
    home = HomeBuilder(tmp_path / "home")
    for number, run in enumerate(RUNS):
        home.session(run, source="cron", ended="cron_complete", age=(3 - number) * HOUR, messages=2)
    return home


@pytest.mark.parametrize("archive", ["true", "false"])
def test_run_that_shall_not_persist_leaves_its_record_only(
    cron_home: HomeBuilder, clocks: Clocks, archive: str
) -> None:
    rounds = rounds_of(cron_home, clocks, MODE="enforce", CRON__PERSIST="false", CRON__ARCHIVE=archive)
    rounds.keep([Pending(Occasion.CRON, RUNS[-1], NOW - HOUR)])
    rounds.run_due()
    assert files(cron_home) == set()
    scan = cron_home.store().scan(now=NOW)
    assert [it.id for it in scan.sessions] == RUNS
    assert not any(it.record is None or it.record.has_messages for it in scan.sessions)
    assert lines(cron_home) == []
    stored = site_of(cron_home).workspace.vault.summary().sessions
    assert stored == (3 if archive == "true" else 0)


def test_run_that_has_not_ended_yet_is_waited_for(cron_home: HomeBuilder, clocks: Clocks) -> None:
    running = "cron_news_20261120_115959"
    cron_home.session(running, source="cron", ended=None, age=11 * MINUTE)
    rounds = rounds_of(cron_home, clocks, MODE="enforce", CRON__PERSIST="false")
    rounds.keep([Pending(Occasion.CRON, running, NOW - 10 * MINUTE)])
    rounds.run_due()
    assert files(cron_home) == {name_of("snapshot", running)}
    assert [line.session_id for line in lines(cron_home)] == [running]
    cron_home.execute(
        "UPDATE sessions SET ended_at = ?, end_reason = 'cron_complete' WHERE id = ?", NOW, running
    )
    clocks.pass_by(HOUR)
    rounds.run_due()
    assert files(cron_home) == set()
    assert lines(cron_home) == []


def test_newest_and_failed_runs_stay_when_asked_for(cron_home: HomeBuilder, clocks: Clocks) -> None:
    rounds = rounds_of(cron_home, clocks, MODE="enforce", CRON__PERSIST="false", CRON__KEEP_LAST="2")
    rounds.keep([Pending(Occasion.CRON, RUNS[-1], NOW - HOUR)])
    rounds.run_due()
    assert files(cron_home) == {name_of("snapshot", run) for run in RUNS[1:]}


# Others, stops, chores


def test_sweep_of_another_process_is_no_trouble(
    home: HomeBuilder, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = began(rounds_of(home, clocks, MODE="enforce"))
    with site_of(home).workspace.locked():
        pass_until_next(rounds, clocks)
    assert name_of("snapshot", OLD) in files(home)
    assert caplog.text == ""
    assert rounds.schedule.seconds_left(tick=clocks.tick) == 60.0
    pass_until_next(rounds, clocks)
    assert files(home) == {name_of("snapshot", FRESH)}


def test_stopped_sweep_says_so_and_the_next_one_goes_on(home: HomeBuilder, clocks: Clocks) -> None:
    rounds = began(rounds_of(home, clocks, stop=lambda: clocks.tick > 1009, MODE="enforce"))
    clocks.pass_by(10)
    rounds.run_due()
    assert name_of("snapshot", OLD) in files(home)
    began_anew = began(rounds_of(home, clocks, MODE="enforce"))
    pass_until_next(began_anew, clocks)
    assert files(home) == {name_of("snapshot", FRESH)}


def test_chores_come_after_a_sweep_and_may_fail(
    home: HomeBuilder, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Swept] = []

    def fail(_: Swept) -> None:
        raise ValueError("secret")

    rounds = began(rounds_of(home, clocks, chores=(fail, seen.append), MODE="enforce"))
    pass_until_next(rounds, clocks)
    (swept,) = seen
    assert swept.report.counts.files_archived == 1
    assert {it.id for it in swept.inventory.sessions} == {OLD, FRESH}
    assert "a task of retention after the sweep" in caplog.text
    assert "secret" not in caplog.text


def test_metrics_are_written_after_a_sweep_where_they_are_asked_for(
    home: HomeBuilder, clocks: Clocks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there, nowhere = tmp_path / "retention.prom", tmp_path / "none" / "retention.prom"
    pass_until_next(began(rounds_of(home, clocks, MODE="enforce", METRICS_FILE=str(there))), clocks)
    assert "hermes_retention_sessions{" in there.read_text()
    pass_until_next(began(rounds_of(home, clocks, MODE="enforce", METRICS_FILE=str(nowhere))), clocks)
    assert "the metrics cannot be written there" in caplog.messages[-1]


def test_wrong_settings_are_told_once_and_what_is_mended_holds_soon(
    home: HomeBuilder, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    (home.path / ".env").write_text("HERMES_RETENTION_MODE=enforced\n")
    rounds = began(rounds_of(home, clocks))
    assert "HERMES_RETENTION_MODE='enforced'" in caplog.text
    clocks.pass_by(60)
    with pytest.raises(Exception, match="enforced"):
        rounds.run_due()
    (home.path / ".env").write_text("HERMES_RETENTION_MODE=enforce\n")
    clocks.pass_by(60)
    rounds.run_due()
    assert files(home) == {name_of("snapshot", FRESH)}


def test_failure_of_a_session_is_a_warning_and_the_rest_goes_on(
    home: HomeBuilder, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    bad = home.files / name_of("snapshot", "20261011_080000_cccccccc")
    home.session("20261011_080000_cccccccc", age=39 * DAY)
    (home.path / "retention" / "archive").mkdir(parents=True, mode=0o700)
    (home.path / "retention" / "aside").mkdir(mode=0o700)
    (home.path / "retention" / "archive" / "2026-10.db").write_bytes(b"no database at all" * 100)
    rounds = began(rounds_of(home, clocks, MODE="enforce"))
    pass_until_next(rounds, clocks)
    assert bad.exists()
    assert "could not do all for 2 sessions, such as: " in caplog.text
