"""What was committed to the host's database is durable before anything is noted of it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from homes import HomeBuilder

from hermes_retention.disk import effects
from hermes_retention.stores.hermes import state_db


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    fsync = effects.fsync

    def noted(descriptor: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(effects, "fsync", noted)
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="tells names of open files on Linux only")
def test_log_that_a_host_keeps_alive_is_synced(tmp_path: Path, synced: list[str]) -> None:
    path = HomeBuilder(tmp_path / "home").path / "state.db"
    with closing(sqlite3.connect(path)) as host:
        host.execute("SELECT count(*) FROM sessions").fetchone()
        with state_db.writing(path) as database:
            database.execute("INSERT INTO state_meta VALUES ('a', 'b')")
        assert synced == ["state.db-wal"]


def test_log_that_nobody_keeps_alive_is_gone(tmp_path: Path, synced: list[str]) -> None:
    path = HomeBuilder(tmp_path / "home").path / "state.db"
    with state_db.writing(path) as database:
        database.execute("INSERT INTO state_meta VALUES ('a', 'b')")
    assert synced == []
    assert not (path.parent / "state.db-wal").exists()
