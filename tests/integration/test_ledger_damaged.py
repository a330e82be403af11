"""A ledger that is damaged: the sweep goes on with a new one, which knows what the archive tells."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from full_homes import ALONE, CHATS, EXPIRING, NOW, FullHome

from hermes_retention.actions.restore.restore import undo, undoable_sweeps
from hermes_retention.home.ledger import FIRST_REMOVAL
from hermes_retention.home.workspace import Hold
from hermes_retention.model.errors import ExitCode, LedgerUnusable


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database at all " * 500)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def empty_a_page(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'sweeps'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xaa" * size
    path.write_bytes(content)


def drop_a_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE steps")


def lose_the_format(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM meta WHERE key = 'format'")


def spoil_a_name(path: Path) -> None:
    """SQLite then complains of the table by a name that is no text, and Python cannot tell what it said."""
    content = path.read_bytes()
    spoilt = content.replace(b"tablesweepssweeps", b"table\x80weepssweeps")
    spoilt = spoilt.replace(b"CREATE TABLE sweeps(", b"CREATE TABLX sweeps(")
    assert len(spoilt) == len(content)
    path.write_bytes(spoilt)
    with closing(sqlite3.connect(path)) as database, pytest.raises((UnicodeDecodeError, sqlite3.Error)):
        database.execute("SELECT count(*) FROM sqlite_schema")


@pytest.fixture
def home(tmp_path: Path) -> FullHome:
    made = FullHome.make(tmp_path / "home")
    made.site().workspace.holds.add(CHATS[0], Hold("wanted", NOW))
    return made


@pytest.mark.parametrize(
    "damage", [overwrite, cut, empty_a_page, drop_a_table, lose_the_format, spoil_a_name]
)
def test_damaged_ledger_is_set_aside_and_holds_hold(home: FullHome, damage: Callable[[Path], None]) -> None:
    before, path = home.contents(), home.path / "retention" / "ledger.db"
    damage(path)
    damaged = path.read_bytes()
    report = home.sweep()
    assert report.failures == ()
    (told,) = (warning for warning in report.warnings if "ledger-damaged-1.db" in warning)
    assert "Holds are not affected" in told
    assert (path.parent / "ledger-damaged-1.db").read_bytes() == damaged
    home.check_nothing_lost(before)
    assert f"session_{CHATS[0]}.json" in home.files(), "it is held"


def test_new_ledger_can_undo_what_the_old_one_did(home: FullHome) -> None:
    before = home.contents()
    home.sweep_without_fault()
    overwrite(home.path / "retention" / "ledger.db")
    home.sweep()
    with home.site().workspace.ledger() as ledger:
        assert ledger.fact(FIRST_REMOVAL) is not None
    report = undo(home.site(), undoable_sweeps(home.site(), None, all_sweeps=True), now=NOW)
    assert report.exit_code is ExitCode.DONE
    assert before.files.items() <= home.files().items() | {
        (name, content) for name, content in before.files.items() if "cccccccc" in name
    }


def test_new_ledger_does_not_believe_a_clock_that_jumped(home: FullHome) -> None:
    """The newest copy in the archive tells the time."""
    overwrite(home.path / "retention" / "ledger.db")
    report = home.sweep()
    assert (report.counts.expired, report.counts.deleted) == (0, 0)
    assert any("clock of this machine is in doubt" in warning for warning in report.warnings)
    assert {EXPIRING, ALONE} <= {session for session, _, _ in home.contents().archived}


def test_second_damaged_ledger_does_not_replace_the_first(home: FullHome) -> None:
    path = home.path / "retention" / "ledger.db"
    for number in (1, 2):
        path.write_bytes(b"no database %d " % number * 500)
        home.sweep()
    assert sorted(it.name for it in path.parent.glob("ledger-damaged-*")) == [
        "ledger-damaged-1.db",
        "ledger-damaged-2.db",
    ]


def test_ledger_of_a_newer_version_stops_the_sweep_and_is_not_touched(home: FullHome) -> None:
    path = home.path / "retention" / "ledger.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE meta SET value = '2' WHERE key = 'format'")
    before, content = home.contents(), path.read_bytes()
    with pytest.raises(LedgerUnusable, match="format that this version does not know"):
        home.sweep()
    assert path.read_bytes() == content
    assert home.contents() == before
