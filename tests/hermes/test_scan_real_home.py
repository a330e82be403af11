"""What the scan says of homes that the real host filled."""

from __future__ import annotations

import json
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from hosts import REFUSE, Host

from hermes_retention.model.session import ArtifactKind, Lineage, Record, Session, SessionClass
from hermes_retention.model.text import safe_name
from hermes_retention.stores.base import Scan
from hermes_retention.stores.hermes.files import Classifier
from hermes_retention.stores.hermes.store import HermesStore
from hermes_retention.stores.layouts import Layout, detect


def host_has(module: str, text: str) -> bool:
    """Whether the source of a module of the host, not imported here, says ``text``."""
    package, _, name = module.rpartition(".")
    spec = find_spec(package or name)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).with_name(f"{name}.py")
    return source.is_file() and text in source.read_text()


def needs(module: str, text: str) -> pytest.MarkDecorator:
    """Skip where the host has no such thing, not yet or in another place."""
    return pytest.mark.skipif(not host_has(module, text), reason=f"this host has no {text} in {module}")


TRANSCRIPTS = host_has("gateway.session", "def get_transcript_path")
KEYS = host_has("hermes_state", "CREATE TABLE IF NOT EXISTS gateway_routing")
"""Whether records say to which route they belong."""

TELEGRAM = 'SessionSource(platform=Platform("telegram"), chat_id="{chat}", user_id="u1", chat_type="dm")'
GATEWAY = """
    from pathlib import Path
    import os
    from gateway.config import GatewayConfig, Platform
    from gateway.session import SessionSource, SessionStore
    store = SessionStore(Path(os.environ["HERMES_HOME"]) / "sessions", GatewayConfig())
"""
DATABASE = """
    from hermes_state import SessionDB
    db = SessionDB()
"""


def scan(host: Host) -> Scan:
    """A scan that has nothing to complain about, and leaves nothing out."""
    found = HermesStore(host.home).scan(now=time.time())
    assert found.warnings == ()
    assert found.unknown == ()
    return found


def by_id(host: Host) -> dict[str, Session]:
    return {session.id: session for session in scan(host).sessions}


def record_of(session: Session) -> Record:
    assert session.record is not None
    return session.record


def kinds(session: Session) -> set[ArtifactKind]:
    return {artifact.kind for artifact in session.artifacts}


def test_chat_on_the_command_line(host: Host) -> None:
    before = time.time()
    host.run("chat", "-q", "hi")
    (session,) = scan(host).sessions
    assert session.session_class is SessionClass.CLI
    assert kinds(session) == {ArtifactKind.SNAPSHOT}
    record = record_of(session)
    assert (record.source, record.ended_at, record.lineage, record.busy) == ("cli", None, Lineage.NONE, None)
    assert before < record.started_at < (record.last_message_at or 0.0) < time.time()
    assert detect(host.home) is Layout.HERMES


def test_request_dump_of_a_refused_request(host: Host) -> None:
    host.run("chat", "-q", REFUSE)
    (session,) = scan(host).sessions
    assert kinds(session) == {ArtifactKind.SNAPSHOT, ArtifactKind.REQUEST_DUMP}


def test_runs_of_cron_jobs(host: Host) -> None:
    jobs = {}
    for name, prompt in (("good", "Say hi"), ("bad", REFUSE)):
        host.run("cron", "create", "--name", name, "--deliver", "local", "every 1h", prompt)
        listed = json.loads((host.home / "cron" / "jobs.json").read_text())["jobs"]
        jobs[name] = next(job["id"] for job in listed if job["name"] == name)
        host.run("cron", "run", jobs[name])
        # One after the other: host 0.13 loses a row when two runs make the database at the same moment.
        host.run("cron", "tick")
    sessions = {session.group: session for session in scan(host).sessions}
    assert set(sessions) == set(jobs.values())
    for session in sessions.values():
        assert session.session_class is SessionClass.CRON
        assert record_of(session).end_reason == "cron_complete"
        assert ArtifactKind.SNAPSHOT in kinds(session)
    assert [sessions[jobs[name]].failed for name in ("good", "bad")] == [False, True]


def test_chats_of_a_gateway(host: Host) -> None:
    result = host.python(f"""{GATEWAY}
    one, other = {TELEGRAM.format(chat="1")}, {TELEGRAM.format(chat="2")}
    first = store.get_or_create_session(one)
    store.append_to_transcript(first.session_id, {{"role": "user", "content": "hi"}})
    second = store.reset_session(first.session_key)
    third = store.get_or_create_session(other)
    result = [[entry.session_id, entry.session_key] for entry in (first, second, third)]
    """)
    (first, key), (second, _), (third, other_key) = result
    sessions = by_id(host)
    assert set(sessions) == {first, second, third}
    assert {session.session_class for session in sessions.values()} == {SessionClass.CHAT}
    routes = {session.id: [route.key for route in session.routes] for session in sessions.values()}
    assert routes == {first: [], second: [key], third: [other_key]}
    assert all(abs((sessions[it].routes[0].updated_at or 0) - time.time()) < 60 for it in (second, third))
    assert record_of(sessions[first]).end_reason == "session_reset"
    assert kinds(sessions[first]) == ({ArtifactKind.TRANSCRIPT} if TRANSCRIPTS else set())
    assert sessions[first].successor == (second if KEYS else None)
    assert sessions[second].group == key
    assert sessions[first].group == (key if KEYS else "telegram:u1")
    assert scan(host).other_bytes > 0


@needs("hermes_state", "CREATE TABLE IF NOT EXISTS gateway_routing")
def test_routes_without_the_older_index(host: Host) -> None:
    session_id = host.python(f"""{GATEWAY}
    result = store.get_or_create_session({TELEGRAM.format(chat="1")}).session_id
    """)
    (host.sessions / "sessions.json").unlink()
    assert [route.key for route in by_id(host)[session_id].routes] == ["agent:main:telegram:dm:1"]


def test_deliveries_of_webhooks(host: Host) -> None:
    host.python(f"""{GATEWAY}
    for delivery in ("17", "18"):
        store.get_or_create_session(SessionSource(
            platform=Platform("webhook"), chat_id=f"webhook:deploy:{{delivery}}", chat_type="webhook",
            user_id="webhook:deploy",
        ))
    """)
    sessions = scan(host).sessions
    assert len(sessions) == 2
    assert {session.session_class for session in sessions} == {SessionClass.HOOK}
    assert {session.group for session in sessions} == {"webhook:webhook:deploy"}
    assert all(session.routes for session in sessions)


def test_lineage(host: Host) -> None:
    host.python(f"""{DATABASE}
    for parent, reason in (("compressed", "compression"), ("plain", "session_reset")):
        db.create_session(parent, "telegram")
        db.end_session(parent, reason)
    db.create_session("continued", "telegram", parent_session_id="compressed")
    for name, mark in (("branch", "_branched_from"), ("helper", "_delegate_from")):
        db.create_session(name, "telegram", parent_session_id="plain", model_config={{mark: "plain"}})
    """)
    sessions = by_id(host)
    assert {name: record_of(session).lineage for name, session in sessions.items()} == {
        "compressed": Lineage.NONE,
        "plain": Lineage.NONE,
        "continued": Lineage.COMPRESSION,
        "branch": Lineage.BRANCH,
        "helper": Lineage.DELEGATION,
    }
    assert record_of(sessions["continued"]).parent_id == "compressed"
    assert sessions["helper"].session_class is SessionClass.SUBAGENT


def test_hand_off(host: Host) -> None:
    host.python(f"""{DATABASE}
    db.create_session("a", "cli")
    db.create_session("b", "cli")
    db.request_handoff("a", "telegram")
    """)
    assert {name: record_of(session).busy for name, session in by_id(host).items()} == {
        "a": "hand-off pending",
        "b": None,
    }


@needs("hermes_state", "def try_acquire_compression_lock")
def test_compression_lock(host: Host) -> None:
    host.python(f"""{DATABASE}
    for name, seconds in (("held", 300), ("expired", -1)):
        db.create_session(name, "telegram")
        db.try_acquire_compression_lock(name, "1:2:3", ttl_seconds=seconds)
    """)
    assert {name: record_of(session).busy for name, session in by_id(host).items()} == {
        "held": "compression lock",
        "expired": None,
    }


@needs("tools.async_delegation", "def _persist_dispatch")
def test_delegation_in_the_background(host: Host) -> None:
    host.python(f"""{DATABASE}
    import time
    from tools import async_delegation
    for name in ("working", "done"):
        db.create_session(name, "telegram")
        async_delegation._persist_dispatch({{
            "delegation_id": name, "session_key": "", "parent_session_id": name, "dispatched_at": time.time(),
        }})
    async_delegation._persist_completion({{"delegation_id": "done", "status": "completed"}}, {{}})
    """)
    assert {name: record_of(session).busy for name, session in by_id(host).items()} == {
        "working": "background delegation",
        "done": None,
    }


@needs("run_agent", "def _safe_session_filename_component")
def test_safe_names_are_those_of_the_host(host: Host) -> None:
    ids = ["", " a ", "_a_", "a.b", "über", "a/b", "x" * 97, "a\nb", "20261120_101500_0a1b2c3d", "\ud800"]
    expected = host.python(f"""
    from run_agent import _safe_session_filename_component as safe
    result = [safe(it) for it in {ids!a}]
    """)
    assert [safe_name(it) for it in ids] == expected


def test_every_platform_of_the_host_has_a_class(host: Host) -> None:
    platforms = host.python("""
    from gateway.config import Platform
    result = sorted({member.value for member in Platform} | set(Platform._scan_bundled_plugin_platforms()))
    """)
    assert len(platforms) > 15
    classifier = Classifier(())
    classes = {it: classifier.of_record("x", Record(source=it, started_at=0.0), None) for it in platforms}
    assert [it for it, kind in classes.items() if kind is SessionClass.OTHER] == []
    special = {it: kind for it, kind in classes.items() if kind is not SessionClass.CHAT}
    assert special == {
        "api_server": SessionClass.API,
        "webhook": SessionClass.HOOK,
        "msgraph_webhook": SessionClass.HOOK,
    } | ({"a2a": SessionClass.API} if "a2a" in platforms else {})


def test_scan_while_the_host_writes(host: Host) -> None:
    """An open transaction of the host keeps nobody from reading what was there before it."""
    with host.meanwhile(f"""{DATABASE}
    db.create_session("a", "cli")
    db._conn.execute("BEGIN IMMEDIATE")
    db._conn.execute("INSERT INTO sessions (id, source, started_at) VALUES ('b', 'cli', 1.0)")
    """):
        assert list(by_id(host)) == ["a"]


def test_metadata_of_a_real_session(host: Host) -> None:
    host.run("chat", "-q", "hi")
    (session,) = scan(host).sessions
    metadata = HermesStore(host.home).metadata([session.id])[session.id]
    assert (metadata.source, metadata.model, metadata.message_count) == ("cli", "fake-model", 2)
    assert metadata.started_at == record_of(session).started_at


def test_warning_about_the_hosts_own_pruning_names_its_cure(host: Host) -> None:
    store = HermesStore(host.home)
    assert store.host_warnings() == []
    host.run("config", "set", "sessions.auto_prune", "true")
    (warning,) = store.host_warnings()
    command = warning.split("`")[1].split()
    assert command[0] == "hermes"
    host.run(*command[1:])
    assert store.host_warnings() == []
