"""The host's own retention: when it is on, what it deletes, and its mark."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from homes import DAY, HOUR, NOW, HomeBuilder

from hermes_retention.stores.hermes import pruning

OLD, NEW = "20260101_100000_aaaaaaaa", "20261101_100000_bbbbbbbb"


@pytest.fixture(autouse=True)
def _no_host_beside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pruning, "release_of_host", lambda: None)
    monkeypatch.setattr(pruning, "_version_of_host", lambda: None)
    monkeypatch.setattr(pruning, "_MANAGED_BY_DEFAULT", tmp_path / "nowhere")
    monkeypatch.delenv("HERMES_MANAGED_DIR", raising=False)


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """A home of a recent host, which nobody has told anything about pruning."""
    home = HomeBuilder(tmp_path / "home")
    for column in ("pinned INTEGER", "auto_archived INTEGER", "last_activity_at REAL"):
        home.execute(f"ALTER TABLE sessions ADD COLUMN {column}")
    for name, age in ((OLD, 120 * DAY), (NEW, 10 * DAY)):
        home.session(name, age=age, files=())
        home.execute("DELETE FROM messages WHERE session_id = ?", name)
        home.insert("messages", {"session_id": name, "role": "user", "content": "x", "timestamp": NOW - age})
    return home


def prunes(home: HomeBuilder) -> bool:
    return home.store().host_prune(until=NOW) is not None


def test_database_of_an_older_host_is_not_pruned_by_default(tmp_path: Path) -> None:
    assert not prunes(HomeBuilder(tmp_path))


def test_host_that_nobody_can_tell_is_taken_for_one_that_prunes(home: HomeBuilder) -> None:
    prune = home.store().host_prune(until=NOW)
    assert prune is not None
    assert (prune.retention_days, prune.interval_hours, prune.mark) == (90, 24, None)
    assert "nobody can tell which host" in prune.why


@pytest.mark.parametrize(
    ("released", "version", "on"),
    [
        ((2026, 8, 13), None, False),
        ((2026, 9, 1), (0, 22), False),
        ((2026, 9, 24), None, True),
        (None, (0, 20), False),
        (None, (0, 21), True),  # some did
        (None, (0, 22), True),
    ],
)
def test_default_is_that_of_the_host_beside(
    home: HomeBuilder,
    monkeypatch: pytest.MonkeyPatch,
    released: tuple[int, ...] | None,
    version: tuple[int, ...] | None,
    on: bool,  # noqa: FBT001 - what is expected
) -> None:
    monkeypatch.setattr(pruning, "release_of_host", lambda: released)
    monkeypatch.setattr(pruning, "_version_of_host", lambda: version)
    assert prunes(home) is on


def test_release_of_the_host_is_read_off_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    package = tmp_path / "hermes_cli"
    package.mkdir()
    (package / "__init__.py").write_text('raise SystemExit\n__release_date__ = "2026.9.24"\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert pruning.release_of_host() == (2026, 9, 24)


def test_what_is_written_holds(home: HomeBuilder) -> None:
    config = home.path / "config.yaml"
    config.write_text("sessions: {auto_prune: false}\n")
    assert not prunes(home)
    assert home.store().host_warnings() == []
    config.write_text("sessions: {auto_prune: true, retention_days: 200, min_interval_hours: 6}\n")
    prune = home.store().host_prune(until=NOW)
    assert prune is not None
    assert (prune.retention_days, prune.interval_hours, prune.conversations) == (200, 6, 0)


def test_administrator_wins_over_the_user(
    home: HomeBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.path / "config.yaml").write_text("sessions: {auto_prune: true, retention_days: 30}\n")
    (tmp_path / "managed").mkdir()
    (tmp_path / "managed" / "config.yaml").write_text("sessions: {auto_prune: false}\n")
    monkeypatch.setenv("HERMES_MANAGED_DIR", str(tmp_path / "managed"))
    assert not prunes(home)
    told = {one.name: one.value for one in home.store().host_settings()}
    assert (told["sessions.auto_prune"], told["sessions.retention_days"]) == ("false", "30")


def test_configuration_that_cannot_be_read_may_say_anything(home: HomeBuilder) -> None:
    (home.path / "config.yaml").write_text("sessions: {")
    assert prunes(home)


def test_conversations_that_are_old_enough_are_counted(home: HomeBuilder) -> None:
    prune = home.store().host_prune(until=NOW)
    assert prune is not None
    assert prune.conversations == 1
    assert "it may delete 1 conversation at any moment" in prune.words(now=NOW)
    later = home.store().host_prune(until=NOW + 85 * DAY)
    assert later is not None
    assert later.conversations == 2


def test_conversation_that_was_archived_open_or_active_lately_is_not_counted(home: HomeBuilder) -> None:
    for change in (
        "DELETE FROM messages",
        "UPDATE sessions SET ended_at = NULL",
        f"UPDATE sessions SET last_activity_at = {NOW - DAY}",
        f"UPDATE messages SET timestamp = {NOW - DAY}",
    ):
        other = HomeBuilder(home.path.with_name(f"home{abs(hash(change))}"), database=False)
        with closing(sqlite3.connect(other.path / "state.db")) as copy:
            with closing(sqlite3.connect(home.path / "state.db")) as original:
                original.backup(copy)
            copy.execute(change)
            copy.commit()
        prune = other.store().host_prune(until=NOW)
        assert prune is not None
        assert prune.conversations == 0, change


def test_mark_says_when_the_host_prunes_next(home: HomeBuilder) -> None:
    home.insert("state_meta", {"key": "last_auto_prune", "value": str(NOW)})
    prune = home.store().host_prune(until=NOW)
    assert prune is not None
    assert prune.next_at == NOW + 24 * HOUR
    assert " or later" in prune.words(now=NOW)
    home.execute("UPDATE state_meta SET value = 'soon' WHERE key = 'last_auto_prune'")
    prune = home.store().host_prune(until=NOW)
    assert prune is not None
    assert prune.next_at is None


def test_database_without_marks_is_left_alone(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "other", omit={"state_meta"})
    (home.path / "config.yaml").write_text("sessions: {auto_prune: true}\n")
    assert prunes(home)
