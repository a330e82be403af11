"""Makes homes of the OpenClaw family for tests: real files, no host needed.

    home = OpenClawHome(tmp_path)
    key = home.session("hook", age=2 * HOUR)
    home.write()
    scan = home.store().scan(now=NOW)

Times are ages in seconds before ``NOW``. ``entry`` holds what is written of a session; tests change it as
they like before ``write``.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from homes import HOUR, NOW

from hermes_retention.home.home import Home
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import Lifecycle, Policy
from hermes_retention.stores.openclaw.files import Waiting
from hermes_retention.stores.openclaw.store import OpenClawStore

KINDS = {
    "main": "main",
    "hook": "hook:{id}",
    "cron": "cron:backup",
    "run": "cron:backup:run:{id}",
    "subagent": "subagent:{id}",
    "direct": "telegram:direct:{number}",
    "group": "telegram:group:-100{number}",
    "dashboard": "dashboard:{id}",
}


class OpenClawHome:
    """A home at ``path``, which is made, with sessions of any number of agents."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, dict[str, Any]] = {}
        """Agent → key → entry."""
        self._number = 0
        path.mkdir(parents=True, exist_ok=True)

    def directory(self, agent: str = "main") -> Path:
        """Where the sessions of an agent lie; made if it is missing."""
        found = self.path / "agents" / agent / "sessions"
        found.mkdir(parents=True, exist_ok=True)
        return found

    def index(self, agent: str = "main") -> Path:
        """The agent's ``sessions.json``."""
        return self.directory(agent) / "sessions.json"

    def new_id(self) -> str:
        """A session id as the host makes them, the same in each run."""
        self._number += 1
        return str(uuid.UUID(int=self._number * 2**64 + 7, version=4))

    def session(
        self, kind: str, *, age: float, agent: str = "main", session_id: str | None = None, **fields: object
    ) -> str:
        """Add an entry and a transcript of that age; returns the session id. ``fields`` go into the entry."""
        own = session_id or self.new_id()
        key = f"agent:{agent}:" + KINDS.get(kind, kind).format(id=own, number=self._number)
        at = int((NOW - age) * 1000)
        entry = {"sessionId": own, "updatedAt": at, "systemSent": True, "model": "claude"} | fields
        self.entries.setdefault(agent, {})[key] = {
            it: value for it, value in entry.items() if value is not ...
        }
        self.transcript(own, age=age, agent=agent)
        return own

    def key_of(self, session_id: str, agent: str = "main") -> str:
        """The key under which a session was added."""
        entries = self.entries[agent]
        return next(key for key, entry in entries.items() if entry.get("sessionId") == session_id)

    def transcript(
        self, session_id: str, *, age: float, agent: str = "main", suffix: str = ".jsonl", lines: int = 2
    ) -> Path:
        """A file of a session, with the header that the host writes and some messages."""
        said = [{"type": "session", "version": 3, "id": session_id, "cwd": "/srv"}]
        said += [{"type": "message", "id": f"{n:08x}", "message": {"role": "user"}} for n in range(lines)]
        text = "".join(json.dumps(line) + "\n" for line in said)
        return self.file(session_id + suffix, text, age=age, agent=agent)

    def file(self, name: str, text: str = "x\n", *, age: float, agent: str = "main") -> Path:
        """Any file in the directory of an agent."""
        path = self.directory(agent) / name
        path.write_text(text)
        os.utime(path, (NOW - age, NOW - age))
        return path

    def write(self) -> OpenClawHome:
        """Write the indexes as the host does."""
        for agent, entries in self.entries.items():
            self.index(agent).write_text(json.dumps(entries, indent=2))
            self.index(agent).chmod(0o600)
        return self

    def read(self, agent: str = "main") -> dict[str, Any]:
        """The index as it is now."""
        found: dict[str, Any] = json.loads(self.index(agent).read_text())
        return found

    def store(self, *, cache_max_bytes: int = 1_000_000) -> OpenClawStore:
        """The store of this home, whose locks are waited for in no time."""
        waiting = Waiting(now=lambda: NOW, sleep=lambda _: None)
        return OpenClawStore(self.path, cache_max_bytes=cache_max_bytes, waiting=waiting)


def due_policy(**fields: object) -> Policy:
    """A policy under which everything but the main session is due after an hour."""
    lifecycle = Lifecycle(files_after=int(HOUR), idle_after=int(HOUR))
    return Policy(**({"lifecycles": dict.fromkeys(SessionClass, lifecycle)} | fields))  # type: ignore[arg-type]  # one keyword per field


def openclaw_site(home: OpenClawHome, policy: Policy | None = None) -> Home:
    """The home under care."""
    store = home.store()
    return Home(store, Workspace(store.home), policy or due_policy())
