"""Messages leave ``state.db``: a sweep beside the host's own prune, alone and while a chat goes on.

Each round runs both programs twice, each time on a copy of the home of its own: with nobody else there, and
beside a program that commits a row every 10 ms. Afterwards all that a sweep took is put back and compared.
What must not live here: how the host is started (``hosting``), and what counts as the same (``remains``).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from benchmarks.hosting import DEFAULT_VARIABLES, Host, copy_home
from benchmarks.measure import Run, own_program, run
from benchmarks.remains import (
    SECONDS_PER_DAY,
    Due,
    Remains,
    Restored,
    compare_restored,
    find_due,
    find_remains,
)
from benchmarks.rows_shown import Measured, Trial, shown
from benchmarks.tables import Result
from benchmarks.writer import Waits

DAYS = 7
"""Both programs take what is older."""
_CLASSES = ("CHAT", "CRON", "SUBAGENT", "HOOK", "API", "CLI", "OTHER")
_PER_CLASS = {"MESSAGES_AFTER": f"{DAYS}d", "IDLE_AFTER": "never", "KEEP_LAST": "0"}
SAME_SESSIONS = {"HERMES_RETENTION_MODE": "enforce"} | {
    f"HERMES_RETENTION_{name}__{field}": value for name in _CLASSES for field, value in _PER_CLASS.items()
}
"""Settings under which a sweep takes the messages of the very sessions that the host's prune takes: it spares
no newest runs, and never takes a session that nobody ended. All else has its default."""
_ALONE_SECONDS = 5.0
_WRITER = Path(__file__).resolve().parent / "writer.py"
_T = TypeVar("_T")


def measure_rows(host: Host, home: Path, work: Path, *, repeat: int, command: str) -> Result:
    """Medians over ``repeat`` rounds on copies of ``home`` below ``work``. ``home`` is only read.

    Raises ``RuntimeError`` when a sweep fails, or takes other sessions than the host's prune does.
    """
    due = find_due(home, before=time.time() - DAYS * SECONDS_PER_DAY)
    bench = _Bench(host, home, work / "home", due)
    alone, host_error = bench.write_alone(), bench.limited_prune()
    programs = {"own": bench.sweep}
    if len(due.sessions) <= host.variables():
        programs["host"] = bench.prune
    trials: dict[str, list[Trial]] = {"host": [], "own": []}
    for number in range(repeat):
        for name in sorted(programs, reverse=bool(number % 2)):
            _say(f"rows: {name}, round {number + 1} of {repeat}")
            trials[name].append(bench.trial(programs[name]))
    _say("rows: putting everything back")
    measured = Measured(
        sessions=len(due.sessions),
        messages=due.messages,
        database_bytes=(home / "state.db").stat().st_size,
        alone=alone,
        host=tuple(trials["host"]),
        own=tuple(trials["own"]),
        restored=bench.restore(),
        host_error=host_error,
    )
    return shown(measured, command)


class _Bench:
    """Runs programs on copies of one home."""

    def __init__(self, host: Host, home: Path, copy: Path, due: Due) -> None:
        self._host, self._home, self._copy, self._due = host, home, copy, due

    def write_alone(self) -> Waits:
        """What the writer sees when nobody is there: the ground that all waits stand on."""
        with self._copied():
            return _beside_writer(self._copy / "state.db", lambda: time.sleep(_ALONE_SECONDS))[1]

    def trial(self, program: Callable[[], Run]) -> Trial:
        """A program alone, and beside the writer."""
        with self._copied():
            alone, remains = program(), self._check()
        with self._copied():
            beside, waits = _beside_writer(self._copy / "state.db", program)
            self._check()
        return Trial(alone, beside, waits, remains)

    def restore(self) -> Restored:
        """Sweep, put everything back, compare."""
        with self._copied():
            self.sweep()
            self._check()
            run([*own_program(), "--home", str(self._copy), "undo", "--all", "--yes"])
            return compare_restored(self._home, self._copy, self._due)

    def limited_prune(self) -> str | None:
        """How the host's prune ends on a SQLite with the usual limit; ``None`` when there are not so many."""
        if len(self._due.sessions) <= DEFAULT_VARIABLES:
            return None
        with self._copied():
            try:
                self._host.prune_with_default_variables(self._copy, DAYS)
            except RuntimeError as error:
                return last_line(str(error))
        return "no error"

    def prune(self) -> Run:
        """The host's program."""
        return self._host.prune(self._copy, DAYS)

    def sweep(self) -> Run:
        """This project's program. Its exit code says whether it kept anything that was due."""
        return run([*own_program(), "--home", str(self._copy), "sweep", "--yes"], environ=SAME_SESSIONS)

    def _check(self) -> Remains:
        remains = find_remains(self._home, self._copy, self._due)
        if remains.messages or remains.missing:
            raise RuntimeError(f"these were not the same {len(self._due.sessions)} sessions: {remains}")
        return remains

    @contextmanager
    def _copied(self) -> Iterator[None]:
        copy_home(self._home, self._copy)
        try:
            yield
        finally:
            shutil.rmtree(self._copy)


def _beside_writer(database: Path, program: Callable[[], _T]) -> tuple[_T, Waits]:
    """Run ``program`` while the writer writes; it has ended when this returns."""
    with subprocess.Popen(
        [sys.executable, str(_WRITER), str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        try:
            assert writer.stdout is not None
            if writer.stdout.readline() != b"ready\n":
                raise RuntimeError("the writer beside the program could not begin")
            done = program()
            told = writer.communicate(timeout=120)[0]
        finally:
            writer.kill()  # nothing happens when it has ended
    return done, msgspec.json.decode(told, type=Waits)


def last_line(text: str) -> str:
    """What a program said last, which is its error."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _say(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)
