"""The host's lock: waited for, taken from the dead only, and never removed when it is another's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hermes_retention.disk.directories import Directory
from hermes_retention.disk.writing import take_stale_lock
from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.stores.openclaw.files import Waiting, holder_of, locked

NAME = "sessions.json.lock"


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def lock_of(path: Path, pid: object, *, age: float) -> Path:
    lock = path / NAME
    lock.write_text(json.dumps({"pid": pid, "startedAt": 1}))
    os.utime(lock, (time.time() - age,) * 2)
    return lock


def test_lock_names_its_holder_and_goes_with_it(tmp_path: Path) -> None:
    with Directory.open(tmp_path) as directory:
        with locked(directory, NAME) as held:
            said = json.loads((tmp_path / NAME).read_text())
            assert said["pid"] == os.getpid()
            assert abs(said["startedAt"] / 1000 - time.time()) < 60
            assert held.is_ours()
        assert os.listdir(tmp_path) == []


def test_lock_of_a_living_process_is_waited_for_and_kept_however_old(tmp_path: Path) -> None:
    lock = lock_of(tmp_path, os.getpid(), age=3600)
    slept: list[float] = []
    with (
        Directory.open(tmp_path) as directory,
        pytest.raises(StoreUnreadable, match=r"not let go of this lock for 10 s; nothing .* changed"),
        locked(directory, NAME, Waiting(sleep=slept.append)),
    ):
        pytest.fail("the lock is another's")
    assert 9 < sum(slept) < 11
    assert json.loads(lock.read_text())["pid"] == os.getpid()


def test_young_lock_is_waited_for_although_its_process_is_not_ours_to_see(tmp_path: Path) -> None:
    lock_of(tmp_path, dead_pid(), age=10)
    with (
        Directory.open(tmp_path) as directory,
        pytest.raises(StoreUnreadable),
        locked(directory, NAME, Waiting(sleep=lambda _: None)),
    ):
        pytest.fail("the lock is another's")


def test_lock_that_is_let_go_of_meanwhile_is_ours(tmp_path: Path) -> None:
    lock = lock_of(tmp_path, os.getpid(), age=0)

    def wait(_: float) -> None:
        lock.unlink(missing_ok=True)

    with Directory.open(tmp_path) as directory, locked(directory, NAME, Waiting(sleep=wait)) as held:
        assert held.is_ours()


@pytest.mark.parametrize("content", [None, "", "no json", "[]", '{"pid": "x"}'])
def test_stale_lock_is_taken(tmp_path: Path, content: str | None) -> None:
    lock = lock_of(tmp_path, dead_pid(), age=31)
    if content is not None:
        lock.write_text(content)
        os.utime(lock, (time.time() - 31,) * 2)
    with (
        Directory.open(tmp_path) as directory,
        locked(directory, NAME, Waiting(sleep=lambda _: None)) as held,
    ):
        assert held.is_ours()
    assert os.listdir(tmp_path) == []


def test_lock_that_was_made_anew_meanwhile_goes_back(tmp_path: Path) -> None:
    lock_of(tmp_path, os.getpid(), age=0)
    with Directory.open(tmp_path) as directory:
        assert not take_stale_lock(directory, NAME, inode=1)
    assert os.listdir(tmp_path) == [NAME]


def test_lock_that_was_taken_away_from_us_is_left_to_its_new_holder(tmp_path: Path) -> None:
    with Directory.open(tmp_path) as directory, locked(directory, NAME) as held:
        (tmp_path / "other").write_text("x")
        os.replace(tmp_path / "other", tmp_path / NAME)
        assert not held.is_ours()
    assert (tmp_path / NAME).read_text() == "x"


def test_transcript_is_locked_for_half_an_hour_at_most(tmp_path: Path) -> None:
    lock_of(tmp_path, 4711, age=0)
    with Directory.open(tmp_path) as directory:
        assert holder_of(directory, NAME, now=time.time()) == "its transcript is locked by process 4711"
        assert holder_of(directory, NAME, now=time.time() + 1801) is None
        assert holder_of(directory, "nothing", now=time.time()) is None
