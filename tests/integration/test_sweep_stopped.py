"""A sweep that is asked to stop: what was committed is removed and told, the rest is as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from homes import NOW, HomeBuilder
from sites import DAY, clock, policy_of, site_of, snapshot_of
from verdicts import Verdict

from hermes_retention.actions.sweep import archive_files, archive_rows, execute
from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import STOPPED, Outcome
from hermes_retention.home.queue import Occasion, Pending
from hermes_retention.model.plan import Plan
from hermes_retention.model.session import Inventory, SessionClass
from hermes_retention.policy.lifecycle import Lifecycle

NAMES = [f"20261010_0800{number:02}_bbbbbbbb" for number in range(24)]


class StopAfter:
    """An observer that wants the sweep to end after so many outcomes of a verdict."""

    def __init__(self, verdict: Verdict, number: int) -> None:
        self._verdict, self._number = verdict, number
        self.seen = 0

    def planned(self, inventory: Inventory, plan: Plan) -> None:
        pass

    def done(self, outcome: Outcome) -> None:
        self.seen += outcome.step.verdict == self._verdict

    def wanted(self) -> bool:
        return self.seen >= self._number


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_files, "BATCH_STEPS", 4)
    monkeypatch.setattr(archive_files, "LEAVE_BYTES", 1)
    monkeypatch.setattr(archive_rows, "BATCH_STEPS", 4)


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    home = HomeBuilder(tmp_path / "home")
    for number, name in enumerate(NAMES):
        home.session(name, age=40 * DAY + number, messages=2)
    return home


def everything_goes(home: HomeBuilder, *, archive: bool = True) -> Home:
    lifecycle = Lifecycle(DAY, messages_after=DAY, record_after=DAY, archive=archive)
    return site_of(home, policy_of(lifecycles=dict.fromkeys(SessionClass, lifecycle)))


def stopped(site: Home, verdict: Verdict, number: int) -> SweepReport:
    stop = StopAfter(verdict, number)
    return sweep(site, clock=clock, origin="test", observer=stop, stop=stop.wanted)


def rows(home: HomeBuilder) -> tuple[int, int]:
    """Records, and those of them that have messages."""
    sessions = home.store().scan(now=NOW).sessions
    recorded = [session.record for session in sessions if session.record is not None]
    return len(recorded), sum(record.has_messages for record in recorded)


@pytest.mark.parametrize(
    ("archive", "verdict"),
    [
        (True, Verdict.ARCHIVE_FILES),
        (True, Verdict.ARCHIVE_RECORD),
        (False, Verdict.DELETE_FILES),
        (False, Verdict.DELETE_RECORD),
    ],
)
def test_stopped_sweep_told_all_that_it_did_and_the_next_one_completes_it(
    home: HomeBuilder,
    *,
    archive: bool,
    verdict: Verdict,
) -> None:
    before = snapshot_of(home.files)
    site = everything_goes(home, archive=archive)
    report = stopped(site, verdict, 3)
    told = [outcome for outcome in report.outcomes if outcome.step.verdict == verdict]
    assert 3 <= len(told) < len(NAMES)
    assert not report.failures
    left = len(NAMES) - len({it.step.session_id for it in report.outcomes if it.step.artifacts})
    assert len(os.listdir(home.files)) == left
    assert snapshot_of(home.files).items() <= before.items()
    assert {step.session_id for step in report.steps} == {it.step.session_id for it in report.outcomes}
    with site.workspace.ledger() as ledger:
        assert ledger.sweeps()[0].state == STOPPED
    again = sweep(site, clock=clock, origin="test")
    assert again.exit_code == 0
    assert os.listdir(home.files) == []
    assert rows(home) == (0, 0)


def test_sweep_may_be_stopped_while_the_disk_is_nearly_full(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "free_bytes", lambda _: 434_176)  # rounds of five
    site = everything_goes(home)
    report = stopped(site, Verdict.ARCHIVE_FILES, 3)
    assert not report.failures
    assert 3 <= len(report.outcomes) < len(NAMES)
    assert len(os.listdir(home.files)) == len(NAMES) - len(report.outcomes)
    assert rows(home) == (24, 24)


def test_records_stay_when_the_sweep_was_stopped_among_files(home: HomeBuilder) -> None:
    stopped(everything_goes(home), Verdict.ARCHIVE_FILES, 1)
    assert rows(home) == (24, 24)


def test_records_stay_when_the_sweep_was_stopped_among_messages(home: HomeBuilder) -> None:
    lifecycle = Lifecycle(DAY, messages_after=DAY)
    site = site_of(home, policy_of(lifecycles=dict.fromkeys(SessionClass, lifecycle)))
    report = stopped(site, Verdict.ARCHIVE_MESSAGES, 1)
    done = [outcome for outcome in report.outcomes if outcome.step.verdict == Verdict.ARCHIVE_MESSAGES]
    assert 1 <= len(done) < 24
    assert rows(home) == (24, 24 - len(done))


def test_sweep_that_is_stopped_before_it_begins_changes_nothing(home: HomeBuilder) -> None:
    before = snapshot_of(home.files)
    report = sweep(everything_goes(home), clock=clock, origin="test", stop=lambda: True)
    assert report.outcomes == ()
    assert snapshot_of(home.files) == before
    assert rows(home) == (24, 24)


def test_what_was_left_out_stays_in_the_queue(home: HomeBuilder) -> None:
    site = everything_goes(home)
    site.workspace.create()
    with site.workspace.ledger() as ledger:
        ledger.queue.add(Pending(Occasion.RESET, name, NOW - 60, NOW - 60) for name in NAMES)
    report = stopped(site, Verdict.ARCHIVE_RECORD, 3)
    finished = {it.step.session_id for it in report.outcomes if it.step.verdict == Verdict.ARCHIVE_RECORD}
    with site.workspace.ledger() as ledger:
        assert {line.session_id for line in ledger.queue.lines()} == set(NAMES) - finished
    sweep(site, clock=clock, origin="test")
    with site.workspace.ledger() as ledger:
        assert ledger.queue.lines() == []
