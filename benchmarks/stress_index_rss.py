"""Memory of a process that reads, changes and writes an index again and again, as the first report did.

    python benchmarks/stress_index_rss.py --target-kb 7600 --cycles 50 --sample-every 10

A cycle is what a gateway does for one message: read the index under its lock, change an entry, write it back,
synced. ``rss_mb`` is what the system says after it, ``heap_mb`` the peak that Python's tracemalloc saw in one
cycle, ``elapsed_ms`` the median of the cycles since the line before; the traced cycle is not among them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks.openclaw_homes import Shape, build_openclaw
from hermes_retention.disk.directories import Directory
from hermes_retention.stores.openclaw.index import IndexCache, IndexFile

_ENTRY_BYTES = 20_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks/stress_index_rss.py")
    parser.add_argument("--target-kb", type=int, default=7600, help="size of the index")
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--sample-every", type=int, default=10)
    parser.add_argument("--work", type=Path, help="directory for the temporary home, on the disk to measure")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.work) as directory:
        home = Path(directory) / "home"
        size = options.target_kb * 1000
        pid = os.fork()  # a process of its own: what building it took must not count
        if not pid:
            shape = Shape(max(2, size // _ENTRY_BYTES), size, 0, 3, hooks_only=True)
            build_openclaw(home, shape, now=time.time())
            os._exit(0)
        os.waitpid(pid, 0)
        _measure(home, options.cycles, options.sample_every)
    return 0


def _measure(home: Path, cycles: int, sample_every: int) -> None:
    print(f"{'cycle':>5} {'rss_mb':>8} {'heap_mb':>8} {'store_kb':>9} {'elapsed_ms':>10}")
    with Directory.open(home, "agents", "main", "sessions") as directory:
        index_file = IndexFile(directory, IndexCache())
        times: list[float] = []
        size = Path(index_file.path).stat().st_size
        for cycle in range(1, cycles + 1):
            is_sampled = cycle == 1 or cycle % sample_every == 0
            if is_sampled:
                tracemalloc.start()
            start = time.perf_counter()
            _cycle(index_file, cycle)
            elapsed = (time.perf_counter() - start) * 1000
            if not is_sampled:
                times.append(elapsed)
                continue
            heap = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            shown = statistics.median(times) if times else elapsed
            print(f"{cycle:5} {_rss():8.1f} {heap / 1e6:8.1f} {size / 1e3:9.0f} {shown:10.1f}", flush=True)
            times.clear()
    print(f"peak of all cycles: {_peak():.1f} MB, {_peak() / size * 1e6:.2f} times the index")


def _cycle(index_file: IndexFile, cycle: int) -> None:
    entry = json.dumps({"sessionId": "stress", "updatedAt": int(time.time() * 1000), "cycle": cycle}).encode()
    index_file.update(lambda _: {"agent:main:stress": entry})


def _peak() -> float:
    """The most that the process ever had in memory, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _rss() -> float:
    """What the process has in memory now, in MB."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * _PAGE / 1e6
    return _peak()  # macOS tells no more


if __name__ == "__main__":
    sys.exit(main())
