"""A full disk: nothing is lost, what needs no room still happens, and people are told what helps."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Effect, Faults
from full_homes import ALONE, FINAL, NOW, POLICY, FullHome
from msgspec.structs import replace

from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.model.errors import RetentionError

MIB = 2**20


class Full:
    """No room from here on: for whatever may take more of the disk."""

    def fits(self, effect: Effect) -> bool:
        if effect.is_statement:
            return effect.name == "statement" and not effect.about.startswith(("BEGIN", "ROLLBACK", "PRAGMA"))
        return effect.name in {"write", "mkdir", "link"}

    def strike(self, effect: Effect) -> None:
        from faults import COMPLAINTS, REFUSALS

        (COMPLAINTS[2] if effect.is_statement else REFUSALS[1]).strike(effect)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 6 MiB of its own."""
    path = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system takes a right that this user has not")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.fixture
def home(disk: Path) -> Iterator[FullHome]:
    made = FullHome.make(disk / "home")
    yield made
    subprocess.run(["rm", "-rf", *map(str, disk.iterdir())], check=True)


def fill(disk: Path, left_bytes: int) -> Path:
    """Leave so much free, in whole pages."""
    filler = disk / "filler"
    status = os.statvfs(disk)
    size = status.f_bavail * status.f_frsize - left_bytes
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return filler


def words_of(report: SweepReport) -> str:
    return " ".join(str(error) for failure in report.failures for error in failure.errors)


def sweep_and_tell(home: FullHome) -> str:
    """Sweep; everything that a person is told about what went wrong."""
    try:
        return words_of(home.sweep())
    except RetentionError as error:
        return str(error)


@pytest.mark.parametrize("left_bytes", [0, 1024, MIB], ids=["0", "1 KB", "1 MB"])
def test_sweep_on_a_full_disk(disk: Path, home: FullHome, left_bytes: int) -> None:
    before = home.contents()
    whole = home.copy(disk / "whole")
    whole.sweep_without_fault()
    done = whole.contents()
    subprocess.run(["rm", "-rf", str(whole.path)], check=True)
    filler = fill(disk, left_bytes)
    report = home.sweep()
    filler.unlink()
    home.check_nothing_lost(before)
    assert ALONE not in {session for session, _, _ in home.contents().archived}, "a whole month needs no room"
    assert not any(FINAL in name for name in home.files()), "removing files needs no room"
    for failure in report.failures:
        told = str(failure.error)
        assert "Free some space on the disk" in told or "something else of the session" in told
    home.check_completed(done)


def test_what_is_removed_makes_room_for_what_is_archived(disk: Path, home: FullHome) -> None:
    """The smallest sessions go first, and each makes room for a larger one."""
    for number in range(6):
        content = os.urandom((number + 1) * 75_000).hex().encode()  # compresses to a half
        home.add_snapshot(f"20010701_00000{number}_abcdef01", content)
    before = home.contents()
    fill(disk, 700_000)
    report = home.sweep()
    assert report.failures == ()
    (disk / "filler").unlink()
    home.check_nothing_lost(before)


def test_home_that_is_short_of_space_is_swept_early(home: FullHome) -> None:
    """``keep_free`` takes what is not due."""
    lazy = {name: replace(it, files_after=10**9) for name, it in POLICY.lifecycles.items()}
    report = home.sweep(policy=replace(POLICY, lifecycles=lazy, keep_free=5 * MIB))
    assert report.counts.files_archived > 5


@pytest.mark.parametrize("at", [1, 60, 120, 180, 300, 500, 700])
def test_disk_that_fills_up_during_a_sweep(tmp_path: Path, at: int) -> None:
    """The same where no file system can be mounted: from some effect on there is no room."""
    home = FullHome.make(tmp_path / "home")
    before = home.contents()
    whole = home.copy(tmp_path / "whole")
    whole.sweep_without_fault()
    with Faults(at=at, manner=Full(), lasting=True) as faults:
        told = sweep_and_tell(home)
    assert "space" in told or "full" in told or not told
    assert faults.struck is not None
    home.check_nothing_lost(before)
    home.check_completed(whole.contents())


def test_ledger_without_room_is_told_and_stops_nothing(tmp_path: Path) -> None:
    home = FullHome.make(tmp_path / "home")

    class FullLedger(Full):
        def fits(self, effect: Effect) -> bool:
            return effect.about.startswith(
                ("INSERT INTO sweeps", "UPDATE sweeps", "INSERT OR REPLACE INTO meta")
            )

    with Faults(at=1, manner=FullLedger(), lasting=True):
        report = home.sweep(now=NOW)
    assert report.failures == ()
    assert any("What this sweep did is done" in warning for warning in report.warnings)
