"""Sweeps that the gateway itself makes: after cron jobs, after deliveries, and after it was killed in one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from gateways import KNOWS_MESSENGER, eventually, running_gateway
from host_rows import check
from hosts import Host, Program, age
from sites import snapshot_of


@pytest.fixture
def host(host: Host) -> Host:
    """The host with our plugin, whose gateway sweeps soon after its start and then not for an hour."""
    host.enable(MODE="enforce", STARTUP_DELAY="1s")
    return host


def query(host: Host, text: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(host.home / "state.db", timeout=30)) as database:
        return database.execute(text).fetchall()


def routes(host: Host) -> set[str]:
    """The keys in the index."""
    index = json.loads((host.sessions / "sessions.json").read_text())
    return {key for key in index if not key.startswith("_")}


def files(host: Host, session_ids: Iterable[str]) -> set[str]:
    """What is left of the files of these sessions."""
    return {path.name for it in session_ids for path in host.sessions.glob(f"*{it}*")}


def age_deliveries(home: Path, *, days: float) -> None:
    """While no gateway runs: routes of deliveries were last used that much earlier."""
    path = home / "sessions" / "sessions.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({key: _aged(entry, days) for key, entry in index.items()}))
    with closing(sqlite3.connect(home / "state.db")) as database, database:
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'gateway_routing'").fetchone():
            rows = database.execute("SELECT rowid, entry_json FROM gateway_routing").fetchall()
            database.executemany(
                "UPDATE gateway_routing SET entry_json = ? WHERE rowid = ?",
                [(json.dumps(_aged(json.loads(text), days)), rowid) for rowid, text in rows],
            )


def _aged(entry: object, days: float) -> object:
    if not isinstance(entry, dict) or entry["platform"] != "webhook":
        return entry
    used = datetime.fromisoformat(entry["updated_at"]) - timedelta(days=days)
    return entry | {"updated_at": used.isoformat()}


def test_run_of_a_job_that_shall_not_persist_leaves_its_record(host: Host) -> None:
    host.settings |= {"HERMES_RETENTION_CRON__PERSIST": "false", "HERMES_RETENTION_CRON__KEEP_LAST": "0"}
    host.run("cron", "create", "--name", "news", "--deliver", "local", "every 1h", "Say hi")
    (job,) = json.loads((host.home / "cron" / "jobs.json").read_text())["jobs"]
    host.run("cron", "run", job["id"])
    host.run("cron", "tick")
    ((run,),) = query(host, "SELECT id FROM sessions")
    output = snapshot_of(host.home / "cron" / "output" / job["id"])
    assert files(host, [str(run)])
    age(host.home, days=1 / 24)
    with running_gateway(host, webhooks=True):
        eventually(lambda: query(host, "SELECT id FROM messages") == [])
    assert files(host, [str(run)]) == set()
    assert query(host, "SELECT id FROM sessions") == [(run,)]
    assert snapshot_of(host.home / "cron" / "output" / job["id"]) == output


def test_deliveries_are_gone_after_their_time_with_files_and_routes(host: Host) -> None:
    with running_gateway(host, webhooks=True) as gateway:
        if KNOWS_MESSENGER:
            gateway.ask("remember the word swordfish", until="Noted.", chat="alice")
        for number in range(20):
            gateway.deliver(f"d{number}", "do it")
        done = "SELECT count(DISTINCT session_id) FROM messages WHERE role = 'assistant'"
        eventually(lambda: query(host, done) == [(20 + KNOWS_MESSENGER,)])
    hooks = [str(it) for (it,) in query(host, "SELECT id FROM sessions WHERE source = 'webhook'")]
    assert len(hooks) == 20
    age(host.home, days=30)
    age_deliveries(host.home, days=30)
    with closing(sqlite3.connect(host.home / "state.db")) as database, database:
        # Half of them as hosts before 0.19 leave all of them: newer ones drop the route of what has ended
        # when they start, and then there would be nothing left to do.
        database.execute("UPDATE sessions SET ended_at = NULL, end_reason = NULL WHERE id IN (SELECT id FROM "
                         "sessions WHERE source = 'webhook' LIMIT 10)")  # fmt: skip
    chats = {key for key in routes(host) if "webhook" not in key}
    with running_gateway(host, webhooks=True) as gateway:
        eventually(lambda: not files(host, hooks) and routes(host) == chats)
        if KNOWS_MESSENGER:
            (session_id,) = {
                str(it) for (it,) in query(host, "SELECT id FROM sessions WHERE source = 'ntfy'")
            }
            gateway.ask("and now?", until="Noted.", chat="alice")
            said = f"SELECT content FROM messages WHERE session_id = '{session_id}' AND role = 'user'"
            assert query(host, said) == [("remember the word swordfish",), ("and now?",)]
        gateway.deliver("another", "once more")
        eventually(lambda: len(routes(host) - chats) == 1)
    assert not query(host, f"SELECT id FROM messages WHERE session_id IN {tuple(hooks)}")
    check(host.home / "state.db")


def test_gateway_that_is_killed_in_a_sweep_finishes_it_when_it_is_back(host: Host, program: Program) -> None:
    host.python("""
        import json, os
        from pathlib import Path
        from hermes_state import SessionDB
        db = SessionDB()
        for number in range(400):
            name = f"20261001_090000_{number:08x}"
            db.create_session(name, "telegram")
            for _ in range(5):
                db.append_message(name, "user", f"what an axolotl is {number} " * 200)
            db.end_session(name, "session_reset")
            path = Path(os.environ["HERMES_HOME"]) / "sessions" / f"session_{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({"session_id": name, "messages": [str(number)] * 2000}))
    """)
    age(host.home, days=200)
    before = {name: file for name, file in snapshot_of(host.sessions).items() if b"session_" in name}
    said = query(host, "SELECT * FROM messages ORDER BY id")
    with running_gateway(host, webhooks=True) as gateway:
        eventually(lambda: len(list(host.sessions.glob("session_*.json"))) < len(before))
        gateway.kill()
    with running_gateway(host, webhooks=True):
        eventually(
            lambda: (
                not list(host.sessions.glob("session_*.json")) and not query(host, "SELECT id FROM messages")
            )
        )
    program.run("archive", "verify")
    check(host.home / "state.db")
    program.run("undo", "--all", "--yes")
    assert {name: file for name, file in snapshot_of(host.sessions).items() if name in before} == before
    assert query(host, "SELECT * FROM messages ORDER BY id") == said
    assert host.chat("hi")
