"""Databases as hosts 0.13 and 0.19 make them: tables, foreign keys, indexes, triggers, search tables.

    database = HostDatabase(tmp_path / "state.db", host="0.19")
    database.session("s1", messages=["hello", "world"])
    database.check()

``check`` is what has to hold after every change of rows.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

_COUNTERS = "message_count tool_call_count input_tokens output_tokens cache_read_tokens cache_write_tokens"
_TEXTS_019 = "session_key chat_id chat_type thread_id display_name origin_json"
_LATE_019 = "cwd git_branch git_repo_root profile_name compression_failure_error"


def _columns(names: str, kind: str) -> str:
    return ", ".join(f"{name} {kind}" for name in names.split())


_SESSIONS_013 = f"""
    id TEXT PRIMARY KEY, source TEXT NOT NULL, user_id TEXT, model TEXT, model_config TEXT,
    system_prompt TEXT, parent_session_id TEXT, started_at REAL NOT NULL, ended_at REAL, end_reason TEXT,
    {_columns(_COUNTERS, "INTEGER DEFAULT 0")}, estimated_cost_usd REAL, actual_cost_usd REAL,
    title TEXT, handoff_state TEXT
"""
_PARENT = "FOREIGN KEY (parent_session_id) REFERENCES sessions(id)"
_MESSAGES_013 = """
    id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL REFERENCES sessions(id),
    role TEXT NOT NULL, content TEXT, tool_call_id TEXT, tool_calls TEXT, tool_name TEXT,
    timestamp REAL NOT NULL, token_count INTEGER, finish_reason TEXT, reasoning TEXT
"""
_TABLES_013 = {
    "sessions": f"{_SESSIONS_013}, {_PARENT}",
    "messages": _MESSAGES_013,
    "state_meta": "key TEXT PRIMARY KEY, value TEXT",
}
_TABLES_019 = {
    "sessions": f"""{_SESSIONS_013}, {_columns(_TEXTS_019, "TEXT")}, {_columns(_LATE_019, "TEXT")},
        rewind_count INTEGER NOT NULL DEFAULT 0, archived INTEGER NOT NULL DEFAULT 0, {_PARENT}""",
    "messages": f"""{_MESSAGES_013}, platform_message_id TEXT, observed INTEGER DEFAULT 0,
        active INTEGER NOT NULL DEFAULT 1, compacted INTEGER NOT NULL DEFAULT 0, api_content TEXT""",
    "state_meta": "key TEXT PRIMARY KEY, value TEXT",
    "session_model_usage": """
        session_id TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE, model TEXT NOT NULL,
        task TEXT NOT NULL DEFAULT '', input_tokens INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (session_id, model, task)
    """,
    "compression_locks": """
        session_id TEXT PRIMARY KEY, holder TEXT NOT NULL, acquired_at REAL NOT NULL,
        expires_at REAL NOT NULL
    """,
    "async_delegations": """
        delegation_id TEXT PRIMARY KEY, origin_session TEXT NOT NULL, parent_session_id TEXT,
        state TEXT NOT NULL, result_json TEXT
    """,
    "telegram_dm_topic_bindings": """
        chat_id TEXT NOT NULL, thread_id TEXT NOT NULL, session_key TEXT NOT NULL,
        session_id TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE, PRIMARY KEY (chat_id, thread_id)
    """,
}
HOSTS = {"0.13": _TABLES_013, "0.19": _TABLES_019}
SEARCH_TABLES = {"messages_fts": "", "messages_fts_trigram": ", tokenize='trigram'"}
SEARCHED = (
    "COALESCE({0}content, '') || ' ' || COALESCE({0}tool_name, '') || ' ' || COALESCE({0}tool_calls, '')"
)
"""What a search table holds of a message."""


def _search_sql(table: str, options: str) -> str:
    insert = f"INSERT INTO {table}(rowid, content) VALUES (new.id, {SEARCHED.format('new.')});"
    delete = f"DELETE FROM {table} WHERE rowid = old.id;"
    return f"""
        CREATE VIRTUAL TABLE {table} USING fts5(content{options});
        CREATE TRIGGER {table}_insert AFTER INSERT ON messages BEGIN {insert} END;
        CREATE TRIGGER {table}_delete AFTER DELETE ON messages BEGIN {delete} END;
        CREATE TRIGGER {table}_update AFTER UPDATE ON messages BEGIN {delete} {insert} END;
    """


class HostDatabase:
    """A ``state.db`` at ``path``, which is made."""

    def __init__(self, path: Path, *, host: str = "0.19", journal: str = "wal") -> None:
        self.path = path
        tables = "".join(f"CREATE TABLE {name} ({columns});" for name, columns in HOSTS[host].items())
        searches = "".join(_search_sql(*search) for search in SEARCH_TABLES.items())
        with closing(sqlite3.connect(path)) as database:
            database.execute(f"PRAGMA journal_mode = {journal}")
            database.executescript(
                f"{tables} CREATE INDEX idx_messages_session ON messages(session_id, timestamp);"
                f"CREATE INDEX idx_sessions_parent ON sessions(parent_session_id); {searches}"
            )

    def copy(self, path: Path) -> Self:
        """The same database at ``path``. Nobody has it open, so there is no log beside it."""
        made = object.__new__(type(self))
        made.path = shutil.copyfile(self.path, path)
        return made

    def execute(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        """Run a statement as the host would, foreign keys enforced, and commit."""
        with closing(sqlite3.connect(self.path, timeout=30)) as database, database:
            database.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
            database.execute("PRAGMA foreign_keys = ON")
            return database.execute(sql, values).fetchall()

    def insert(self, table: str, row: Mapping[str, object]) -> Self:
        """Add a row."""
        self.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", *row.values()
        )
        return self

    def session(self, session_id: str, messages: Sequence[str] = (), **columns: object) -> Self:
        """A session of which every second message is a tool's."""
        record = {
            "id": session_id,
            "source": "cron",
            "started_at": 1e9,
            "message_count": len(messages),
        } | columns
        self.insert("sessions", record)
        with closing(sqlite3.connect(self.path)) as database, database:
            database.executemany(
                "INSERT INTO messages(session_id, role, content, tool_name, timestamp) "
                "VALUES (?, ?, ?, ?, ?)",
                [
                    (
                        session_id,
                        ("user", "tool")[number % 2],
                        text,
                        (None, "read_file")[number % 2],
                        1e9 + number,
                    )
                    for number, text in enumerate(messages)
                ],
            )
        return self

    def dump(self) -> dict[str, list[tuple[object, ...]]]:
        """Every row of every ordinary table, sorted."""
        tables = self.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'messages_fts%' "
            "AND name NOT LIKE 'sqlite_%'"
        )
        with closing(sqlite3.connect(self.path)) as database:
            database.text_factory = bytes
            found = {str(name): database.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables}
            return {name: sorted(rows, key=repr) for name, rows in found.items()}

    def found(self, word: str, table: str = "messages_fts") -> list[object]:
        """Ids of the messages in which the host's search finds ``word``."""
        return [
            row[0]
            for row in self.execute(f"SELECT rowid FROM {table} WHERE {table} MATCH ? ORDER BY 1", word)
        ]

    def check(self) -> None:
        """Structure, foreign keys, search tables by FTS5's own check and row by row."""
        assert self.execute("PRAGMA integrity_check") == [("ok",)]
        assert self.execute("PRAGMA foreign_key_check") == []
        expected = self.execute(f"SELECT id, {SEARCHED.format('')} FROM messages ORDER BY id")
        for table in SEARCH_TABLES:
            self.execute(f"INSERT INTO {table}({table}) VALUES('integrity-check')")
            self.execute(f"INSERT INTO {table}({table}, rank) VALUES('integrity-check', 1)")
            assert self.execute(f"SELECT rowid, content FROM {table} ORDER BY rowid") == expected
