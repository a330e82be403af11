"""Rows of a database that is damaged, read-only or on a full disk: a clear error, and nothing half-done."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from host_databases import SEARCH_TABLES, HostDatabase
from row_moves import MOVES, NAMES, Move, database_at

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.stores.hermes.rows.turn_machine import Change

LEAF_OF_TABLE, INNER_OF_TABLE = 0x0D, 0x05
DAMAGE = {"zeros": b"\0" * 4096, "noise": bytes(range(255, -1, -1)) * 16}
SEARCH = ("messages_fts_data", "messages_fts_trigram_data", "messages_fts_content")


def last_leaf(path: Path, table: str) -> int:
    """The number of the last page with rows of ``table``."""
    with closing(sqlite3.connect(path)) as database:
        (size,) = database.execute("PRAGMA page_size").fetchone()
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    assert size == 4096
    content = path.read_bytes()
    while (start := (page - 1) * size) and content[start] == INNER_OF_TABLE:
        page = int.from_bytes(content[start + 8 : start + 12])
    assert content[(page - 1) * size] == LEAF_OF_TABLE
    return int(page)


def damage(path: Path, table: str, content: bytes) -> None:
    """Overwrite the page, as a failing disk does."""
    page = last_leaf(path, table)
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(content)


def counts(database: HostDatabase) -> dict[str, int]:
    """Messages of each session, read from an index; damage to the table does not matter."""
    query = "SELECT session_id, count(*) FROM messages INDEXED BY idx_messages_session GROUP BY 1"
    return {str(name): int(str(number)) for name, number in database.execute(query)}


def failing(move: Move, database: HostDatabase, table: str, kind: str) -> list[Change]:
    """What was told before the error, when the damage came after everything had been read."""
    told: list[Change] = []
    with pytest.raises(StoreUnreadable, match=r"it is damaged.*rolled back.*repair") as caught:
        move(database.path, told=told, watch=lambda _: damage(database.path, table, DAMAGE[kind]))
    assert "quick brown" not in str(caught.value)
    return told


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("table", ["messages", *SEARCH])
@pytest.mark.parametrize("name", ["remove_messages", "remove_records"])
def test_what_was_told_before_the_damage_is_all_that_is_gone(
    tmp_path: Path, name: str, table: str, kind: str
) -> None:
    database = database_at(tmp_path / "state.db")
    before = counts(database)
    told = {it.session_id for it in failing(MOVES[name](database), database, table, kind)}
    after = counts(database)
    records = {str(one) for (one,) in database.execute("SELECT id FROM sessions")}
    assert {one for one in NAMES if after.get(one) != before[one]} == told
    assert set(NAMES) - records == (told if name == "remove_records" else set())


@pytest.mark.parametrize("table", ["messages", *SEARCH])
@pytest.mark.parametrize("name", MOVES)
def test_damage_is_an_error_and_transactions_are_whole(tmp_path: Path, name: str, table: str) -> None:
    database = database_at(tmp_path / "state.db")
    move = MOVES[name](database)
    failing(move, database, table, "zeros")
    if table != "messages":
        assert database.execute("PRAGMA foreign_key_check") == []
    usage = database.execute("SELECT session_id FROM session_model_usage ORDER BY 1")
    assert usage == database.execute("SELECT id FROM sessions ORDER BY 1"), "what goes together went together"


@pytest.mark.parametrize("table", SEARCH_TABLES)
@pytest.mark.parametrize("name", MOVES)
def test_search_index_that_the_host_rebuilds_lets_it_go_on(tmp_path: Path, name: str, table: str) -> None:
    """The index is damaged, the pages are not: some hosts had that, and have a repair for it."""
    database = database_at(tmp_path / "state.db")
    move = MOVES[name](database)
    database.execute(f"UPDATE {table}_data SET block = zeroblob(length(block)) WHERE id > 10")
    with contextlib.suppress(StoreUnreadable):  # met only where a merge reads what is damaged
        move(database.path)
    database.execute(f"INSERT INTO {table}({table}) VALUES('rebuild')")
    database.check()
    move(database.path)
    database.check()
    assert set(counts(database)) == (set() if name.startswith("remove") else set(NAMES))


@pytest.mark.parametrize("name", ["remove_messages", "replace_tool_output", "remove_records"])
def test_damage_that_is_met_while_reading_keeps_everything(tmp_path: Path, name: str) -> None:
    database = database_at(tmp_path / "state.db")
    before = counts(database)
    damage(database.path, "messages", DAMAGE["zeros"])
    with pytest.raises(StoreUnreadable, match=r"it is damaged.*nothing was removed.*repair"):
        MOVES[name](database)(database.path)
    assert counts(database) == before


# -- read-only, and full ------------------------------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory of its own in which this process has the rights of an ordinary user who owns nothing."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Root may write to any file, so be somebody else for a while; anybody else is bound by the modes."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("what", ["file", "directory"])
@pytest.mark.parametrize("name", MOVES)
def test_read_only_is_an_error_and_nothing_changed(folder: Path, name: str, what: str, journal: str) -> None:
    database = database_at(folder / "state.db", journal=journal)
    move = MOVES[name](database)
    before = database.dump()
    database.path.chmod(0o444 if what == "file" else 0o666)
    folder.chmod(0o777 if what == "file" else 0o555)
    with without_privileges(), pytest.raises(StoreUnreadable, match=r"read-?only.*Run hermes-retention as"):
        move(database.path)
    folder.chmod(0o755)
    database.path.chmod(0o644)
    assert database.dump() == before
    database.check()


@pytest.mark.parametrize("name", ["insert_rows", "restore_tool_output"])
def test_full_disk_is_an_error_that_says_so_and_doing_it_again_completes(tmp_path: Path, name: str) -> None:
    database = database_at(tmp_path / "state.db")
    move = MOVES[name](database)
    database.execute("VACUUM")

    def fill_up(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}").fetchall()

    with pytest.raises(StoreUnreadable, match="the disk is full"):
        move(database.path, watch=fill_up)
    database.check()
    move(database.path)
    database.check()
    whole = database_at(tmp_path / "whole.db")
    assert database.dump() == whole.dump()
    assert database.found("quick", "messages_fts_trigram") == whole.found("quick", "messages_fts_trigram")
