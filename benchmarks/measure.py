"""Runs programs and says how long they took and how much memory they had.

What must not live here: which programs, and what their figures mean.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

_LAUNCHER = """
import json, os, resource, sys, time
output, arguments = sys.argv[1], sys.argv[2:]
actions = [(os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
start = time.perf_counter()
child = os.posix_spawnp(arguments[0], arguments, os.environ, file_actions=actions)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - start
unit = 1 if sys.platform == "darwin" else 1024
cpu = usage.ru_utime + usage.ru_stime
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, cpu, usage.ru_maxrss * unit]))
"""
"""Starts one program and waits for it. A process of its own, because the peak that the system reports for a
child counts what its parent had when it was started."""


class Run(msgspec.Struct, frozen=True):
    """One run of a program to its end."""

    seconds: float
    cpu_seconds: float
    """On all cores together, with that of the programs which it started."""
    peak_rss_bytes: int
    output: bytes


def run(command: Sequence[str], *, environ: Mapping[str, str] | None = None) -> Run:
    """Run ``command`` in an environment without settings of ours but those in ``environ``.

    Raises ``RuntimeError`` with what it printed when it fails.
    """
    with tempfile.NamedTemporaryFile() as output:
        launched = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER, output.name, *command],
            env={**_clean_environment(), **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        printed = Path(output.name).read_bytes()
    if launched.returncode:
        raise RuntimeError(launched.stderr.decode(errors="replace"))
    code, seconds, cpu_seconds, peak = json.loads(launched.stdout)
    if code:
        said = (printed[-2000:] + launched.stderr).decode(errors="replace")
        raise RuntimeError(f"{command[0]} ended with {code}: {said}")
    return Run(seconds, cpu_seconds, peak, printed)


def own_program() -> list[str]:
    """How to start the program under measurement: the installed command, as people do."""
    script = Path(sysconfig.get_path("scripts")) / "hermes-retention"
    return [str(script)] if script.exists() else [sys.executable, "-m", "hermes_retention"]


def has_program(name: str) -> bool:
    """Whether a program that others are compared with is here."""
    return shutil.which(name) is not None


def machine() -> str:
    """What the figures were measured on, without saying where."""
    system = f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}"
    return f"{system}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"


def _clean_environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HERMES_") and name not in ("PYTHONPROFILEIMPORTTIME", "COLUMNS")
    }
