"""How long ``hermes-retention status`` takes on a very large home: before any sweep, and after one."""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Run, own_program, run
from benchmarks.tables import Figure, Result, markdown, megabytes

SESSIONS = 100_000
WANTED_SECONDS = 1.0
_HERE = Path(__file__).resolve().parent


def measure_status(work: Path, *, sessions: int, prompt_bytes: int, repeat: int, command: str) -> Result:
    """Medians of ``repeat`` runs. The home is built below ``work``, swept once, and removed."""
    home = work / "home"
    builder = [sys.executable, str(_HERE / "run.py"), "home", str(home), "--index"]
    run([*builder, "--sessions", str(sessions), "--prompt-bytes", str(prompt_bytes)])
    status = [*own_program(), "--home", str(home), "status"]
    try:
        before = [run(status) for _ in range(repeat)]
        run([*own_program(), "--home", str(home), "sweep", "--yes"])
        after = [run(status) for _ in range(repeat)]
        fresh = [run([*status, "--fresh"]) for _ in range(repeat)]
    finally:
        shutil.rmtree(home)
    cases = (("before any sweep", before), ("after a sweep", after), ("after a sweep, `--fresh`", fresh))
    rows = []
    numbers: dict[str, object] = {"sessions": sessions}
    for name, runs in cases:
        seconds = _median(runs)
        numbers[name] = seconds
        rows.append((name, f"{seconds:.2f} s", megabytes(max(one.peak_rss_bytes for one in runs))))
    table = markdown((f"`status` of {sessions:,} sessions", "median", "peak memory"), rows)
    return Result("Status", command, (table,), _figures(sessions, before, after), numbers)


def _figures(sessions: int, before: Sequence[Run], after: Sequence[Run]) -> tuple[Figure, ...]:
    figures = []
    for name, runs in (("before any sweep", before), ("after a sweep", after)):
        seconds = _median(runs)
        what = f"`status` of {sessions:,} sessions, {name}"
        figures.append(Figure(what, f"< {WANTED_SECONDS:g} s", f"{seconds:.2f} s", seconds < WANTED_SECONDS))
    return tuple(figures)


def _median(runs: Sequence[Run]) -> float:
    return statistics.median(one.seconds for one in runs)
