"""The benchmarks measure what they say: their homes, settings, tables and curves. Never how long it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from verdicts import Verdict

from hermes_retention.cli.demo.tour import prints_of_files
from hermes_retention.model.session import Inventory, Usage
from hermes_retention.policy.decide import decide
from hermes_retention.settings.load import load_settings
from hermes_retention.stores.base import Scan
from hermes_retention.stores.hermes.store import HermesStore

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT))  # last: the installed package is the one that is tested

from benchmarks.homes import Spec, build_home, build_index  # noqa: E402 - found by the line above
from benchmarks.measure import run  # noqa: E402
from benchmarks.planning import Planned, _exponent, _figures  # noqa: E402
from benchmarks.plot import Series, log_log_svg  # noqa: E402
from benchmarks.sweeping import EVERYTHING_IS_DUE  # noqa: E402
from benchmarks.tables import Figure, Result, markdown, readme_table  # noqa: E402

NOW = 1_794_000_000.0
SMALL = Spec(sessions=60)


def scan(home: Path) -> Scan:
    return HermesStore(home).scan(now=NOW)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.json"
    talk = [
        [
            {"role": "user", "content": "Good morning"},
            {"role": "assistant", "content": None, "tool_calls": []},
        ]
    ]
    path.write_text(json.dumps(talk), "utf-8")
    return path


def test_equal_specs_make_equal_homes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        build_home(tmp_path / name, SMALL, now=NOW)
    one, other = (prints_of_files(tmp_path / name / "sessions") for name in ("one", "other"))
    assert one == other


def test_another_seed_makes_another_home(tmp_path: Path) -> None:
    for seed in (1, 2):
        build_home(tmp_path / str(seed), msgspec.structs.replace(SMALL, seed=seed), now=NOW)
    one, other = (set(prints_of_files(tmp_path / name / "sessions")) for name in ("1", "2"))
    assert not one & other


def test_home_holds_what_was_asked_for(tmp_path: Path) -> None:
    built = build_home(tmp_path / "home", SMALL, now=NOW)
    found = scan(tmp_path / "home")
    files = [artifact for session in found.sessions for artifact in session.artifacts]
    assert len(found.sessions) == built.sessions == 60
    assert len(files) == built.files == 63  # a request dump for every twentieth session
    assert sum(artifact.size_bytes for artifact in files) == built.bytes
    assert all(session.record is not None and session.record.last_message_at for session in found.sessions)
    assert not found.unknown
    assert not found.warnings


def test_most_sessions_are_runs_of_cron_jobs(tmp_path: Path) -> None:
    build_index(tmp_path / "home", Spec(sessions=2000), now=NOW)
    sessions = scan(tmp_path / "home").sessions
    assert 0.68 < sum(session.session_class == "cron" for session in sessions) / len(sessions) < 0.79
    assert len({session.group for session in sessions if session.session_class == "cron"}) == 7


def test_indexed_files_seem_large_and_take_no_space(tmp_path: Path) -> None:
    built = build_index(tmp_path / "home", SMALL, now=NOW)
    status = [path.stat() for path in (tmp_path / "home" / "sessions").iterdir()]
    assert len(status) == built.files
    assert {one.st_size for one in status} == {60_000}
    assert sum(one.st_blocks for one in status) * 512 < 60_000


@pytest.mark.parametrize("build", [build_home, build_index])
def test_files_or_records_can_be_left_out(build: object, tmp_path: Path) -> None:
    assert callable(build)
    build(tmp_path / "records", msgspec.structs.replace(SMALL, files=False), now=NOW)
    build(tmp_path / "files", msgspec.structs.replace(SMALL, records=False), now=NOW)
    assert not any(session.artifacts for session in scan(tmp_path / "records").sessions)
    assert all(session.record is None for session in scan(tmp_path / "files").sessions)


def test_messages_of_a_corpus_get_a_mark_of_their_session(corpus: Path, tmp_path: Path) -> None:
    build_home(tmp_path / "home", Spec(sessions=5, corpus=corpus), now=NOW)
    texts = set()
    for path in (tmp_path / "home" / "sessions").glob("session_*.json"):
        contents = {message["content"] for message in json.loads(path.read_bytes())["messages"]}
        assert None in contents
        texts |= contents - {None}
    assert len(texts) == 5
    assert all(text.startswith("Good morning [") for text in texts)


def test_everything_is_due_under_the_settings_of_the_sweep(tmp_path: Path) -> None:
    home = tmp_path / "home"
    build_home(home, SMALL, now=NOW)
    sessions = scan(home).sessions
    policy = load_settings(home, EVERYTHING_IS_DUE).policy()
    plan = decide(Inventory(str(home), sessions, Usage(0)), policy, now=NOW)
    assert {step.verdict for step in plan.steps} == {Verdict.ARCHIVE_FILES}
    assert sum(len(step.artifacts) for step in plan.steps) == 63


def test_home_is_built_from_the_command_line(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "run.py"), "home", str(home), "--sessions", "3"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 sessions, 4 files, ")
    assert len(scan(home).sessions) == 3


def test_run_gives_output_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMES_RETENTION_MODE", "off")
    program = "import os, sys; print(os.environ.get('HERMES_RETENTION_MODE'), sys.argv[1:])"
    done = run([sys.executable, "-c", program, "a b"], environ={"HERMES_RETENTION_MODE": "enforce"})
    assert done.output == b"enforce ['a b']\n"
    assert done.peak_rss_bytes > 1e6
    assert b"None" in run([sys.executable, "-c", program]).output


def test_run_of_a_program_that_fails_says_what_it_printed() -> None:
    with pytest.raises(RuntimeError, match="ended with 3: so it goes"):
        run([sys.executable, "-c", "print('so it goes'); raise SystemExit(3)"])


def test_run_of_a_program_that_is_not_there_fails() -> None:
    with pytest.raises(RuntimeError, match="no-such-program"):
        run(["no-such-program"])


def test_readme_table_says_what_was_missed() -> None:
    figures = (Figure("a", "< 1", "0", is_met=True), Figure("b | c", "< 1", "2", is_met=False))
    table = readme_table([Result("", "", (), figures, {})])
    assert table.splitlines()[2:] == ["| a | < 1 | **0** |", r"| b \| c | < 1 | 2 (missed) |"]


def test_markdown_aligns_numbers_to_the_right() -> None:
    assert markdown(("", "n"), [("a", "1")]) == "|  | n |\n| --- | ---: |\n| a | 1 |"


def planned(sessions: int, seconds: float, *, prompt_bytes: int = 0) -> Planned:
    return Planned(sessions, prompt_bytes, seconds, 0.0, 10**8, seconds, 10**8)


def test_growth_is_the_exponent_of_the_curve() -> None:
    assert _exponent([planned(10**n, 10.0**n / 1e5) for n in (4, 5, 6)]) == pytest.approx(1)
    assert _exponent([planned(10**n, 100.0**n / 1e9) for n in (4, 5, 6)]) == pytest.approx(2)
    assert _exponent([planned(10_000, 1.0)]) is None


def test_wanted_figures_of_planning_are_those_of_a_hundred_thousand_real_records() -> None:
    curve = [planned(10_000, 0.2), planned(100_000, 1.5)]
    figures = _figures([*curve, planned(100_000, 2.5, prompt_bytes=12_000)], curve, 1.1)
    assert [(figure.measured, figure.is_met) for figure in figures] == [
        ("2.50 s", False),
        ("100 MB", True),
        ("n^1.10", True),
    ]


def test_curve_is_valid_and_the_same_for_the_same_figures() -> None:
    series = Series("planning", ((1e4, 0.14), (1e5, 2.0), (1e6, 30.0)))
    picture = log_log_svg(series, "sessions <n>", "seconds")
    assert picture == log_log_svg(series, "sessions <n>", "seconds")
    root = ET.fromstring(picture)  # noqa: S314 - it was made just above
    assert len(root.findall("{http://www.w3.org/2000/svg}circle")) == 3
