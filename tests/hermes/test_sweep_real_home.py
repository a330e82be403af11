"""The whole program on a home that the real host filled; afterwards the host works on as before."""

from __future__ import annotations

import json

from hosts import REFUSE, Host, Program, age
from sites import snapshot_of


def run_cron_job(host: Host, prompt: str = "Say hi") -> str:
    host.run("cron", "create", "--name", "news", "--deliver", "local", "every 1h", prompt)
    (job,) = json.loads((host.home / "cron" / "jobs.json").read_text())["jobs"]
    host.run("cron", "run", job["id"])
    host.run("cron", "tick")
    return str(job["id"])


def session_files(host: Host) -> dict[bytes, tuple[bytes, int, int]]:
    return {name: file for name, file in snapshot_of(host.sessions).items() if name != b"sessions.json"}


def test_sweep_and_undo_are_the_identity(host: Host, program: Program) -> None:
    host.run("chat", "-q", "hi")
    host.run("chat", "-q", REFUSE)
    run_cron_job(host)
    age(host.home, days=30)
    program.run("sweep", "--dry-run")
    before = session_files(host)
    # The newest runs of a job stay; this one has to go for the test.
    report = program.sweep(CRON__KEEP_LAST="0")
    assert report["counts"]["files_archived"] == 3
    assert report["counts"]["failed"] == 0
    assert session_files(host) == {}
    program.run("archive", "verify")
    program.run("undo", "--yes")
    assert session_files(host) == before


def test_conversation_goes_on_after_its_files_were_archived(host: Host, program: Program) -> None:
    host.run("chat", "-q", "remember the word swordfish")
    age(host.home, days=30)
    (session_id,) = (step["session_id"] for step in program.sweep()["steps"])
    assert session_files(host) == {}
    host.run("chat", "--resume", session_id, "-q", "and now?")
    rows = host.python(f"""
        from hermes_state import SessionDB
        result = [row["content"] for row in SessionDB().get_messages("{session_id}") if row["role"] == "user"]
    """)
    assert rows == ["remember the word swordfish", "and now?"]
    # The host wrote a snapshot again: the session is young, and its older version stays in the archive.
    assert len(session_files(host)) == 1
    assert program.sweep()["counts"]["files_archived"] == 0
    out = program.run("restore", session_id, "--to", str(host.home.parent / "out"))
    assert "1 file" in out
    (old,) = (host.home.parent / "out").iterdir()
    assert json.loads(old.read_text())["session_id"] == session_id


def test_host_lists_and_finds_what_was_archived(host: Host, program: Program) -> None:
    host.run("chat", "-q", "where is the swordfish")
    age(host.home, days=30)
    report = program.sweep()
    assert report["counts"]["files_archived"] == 1
    found = host.python("""
        from hermes_state import SessionDB
        db = SessionDB()
        result = [len(db.search_messages("swordfish")), len(db.list_sessions_rich(limit=10))]
    """)
    assert found[0] >= 1
    assert found[1] == 1


def test_newest_runs_of_a_job_and_their_output_stay(host: Host, program: Program) -> None:
    run_cron_job(host)
    output = snapshot_of(next((host.home / "cron" / "output").iterdir()))
    age(host.home, days=30)
    report = program.sweep()
    assert [step["rule"] for step in report["steps"]] == ["keep_last"]
    assert snapshot_of(next((host.home / "cron" / "output").iterdir())) == output


def test_chat_that_a_gateway_still_routes_to_stays(host: Host, program: Program) -> None:
    live = host.python("""
        import os
        from pathlib import Path
        from gateway.config import GatewayConfig, Platform
        from gateway.session import SessionSource, SessionStore
        store = SessionStore(Path(os.environ["HERMES_HOME"]) / "sessions", GatewayConfig())
        source = SessionSource(platform=Platform("telegram"), chat_id="1", user_id="u1", chat_type="dm")
        old = store.get_or_create_session(source).session_id
        for session_id in (old, store.reset_session(store._generate_session_key(source)).session_id):
            (Path(os.environ["HERMES_HOME"]) / "sessions" / f"session_{session_id}.json").write_text("{}")
        result = [old, store.get_or_create_session(source).session_id]
    """)
    assert live[0] != live[1]
    age(host.home, days=30)
    report = program.sweep()
    verdicts = {step["session_id"]: (step["verdict"], step["liveness"]) for step in report["steps"]}
    assert verdicts == {live[0]: ("archive_files", "superseded"), live[1]: ("keep", "live")}
    assert list(session_files(host)) == [f"session_{live[1]}.json".encode()]


def test_host_that_writes_meanwhile_is_not_disturbed(host: Host, program: Program) -> None:
    host.run("chat", "-q", "hi")
    age(host.home, days=30)
    writing = """
        import threading, time
        from hermes_state import SessionDB
        db = SessionDB()
        db.create_session("busy", "telegram")
        def write():
            while True:
                db.append_message("busy", "user", "still here")
                time.sleep(0.002)
        threading.Thread(target=write, daemon=True).start()
        time.sleep(0.2)
    """
    with host.meanwhile(writing):
        report = program.sweep()
    assert report["counts"]["files_archived"] == 1
    answer = host.python("""
        from hermes_state import SessionDB
        result = SessionDB()._conn.execute("PRAGMA integrity_check").fetchone()[0]
    """)
    assert answer == "ok"
