"""A whole sweep, as a person starts it, beside ``tar`` with gzip and with zstd over the same files.

Each round works on a copy of its own that was just written, so all three read from the page cache; the sweep
comes last, since it removes what the others only read.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.measure import Run, has_program, own_program, run
from benchmarks.tables import Figure, Result, markdown, megabytes

WANTED_AGAINST_GZIP, WANTED_AGAINST_ZSTD, WANTED_SHARE = 8.0, 0.4, 0.2
_GZIP, _ZSTD, _SWEEP = "tar czf", "tar | zstd -3 -T0", "hermes-retention sweep"
_CLASSES = ("CHAT", "CRON", "SUBAGENT", "HOOK", "API", "CLI", "OTHER")
_FIRST = {
    "HERMES_RETENTION_MODE": "enforce",
    "HERMES_RETENTION_MIN_AGE": "60s",
    "HERMES_RETENTION_DUMPS_AFTER": "60s",
}
_PER_CLASS = {
    "FILES_AFTER": "60s",
    "TOOL_OUTPUT_AFTER": "never",
    "MESSAGES_AFTER": "never",
    "IDLE_AFTER": "60s",
    "KEEP_LAST": "0",
    "KEEP_FAILED": "0s",
}
EVERYTHING_IS_DUE = _FIRST | {
    f"HERMES_RETENTION_{name}__{field}": value for name in _CLASSES for field, value in _PER_CLASS.items()
}
"""Settings under which no file of the home stays, and state.db as it is: ``tar`` packs files only."""


class Round(msgspec.Struct, frozen=True):
    """What each program took on one copy of the home, and the bytes that it wrote."""

    runs: dict[str, Run]
    written: dict[str, int]


def measure_sweep(home: Path, work: Path, *, repeat: int, command: str) -> Result:
    """Medians over ``repeat`` rounds on copies of ``home`` below ``work``. ``home`` is only read."""
    files = [path for path in (home / "sessions").iterdir() if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    rounds = [_round(home, work, number) for number in range(repeat)]
    notes = [] if has_program("zstd") else ["There is no zstd here, so nothing was compared with it."]
    names = rounds[0].runs
    seconds = {name: statistics.median(one.runs[name].seconds for one in rounds) for name in names}
    cpu = {name: statistics.median(one.runs[name].cpu_seconds for one in rounds) for name in names}
    written = {name: round(statistics.median(one.written[name] for one in rounds)) for name in names}
    peak = max(one.runs[_SWEEP].peak_rss_bytes for one in rounds)
    table = _table(seconds, cpu, written, size=size, peak=peak)
    title = f"Sweep of {len(files):,} files, {megabytes(size)}"
    numbers: dict[str, object] = {
        "files": len(files),
        "bytes": size,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "written_bytes": written,
        "peak_rss_bytes": peak,
    }
    return Result(title, command, (table,), _figures(seconds, written), numbers, tuple(notes))


def _round(home: Path, work: Path, number: int) -> Round:
    with _copy(home, work) as copy:
        peers: list[tuple[str, Callable[[Path, Path], Run]]] = [(_GZIP, _tar_gzip)]
        if has_program("zstd"):
            peers.append((_ZSTD, _tar_zstd))
        if number % 2:
            peers.reverse()
        runs, written = {}, {}
        for name, peer in peers:
            target = copy / "peer.out"
            runs[name] = peer(copy, target)
            written[name] = target.stat().st_size
            target.unlink()
        runs[_SWEEP] = _sweep(copy)
        written[_SWEEP] = sum(path.stat().st_size for path in (copy / "retention" / "archive").iterdir())
        return Round(runs, written)


@contextmanager
def _copy(home: Path, work: Path) -> Iterator[Path]:
    """A copy of what a sweep looks at, in the page cache and on disk."""
    copy = work / "home"
    copy.mkdir()
    try:
        for name in ("sessions", "state.db", "state.db-wal", "cron"):
            if (home / name).exists():
                subprocess.run(["cp", "-Rp", str(home / name), str(copy)], check=True)
        os.sync()
        yield copy
    finally:
        shutil.rmtree(copy)


def _tar_gzip(copy: Path, target: Path) -> Run:
    return run(["tar", "-C", str(copy), "-czf", str(target), "sessions"])


def _tar_zstd(copy: Path, target: Path) -> Run:
    script = 'tar -C "$1" -cf - sessions | zstd -q -3 -T0 -o "$2"'
    return run(["sh", "-c", script, "sh", str(copy), str(target)])


def _sweep(copy: Path) -> Run:
    swept = run([*own_program(), "--home", str(copy), "sweep", "--yes", "--json"], environ=EVERYTHING_IS_DUE)
    report: dict[str, Any] = json.loads(swept.output)
    left = [path.name for path in (copy / "sessions").iterdir() if path.name != "sessions.json"]
    if left or report["counts"]["failed"]:
        raise RuntimeError(f"the sweep left {len(left)} files, such as {sorted(left)[:3]}")
    return swept


def _table(
    seconds: dict[str, float], cpu: dict[str, float], written: dict[str, int], *, size: int, peak: int
) -> str:
    rows = [
        (
            f"`{name}`",
            f"{taken:.2f} s",
            f"{cpu[name]:.2f} s",
            f"{size / taken / 1e6:,.0f} MB/s",
            megabytes(written[name]),
            f"{size / written[name]:.1f} ×",
            megabytes(peak) if name == _SWEEP else "",
        )
        for name, taken in seconds.items()
    ]
    return markdown(("", "time", "CPU", "speed", "written", "ratio", "peak memory"), rows)


def _figures(seconds: dict[str, float], written: dict[str, int]) -> tuple[Figure, ...]:
    figures = [_speed(seconds, _GZIP, WANTED_AGAINST_GZIP)]
    if _ZSTD in seconds:
        figures.append(_speed(seconds, _ZSTD, WANTED_AGAINST_ZSTD))
    share = written[_SWEEP] / written[_GZIP]
    figures.append(
        Figure(
            "size of the archive, of that of the `tar.gz`",
            f"≤ 1/{1 / WANTED_SHARE:.0f}",
            f"1/{1 / share:.1f}",
            share <= WANTED_SHARE,
        )
    )
    return tuple(figures)


def _speed(seconds: dict[str, float], peer: str, wanted: float) -> Figure:
    ratio = seconds[peer] / seconds[_SWEEP]
    return Figure(
        f"speed of a whole sweep, of that of `{peer}`",
        f"≥ {wanted:g} ×",
        f"{ratio:.1f} ×" if ratio >= 1 else f"{ratio:.2f} ×",
        ratio >= wanted,
    )
