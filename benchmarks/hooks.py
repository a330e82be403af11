"""What the plugin costs the host: the start of each of its processes, and each call of a hook.

The hooks are called as the host calls them, with all that is behind them at work: the thread that takes what
they leave, our plugin, and the worker that sweeps a home of its own size at the same time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import time

from benchmarks.homes import Spec, build_index
from benchmarks.tables import Figure, Result, markdown

WANTED_START_SECONDS = 0.015
WANTED_CALL_SECONDS = 0.001
_SHARE = 0.99

_START = """
import argparse, asyncio, dataclasses, importlib.metadata, json, logging, pathlib, sys, threading, time
class Context:
    def __getattr__(self, name):
        return lambda *arguments, **keywords: None
began = time.perf_counter()
import hermes_retention.gateway.hermes as plugin
plugin.register(Context())
print(time.perf_counter() - began)
"""
"""What is imported before is what every process of the host has loaded when it comes to plugins."""

_CALLS = """
import json, sys, threading, time, types
calls = int(sys.argv[1])
hooks = {}
class Context:
    def register_hook(self, name, callback): hooks[name] = callback
    def __getattr__(self, name):
        return lambda *arguments, **keywords: None
# A process that looks like a running gateway, so that all of the plugin is at work in it.
gateway = types.ModuleType("gateway.run")
store = types.SimpleNamespace(_entries={}, _lock=threading.Lock(), _ensure_loaded=lambda: None,
                              _ensure_loaded_locked=lambda: None)
runner = types.SimpleNamespace(_running=True, adapters={}, _running_agents={}, session_store=store)
gateway._gateway_runner_ref = lambda: runner
sys.modules["gateway.run"] = gateway
import hermes_retention.gateway.hermes as plugin
plugin.register(Context())
usage = {"input_tokens": 100, "output_tokens": 5}
waits = []
clock = time.perf_counter
for number in range(calls):
    session = f"20261120_101500_{number % 500:08x}"
    name, keywords = (
        ("post_api_request", {"usage": usage, "assistant_tool_call_count": 1}),
        ("on_session_end", {"completed": True, "interrupted": False, "model": "m"}),
        ("on_session_finalize", {"reason": "session_expired"}),
        ("on_session_reset", {"reason": "new_session", "old_session_id": f"old{number}"}),
    )[number % 4]
    began = clock()
    hooks[name](session_id=session, platform="telegram", telemetry_schema_version="v1", **keywords)
    waits.append(clock() - began)
    time.sleep(0.0005)
print(json.dumps(waits))
"""


def measure_hooks(work: Path, *, sessions: int, calls: int, repeat: int, command: str) -> Result:
    """Medians of ``repeat`` starts; ``calls`` calls on a home of ``sessions`` sessions."""
    home = work / "hooks"
    build_index(home, Spec(sessions=sessions), now=time())
    _run(_START, home)  # compiles what is not compiled yet
    starts = [float(_run(_START, home)) for _ in range(repeat)]
    waits: list[float] = sorted(json.loads(_run(_CALLS, home, str(calls))))
    start, slow = statistics.median(starts), waits[int(len(waits) * _SHARE)]
    rows = [
        ("import and register", *_milliseconds(starts, start)),
        (f"a call of a hook, of {calls:,}", *_milliseconds(waits, slow)),
    ]
    figures = (
        Figure(
            "what the plugin adds to the start of each process of the host",
            f"< {WANTED_START_SECONDS * 1e3:.0f} ms",
            f"{start * 1e3:.1f} ms",
            start < WANTED_START_SECONDS,
        ),
        Figure(
            f"99 % of {calls:,} calls of its hooks, while it sweeps {sessions:,} sessions",
            f"< {WANTED_CALL_SECONDS * 1e3:.0f} ms",
            f"{slow * 1e3:.2f} ms",
            slow < WANTED_CALL_SECONDS,
        ),
    )
    table = markdown(("", "fastest", "median, or 99 % of calls", "slowest"), rows)
    numbers: dict[str, object] = {
        "start_seconds": start,
        "call_p99_seconds": slow,
        "call_max_seconds": waits[-1],
    }
    return Result("Hooks", command, (table,), figures, numbers)


def _run(program: str, home: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "HERMES_HOME": str(home),
        "HERMES_RETENTION_MODE": "enforce",
        "HERMES_RETENTION_STARTUP_DELAY": "0s",
    }
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def _milliseconds(seconds: Sequence[float], middle: float) -> tuple[str, ...]:
    return tuple(f"{value * 1e3:.3f} ms" for value in (min(seconds), middle, max(seconds)))
