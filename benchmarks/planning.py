"""How long it takes to see a home and to decide, how much memory, and how both grow with the home."""

from __future__ import annotations

import json
import math
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.measure import own_program, run
from benchmarks.plot import Series, log_log_svg
from benchmarks.tables import Figure, Result, markdown, megabytes

WANTED_SESSIONS, WANTED_SECONDS, WANTED_RSS_BYTES = 100_000, 2.0, 150e6
WANTED_EXPONENT = 1.1
"""Time grows like this power of the number of sessions at most; 1 is linear."""
_HERE = Path(__file__).resolve().parent


class Planned(msgspec.Struct, frozen=True):
    """One home: medians of seconds, the highest peak of memory."""

    sessions: int
    prompt_bytes: int
    """Length of the system prompt in each record; the database has to leaf over it."""
    scan_seconds: float
    decide_seconds: float
    peak_rss_bytes: int
    dry_run_seconds: float
    dry_run_rss_bytes: int

    @property
    def seconds(self) -> float:
        """Scan and decision; not the start of Python, which does not grow."""
        return self.scan_seconds + self.decide_seconds


def measure_plan(  # noqa: PLR0913 - what is planned, how often, and where the results go
    work: Path, sizes: Sequence[int], *, prompt_bytes: int, repeat: int, plot: Path | None, command: str
) -> Result:
    """Homes of these numbers of sessions, and one whose records hold system prompts, each ``repeat`` times.

    The curve is drawn without prompts: a million of them would fill a disk. Each home is built below ``work``
    and removed again. ``plot`` is where the curve goes, if anywhere.
    """
    curve = [_measure(work / "home", size, 0, repeat) for size in sorted(sizes)]
    real = _measure(work / "home", WANTED_SESSIONS, prompt_bytes, repeat)
    exponent = _exponent(curve)
    if plot is not None and len(curve) > 1:
        points = tuple((float(one.sessions), one.seconds) for one in curve)
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot.write_text(log_log_svg(Series("planning", points), "sessions in the home", "seconds"), "utf-8")
    planned = [*curve, real]
    numbers: dict[str, object] = {
        "planned": [msgspec.structs.asdict(one) for one in planned],
        "exponent": exponent,
    }
    return Result("Planning", command, (_table(planned),), _figures(planned, curve, exponent), numbers)


def _table(planned: Sequence[Planned]) -> str:
    rows = [
        (
            f"{one.sessions:,}",
            f"{one.prompt_bytes:,} B",
            f"{one.scan_seconds:.2f} s",
            f"{one.decide_seconds:.2f} s",
            f"{one.seconds / one.sessions * 1e6:.1f} µs",
            megabytes(one.peak_rss_bytes),
            f"{one.dry_run_seconds:.2f} s",
            megabytes(one.dry_run_rss_bytes),
        )
        for one in planned
    ]
    head = ("sessions", "prompt in record", "scan", "decide", "per session", "peak memory")
    return markdown((*head, "`sweep --dry-run`", "its peak memory"), rows)


def _measure(home: Path, size: int, prompt_bytes: int, repeat: int) -> Planned:
    builder = [sys.executable, str(_HERE / "run.py"), "home", str(home), "--index"]
    run([*builder, "--sessions", str(size), "--prompt-bytes", str(prompt_bytes)])
    try:
        return _plan(home, size, prompt_bytes, repeat)
    finally:
        shutil.rmtree(home)


def _plan(home: Path, size: int, prompt_bytes: int, repeat: int) -> Planned:
    runs = [run([sys.executable, str(_HERE / "plan_once.py"), str(home)]) for _ in range(repeat)]
    told = [json.loads(one.output) for one in runs]
    if any(one["sessions"] != size for one in told):
        raise RuntimeError(f"planning saw {told[0]['sessions']} sessions of {size}")
    dry_runs = [run([*own_program(), "--home", str(home), "sweep", "--dry-run"]) for _ in range(repeat)]
    return Planned(
        size,
        prompt_bytes,
        statistics.median(one["scan_seconds"] for one in told),
        statistics.median(one["decide_seconds"] for one in told),
        max(one.peak_rss_bytes for one in runs),
        statistics.median(one.seconds for one in dry_runs),
        max(one.peak_rss_bytes for one in dry_runs),
    )


def _exponent(planned: Sequence[Planned]) -> float | None:
    """The slope of the curve on logarithmic scales, by least squares; ``None`` for a single point."""
    if len(planned) < 2:  # noqa: PLR2004 - a slope takes two points
        return None
    sizes = [math.log(one.sessions) for one in planned]
    return statistics.linear_regression(sizes, [math.log(one.seconds) for one in planned]).slope


def _figures(
    planned: Sequence[Planned], curve: Sequence[Planned], exponent: float | None
) -> tuple[Figure, ...]:
    one = planned[-1]
    what = f"planning {one.sessions:,} sessions"
    is_quick, is_small = one.seconds < WANTED_SECONDS, one.peak_rss_bytes < WANTED_RSS_BYTES
    memory = megabytes(one.peak_rss_bytes)
    figures = [
        Figure(what, f"< {WANTED_SECONDS:g} s", f"{one.seconds:.2f} s", is_quick),
        Figure(f"{what}, peak memory", f"< {megabytes(WANTED_RSS_BYTES)}", memory, is_small),
    ]
    if exponent is not None:
        what = (
            f"growth of planning from {curve[0].sessions:,} to {curve[-1].sessions:,} sessions (1 is linear)"
        )
        is_linear = exponent <= WANTED_EXPONENT
        figures.append(Figure(what, f"≤ n^{WANTED_EXPONENT}", f"n^{exponent:.2f}", is_linear))
    return tuple(figures)
