"""How long ``hermes-retention --help`` takes: what every command pays before it begins."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

from benchmarks.measure import own_program, run
from benchmarks.tables import Figure, Result, markdown

WANTED_SECONDS = 0.080


def measure_help(*, repeat: int, command: str) -> Result:
    """The median of ``repeat`` runs, beside that of a Python that does nothing."""
    nothing, ours = [], []
    run([*own_program(), "--help"])  # compiles what is not compiled yet
    for _ in range(repeat):
        nothing.append(run([sys.executable, "-c", "pass"]).seconds)
        ours.append(run([*own_program(), "--help"]).seconds)
    bare, median = statistics.median(nothing), statistics.median(ours)
    rows = [_row("python -c pass", nothing), _row("hermes-retention --help", ours)]
    figure = Figure(
        "`hermes-retention --help`",
        f"< {WANTED_SECONDS * 1000:.0f} ms",
        f"{median * 1000:.0f} ms",
        median < WANTED_SECONDS,
    )
    table = markdown(("", "median", "fastest", "slowest"), rows)
    numbers: dict[str, object] = {"median_seconds": median, "bare_python_seconds": bare}
    return Result("Start", command, (table,), (figure,), numbers)


def _row(name: str, seconds: Sequence[float]) -> tuple[str, ...]:
    shown = (statistics.median(seconds), min(seconds), max(seconds))
    return (f"`{name}`", *(f"{value * 1000:.0f} ms" for value in shown))
