"""Several at work at once, clocks that jump, a machine that is suspended: nothing is lost, all is done."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from full_homes import ALONE, CHATS, DAY, EXPIRING, FINAL, NOW, Contents, FullHome
from killing import WRITTEN, Host

from hermes_retention.actions.restore.restore import restore_sessions
from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.model.errors import ExitCode, SweepRunning

YEAR = 365 * DAY
BUSY = 3


@pytest.fixture
def home(tmp_path: Path) -> FullHome:
    return FullHome.make(tmp_path / "home")


@pytest.fixture
def whole(home: FullHome, tmp_path: Path) -> Contents:
    """What it holds when one sweep alone has been there."""
    made = home.copy(tmp_path / "whole")
    made.sweep_without_fault()
    return made.contents()


def started(act: Callable[[], object]) -> int:
    """A child process that does it; it ends with ``BUSY`` when the home is another's."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        except SweepRunning:
            code = BUSY
        finally:
            os._exit(code)
    return child


def ended(*children: int) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def test_of_several_sweeps_one_sweeps(home: FullHome, whole: Contents) -> None:
    before = home.contents()
    codes = ended(*(started(home.sweep) for _ in range(4)))
    assert set(codes) <= {0, BUSY}
    assert 0 in codes
    home.check_nothing_lost(before)
    home.check_completed(whole)


def test_restore_beside_a_sweep(home: FullHome) -> None:
    before = home.contents()
    child = started(home.sweep)
    report = None
    while report is None or report.exit_code is not ExitCode.DONE:
        try:
            report = restore_sessions(home.site(), ["20010601_000000_eeeeee"], now=NOW)
        except SweepRunning:
            time.sleep(0.002)
    assert ended(child) in ([0], [BUSY])
    home.check_nothing_lost(before)
    assert "session_20010601_000000_eeeeee.json" in home.files()
    home.sweep()
    assert "session_20010601_000000_eeeeee.json" in home.files(), "its time starts anew"


def test_suspended_in_the_middle_of_a_sweep(home: FullHome) -> None:
    before = home.contents()
    with Host(home):
        child = started(home.sweep)
        for _ in range(4):
            time.sleep(0.03)
            os.kill(child, signal.SIGSTOP)
            time.sleep(0.05)
            os.kill(child, signal.SIGCONT)
        assert ended(child) == [0]
    home.check_nothing_lost(before, written=WRITTEN)
    home.sweep_without_fault()
    home.check_databases()


def test_clock_that_jumps_a_year_ahead_and_back_loses_nothing(home: FullHome) -> None:
    before = home.contents()
    for now in (NOW + YEAR, NOW + YEAR + DAY / 2, NOW, NOW + DAY / 2):
        report = home.sweep(now=now)
        assert (report.counts.expired, report.counts.deleted) == (0, 0)
        assert any("in doubt" in warning for warning in report.warnings)
        home.check_nothing_lost(before, gone=())
        assert any(FINAL in name for name in home.files())
    report = home.sweep(now=NOW + DAY)
    assert not any("in doubt" in warning for warning in report.warnings)
    assert report.counts.deleted == 1


def test_clock_that_is_a_year_behind_lets_nothing_expire_later(home: FullHome) -> None:
    """Copies that were made meanwhile do not look old when the clock is right again."""
    home.sweep(now=NOW - YEAR)
    home.sweep(now=NOW - YEAR + DAY)
    report = home.sweep(now=NOW)
    assert report.counts.expired == 0
    assert {EXPIRING, ALONE} <= {session for session, _, _ in home.contents().archived}


@pytest.mark.parametrize("step", [-YEAR, -300, 300, YEAR])
def test_clock_that_is_set_during_a_sweep(home: FullHome, whole: Contents, step: float) -> None:
    times = iter([NOW])
    report = sweep(home.site(), clock=lambda: next(times, NOW + step), origin="test")
    assert report.failures == ()
    assert home.contents() == whole
    assert home.sweep().sweep is None


def test_two_homes_at_once(home: FullHome, whole: Contents, tmp_path: Path) -> None:
    other = home.copy(tmp_path / "other")
    assert ended(started(home.sweep), started(other.sweep)) == [0, 0]
    for one in (home, other):
        one.check_completed(whole)


def test_profile_below_a_home_is_a_home_of_its_own(home: FullHome, whole: Contents) -> None:
    (home.path / "profiles").mkdir()
    profile = home.copy_into(home.path / "profiles" / "work")
    before = profile.contents()
    home.sweep_without_fault()
    assert profile.contents() == before
    assert ended(started(profile.sweep), started(home.sweep)) == [0, 0]
    profile.check_completed(whole)
    assert CHATS[0] not in {name[8:-5] for name in profile.files()}
