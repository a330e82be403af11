"""A home as it leaks: a month of cron runs, chats, deliveries and helpers, with files and databases.

``build_home`` is the door. What must not live here: talk and forms of files (``snapshot``), tables
(``database``), and anything that sweeps.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hermes_retention.cli.demo.database import Execution, Row, StateDatabase, write_executions
from hermes_retention.cli.demo.snapshot import (
    Message,
    Pen,
    Surroundings,
    conversation,
    dump_name,
    local_time,
    run_of_job,
    stamp,
)

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
DAYS = 30
"""How far back the home goes."""
_PRIVATE, _SHARED = 0o600, 0o640

_JOBS = (
    ("Inbox digest", 3 * HOUR),
    ("Price watch", 12 * HOUR),
    ("Weather", DAY),
    ("News", DAY),
    ("Backup report", DAY),
    ("Plants", 2 * DAY),
    ("Budget review", 7 * DAY),
)
_RUNNING_JOB, _FAILING_JOB = "Budget review", "Backup report"
_FAILED_AGES = (range(2, 4), range(12, 13))
"""Days ago on which runs of that job failed: some within ``keep_failed``, one long ago."""
_CHATS = (
    ("telegram", "dm:4101", 16),
    ("telegram", "dm:4102", 12),
    ("telegram", "dm:4103", 1),
    ("telegram", "group:-1007:4101", 9),
    ("discord", "dm:88010", 14),
    ("discord", "group:88020:88010", 10),
)
"""Platform, rest of the route key, and how many sessions the route has led to."""
_RESETS = ("new_session", "new_session", "session_reset", "idle")
_LONG_IDLE, _IN_USE, _COMPRESSED = 2, 0, 4
"""Chats whose current session is: idle for weeks, in use right now, the continuation of a compressed one."""
_HELD_CHAT = 1
_UPDATED_AGE = 20 * DAY
"""When the host was updated: before, it kept a transcript beside each snapshot of a chat."""


class Made(msgspec.Struct, frozen=True):
    """What ``build_home`` made that a visitor has to know."""

    sessions: int
    cron_runs: int
    to_hold: str
    """A superseded session that somebody might want to keep."""


def build_home(home: Path, *, now: float, seed: int = 1) -> Made:
    """Fill ``home``, empty or not there yet. ``now`` is in Unix seconds; equal arguments make equal homes."""
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "sessions").mkdir()
    (home / "cron").mkdir()
    with StateDatabase(home / "state.db") as database:
        cast = _Cast(home, database, Pen(seed), now=now)
        cast.cron()
        cast.chats()
        cast.one_offs()
        cast.strangers()
        cast.write_routes()
    write_executions(home / "cron" / "executions.db", cast.executions)
    return Made(cast.count, len(cast.executions), cast.to_hold)


class _Cast:
    """Everybody who leaves something in the home, one method for each kind."""

    def __init__(self, home: Path, database: StateDatabase, pen: Pen, *, now: float) -> None:
        self._sessions, self._database, self._pen, self._now = home / "sessions", database, pen, now
        self._around = Surroundings(pen)
        self._routes: dict[str, dict[str, object]] = {}
        self.executions: list[Execution] = []
        self.count = 0
        self.to_hold = ""

    def cron(self) -> None:
        """Runs of all jobs over the whole time; the last run of one of them is still going on."""
        for name, every in _JOBS:
            job, task = self._hex(12), f"{name}: {self._pen.text(4)}"
            if name == _RUNNING_JOB:
                self._cron_run(job, task, self._now - 2 * MINUTE, failed=False, going_on=True)
            for number in range(int(DAYS * DAY / every)):
                age = (number + 1) * every - self._pen.random.uniform(0, min(every, HOUR))
                failed = name == _FAILING_JOB and any(int(age / DAY) in days for days in _FAILED_AGES)
                self._cron_run(job, task, self._now - age, failed=failed)

    def _cron_run(self, job: str, task: str, started: float, *, failed: bool, going_on: bool = False) -> None:
        lookups = self._pen.random.randint(1, 5)
        messages = run_of_job(self._pen, task, lookups, self._around.tool_names)
        ended = started + 20 + 15 * lookups
        row = Row(
            f"cron_{job}_{stamp(started)}",
            "cron",
            started,
            None if going_on else ended,
            None if going_on else "cron_complete",
            title=f"{task.partition(':')[0]} {stamp(started)}",
        )
        self._session(row, messages, last=ended)
        if not going_on:
            self.executions.append(Execution(self._hex(32), job, started, ended + 2, failed=failed))
        if failed:
            self._dump(row, messages, at=ended)

    def chats(self) -> None:
        """Chains of sessions, each superseded by the next; the last of each chain is routed."""
        for number, (platform, rest, length) in enumerate(_CHATS):
            key = f"agent:main:{platform}:{rest}"
            newest = {_LONG_IDLE: 19 * DAY, _IN_USE: 3 * MINUTE}.get(number, (number + 2) * HOUR)
            ages = sorted(self._pen.random.uniform(newest + DAY, DAYS * DAY) for _ in range(length - 1))
            superseded = [self._chat(platform, key, age, over=True) for age in reversed(ages)]
            if number == _HELD_CHAT:
                self.to_hold = superseded[-2].id
            parent = superseded[-1] if number == _COMPRESSED else None
            current = self._chat(platform, key, newest, over=False, parent=parent)
            self._routes[key] = _entry(current, platform, updated=self._now - newest)
            self._helpers(current)
            for row in superseded[::6]:
                self._helpers(row)

    def _chat(self, platform: str, key: str, age: float, *, over: bool, parent: Row | None = None) -> Row:
        turns = self._pen.random.randint(4, 18)
        messages = conversation(self._pen, turns, self._around.tool_names)
        last = self._now - age
        started = last - turns * MINUTE
        reason = self._pen.random.choice(_RESETS) if over else None
        row = Row(
            f"{stamp(started)}_{self._hex(8)}",
            platform,
            started,
            last if over else None,
            reason,
            key,
            key.rpartition(":")[2],
            parent.id if parent else None,
            title=self._pen.title(),
        )
        if parent is not None:
            self._database.end_for_compression(parent.id)
        self._session(row, messages, last=last, mode=_SHARED)
        if age > _UPDATED_AGE:
            lines = "".join(f"{json.dumps(message, ensure_ascii=False)}\n" for message in messages)
            self._write(f"{row.id}.jsonl", lines.encode(), last, _SHARED)
        if turns % 5 == 0 or age == 19 * DAY:
            self._dump(row, messages, at=last)
        return row

    def _helpers(self, parent: Row) -> None:
        """Subagents that a chat sent out."""
        for _ in range(2):
            started = parent.started_at + self._pen.random.uniform(0, 4 * MINUTE)
            row = Row(
                f"{stamp(started)}_{self._hex(6)}",
                parent.source,
                started,
                started + MINUTE,
                "subagent_complete",
                parent_id=parent.id,
                delegated=True,
            )
            self._session(row, conversation(self._pen, 2, self._around.tool_names), last=started + MINUTE)

    def one_offs(self) -> None:
        """Webhook deliveries with routes that nobody can use again, API clients, and shells."""
        ages = [self._pen.random.uniform(2 * HOUR, DAYS * DAY) for _ in range(74)]
        for age in ages[:34]:
            started = self._now - age
            key = f"agent:main:webhook:dm:webhook:alerts:{self._hex(12)}"
            session_id = f"{stamp(started)}_{self._hex(8)}"
            row = Row(session_id, "webhook", started, started + 30, "webhook_complete", key)
            self._routes[key] = _entry(row, "webhook", updated=started + 30)
            self._session(row, conversation(self._pen, 1, self._around.tool_names), last=started + 30)
        for age in ages[34:46]:
            self._session(
                Row(f"api-{self._hex(16)}", "api_server", self._now - age),
                conversation(self._pen, 3, self._around.tool_names),
                last=self._now - age + MINUTE,
            )
        for age in ages[46:]:
            started = self._now - age
            row = Row(f"{stamp(started)}_{self._hex(6)}", "cli", started, title=self._pen.title())
            self._session(row, conversation(self._pen, 4, self._around.tool_names), last=started + 9 * MINUTE)

    def strangers(self) -> None:
        """Snapshots whose rows the host has deleted, and a file that is none of the host's."""
        for age in (9, 11, 14, 17, 22, 23, 26, 29):
            started = self._now - age * DAY
            row = Row(f"{stamp(started)}_{self._hex(6)}", "cli", started)
            messages = conversation(self._pen, 3, self._around.tool_names)
            self._session(row, messages, last=started, recorded=False)
        self._write("notes.txt", b"Ask about the spare key.\n", self._now - 25 * DAY, _PRIVATE)

    def write_routes(self) -> None:
        """The index, in the database and in its older sibling."""
        for entry in self._routes.values():
            self._database.route(str(self._sessions.resolve()), entry)
        index = {"_README": "Maps session keys to active session ids.", **self._routes}
        self._write("sessions.json", json.dumps(index, indent=2).encode(), self._now - 3 * MINUTE, _PRIVATE)

    def _session(
        self,
        row: Row,
        messages: Sequence[Message],
        *,
        last: float,
        mode: int = _PRIVATE,
        recorded: bool = True,
    ) -> None:
        """A session with its row and its snapshot, last written at ``last``."""
        started = row.started_at
        content = self._around.snapshot(row.id, row.source, messages, started=started, updated=last)
        self._write(f"session_{row.id}.json", content, last, mode)
        self.count += 1
        if recorded:
            step = (last - started) / len(messages)
            prompt = self._around.system_prompt(row.source, started)
            self._database.add(msgspec.structs.replace(row, system_prompt=prompt), messages, step=step)

    def _dump(self, row: Row, messages: Sequence[Message], *, at: float) -> None:
        content = self._around.request_dump(row.id, row.source, messages, started=row.started_at, failed=at)
        self._write(dump_name(row.id, at), content, at, _PRIVATE)

    def _write(self, name: str, content: bytes, changed: float, mode: int) -> None:
        path = self._sessions / name
        path.write_bytes(content)
        path.chmod(mode)
        nanoseconds = int(changed * 1e9) // 1000 * 1000 + self._pen.random.randrange(1000)
        os.utime(path, ns=(nanoseconds, nanoseconds))

    def _hex(self, digits: int) -> str:
        return f"{self._pen.random.getrandbits(4 * digits):0{digits}x}"


def _entry(row: Row, platform: str, *, updated: float) -> dict[str, object]:
    """A route as the host writes it, without the counters that nobody needs."""
    moment = local_time(updated).isoformat()
    started = local_time(row.started_at).isoformat()
    return {
        "session_key": row.session_key,
        "session_id": row.id,
        "created_at": started,
        "updated_at": moment,
        "platform": platform,
        "chat_type": "dm",
    }
