"""The thread that works: what it is given is done, and no error ends it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import pytest

from hermes_retention.gateway.worker import Worker, Yielding, is_busy, lower_io_priority
from hermes_retention.home.queue import Occasion, Pending
from hermes_retention.model.errors import RetentionError, Stop

PATIENCE = 30.0
"""Seconds after which a test gives up on a thread."""


def line(name: str) -> Pending:
    return Pending(Occasion.END, name, 1.0)


class Notebook:
    """Work that remembers what was kept, and does ``task`` once for each round."""

    def __init__(self, stopping: Stop, task: Callable[[Stop], None] | None = None) -> None:
        self.kept: list[str] = []
        self.rounds = 0
        self.is_closed = False
        self.round_done = threading.Event()
        self.stopping, self.task = stopping, task
        self.failures: list[Exception] = []
        self.threads: set[str] = set()

    def keep(self, lines: Sequence[Pending]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.kept += [one.session_id for one in lines]
        self.threads.add(threading.current_thread().name)

    def run_due(self) -> float | None:
        self.rounds += 1
        try:
            if self.task is not None:
                self.task(self.stopping)
        finally:
            self.round_done.set()
        return None

    def close(self) -> None:
        self.is_closed = True


class Bench:
    """A worker with the work that it opened."""

    def __init__(self, task: Callable[[Stop], None] | None = None) -> None:
        self.opened: list[Notebook] = []
        self.worker = Worker(self._open)
        self.task = task

    def _open(self, stopping: Stop) -> Notebook:
        self.opened.append(Notebook(stopping, self.task))
        return self.opened[-1]

    @property
    def work(self) -> Notebook:
        return self.opened[0]

    def wait_for_a_round(self) -> None:
        done = threading.Event()
        self.worker.call(done.set)
        assert done.wait(PATIENCE)


def test_lines_are_kept_on_the_thread_of_the_worker() -> None:
    bench = Bench()
    for name in ("a", "b", "c"):
        bench.worker.submit(line(name))
    assert bench.worker.stop(PATIENCE)
    assert bench.work.kept == ["a", "b", "c"]
    assert bench.work.threads == {"hermes-retention"}
    assert bench.work.is_closed


def test_nothing_is_opened_before_something_is_there() -> None:
    bench = Bench()
    assert bench.worker.stop()
    assert bench.opened == []


def test_lines_that_come_after_the_stop_are_kept_by_another_stop() -> None:
    bench = Bench()
    bench.worker.submit(line("a"))
    assert bench.worker.stop(PATIENCE)
    bench.worker.submit(line("late"))
    assert bench.worker.stop(PATIENCE)
    assert bench.work.kept == ["a", "late"]


def test_jobs_run_on_the_thread_of_the_worker() -> None:
    bench, names = Bench(), list[str]()
    bench.worker.call(lambda: names.append(threading.current_thread().name))
    bench.wait_for_a_round()
    assert bench.worker.stop(PATIENCE)
    assert names == ["hermes-retention"]


def test_failing_job_is_one_warning_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    bench, quoted = Bench(), "what somebody said"

    def fail() -> None:
        raise ValueError(quoted)

    with caplog.at_level(logging.DEBUG, "hermes_retention"):
        bench.worker.call(fail)
        bench.worker.call(fail)
        bench.wait_for_a_round()
        bench.worker.stop(PATIENCE)
    warnings = [it for it in caplog.records if it.levelno == logging.WARNING]
    assert [it.getMessage() for it in warnings] == ["a task of retention: it failed (ValueError)"]
    assert quoted not in caplog.text


def test_error_of_a_round_is_told_in_its_words_and_the_thread_lives_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: Stop) -> None:
        raise RetentionError("ledger.db", "it is damaged", consequence="nothing was changed")

    bench = Bench(fail)
    bench.worker.wake()
    bench.wait_for_a_round()
    bench.work.round_done.wait(PATIENCE)
    bench.worker.wake()
    bench.wait_for_a_round()
    bench.worker.stop(PATIENCE)
    assert bench.work.rounds >= 2
    assert caplog.text.count("ledger.db: it is damaged; nothing was changed") == 1


def test_lines_that_could_not_be_kept_are_offered_again_in_order() -> None:
    bench = Bench()
    bench.worker.wake()
    bench.wait_for_a_round()
    bench.work.failures.append(OSError("full"))
    bench.worker.submit(line("a"))
    bench.worker.submit(line("b"))
    bench.wait_for_a_round()
    bench.worker.submit(line("c"))
    assert bench.worker.stop(PATIENCE)
    assert bench.work.kept == ["a", "b", "c"]


def test_work_under_way_hears_of_the_stop() -> None:
    begun = threading.Event()

    def until_stopped(stopping: Stop) -> None:
        begun.set()
        while not stopping():
            pass

    bench = Bench(until_stopped)
    bench.worker.wake()
    assert begun.wait(PATIENCE)
    bench.worker.submit(line("a"))
    assert bench.worker.stop(PATIENCE)
    assert bench.work.kept == ["a"]


def test_stop_gives_up_on_work_that_does_not_listen() -> None:
    release = threading.Event()
    bench = Bench(lambda _: assert_set(release))
    bench.worker.wake()
    bench_begun(bench)
    assert not bench.worker.stop(0.05)
    release.set()
    assert bench.worker.stop(PATIENCE)


def assert_set(event: threading.Event) -> None:
    assert event.wait(PATIENCE)


def bench_begun(bench: Bench) -> None:
    deadline = threading.Event()
    while not (bench.opened and bench.work.rounds):
        assert not deadline.wait(0.01)


def test_worker_may_be_stopped_by_a_job_of_its_own() -> None:
    bench = Bench()
    bench.worker.call(bench.worker.stop)
    bench_begun_or_stopped = threading.Event()
    bench_begun_or_stopped.wait(0.05)
    assert bench.worker.stop(PATIENCE)


# Others who use the machine


def io_class(thread: int) -> str:
    return subprocess.run(["ionice", "-p", str(thread)], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="only there the system offers it")
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
    assert not is_busy()
