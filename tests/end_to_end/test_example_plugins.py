"""The example plugins, found as pip would have installed them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from homes import DAY, HomeBuilder, name_of
from plugin_packages import EXAMPLES, installed
from program import Result, aged, start

OLD, OLDER, FRESH = "00000000000a", "00000000000b", "00000000000c"
_ALERT = """
from hermes_retention.plugins import plugin_manager
from hermes_retention.policy.caps import Alert, Cap, CapFinding, CapStage, Reaction
finding = CapFinding(Cap.MESSAGES, CapStage.REACHED, 501, 500, Reaction.RESET)
alert = Alert("s1", "chat", "telegram", finding, Reaction.RESET, 1.8e9, "session s1 has 501 messages")
plugin_manager().hook.retention_alert(alert=alert)
"""
_HOLD = """
from hermes_retention.model.session import Session, SessionClass
from hermes_retention.plugins import plugin_manager
hold = plugin_manager().hook.retention_hold
for kind, group in (("cron", "invoices"), ("cron", "news"), ("chat", "invoices")):
    print(hold(session=Session("s1", SessionClass(kind), group=group)))
"""


def python(code: str, place: Path, **environ: str) -> str:
    path = os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def plugin_path(tmp_path: Path, name: str) -> str:
    return os.pathsep.join(filter(None, (str(installed(tmp_path, name)), os.environ.get("PYTHONPATH"))))


@contextmanager
def webhook() -> Iterator[tuple[str, list[object]]]:
    """Where to post, and what was posted there."""
    posted: list[object] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/hook", posted
        finally:
            server.shutdown()
            thread.join()


def test_alert_is_posted(tmp_path: Path) -> None:
    with webhook() as (url, posted):
        python(_ALERT, installed(tmp_path, "alert_webhook"), ALERT_WEBHOOK_URL=url)
    (alert,) = posted
    assert isinstance(alert, dict)
    assert alert["text"] == "session s1 has 501 messages"
    assert (alert["finding"]["cap"], alert["finding"]["limit"]) == ("max_messages", 500)


def test_without_an_address_nothing_is_posted(tmp_path: Path) -> None:
    python(_ALERT, installed(tmp_path, "alert_webhook"), ALERT_WEBHOOK_URL="")


def test_runs_of_the_named_jobs_are_held(tmp_path: Path) -> None:
    said = python(_HOLD, installed(tmp_path, "keep_jobs"), KEEP_JOBS="invoices,payroll")
    assert said.splitlines() == ["runs of invoices are kept for ten years", "None", "None"]


def test_held_runs_survive_sweep_and_forget(tmp_path: Path) -> None:
    news, audit = "cron_news_20261010_080000", "cron_audit_20261010_080000"
    home = HomeBuilder(tmp_path / "home")
    for session_id in (news, audit):
        home.session(session_id, source="cron", ended="cron_complete", age=aged(40 * DAY))
    path = plugin_path(tmp_path, "keep_jobs")
    settings = {"PYTHONPATH": path, "KEEP_JOBS": "audit", "HERMES_RETENTION_CRON__KEEP_LAST": "0"}
    assert start("--home", str(home.path), "sweep", "--yes", environ=settings).code == 0
    assert os.listdir(home.files) == [name_of("snapshot", audit)]
    refused = start("--home", str(home.path), "forget", audit, "--yes", environ=settings)
    assert (refused.code, "runs of audit are kept for ten years" in refused.err) == (2, True)


@pytest.fixture
def bot(tmp_path: Path) -> Path:
    """A home that ``jsonl_store`` serves: two old conversations, a fresh one, and what is none."""
    chats = tmp_path / "bot" / "chats"
    chats.mkdir(parents=True)
    (tmp_path / "bot" / "mybot.toml").touch()
    for name, days in ((OLD, 40), (OLDER, 50), (FRESH, 0), ("notes", 90)):
        path = chats / f"{name}.jsonl"
        path.write_text(f'{{"role": "user", "content": "the teapot of {name}"}}\n', newline="")
        path.chmod(0o640)
        os.utime(path, ns=(0, int((time.time() - days * DAY) * 1e9)))
    (chats / "0000000000ff.jsonl").symlink_to(chats / "notes.jsonl")
    return tmp_path / "bot"


def files_of(bot: Path) -> dict[str, tuple[bytes, int, int]]:
    """Name → content, time and mode."""
    return {
        it.name: (it.read_bytes(), it.lstat().st_mtime_ns, it.lstat().st_mode)
        for it in (bot / "chats").iterdir()
    }


def test_another_layout_is_swept_searched_and_put_back(tmp_path: Path, bot: Path) -> None:
    settings = {"PYTHONPATH": plugin_path(tmp_path, "jsonl_store")}

    def on_bot(*arguments: str) -> Result:
        return start("--home", str(bot), *arguments, environ=settings)

    before = files_of(bot)
    swept = on_bot("sweep", "--yes", "--json")
    assert (swept.code, swept.err) == (0, "")
    left = {f"{FRESH}.jsonl", "notes.jsonl", "0000000000ff.jsonl"}
    assert files_of(bot) == {name: it for name, it in before.items() if name in left}
    found = on_bot("search", "teapot", "--live").out
    assert (OLD in found, OLDER in found, FRESH in found, "of notes" in found) == (True, True, True, False)
    assert on_bot("--store", "jsonl", "undo", "--yes").code == 0
    assert files_of(bot) == before


def test_without_the_plugin_another_layout_is_left_alone(bot: Path) -> None:
    before = files_of(bot)
    swept = start("--home", str(bot), "sweep", "--yes")
    assert (swept.code, "no sessions of a known host" in swept.err) == (4, True)
    assert files_of(bot) == before


def test_archive_of_another_layout_waits_for_its_plugin(tmp_path: Path, bot: Path) -> None:
    settings = {"PYTHONPATH": plugin_path(tmp_path, "jsonl_store")}
    before = files_of(bot)
    assert start("--home", str(bot), "sweep", "--yes", environ=settings).code == 0
    alone = start("--home", str(bot), "undo", "--yes")
    assert (alone.code, "it was swept as a jsonl home" in alone.err) == (4, True)
    (bot / "mybot.toml").unlink()  # nothing but the ledger tells what it was
    shutil.rmtree(bot / "chats")
    assert start("--home", str(bot), "undo", "--yes", environ=settings).code == 0
    archived = {f"{OLD}.jsonl", f"{OLDER}.jsonl"}
    assert files_of(bot) == {name: it for name, it in before.items() if name in archived}


@pytest.mark.parametrize("name", ["keep_jobs", "alert_webhook", "jsonl_store"])
def test_example_says_how_it_is_installed(name: str) -> None:
    assert f"pip install examples/{name}" in (EXAMPLES / name / f"{name}.py").read_text()
