"""Makes Hermes homes for tests: real files, a real SQLite database, no host needed.

    home = HomeBuilder(tmp_path)
    home.session("20261101_090000_0a1b2c3d", age=30 * DAY, key="agent:main:telegram:dm:1")
    home.route("agent:main:telegram:dm:1", "20261118_101500_99887766")
    scan = home.store().scan(now=NOW)

Every time is told as an age in seconds before ``NOW``. ``host="0.13"`` gives the oldest schema that we
support, ``omit`` takes single columns or whole tables out of either, ``execute`` does what else a case needs.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from hermes_retention.stores.hermes.store import HermesStore

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
DUMP_STAMP = "20261101_090000_000001"

_SESSIONS_013 = """
    id TEXT PRIMARY KEY, source TEXT NOT NULL, user_id TEXT, model TEXT, model_config TEXT,
    system_prompt TEXT, parent_session_id TEXT, started_at REAL NOT NULL, ended_at REAL, end_reason TEXT,
    message_count INTEGER, tool_call_count INTEGER, input_tokens INTEGER, output_tokens INTEGER, title TEXT,
    handoff_state TEXT, handoff_platform TEXT, handoff_error TEXT
"""
_SESSIONS_019 = (
    _SESSIONS_013
    + """,
    session_key TEXT, chat_id TEXT, chat_type TEXT, thread_id TEXT, display_name TEXT, origin_json TEXT,
    expiry_finalized INTEGER, cwd TEXT, profile_name TEXT, rewind_count INTEGER, archived INTEGER
"""
)
_MESSAGES = """
    id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, role TEXT NOT NULL, content TEXT,
    tool_name TEXT, timestamp REAL NOT NULL
"""
_TABLES_013 = {"sessions": _SESSIONS_013, "messages": _MESSAGES, "state_meta": "key TEXT, value TEXT"}
_TABLES_019 = {
    "sessions": _SESSIONS_019,
    "messages": f"{_MESSAGES}, active INTEGER, compacted INTEGER",
    "state_meta": "key TEXT, value TEXT",
    "gateway_routing": "scope TEXT, session_key TEXT, entry_json TEXT, updated_at REAL",
    "compression_locks": "session_id TEXT PRIMARY KEY, holder TEXT, acquired_at REAL, expires_at REAL",
    "async_delegations": """
        delegation_id TEXT PRIMARY KEY, origin_session TEXT NOT NULL, origin_ui_session_id TEXT,
        parent_session_id TEXT, state TEXT NOT NULL, dispatched_at REAL
    """,
}
TABLES = {"0.13": _TABLES_013, "0.19": _TABLES_019}
"""Tables as the host makes them, of their columns those that anybody here asks for."""
_EXECUTIONS = """
    CREATE TABLE IF NOT EXISTS executions (
        id INTEGER PRIMARY KEY, job_id TEXT, status TEXT, claimed_at TEXT, started_at TEXT, finished_at TEXT
    )
"""


class HomeBuilder:
    """A home at ``path``, which is made. Methods that add something return the builder."""

    def __init__(
        self,
        path: Path,
        *,
        host: str = "0.19",
        omit: Collection[str] = (),
        database: bool = True,
        journal: str = "wal",
    ) -> None:
        """``omit`` names tables (``"messages"``) and columns (``"sessions.title"``) that are not there."""
        self.path = path
        self.files = path / "sessions"
        self.files.mkdir(parents=True, exist_ok=True)
        if database:
            self._make_database(host, omit, journal)

    def _make_database(self, host: str, omit: Collection[str], journal: str) -> None:
        self.execute(f"PRAGMA journal_mode = {journal}")
        for table, columns in TABLES[host].items():
            if table in omit:
                continue
            kept = [it for it in columns.split(",") if f"{table}.{it.split()[0]}" not in omit]
            self.execute(f"CREATE TABLE {table} ({','.join(kept)})")
        if not {"messages", "messages.session_id", "messages.timestamp"} & set(omit):
            self.execute("CREATE INDEX idx_messages_session ON messages(session_id, timestamp)")

    def store(self) -> HermesStore:
        """The store under test over this home."""
        return HermesStore(self.path)

    def execute(self, sql: str, *values: object, database: str = "state.db") -> Self:
        """Run any statement on a database of this home, and commit."""
        with closing(sqlite3.connect(self.path / database)) as connection, connection:
            connection.execute(sql, values)
        return self

    def insert(self, table: str, row: Mapping[str, object], *, database: str = "state.db") -> Self:
        """Add a row. Columns that are ``None`` are left out, so that older tables take it too."""
        given = {name: value for name, value in row.items() if value is not None}
        places = ", ".join("?" * len(given))
        sql = f"INSERT INTO {table} ({', '.join(given)}) VALUES ({places})"
        return self.execute(sql, *given.values(), database=database)

    def session(
        self,
        session_id: str,
        *,
        source: str = "telegram",
        age: float = DAY,
        ended: str | None = "session_reset",
        files: Sequence[str] = ("snapshot",),
        messages: int = 1,
        **columns: object,
    ) -> Self:
        """A session whose last activity was ``age`` ago: its row, messages, and files.

        ``ended`` is its end reason, ``None`` that nobody ended it. ``files`` are of ``snapshot``,
        ``transcript`` and ``request_dump``. Further ``columns`` of the row by name; ``key`` is short for
        ``session_key`` and ``parent`` for ``parent_session_id``.
        """
        last = NOW - age
        columns["session_key"] = columns.pop("key", None)
        columns["parent_session_id"] = columns.pop("parent", None)
        row = {"id": session_id, "source": source, "started_at": last - MINUTE, "message_count": messages}
        if ended is not None:
            row |= {"ended_at": last, "end_reason": ended}
        self.insert("sessions", row | columns)
        for position in range(messages):
            message = {"session_id": session_id, "role": "user", "content": "hello"}
            self.insert("messages", message | {"timestamp": last - position})
        for kind in files:
            self.file(name_of(kind, session_id), age=age)
        return self

    def file(self, name: str | bytes, content: bytes = b"{}", *, age: float = DAY) -> Self:
        """A file in ``sessions`` with any name the file system takes."""
        path = self.files / os.fsdecode(name)
        path.write_bytes(content)
        os.utime(path, (NOW - age, NOW - age))
        return self

    def route(
        self, key: str, session_id: str, *, age: float = 0.0, scope: str | None = None, index: bool = True
    ) -> Self:
        """A route as host 0.19 writes it, in the table and in ``sessions.json``; older homes have the latter.

        With ``scope``, or with ``index=False``, only the table gets it.
        """
        used = datetime.fromtimestamp(NOW - age).isoformat()  # noqa: DTZ006 - the host writes local time
        entry: dict[str, object] = {"session_key": key, "session_id": session_id, "updated_at": used}
        if scope is None and index:
            self.index({key: entry})
        if self._has_table("gateway_routing"):
            where = scope if scope is not None else str(self.files.resolve())
            row = {"scope": where, "session_key": key, "entry_json": json.dumps(entry), "updated_at": NOW}
            self.insert("gateway_routing", row)
        return self

    def _has_table(self, table: str) -> bool:
        with closing(sqlite3.connect(self.path / "state.db")) as connection:
            found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        return found is not None

    def index(self, entries: dict[str, object]) -> Self:
        """Add entries of any form to ``sessions.json``."""
        path = self.files / "sessions.json"
        known = json.loads(path.read_text()) if path.exists() else {"_README": "a note of the host"}
        path.write_text(json.dumps(known | entries, indent=2))
        return self

    def execution(self, job: str, status: str, *, age: float, lasted: float | None = MINUTE) -> Self:
        """A row of ``cron/executions.db`` (host 0.19) that began ``age`` ago; ``lasted=None`` has no end."""
        (self.path / "cron").mkdir(exist_ok=True)
        runs = "cron/executions.db"
        row: dict[str, object] = {"job_id": job, "status": status}
        row |= {"claimed_at": _iso(age), "started_at": _iso(age - 0.5)}
        if lasted is not None:
            row["finished_at"] = _iso(age - lasted)
        return self.execute(_EXECUTIONS, database=runs).insert("executions", row, database=runs)

    def jobs(self, *jobs: dict[str, object]) -> Self:
        """The list of cron jobs as the host keeps it."""
        (self.path / "cron").mkdir(exist_ok=True)
        (self.path / "cron" / "jobs.json").write_text(json.dumps({"jobs": jobs}))
        return self


def name_of(kind: str, session_id: str) -> str:
    """The name that a file of this kind has, for ids that file names take as they are."""
    return {
        "snapshot": f"session_{session_id}.json",
        "transcript": f"{session_id}.jsonl",
        "request_dump": f"request_dump_{session_id}_{DUMP_STAMP}.json",
    }[kind]


def _iso(age: float) -> str:
    return datetime.fromtimestamp(NOW - age, UTC).isoformat()
