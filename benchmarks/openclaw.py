"""Sweeps of whole OpenClaw homes, as a person starts them, and the removal from the index alone.

    python benchmarks/openclaw.py a b c

Everything but the main session is due, is archived, read back and removed. The second pair of columns is only
the index: read under its lock, all entries but one taken out, written and synced.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import Run, machine, own_program, run
from benchmarks.openclaw_homes import STORES, build_openclaw
from benchmarks.sweeping import EVERYTHING_IS_DUE
from benchmarks.tables import markdown, megabytes

_INDEX_ONLY = """
import sys
from pathlib import Path
from hermes_retention.disk.directories import Directory
from hermes_retention.stores.openclaw.index import IndexCache, IndexFile
with Directory.open(Path(sys.argv[1]), "agents", "main", "sessions") as directory:
    IndexFile(directory, IndexCache()).update(lambda index: dict.fromkeys(list(index.members)[1:]))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks/openclaw.py")
    parser.add_argument("stores", nargs="*", default=[*STORES], help=f"of {', '.join(STORES)} (default: all)")
    parser.add_argument("--repeat", type=int, default=3, help="rounds of which the median is taken")
    parser.add_argument("--work", type=Path, help="directory for the temporary homes, on the disk to measure")
    options = parser.parse_args(arguments)
    head = (
        "store",
        "sessions",
        "index",
        "sweep",
        "its CPU",
        "its peak memory",
        "index only",
        "its peak memory",
    )
    with tempfile.TemporaryDirectory(dir=options.work) as directory:
        rows = [_measured(name, Path(directory), options.repeat) for name in options.stores]
    print(markdown(head, rows))
    print(f"\n{machine()}")
    return 0


def _measured(name: str, work: Path, repeat: int) -> tuple[str, ...]:
    shape, original = STORES[name], work / name
    build_openclaw(original, shape, now=time.time())
    index = original / "agents" / "main" / "sessions" / "sessions.json"
    size = index.stat().st_size
    sweeps: list[Run] = []
    removals: list[Run] = []
    for _ in range(repeat):
        copy = work / "copy"
        shutil.copytree(original, copy)
        sweeps.append(_swept(copy))
        shutil.rmtree(copy)
        target = copy / "agents" / "main" / "sessions"
        target.mkdir(parents=True)
        shutil.copy2(index, target)
        removals.append(run([sys.executable, "-c", _INDEX_ONLY, str(copy)]))
        shutil.rmtree(copy)
    shutil.rmtree(original)
    return (
        name,
        f"{shape.sessions:,}",
        megabytes(size),
        f"{statistics.median(it.seconds for it in sweeps):.1f} s",
        f"{statistics.median(it.cpu_seconds for it in sweeps):.1f} s",
        megabytes(max(it.peak_rss_bytes for it in sweeps)),
        f"{statistics.median(it.seconds for it in removals):.2f} s",
        megabytes(max(it.peak_rss_bytes for it in removals)),
    )


def _swept(home: Path) -> Run:
    command = [*own_program(), "--home", str(home), "sweep", "--yes", "--json"]
    swept = run(command, environ=EVERYTHING_IS_DUE)
    report = json.loads(swept.output)
    index = json.loads((home / "agents" / "main" / "sessions" / "sessions.json").read_text())
    if report["counts"]["failed"] or len(index) > 2:  # noqa: PLR2004 - the main session, and what ran just now
        raise RuntimeError(f"the sweep left {len(index)} entries")
    return swept


if __name__ == "__main__":
    sys.exit(main())
