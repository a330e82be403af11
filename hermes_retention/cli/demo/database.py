"""The databases of a made-up home: ``state.db`` as Hermes Agent 0.19 has it, and the log of cron runs.

Without the host's full-text tables: nothing here searches. What must not live here: files, and the cast.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec

from hermes_retention.cli.demo.snapshot import MODEL, Message

_SESSION_COLUMNS = (
    "id TEXT PRIMARY KEY, source TEXT NOT NULL, user_id TEXT, session_key TEXT, chat_id TEXT, "
    "chat_type TEXT, thread_id TEXT, display_name TEXT, origin_json TEXT, "
    "expiry_finalized INTEGER DEFAULT 0, model TEXT, model_config TEXT, system_prompt TEXT, "
    "parent_session_id TEXT REFERENCES sessions(id), "
    "started_at REAL NOT NULL, ended_at REAL, end_reason TEXT, message_count INTEGER DEFAULT 0, "
    "tool_call_count INTEGER DEFAULT 0, input_tokens INTEGER DEFAULT 0, output_tokens INTEGER DEFAULT 0, "
    "title TEXT, api_call_count INTEGER DEFAULT 0, handoff_state TEXT, archived INTEGER NOT NULL DEFAULT 0"
)
"""In the host's order: what lies behind the system prompt in a row is slower to reach."""
_MESSAGE_COLUMNS = (
    "id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL REFERENCES sessions(id), "
    "role TEXT NOT NULL, content TEXT, tool_call_id TEXT, tool_calls TEXT, tool_name TEXT, "
    "timestamp REAL NOT NULL, token_count INTEGER, finish_reason TEXT, active INTEGER NOT NULL DEFAULT 1"
)
_SCHEMA = f"""
CREATE TABLE schema_version(version INTEGER NOT NULL);
INSERT INTO schema_version VALUES(22);
CREATE TABLE sessions({_SESSION_COLUMNS});
CREATE TABLE messages({_MESSAGE_COLUMNS});
CREATE TABLE gateway_routing(
    scope TEXT NOT NULL DEFAULT '', session_key TEXT NOT NULL, entry_json TEXT NOT NULL,
    updated_at REAL NOT NULL, PRIMARY KEY (scope, session_key));
CREATE TABLE compression_locks(
    session_id TEXT PRIMARY KEY, holder TEXT NOT NULL, acquired_at REAL NOT NULL, expires_at REAL NOT NULL);
CREATE TABLE state_meta(key TEXT PRIMARY KEY, value TEXT);
CREATE INDEX idx_sessions_source_id ON sessions(source, id);
CREATE INDEX idx_sessions_parent ON sessions(parent_session_id);
CREATE INDEX idx_sessions_started ON sessions(started_at DESC);
CREATE INDEX idx_sessions_session_key ON sessions(session_key, started_at DESC);
CREATE INDEX idx_messages_session ON messages(session_id, timestamp);
CREATE INDEX idx_messages_session_active ON messages(session_id, active, timestamp);
"""
_EXECUTIONS = (
    "CREATE TABLE executions(id TEXT PRIMARY KEY, job_id TEXT NOT NULL, source TEXT NOT NULL, "
    "process_id TEXT NOT NULL, pid INTEGER NOT NULL, process_started_at INTEGER, status TEXT NOT NULL, "
    "claimed_at TEXT NOT NULL, started_at TEXT, finished_at TEXT, error TEXT)"
)


class Row(msgspec.Struct, frozen=True, gc=False):
    """What a home says of a session in its database. Times are Unix seconds."""

    id: str
    source: str
    started_at: float
    ended_at: float | None = None
    end_reason: str | None = None
    session_key: str | None = None
    user_id: str | None = None
    parent_id: str | None = None
    delegated: bool = False
    title: str | None = None
    system_prompt: str | None = None


class Execution(msgspec.Struct, frozen=True, gc=False):
    """One line in the log of cron runs. Times are Unix seconds."""

    id: str
    job: str
    started_at: float
    finished_at: float
    failed: bool = False


class StateDatabase:
    """A new ``state.db``, filled in one transaction: fast and not durable. A context manager that commits."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")  # as the host opens it
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.executescript(_SCHEMA)
        self._connection.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.execute("COMMIT")
        self._connection.close()

    def add(self, row: Row, messages: Sequence[Message], *, step: float) -> None:
        """A session with its messages, ``step`` seconds apart."""
        self.add_rows([row], len(messages))
        self._connection.executemany(
            "INSERT INTO messages(session_id, role, content, tool_call_id, tool_calls, tool_name, timestamp, "
            "token_count, finish_reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    row.id,
                    message["role"],
                    message.get("content"),
                    message.get("tool_call_id"),
                    json.dumps(message["tool_calls"]) if message.get("tool_calls") else None,
                    message.get("name"),
                    row.started_at + number * step,
                    len(message.get("content") or "") // 4,
                    message.get("finish_reason"),
                )
                for number, message in enumerate(messages)
            ),
        )

    def add_rows(self, rows: Iterable[Row], message_count: int = 0) -> None:
        """Sessions whose messages are added elsewhere, or not at all."""
        self._connection.executemany(
            "INSERT INTO sessions(id, source, user_id, session_key, model, model_config, system_prompt, "
            "parent_session_id, started_at, ended_at, end_reason, message_count, title) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    row.id,
                    row.source,
                    row.user_id,
                    row.session_key,
                    MODEL,
                    json.dumps({"_delegate_from": row.parent_id} if row.delegated else {}),
                    row.system_prompt,
                    row.parent_id,
                    row.started_at,
                    row.ended_at,
                    row.end_reason,
                    message_count,
                    row.title,
                )
                for row in rows
            ),
        )

    def end_for_compression(self, session_id: str) -> None:
        """Say that another session continues this one."""
        self._connection.execute("UPDATE sessions SET end_reason = 'compression' WHERE id = ?", (session_id,))

    def route(self, scope: str, entry: Mapping[str, object]) -> None:
        """An entry of the gateway's index, in the form that ``sessions.json`` has as well."""
        self._connection.execute(
            "INSERT INTO gateway_routing VALUES (?, ?, ?, CAST(strftime('%s', ?) AS REAL))",
            (scope, entry["session_key"], json.dumps(entry), entry["updated_at"]),
        )


def write_executions(path: Path, executions: Iterable[Execution]) -> None:
    """The host's ``cron/executions.db``."""

    def moment(timestamp: float) -> str:
        return datetime.fromtimestamp(timestamp).astimezone().isoformat()

    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(_EXECUTIONS)
        connection.executemany(
            "INSERT INTO executions VALUES (?, ?, 'schedule', 'demo', 0, NULL, ?, ?, ?, ?, ?)",
            (
                (
                    execution.id,
                    execution.job,
                    "failed" if execution.failed else "completed",
                    moment(execution.started_at - 1),
                    moment(execution.started_at),
                    moment(execution.finished_at),
                    "the model provider did not answer" if execution.failed else None,
                )
                for execution in executions
            ),
        )
