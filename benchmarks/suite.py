"""The command line of the benchmarks: which are run, on what, and how the results are printed."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.capping import measure_caps
from benchmarks.homes import Spec, build_home, build_index
from benchmarks.hooks import measure_hooks
from benchmarks.hosting import VERSION, find_host
from benchmarks.looking import SESSIONS, measure_status
from benchmarks.measure import machine
from benchmarks.planning import measure_plan
from benchmarks.rows import DAYS, measure_rows
from benchmarks.searching import measure_search
from benchmarks.starting import measure_help
from benchmarks.sweeping import measure_sweep
from benchmarks.tables import Result, readme_table

_ALL = ("sweep", "plan", "help", "hooks", "caps")
_APART = ("rows", "search", "status")
"""Run only when they are asked for."""
_README_SESSIONS = 5000
_CALLS = 10_000
_PROMPT_BYTES = 12_000
"""As the host writes them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for. A figure that was missed is no failure: the table says so."""
    options = _parser().parse_args(arguments)
    options.command = _shown(sys.argv[1:] if arguments is None else arguments)
    if options.benchmark == "home":
        return _build(options)
    chosen = _ALL if options.benchmark == "all" else (options.benchmark,)
    results = []
    with _work(options.work) as work:
        for name in chosen:
            print(f"{name} …", file=sys.stderr, flush=True)
            results.append(_MEASURES[name](options, work))
    _print(results, options)
    return 0


def _shown(arguments: Sequence[str]) -> str:
    """The command for people to repeat: files by their names, whatever directory they are in here."""
    return shlex.join(["python", "benchmarks/run.py", *(Path(one).name or one for one in arguments)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description="Measures hermes-retention.")
    choices = ("all", *_ALL, *_APART, "home")
    parser.add_argument(
        "benchmark", nargs="?", default="all", choices=choices, help="home only builds one (default: all)"
    )
    parser.add_argument("directory", nargs="?", type=Path, help="where 'home' builds: a new directory")
    parser.add_argument(
        "--home", type=Path, help="'sweep', 'rows', 'search': copies of this home instead of a generated one"
    )
    parser.add_argument("--sessions", type=int, default=_README_SESSIONS, help="in the generated home")
    parser.add_argument(
        "--corpus", type=Path, help="JSON list of message lists to fill the generated home with"
    )
    parser.add_argument("--seed", type=int, default=7, help="of the generated home")
    parser.add_argument("--no-files", dest="files", action="store_false", help="'home': records only")
    parser.add_argument("--no-records", dest="records", action="store_false", help="'home': files only")
    parser.add_argument("--index", action="store_true", help="'home': files of holes, for very many sessions")
    parser.add_argument("--prompt-bytes", type=int, help="length of the system prompt in each record")
    sizes = [10_000, 100_000, 1_000_000]
    parser.add_argument(
        "--sizes", type=_numbers, default=sizes, help="'plan': numbers of sessions, with commas"
    )
    parser.add_argument("--plot", type=Path, help="'plan': write the curve to this SVG file")
    parser.add_argument(
        "--repeat",
        "--rounds",
        type=int,
        help="rounds of which the median is taken (default: 5, 'plan', 'rows': 3)",
    )
    parser.add_argument(
        "--host-python",
        type=Path,
        help=f"'rows': Python that has hermes-agent {VERSION} (default: install it for this run)",
    )
    parser.add_argument("--work", type=Path, help="directory for temporary homes, on the disk to measure")
    parser.add_argument("--json", action="store_true", help="figures for programs instead of tables")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _spec(options: argparse.Namespace) -> Spec:
    return Spec(
        sessions=options.sessions,
        files=options.files,
        records=options.records,
        seed=options.seed,
        corpus=options.corpus,
        prompt_bytes=options.prompt_bytes,
    )


def _build(options: argparse.Namespace) -> int:
    if options.directory is None:
        print("benchmarks/run.py home: name the directory to build it in", file=sys.stderr)
        return 2
    build = build_index if options.index else build_home
    built = build(options.directory, _spec(options), now=time.time())
    print(f"{built.sessions:,} sessions, {built.files:,} files, {built.bytes / 1e6:,.0f} MB")
    return 0


def _sweep(options: argparse.Namespace, work: Path) -> Result:
    home = options.home
    if home is None:
        home = work / "original"
        build_home(home, _spec(options), now=time.time())
    return measure_sweep(home, work, repeat=options.repeat or 5, command=options.command)


def _plan(options: argparse.Namespace, work: Path) -> Result:
    return measure_plan(
        work,
        options.sizes,
        prompt_bytes=_PROMPT_BYTES if options.prompt_bytes is None else options.prompt_bytes,
        repeat=min(options.repeat or 3, 3),
        plot=options.plot,
        command=options.command,
    )


def _help(options: argparse.Namespace, _: Path) -> Result:
    return measure_help(repeat=max(options.repeat or 20, 20), command=options.command)


def _caps(options: argparse.Namespace, work: Path) -> Result:
    return measure_caps(work, repeat=max(options.repeat or 500, 100), command=options.command)


def _status(options: argparse.Namespace, work: Path) -> Result:
    return measure_status(
        work,
        sessions=SESSIONS,
        prompt_bytes=_PROMPT_BYTES if options.prompt_bytes is None else options.prompt_bytes,
        repeat=options.repeat or 5,
        command=options.command,
    )


def _rows(options: argparse.Namespace, work: Path) -> Result:
    host = find_host(options.host_python, work)
    if options.home is not None:
        return measure_rows(host, options.home, work, repeat=options.repeat or 3, command=options.command)
    home = work / "original"
    prompt_bytes = _PROMPT_BYTES if options.prompt_bytes is None else options.prompt_bytes
    spec = msgspec.structs.replace(_spec(options), prompt_bytes=prompt_bytes, records=True, clear_days=DAYS)
    print("rows: building the home …", file=sys.stderr, flush=True)
    host.build_home(home, spec, now=time.time())
    return measure_rows(host, home, work, repeat=options.repeat or 3, command=options.command)


def _search(options: argparse.Namespace, work: Path) -> Result:
    home = options.home
    if home is None:
        home = work / "original"
        build_home(home, _spec(options), now=time.time())
    return measure_search(home, work, repeat=options.repeat or 5, command=options.command)


def _hooks(options: argparse.Namespace, work: Path) -> Result:
    return measure_hooks(
        work,
        sessions=options.sessions,
        calls=_CALLS,
        repeat=max(options.repeat or 20, 20),
        command=options.command,
    )


_MEASURES: dict[str, Callable[[argparse.Namespace, Path], Result]] = {
    "sweep": _sweep,
    "plan": _plan,
    "help": _help,
    "hooks": _hooks,
    "caps": _caps,
    "rows": _rows,
    "search": _search,
    "status": _status,
}


@contextmanager
def _work(parent: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hermes-retention-bench-", dir=parent) as directory:
        yield Path(directory)


def _print(results: Sequence[Result], options: argparse.Namespace) -> None:
    if options.json:
        figures = [
            {"what": one.what, "wanted": one.wanted, "measured": one.measured, "met": one.is_met}
            for result in results
            for one in result.figures
        ]
        numbers = {result.title: result.numbers for result in results}
        print(json.dumps({"machine": machine(), "figures": figures, "numbers": numbers}, indent=2))
        return
    for result in results:
        print(f"## {result.title}\n")
        for text in (*result.tables, *result.notes):
            print(f"{text}\n")
    print(f"## In short\n\n{readme_table(results)}\n\nMeasured with `{options.command}` on {machine()}.")
