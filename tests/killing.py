"""Sweeps that are killed at random instants, in processes of their own, beside a host that writes or not."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from full_homes import LIVE, NOW, FullHome

_HOST = """
import json, os, sqlite3, sys, time
home, live, now = sys.argv[1:]
now = float(now)
database = sqlite3.connect(os.path.join(home, "state.db"), timeout=30, isolation_level=None)
files = os.path.join(home, "sessions")
print("ready", flush=True)
number = 0
while True:
    number += 1
    database.execute("BEGIN IMMEDIATE")
    row = (live, "user", f"turn {number}", now)
    database.execute("INSERT INTO messages(session_id, role, content, timestamp) VALUES (?, ?, ?, ?)", row)
    database.execute("COMMIT")
    for name, content in (
        ("sessions.json", {"agent:main:telegram:dm:1": {"session_id": live, "turn": number}}),
        (f"session_{live}.json", {"turn": number}),
    ):
        with open(os.path.join(files, ".sessions_x.tmp"), "w") as file:
            json.dump(content, file)
        os.utime(file.name, (now, now))
        os.replace(file.name, os.path.join(files, name))
    print(number, flush=True)
    time.sleep(0.002)
"""
WRITTEN = ("sessions.json", f"session_{LIVE}.json")
"""Files that the host writes anew at each turn."""


class Host:
    """A process that takes turns in the live session as a gateway does; a context manager."""

    def __init__(self, home: FullHome) -> None:
        command = [sys.executable, "-c", _HOST, str(home.path), LIVE, str(NOW - 50)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._home = home

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        alive = self._process.poll() is None
        self._process.kill()
        turns = self._process.communicate()[0]
        (self._home.sessions / ".sessions_x.tmp").unlink(missing_ok=True)
        assert alive, "the host met an error"
        done = int((turns.split() or ["0"])[-1])
        rows = self._home.database.execute("SELECT content FROM messages WHERE content LIKE 'turn %'")
        assert {f"turn {number}" for number in range(1, done + 1)} <= {str(row[0]) for row in rows}


def sweep_and_kill(home: FullHome, after_seconds: float) -> bool:
    """Let a child sweep for so long; whether it was killed rather than done."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            home.sweep()
            code = 0
        finally:
            os._exit(code)
    time.sleep(after_seconds)
    os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, -signal.SIGKILL}, f"the sweep failed with {status}"
    return status != 0


def kill_rounds(folder: Path, rounds: int, seed: int) -> int:
    """Kill so many sweeps, every second one beside a host; how many did not come to their end."""
    chance = random.Random(seed)
    pattern = FullHome.make(folder / "pattern")
    before = pattern.contents()
    whole = pattern.copy(folder / "whole")
    start = time.monotonic()
    whole.sweep_without_fault()
    lasts = time.monotonic() - start
    done = whole.contents()
    killed = 0
    for number in range(rounds):
        home = pattern.copy(folder / str(number))
        after = chance.uniform(0, lasts)
        if number % 2:
            with Host(home):
                killed += sweep_and_kill(home, after)
            home.check_nothing_lost(before, written=WRITTEN)
            home.sweep_without_fault()
            left = home.contents()
            home.sweep_without_fault()
            assert home.contents() == left
            home.check_nothing_lost(before, written=WRITTEN)
        else:
            killed += sweep_and_kill(home, after)
            home.check_nothing_lost(before)
            home.check_completed(done)
        shutil.rmtree(home.path)
    return killed
