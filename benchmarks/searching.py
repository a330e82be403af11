"""A search for text that is nowhere, so that all of the archive is read, beside ``zstd -dc | grep``.

The peer reads one solid stream of the same files, compressed by ``zstd -3``: it neither knows sessions nor
decodes JSON. Each program is started as a person starts it; both read from the page cache.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Run, has_program, own_program, run
from benchmarks.sweeping import EVERYTHING_IS_DUE
from benchmarks.tables import Figure, Result, markdown, megabytes

WANTED_SPEED = 1e9
"""Bytes of original text a second."""
NOWHERE = "zebra crossing"
SOMEWHERE = "refund"
_OWN, _PEER, _START = (
    "hermes-retention search",
    "zstd -dc | grep -ciF",
    "hermes-retention search, empty archive",
)
_FIRST = f"the same for '{SOMEWHERE}', which is everywhere"


def measure_search(home: Path, work: Path, *, repeat: int, command: str) -> Result:
    """Medians over ``repeat`` rounds on an archived copy of ``home``, which is only read."""
    copy, empty = work / "home", work / "empty"
    subprocess.run(["cp", "-Rp", str(home), str(copy)], check=True)
    (empty / "sessions").mkdir(parents=True)
    files = [path for path in (copy / "sessions").iterdir() if path.name != "sessions.json"]
    size = sum(path.stat().st_size for path in files)
    solid = work / "solid.zst"
    if has_program("zstd"):
        pack = 'find "$1" -name "*.json*" -exec cat {} + | zstd -q -3 -T0 -o "$2"'
        subprocess.run(["sh", "-c", pack, "sh", str(copy / "sessions"), str(solid)], check=True)
    run([*own_program(), "--home", str(copy), "sweep", "--yes", "--json"], environ=EVERYTHING_IS_DUE)
    programs: dict[str, Callable[[], Run]] = {
        _OWN: lambda: _search(copy, NOWHERE, found=False),
        _START: lambda: _search(empty, NOWHERE, found=False),
        _FIRST: lambda: _search(copy, SOMEWHERE, found=True),
    }
    if solid.exists():
        programs[_PEER] = lambda: _zstd_grep(solid)
    runs: dict[str, list[Run]] = {name: [] for name in programs}
    for number in range(repeat):
        for name in sorted(programs, reverse=bool(number % 2)):
            runs[name].append(programs[name]())
    return _result(runs, files=len(files), size=size, command=command)


def _result(runs: dict[str, list[Run]], *, files: int, size: int, command: str) -> Result:
    seconds = {name: statistics.median(one.seconds for one in some) for name, some in runs.items()}
    cpu = {name: statistics.median(one.cpu_seconds for one in some) for name, some in runs.items()}
    peak = max(one.peak_rss_bytes for one in runs[_OWN])
    rows = [
        (name, f"{seconds[name]:.2f} s", f"{cpu[name]:.2f} s", _speed(size, name, seconds)) for name in runs
    ]
    return Result(
        f"Search in {files:,} archived files, {megabytes(size)}",
        command,
        (markdown(("", "time", "CPU", "original text per second"), rows),),
        tuple(_figures(size, seconds, peak)),
        {"files": files, "bytes": size, "seconds": seconds, "cpu_seconds": cpu, "peak_rss_bytes": peak},
        () if _PEER in runs else ("There is no zstd here, so nothing was compared with it.",),
    )


def _search(home: Path, text: str, *, found: bool) -> Run:
    ran = run([*own_program(), "--home", str(home), "--store", "hermes", "search", text, "--json"])
    if bool(json.loads(ran.output)["sessions"]) is not found:
        raise RuntimeError(f"the search for '{text}' did not find what it should")
    return ran


def _zstd_grep(solid: Path) -> Run:
    script = 'zstd -q -dc "$1" | LC_ALL=C grep -ciF "$2" || true'
    return run(["sh", "-c", script, "sh", str(solid), NOWHERE])


def _speed(size: int, name: str, seconds: dict[str, float]) -> str:
    if name in (_START, _FIRST):
        return ""
    return f"{size / seconds[name] / 1e9:.2f} GB/s"


def _figures(size: int, seconds: dict[str, float], peak: int) -> list[Figure]:
    speed = size / max(seconds[_OWN] - seconds[_START], 1e-9)
    figures = [
        Figure(
            "search of the whole archive, once the program has started",
            f"≥ {WANTED_SPEED / 1e9:g} GB/s",
            f"{speed / 1e9:.2f} GB/s of original text",
            speed >= WANTED_SPEED,
        ),
        Figure("memory of that search", "≤ 100 MB", megabytes(peak), peak <= 100e6),  # noqa: PLR2004 - as it says
    ]
    if _PEER in seconds:
        ratio = seconds[_PEER] / seconds[_OWN]
        figures.append(
            Figure(
                "the whole program, against `zstd -dc | grep -ciF`",
                "≥ 1 × as fast",
                f"{ratio:.2f} ×",
                ratio >= 1,
            )
        )
    return figures
