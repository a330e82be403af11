"""Runs ``hermes-retention`` for tests: in this process at the time of ``HomeBuilder``, or as people run it.

result = run(home, "sweep", "--dry-run", "--json")
assert result.code == 0 and result.json["dry_run"]
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import io
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homes import NOW, HomeBuilder

from hermes_retention.cli import main

PROGRAM = (sys.executable, "-m", "hermes_retention")
QUESTION = "[y/N]"


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str = ""

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON may be anything
        return json.loads(self.out)


def run(home: HomeBuilder | Path, *arguments: str, now: float = NOW) -> Result:
    """Run a command on ``home`` in this process, without a terminal."""
    path = home.path if isinstance(home, HomeBuilder) else home
    return run_bare("--home", str(path), *arguments, now=now)


def run_bare(*arguments: str, now: float = NOW) -> Result:
    """Run the program in this process with these arguments only."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments, clock=lambda: now)
    return Result(code, out.getvalue(), err.getvalue())


def start(*arguments: str, environ: Mapping[str, str] | None = None) -> Result:
    """Run the program as a process of its own, without a terminal."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        env=_environ(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def type_at(
    *arguments: str, answer: str = "", columns: int = 100, environ: Mapping[str, str] | None = None
) -> Result:
    """Run the program on a terminal and give ``answer`` when it asks. Output and errors come as one."""
    descriptor, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _OWN_TERMINAL, *PROGRAM, *arguments],
        env=_environ({"TERM": "xterm-256color", **(environ or {})}),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = _converse(descriptor, answer)
    os.close(descriptor)
    return Result(process.wait(60), shown.replace("\r\n", "\n"))


_OWN_TERMINAL = """\
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts without
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal that of the new session, so that Ctrl-C on it is a signal, and becomes the program."""


def _converse(descriptor: int, answer: str) -> str:
    shown, is_answered = b"", False
    while True:
        ready, _, _ = select.select([descriptor], [], [], 60)
        assert ready, f"nothing happened for a minute after {shown[-500:]!r}"
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        shown += piece
        if QUESTION.encode() in shown and not is_answered:
            os.write(descriptor, answer.encode())
            is_answered = True
    return shown.decode()


def _environ(changes: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(changes or {})}


def aged(seconds: float) -> float:
    """The age to give a ``HomeBuilder`` for something that a process of its own shall find this old."""
    return NOW - time.time() + seconds
