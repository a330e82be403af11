"""Consideration for others on the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading

import pytest

from hermes_retention.gateway import courtesy
from hermes_retention.gateway.courtesy import Yielding, lower_io_priority


def io_class(thread: int) -> str:
    return subprocess.run(["ionice", "-p", str(thread)], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in {"x86_64", "aarch64"},
    reason="only there the system offers it",
)
def test_thread_and_those_that_it_starts_come_last() -> None:
    found: list[str] = []

    def inner() -> None:
        found.append(io_class(threading.get_native_id()))

    def outer() -> None:
        assert lower_io_priority()
        inner()
        child = threading.Thread(target=inner)
        child.start()
        child.join()

    thread = threading.Thread(target=outer)
    thread.start()
    thread.join()
    assert found == ["best-effort: prio 7\n"] * 2
    assert io_class(os.getpid()) != found[0]


def test_work_pauses_now_and_then_while_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    yielding = Yielding(pauses.append, every=4)
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0 * (os.cpu_count() or 1), 0.0, 0.0))
    for _ in range(9):
        yielding.yield_if_busy()
    assert len(pauses) == 2
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    for _ in range(9):
        yielding.yield_if_busy()
    assert len(pauses) == 2


def test_system_that_does_not_tell_counts_as_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[float, float, float]:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", refuse)
    assert not courtesy.is_busy()
