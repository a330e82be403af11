"""The ledger: what it remembers of sweeps and sessions, and of those that died."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest
from pytest_mock import MockerFixture
from verdicts import Verdict

from hermes_retention.home.ledger import KEEP_DAYS, Ledger, LookedThrough, Outcome
from hermes_retention.model.errors import ArtifactChanged, RetentionError
from hermes_retention.model.plan import Liveness, Rule, Step
from hermes_retention.model.session import SessionClass

T0 = 1_796_000_000.0


def step(session_id: str) -> Step:
    return Step(
        session_id,
        SessionClass.CRON,
        Liveness.ENDED,
        *Verdict.ARCHIVE_FILES.axes,
        Rule.FILES_AFTER,
        "ended",
        bytes=4096,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_ledger_is_private(path: Path) -> None:
    with Ledger.open(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_sweep_is_named_after_its_time_and_never_twice_the_same(path: Path) -> None:
    with Ledger.open(path) as ledger:
        names = [ledger.begin_sweep(started_at=T0, origin="cli") for _ in range(3)]
    assert names == ["20261130-005320", "20261130-005320-2", "20261130-005320-3"]


def test_sweep_that_died_is_interrupted(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.begin_sweep(started_at=T0, origin="cli")
    with Ledger.open(path) as ledger:
        ledger.begin_sweep(started_at=T0 + 60, origin="cli")
        assert [sweep.state for sweep in ledger.sweeps()] == ["running", "interrupted"]


def test_history_of_a_session_has_successes_and_failures(path: Path) -> None:
    with Ledger.open(path) as ledger:
        first = ledger.begin_sweep(started_at=T0, origin="cli")
        ledger.note(
            first, [Outcome(step("a"), (ArtifactChanged("a.json", "it changed"),)), Outcome(step("b"))]
        )
        second = ledger.begin_sweep(started_at=T0 + 60, origin="cli")
        ledger.note(second, [Outcome(step("a"))])
    with Ledger.open(path) as ledger:
        assert [(row.sweep, row.error) for row in ledger.history("a")] == [
            (first, "a.json: it changed"),
            (second, None),
        ]


def test_totals_stay_when_old_steps_are_forgotten(path: Path) -> None:
    with Ledger.open(path) as ledger:
        old = ledger.begin_sweep(started_at=T0 - (KEEP_DAYS + 1) * 86400, origin="cli")
        ledger.note(old, [Outcome(step("a"))])
        ledger.finish_sweep(old, finished_at=T0 - KEEP_DAYS * 86400, totals={"files_archived": 1})
        new = ledger.begin_sweep(started_at=T0, origin="cli")
        ledger.finish_sweep(new, finished_at=T0 + 1, totals={})
        assert ledger.history("a") == []
        assert [sweep.totals for sweep in ledger.sweeps()] == [{}, {"files_archived": 1}]


def test_undone_sweep_is_marked(path: Path) -> None:
    with Ledger.open(path) as ledger:
        sweep = ledger.begin_sweep(started_at=T0, origin="cli")
        ledger.mark_undone([sweep], undone_at=T0 + 5)
        assert ledger.sweeps()[0].undone_at == T0 + 5


def test_restores_and_facts_survive(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.note_restored(["a", "b"], restored_at=T0)
        ledger.note_restored(["a"], restored_at=T0 + 9)
        ledger.remember("first_removal", "s1")
    with Ledger.open(path) as ledger:
        assert ledger.restored() == {"a": T0 + 9, "b": T0}
        assert ledger.fact("first_removal") == "s1"


def test_looked_through_is_remembered_until_a_session_comes_back(path: Path) -> None:
    looked = [LookedThrough("a", T0, 1000), LookedThrough("b", T0 + 1, 500)]
    with Ledger.open(path) as ledger:
        assert ledger.looked_through() == {}
        ledger.note_looked_through(looked)
        ledger.note_looked_through([LookedThrough("a", T0 + 5, 1000)])
    with Ledger.open(path) as ledger:
        assert ledger.looked_through() == {"a": LookedThrough("a", T0 + 5, 1000), "b": looked[1]}
        ledger.note_restored(["a"], restored_at=T0 + 9)
        assert ledger.looked_through() == {"b": looked[1]}


def test_ledger_of_an_earlier_version_is_read_and_learns(path: Path) -> None:
    with Ledger.open(path) as ledger:
        assert ledger.looked_through() == {}
        ledger.note_restored(["a"], restored_at=T0)
        ledger.note_looked_through([LookedThrough("a", T0, 1000)])
        assert list(ledger.looked_through()) == ["a"]
        assert ledger.fact("unheard of") is None


def test_damaged_ledger_is_an_error_with_a_cure_and_is_not_touched(path: Path) -> None:
    path.write_bytes(b"no database" * 400)
    with pytest.raises(RetentionError, match="Move the file away"):
        Ledger.open(path)
    assert path.read_bytes() == b"no database" * 400


@pytest.mark.parametrize(
    ("number", "cure"),
    [(errno.ENOSPC, "Free some space"), (errno.EACCES, "Run as the user who owns the home")],
)
def test_ledger_that_is_as_good_as_ever_is_not_to_be_moved_away(
    path: Path, mocker: MockerFixture, number: int, cure: str
) -> None:
    mocker.patch("hermes_retention.disk.effects.open_file", side_effect=OSError(number, os.strerror(number)))
    with pytest.raises(RetentionError, match=cure):
        Ledger.open(path)


def test_ledger_that_sqlite_cannot_open_is_told_in_words(path: Path, mocker: MockerFixture) -> None:
    refusal = sqlite3.OperationalError("unable to open database file")
    mocker.patch("hermes_retention.disk.effects.connect", side_effect=refusal)
    with pytest.raises(RetentionError, match="the ledger cannot be used: unable to open"):
        Ledger.open(path)


def test_full_disk_is_not_to_be_cured_by_moving_the_ledger_away(path: Path, mocker: MockerFixture) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    mocker.patch("hermes_retention.disk.effects.connect").return_value.execute.side_effect = full
    with pytest.raises(RetentionError, match="Free some space"):
        Ledger.open(path)


def test_ledger_that_several_make_at_once_is_one_ledger(tmp_path: Path) -> None:
    def make(path: Path, start: Barrier) -> int:
        start.wait()
        with Ledger.open(path) as ledger:
            return len(ledger.sweeps())

    with ThreadPoolExecutor(4) as pool:
        for turn in range(10):
            start = Barrier(4)
            made = [pool.submit(make, tmp_path / f"{turn}.db", start) for _ in range(4)]
            assert [one.result() for one in made] == [0] * 4


def test_ledger_of_a_newer_version_is_not_touched(path: Path) -> None:
    Ledger.open(path).__exit__(None, None, None)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = '2' WHERE key = 'format'")
    with pytest.raises(RetentionError, match="format that this version does not know"):
        Ledger.open(path)


def test_linked_ledger_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(RetentionError):
        Ledger.open(path)
    assert not (tmp_path / "elsewhere.db").exists()
