"""Compacting that is killed or broken off at any instant: the database is there, complete, under its name."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from databases import facts, thinned_home
from homes import HomeBuilder
from sites import site_of

from hermes_retention.actions.upkeep.compact import compact
from hermes_retention.disk import effects
from hermes_retention.disk.directories import Directory
from hermes_retention.disk.writing import remove_own_entry
from hermes_retention.model.errors import CompactionFailed, CompactionRefused, RetentionError
from hermes_retention.stores.hermes import compactor

EFFECTS = ("link", "rename", "unlink", "fsync", "fchmod", "open_file", "mkdir")
WRITING = ("VACUUM", 'INSERT INTO "', "PRAGMA journal_mode =", "PRAGMA wal_checkpoint", "COMMIT")
ROUNDS = 20


@pytest.fixture(autouse=True)
def _no_litestream_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compactor, "SYSTEM_CONFIGURATION", tmp_path / "etc" / "litestream.yml")


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return thinned_home(tmp_path_factory.mktemp("pattern") / "home", messages=300).path


def fresh(pattern: Path, path: Path) -> HomeBuilder:
    shutil.copytree(pattern, path)
    return HomeBuilder(path, database=False)


class Effects:
    """Counts what changes files, also the statements by which SQLite does; does something at one of them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count, self.at, self.after = 0, -1, False
        self.act: Callable[[], object] = int
        for name in EFFECTS:
            patch.setattr(effects, name, self._wrapped(getattr(effects, name)))
        connect = effects.connect

        def traced(*arguments: object, **options: object) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]  # handed on
            connection.set_trace_callback(lambda sql: self._step(None) if sql.startswith(WRITING) else None)
            return connection

        patch.setattr(effects, "connect", traced)

    def _wrapped(self, call: Callable[..., object]) -> Callable[..., object]:
        return lambda *arguments, **options: self._step(lambda: call(*arguments, **options))

    def _step(self, call: Callable[[], object] | None) -> object:
        self.count += 1
        reached = self.count == self.at
        if reached and not self.after:
            self.act()
        try:
            return None if call is None else call()
        finally:
            if reached and self.after:
                self.act()


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(act: Callable[[], object]) -> int:
    """The status of a child process that does it."""
    child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child never returns into the test
            os._exit(1)
    return os.waitpid(child, 0)[1]


def run(home: HomeBuilder) -> None:
    compact(site_of(home), environ={})


def check(home: HomeBuilder, before: dict[str, object], inode: int) -> None:
    """Complete now, and after the next run, which leaves nothing behind."""
    database = home.path / "state.db"
    pages_moved = database.stat().st_ino != inode
    assert facts(database) == before
    report = compact(site_of(home), environ={})
    assert report.compacted is not pages_moved
    assert facts(database) == before
    assert list((home.path / "retention" / "compact").iterdir()) == []
    assert sorted(it.name for it in home.path.iterdir()) == ["retention", "sessions", "state.db"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_each_effect(pattern: Path, tmp_path: Path, after: bool) -> None:  # noqa: FBT001 - a fact
    before = facts(pattern / "state.db")
    position = outcomes = 0
    while True:
        position += 1
        home = fresh(pattern, tmp_path / str(position))
        inode = (home.path / "state.db").stat().st_ino

        def die(home: HomeBuilder = home, at: int = position) -> None:
            with pytest.MonkeyPatch.context() as patch:
                effects = Effects(patch)
                effects.at, effects.after, effects.act = at, after, kill
                run(home)

        status = in_child(die)
        if status == 0:
            break
        assert os.WIFSIGNALED(status), position
        outcomes |= 1 << ((home.path / "state.db").stat().st_ino != inode)
        check(home, before, inode)
        shutil.rmtree(home.path)
    assert position > 30
    assert outcomes == 0b11, "some kills leave the old database, some the new one"


def test_error_at_each_effect(pattern: Path, tmp_path: Path) -> None:
    before = facts(pattern / "state.db")
    position = 0

    def fail() -> None:
        raise OSError(5, "Input/output error")

    while True:
        position += 1
        home = fresh(pattern, tmp_path / str(position))
        inode = (home.path / "state.db").stat().st_ino
        with pytest.MonkeyPatch.context() as patch:
            effects = Effects(patch)
            effects.at, effects.act = position, fail
            with contextlib.suppress(RetentionError):
                run(home)
        if effects.count < position:
            break
        assert facts(home.path / "state.db") == before
        check(home, before, inode)
        shutil.rmtree(home.path)
    assert position > 30


def test_killed_at_random_instants(pattern: Path, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    before = facts(pattern / "state.db")
    start = time.monotonic()
    assert in_child(lambda: run(fresh(pattern, tmp_path / "whole"))) == 0
    whole = time.monotonic() - start
    for number in range(ROUNDS):
        home = fresh(pattern, tmp_path / str(number))
        inode = (home.path / "state.db").stat().st_ino
        child = os.fork()
        if child == 0:
            try:
                run(home)
            finally:
                os._exit(0)
        time.sleep(chance.uniform(0, whole))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        check(home, before, inode)


def test_old_database_comes_back_when_there_is_none(pattern: Path, tmp_path: Path) -> None:
    """Somebody removed the database after the old one had been set aside by a run that was killed."""
    home = fresh(pattern, tmp_path / "home")
    folder = home.path / "retention" / "compact"
    folder.mkdir(parents=True)
    (home.path / "state.db").rename(folder / "old.db")
    run(home)
    assert facts(home.path / "state.db") == facts(pattern / "state.db")
    assert list(folder.iterdir()) == []


def test_old_database_that_somebody_still_uses_is_kept(pattern: Path, tmp_path: Path) -> None:
    home = fresh(pattern, tmp_path / "home")
    folder = home.path / "retention" / "compact"
    folder.mkdir(parents=True)
    shutil.copy(home.path / "state.db", folder / "old.db")
    with (folder / "old.db").open(), pytest.raises(CompactionRefused, match="still has the file open"):
        run(home)
    assert (folder / "old.db").exists()
    run(home)
    assert list(folder.iterdir()) == []


def test_old_database_that_cannot_be_removed_is_told(
    pattern: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = fresh(pattern, tmp_path / "home")

    def refuse(directory: Directory, name: str) -> None:
        if name == "old.db":
            raise PermissionError(1, "Operation not permitted")
        remove_own_entry(directory, name)

    with monkeypatch.context() as patch:
        patch.setattr(compactor, "remove_own_entry", refuse)
        with pytest.raises(CompactionFailed, match="the database is compacted"):
            run(home)
    run(home)
    assert list((home.path / "retention" / "compact").iterdir()) == []
