"""A gateway in some hundred lines whose sessions stay bounded: it fires hooks, hermes-retention works.

    HERMES_RETENTION_MODE=enforce python examples/minimal_gateway.py HOME

It reads standard input. ``alice hello`` is a message in the chat ``alice``, which a parrot answers; ``alice
/new`` begins that chat anew; ``cron weather`` runs a job. The end of input ends it.

What it keeps in HOME is laid out as Hermes Agent does it: a record for each session and its messages in
``state.db``, a snapshot of each in ``sessions/``, and in ``sessions/sessions.json`` which chat goes where.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from hermes_retention.api import ResumeCandidate, RetentionPlugin, plugin_manager

if TYPE_CHECKING:
    import pluggy

PLATFORM = "local"
ADD_SESSION = "INSERT INTO sessions(id, source, session_key, started_at) VALUES (?, ?, ?, ?)"
ADD_MESSAGE = "INSERT INTO messages(session_id, role, content, timestamp) VALUES (?, ?, ?, ?)"
SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions(id TEXT PRIMARY KEY, source TEXT NOT NULL, session_key TEXT, title TEXT,
    started_at REAL NOT NULL, ended_at REAL, end_reason TEXT, message_count INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS messages(id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL,
    role TEXT NOT NULL, content TEXT, timestamp REAL NOT NULL);
CREATE INDEX IF NOT EXISTS idx_messages_session ON messages(session_id, timestamp);
"""
UNANSWERED = """
SELECT session_id, max(timestamp) FROM messages AS m GROUP BY session_id
HAVING (SELECT role FROM messages WHERE session_id = m.session_id ORDER BY id DESC LIMIT 1) = 'user'
"""


class Gateway:
    """Chats, each with a session, and a parrot that answers in all of them."""

    def __init__(self, home: Path, plugins: pluggy.PluginManager) -> None:
        self.home, self.hook = home, plugins.hook
        (home / "sessions").mkdir(parents=True, exist_ok=True)
        self.index = home / "sessions" / "sessions.json"
        known = json.loads(self.index.read_text()) if self.index.exists() else {}
        self.routes: dict[str, str] = {key: entry["session_id"] for key, entry in known.items()}
        self.database = sqlite3.connect(home / "state.db", isolation_level=None)
        self.database.executescript(f"PRAGMA journal_mode = WAL;{SCHEMA}")

    def start(self) -> None:
        """Answer what was left unanswered, as far as that is still worth it, and be up."""
        keys = {session: key for key, session in self.routes.items()}
        candidates = [
            ResumeCandidate(session, keys[session], asked_at)
            for session, asked_at in self.database.execute(UNANSWERED).fetchall()
            if session in keys
        ]
        plan = self.hook.plan_resume(candidates=candidates)
        for candidate in plan.resume if plan is not None else ():
            self.answer(candidate.session_id, candidate.session_key, "sorry for the wait")
        self.hook.gateway_startup(home=self.home, platforms=[PLATFORM])

    def stop(self) -> None:
        """End, within two seconds."""
        self.hook.gateway_shutdown()
        self.database.close()

    def message(self, key: str, text: str) -> None:
        """A person says something in a chat."""
        session = self.routes.get(key) or self.begin(key, PLATFORM)
        over = self.hook.session_over_cap(session_id=session, cap=None)
        if over is not None and over.action == "reset":
            self.reset(key)
            session = self.routes[key]
        elif over is not None and over.action == "stop":
            print(f"{key}: {over.text}", flush=True)
            return
        self.store(session, "user", text)
        self.answer(session, key, text)

    def reset(self, key: str) -> None:
        """A person wants to begin anew."""
        old, new = self.routes.get(key), self.begin(key, PLATFORM)
        if old is not None:
            self.end(old, "new_session")
            names = {"session_key": key, "old_session_id": old, "new_session_id": new}
            self.hook.session_reset(platform=PLATFORM, **names)
        print(f"{key}: a fresh start", flush=True)

    def run_job(self, job: str) -> None:
        """It is time for a job."""
        session = self.begin(None, "cron", f"cron_{job}_{time.strftime('%Y%m%d_%H%M%S')}")
        self.store(session, "user", job)
        self.answer(session, f"cron {job}", f"{job} is done")
        self.end(session, "cron_complete")
        self.hook.cron_complete(job_id=job, session_id=session, succeeded=True)

    def answer(self, session: str, key: str, text: str) -> None:
        """A turn: what a model would say, stored, said and told."""
        self.store(session, "assistant", f"{text}!")
        print(f"{key}: {text}!", flush=True)
        self.hook.turn_end(session_id=session, session_key=key, platform=PLATFORM, usage={"messages": 2})

    def begin(self, key: str | None, source: str, name: str = "") -> str:
        """A new session, to which the chat leads from now on."""
        session = name or f"{time.strftime('%Y%m%d_%H%M%S')}_{uuid.uuid4().hex[:8]}"
        self.database.execute(ADD_SESSION, (session, source, key, time.time()))
        if key is not None:
            self.routes[key] = session
            self.index.write_text(json.dumps({key: {"session_id": to} for key, to in self.routes.items()}))
        return session

    def end(self, session: str, reason: str) -> None:
        """Nothing more comes to this session."""
        row = (time.time(), reason, session)
        self.database.execute("UPDATE sessions SET ended_at = ?, end_reason = ? WHERE id = ?", row)

    def store(self, session: str, role: str, text: str) -> None:
        """Keep a message, and all of the session as a file."""
        self.database.execute(ADD_MESSAGE, (session, role, text, time.time()))
        said = "SELECT role, content FROM messages WHERE session_id = ? ORDER BY id"
        messages = [
            {"role": role, "content": content} for role, content in self.database.execute(said, (session,))
        ]
        snapshot = self.home / "sessions" / f"session_{session}.json"
        snapshot.write_text(json.dumps({"session_id": session, "messages": messages}))


def main(home: Path) -> None:
    """Serve until the end of input."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    plugins = plugin_manager()
    plugins.register(RetentionPlugin(home=home, plugins=lambda: plugins))
    gateway = Gateway(home, plugins)
    gateway.start()
    for line in sys.stdin:
        key, _, text = line.strip().partition(" ")
        if key == "cron":
            gateway.run_job(text)
        elif text == "/new":
            gateway.reset(key)
        elif text:
            gateway.message(key, text)
    gateway.stop()


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the name of the program and HOME
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
