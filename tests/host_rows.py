"""Databases that the real host made, looked at from outside and, for searching, by the host itself.

Only for the host's environments: ``found`` and ``made`` run the host's own code.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from hermes_state import SessionDB  # type: ignore[import-not-found]  # only in the host's environment

SEARCH_TABLES = ("messages_fts", "messages_fts_trigram")
Dump = dict[str, list[tuple[object, ...]]]


def check(path: Path) -> None:
    """What has to hold after each change: structure, references, and what the search tables hold."""
    with closing(sqlite3.connect(path)) as database, database:
        database.text_factory = bytes
        assert database.execute("PRAGMA integrity_check").fetchall() == [(b"ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        for table in SEARCH_TABLES:
            database.execute(f"INSERT INTO {table}({table}) VALUES('integrity-check')")
            database.execute(f"INSERT INTO {table}({table}, rank) VALUES('integrity-check', 1)")
            missing = f"SELECT count(*) FROM messages WHERE id NOT IN (SELECT rowid FROM {table})"
            assert database.execute(missing).fetchone() == (0,)
            counts = f"SELECT (SELECT count(*) FROM {table}), (SELECT count(*) FROM messages)"
            assert len(set(database.execute(counts).fetchone())) == 1


def dump(path: Path) -> Dump:
    """Every value of every ordinary table with its type, rows in no order."""
    with closing(sqlite3.connect(path)) as database:
        database.text_factory = bytes
        tables = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' "
            "AND name NOT LIKE 'messages_fts%' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        found: Dump = {}
        for (name,) in tables:
            table = name.decode()
            columns = [
                column for (column,) in database.execute(f"SELECT name FROM pragma_table_info('{table}')")
            ]
            typed = ", ".join(f"{it.decode()}, typeof({it.decode()})" for it in columns)
            rows = database.execute(f"SELECT {typed} FROM {table}").fetchall()
            found[table] = sorted(rows, key=repr)
    return found


def found(path: Path, word: str) -> set[str]:
    """In which sessions the host's search finds ``word``."""
    with closing(SessionDB(db_path=path)) as host:
        return {it["session_id"] for it in host.search_messages(word, limit=100)}


def found_rows(path: Path, word: str) -> list[list[int]]:
    """Which messages each search table finds, whatever their other columns hold."""
    with closing(sqlite3.connect(path)) as database:
        return [
            [
                it
                for (it,) in database.execute(
                    f"SELECT rowid FROM {table} WHERE {table} MATCH ? ORDER BY 1", (word,)
                )
            ]
            for table in SEARCH_TABLES
        ]
