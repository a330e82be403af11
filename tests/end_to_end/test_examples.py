"""Every example runs, and does what its first lines say."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from homes import DAY, HOUR, NOW, HomeBuilder, name_of
from program import aged, start

EXAMPLES = Path(__file__).parents[2] / "examples"
CHAT = "20261010_080000_bbbbbbbb"


def test_sweep_from_python_takes_cron_runs_only(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(CHAT, age=40 * DAY)
    for day in range(11):  # the newest ten stay
        run = f"cron_news_202610{10 + day}_080000"
        home.session(run, source="cron", ended="cron_complete", age=(40 - day) * DAY)
    # The builder counts ages from a fixed time, the example from now.
    shift = NOW - time.time()
    for path in home.files.iterdir():
        os.utime(path, (path.stat().st_mtime - shift, path.stat().st_mtime - shift))
    command = [sys.executable, str(EXAMPLES / "sweep_from_python.py"), str(home.path)]
    looked = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "would archive 1 of 12 sessions" in looked.stdout
    done = subprocess.run([*command, "--really"], capture_output=True, text=True, check=True)
    assert "archived 1 of 12 sessions" in done.stdout
    assert not (home.files / name_of("snapshot", "cron_news_20261010_080000")).exists()
    assert (home.files / name_of("snapshot", CHAT)).exists()


class Minimal:
    """``minimal_gateway.py`` over a home, as a process."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def serve(self, *lines: str, until: Callable[[], bool] = lambda: True, **settings: str) -> str:
        """Feed it ``lines``, wait ``until`` something holds, end its input, and return what it said."""
        with self.running(**settings) as process:
            feed(process, *lines)
            wait_until(until)
            said, _ = process.communicate()
        assert process.returncode == 0, said
        return said

    def die(self, *lines: str, until: Callable[[], bool], **settings: str) -> None:
        """Feed it ``lines``, and kill it as soon as something holds."""
        with self.running(**settings) as process:
            feed(process, *lines)
            wait_until(until)
            process.kill()
            process.communicate()

    def running(self, **settings: str) -> subprocess.Popen[str]:
        """The process, under these settings (``MODE="enforce"``)."""
        environ = {f"HERMES_RETENTION_{name}": text for name, text in settings.items()}
        return subprocess.Popen(
            [sys.executable, str(EXAMPLES / "minimal_gateway.py"), str(self.home)],
            env={**os.environ, "HERMES_RETENTION_STARTUP_DELAY": "0s", **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def grow_older(self, seconds: float) -> None:
        """Everything in the home happened this much earlier."""
        database = self.home / "state.db"
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(
                "UPDATE sessions SET started_at = started_at - ?, ended_at = ended_at - ?", (seconds, seconds)
            )
            connection.execute("UPDATE messages SET timestamp = timestamp - ?", (seconds,))
        for path in (self.home / "sessions").glob("session_*.json"):
            os.utime(path, (path.stat().st_mtime - seconds,) * 2)

    def files(self) -> list[str]:
        """Names of the snapshots, oldest first."""
        found = []
        for path in (self.home / "sessions").glob("session_*.json"):
            with suppress(FileNotFoundError):  # a sweep is under way
                found.append((path.stat().st_mtime_ns, path.name))
        return [name for _, name in sorted(found)]

    def messages(self) -> int:
        """How many messages the database holds."""
        with closing(sqlite3.connect(self.home / "state.db", timeout=30)) as connection:
            return int(connection.execute("SELECT count(*) FROM messages").fetchone()[0])

    def pending(self) -> list[str]:
        """What waits in the queue."""
        status = start("--home", str(self.home), "status", "--json")
        return [line["occasion"] for line in json.loads(status.out)["pending"]] if status.code == 0 else []

    def archived(self) -> int:
        """How many sessions the archive holds."""
        listed = start("--home", str(self.home), "archive", "list", "--json")
        return len(json.loads(listed.out)["sessions"]) if listed.code == 0 else 0


def feed(process: subprocess.Popen[str], *lines: str) -> None:
    assert process.stdin is not None
    process.stdin.writelines(f"{line}\n" for line in lines)
    process.stdin.flush()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def test_minimal_gateway_gives_the_old_session_of_a_reset_to_the_archive(tmp_path: Path) -> None:
    gateway = Minimal(tmp_path / "home")
    gateway.home.mkdir()
    said = gateway.serve("alice hello", "bob hi", "alice /new", "alice again", MODE="enforce")
    assert "alice: hello!\nbob: hi!\nalice: a fresh start\nalice: again!\n" in said
    old, bobs, new = gateway.files()
    gateway.grow_older(HOUR)
    said = gateway.serve(
        "alice still there?", until=lambda: not (gateway.home / "sessions" / old).exists(), MODE="enforce"
    )
    assert "alice: still there?!\n" in said
    assert gateway.files() == [bobs, new]
    assert gateway.archived() == 1
    assert len(json.loads((gateway.home / "sessions" / new).read_text())["messages"]) == 4


def test_minimal_gateway_begins_anew_at_a_cap(tmp_path: Path) -> None:
    gateway = Minimal(tmp_path / "home")
    gateway.home.mkdir()
    with gateway.running(CHAT__CAPS__MAX_MESSAGES="4") as process:

        def goes_on_in_a_new_session() -> bool:
            feed(process, "alice more")  # sessions are counted on a thread, which takes a moment
            return len(gateway.files()) > 1

        wait_until(goes_on_in_a_new_session)
        said, _ = process.communicate()
    assert "alice: a fresh start\nalice: more!\n" in said


def test_minimal_gateway_announces_its_first_sweep(tmp_path: Path) -> None:
    gateway = Minimal(tmp_path / "home")
    gateway.home.mkdir()
    gateway.serve("alice hello", "alice /new")
    gateway.grow_older(HOUR)
    ledger = gateway.home / "retention" / "ledger.db"
    said = gateway.serve(until=lambda: ledger.exists() and has_fact(ledger, "next_sweep"))
    assert "hermes_retention: the first sweep of" in said
    assert len(gateway.files()) == 1
    status = start("--home", str(gateway.home), "status").out
    assert "a gateway announced the first sweep" in " ".join(status.split())


def has_fact(ledger: Path, key: str) -> bool:
    with closing(sqlite3.connect(ledger, timeout=30)) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'").fetchone()
        # A gateway that ends leaves an empty one behind.
        found = "SELECT count(*) FROM meta WHERE key = ? AND value <> ''"
        return bool(tables[0] and connection.execute(found, (key,)).fetchone()[0])


def test_minimal_gateway_leaves_a_queue_that_the_command_line_sees_to(tmp_path: Path) -> None:
    gateway = Minimal(tmp_path / "home")
    gateway.home.mkdir()
    no_trace = {"CRON__PERSIST": "false", "CRON__ARCHIVE": "false"}
    gateway.die("cron weather", until=lambda: gateway.pending() == ["cron"], MODE="enforce", **no_trace)
    gateway.grow_older(HOUR)
    environ = {f"HERMES_RETENTION_{name}": text for name, text in no_trace.items()}
    assert start("--home", str(gateway.home), "sweep", "--yes", environ=environ).code == 0
    assert gateway.pending() == []
    assert gateway.files() == []


def test_sweep_of_a_killed_gateway_is_completed_by_the_next_one(tmp_path: Path) -> None:
    names = [f"2026101{day}_08000{second}_bbbbbbbb" for day in range(10) for second in range(8)]
    home = HomeBuilder(tmp_path / "home")
    for name in names:
        home.session(name, age=aged(40 * DAY), messages=3)
        home.file(name_of("snapshot", name), os.urandom(200_000), age=aged(40 * DAY))
    before = {path.name: path.read_bytes() for path in home.files.iterdir()}
    gateway = Minimal(home.path)
    settings = {"MODE": "enforce", "CHAT__MESSAGES_AFTER": "30d"}
    gateway.die(until=lambda: len(gateway.files()) < len(names), **settings)
    gateway.serve(until=lambda: not gateway.files() and gateway.messages() == 0, **settings)
    assert start("--home", str(home.path), "archive", "verify").code == 0
    assert start("--home", str(home.path), "undo", "--all", "--yes").code == 0
    assert {path.name: path.read_bytes() for path in home.files.glob("session_*")} == before
    assert gateway.messages() == 3 * len(names)


def test_minimal_gateway_answers_what_it_left_unanswered_unless_that_is_old(tmp_path: Path) -> None:
    gateway = Minimal(tmp_path / "home")
    gateway.home.mkdir()
    gateway.serve("alice hello", "bob hi")
    gateway.grow_older(2 * HOUR)
    with closing(sqlite3.connect(gateway.home / "state.db")) as connection, connection:
        for key, age in (("alice", 60.0), ("bob", 2 * HOUR)):
            connection.execute(
                "INSERT INTO messages(session_id, role, content, timestamp) "
                "SELECT id, 'user', 'and now?', ? FROM sessions WHERE session_key = ?",
                (time.time() - age, key),
            )
    said = gateway.serve()
    assert "alice: sorry for the wait!" in said
    assert "bob" not in said
