"""The directory of our own in a home: what it refuses, and who may lock it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from hermes_retention.home.workspace import Workspace, free_bytes
from hermes_retention.model.errors import RetentionError, StoreUnreadable, SweepRunning

HOLD_THE_LOCK = """
import sys, time
from pathlib import Path
from hermes_retention.home.workspace import Workspace
with Workspace(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_looking_makes_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.check()
    assert workspace.ledger_if_any() is None
    assert workspace.allocated_bytes() == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("link", ["retention", "retention/archive", "retention/aside"])
def test_linked_folder_is_refused(tmp_path: Path, link: str) -> None:
    (tmp_path / "elsewhere" / "archive").mkdir(parents=True)
    (tmp_path / link).parent.mkdir(exist_ok=True)
    if link == "retention/aside":
        (tmp_path / "retention" / "archive").mkdir()
    (tmp_path / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnreadable, match="symbolic link"):
        Workspace(tmp_path).check()


def test_second_process_is_told_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(SweepRunning, match="nothing was changed"), Workspace(tmp_path).locked():
            pass
        other.kill()
    with Workspace(tmp_path).locked():
        pass


def test_folder_that_cannot_be_made_is_an_error_with_a_cure(tmp_path: Path, mocker: MockerFixture) -> None:
    mocker.patch("hermes_retention.disk.effects.mkdir", side_effect=PermissionError(13, "Permission denied"))
    with pytest.raises(RetentionError, match=r"permission denied.*Run as the user who owns the home"):
        Workspace(tmp_path).create()


def test_free_space_is_told_or_unknown(tmp_path: Path) -> None:
    assert free_bytes(tmp_path)
    assert free_bytes(tmp_path / "missing") is None


@pytest.mark.parametrize("target", ["victim.txt", "nowhere"])
def test_lock_that_is_a_link_is_refused_by_whoever_takes_it(tmp_path: Path, target: str) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    workspace = Workspace(tmp_path)
    workspace.create()
    (workspace.root / "sweep.lock").symlink_to(tmp_path / target)
    with pytest.raises(RetentionError, match=r"sweep\.lock"), workspace.locked():
        pass
    with pytest.raises(RetentionError, match=r"sweep\.lock"):
        workspace.is_in_use()
    assert victim.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_whether_a_home_is_in_use_can_be_asked_without_changing_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.is_in_use() is None
    assert os.listdir(tmp_path) == []
    with workspace.locked():
        assert Workspace(tmp_path).is_in_use()
    assert workspace.is_in_use() is False


def test_doctor_does_not_look_at_a_lock_behind_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "sweep.lock").write_text("precious")
    (tmp_path / "retention").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnreadable, match="symbolic link"):
        Workspace(tmp_path).is_in_use()
    assert (tmp_path / "elsewhere" / "sweep.lock").read_text() == "precious"
