"""The benchmark of rows measures what it says: the same sessions, the waits of a writer, what came back."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from host_databases import HostDatabase

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT))  # last: the installed package is the one that is tested

from benchmarks.homes import Spec, build_home  # noqa: E402 - found by the line above
from benchmarks.measure import Run  # noqa: E402
from benchmarks.remains import Due, Remains, Restored, compare_restored, find_due, find_remains  # noqa: E402
from benchmarks.rows import _beside_writer, last_line  # noqa: E402
from benchmarks.rows_shown import Measured, Trial, shown  # noqa: E402
from benchmarks.writer import SESSION, Waits, percentile, summary  # noqa: E402

NOW, DAY = 1_794_000_000.0, 86400.0
DUE = Due(frozenset({"old"}), 2)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Sessions that are old, young, and old but never ended, each with a snapshot."""
    made = tmp_path / "made"
    (made / "sessions").mkdir(parents=True)
    database = HostDatabase(made / "state.db")
    database.session("old", ["zebra", "crossing"], started_at=NOW - 8 * DAY, ended_at=NOW - 8 * DAY)
    database.session("young", ["lion"], started_at=NOW - 6 * DAY, ended_at=NOW - 6 * DAY)
    database.session("open", ["tiger"], started_at=NOW - 8 * DAY)
    for name in ("old", "young", "open"):
        (made / "sessions" / f"session_{name}.json").write_text(name)
    return made


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    return shutil.copytree(home, tmp_path / "copy")


def change(home: Path, *statements: str) -> None:
    with closing(sqlite3.connect(home / "state.db")) as database, database:
        for statement in statements:
            database.execute(statement)


def test_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(1, 201)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1)) == (100, 198, 200)
    assert percentile([3.0], 0.99) == percentile([3.0], 0) == 3


def test_summary_sorts_what_it_gets() -> None:
    told = summary([0.3, 0.1, 0.2], errors=1, longest_checkpoint=0.5)
    assert told == {
        "commits": 3,
        "errors": 1,
        "median": 0.2,
        "p99": 0.3,
        "longest": 0.3,
        "longest_checkpoint": 0.5,
    }


def test_writer_writes_into_a_session_of_its_own(home: Path) -> None:
    done, waits = _beside_writer(home / "state.db", lambda: "done")
    assert done == "done"
    assert (waits["errors"], waits["commits"] > 0) == (0, True)
    with closing(sqlite3.connect(home / "state.db")) as database:
        count = database.execute("SELECT count(*) FROM messages WHERE session_id = ?", (SESSION,)).fetchone()
    assert count == (waits["commits"],)


def test_writer_that_cannot_begin_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="could not begin"):
        _beside_writer(tmp_path / "state.db", lambda: None)


def test_sessions_that_ended_and_are_old_are_due(home: Path) -> None:
    assert find_due(home, before=NOW - 7 * DAY) == DUE


def test_remains_of_an_untouched_copy_are_everything(home: Path, copy: Path) -> None:
    assert find_remains(home, copy, DUE) == Remains(messages=2, snapshots=1, missing=0)


def test_remains_tell_what_went_and_what_should_have_stayed(home: Path, copy: Path) -> None:
    change(copy, "DELETE FROM messages WHERE session_id IN ('old', 'young')")
    (copy / "sessions" / "session_old.json").unlink()
    assert find_remains(home, copy, DUE) == Remains(messages=0, snapshots=0, missing=1)


def test_an_untouched_copy_counts_as_restored(home: Path, copy: Path) -> None:
    assert compare_restored(home, copy, DUE) == Restored(2, 0, 0, 0)


def test_every_difference_of_a_restored_copy_is_found(home: Path, copy: Path) -> None:
    change(
        copy,
        "UPDATE messages SET content = CAST('zebra' AS BLOB) WHERE content = 'zebra'",
        "DELETE FROM messages WHERE content = 'lion'",
        "UPDATE sessions SET title = '' WHERE id = 'old'",
    )
    (copy / "sessions" / "session_old.json").write_text("other")
    (copy / "sessions" / "session_new.json").write_text("new")
    assert compare_restored(home, copy, DUE) == Restored(1, 2, 1, 2)


def test_home_for_rows_has_no_session_of_that_age_and_is_in_order(tmp_path: Path) -> None:
    build_home(tmp_path / "home", Spec(sessions=200, files=False, prompt_bytes=10, clear_days=7), now=NOW)
    with closing(sqlite3.connect(tmp_path / "home" / "state.db")) as database:
        ages = [
            (NOW - row[0]) / DAY for row in database.execute("SELECT started_at FROM sessions ORDER BY rowid")
        ]
    assert len(ages) == 200
    assert ages == sorted(ages, reverse=True)
    assert not [age for age in ages if 6.75 < age < 7.25]


def test_last_line_is_the_error_below_a_traceback() -> None:
    assert last_line("Traceback\n  at\nOperationalError: too many SQL variables\n\n") == (
        "OperationalError: too many SQL variables"
    )
    assert last_line("\n") == ""


WAITS = Waits(commits=9, errors=0, median=0.001, p99=0.04, longest=0.2, longest_checkpoint=0.0)
OWN = Trial(Run(10.0, 9.0, 90_000_000, b""), Run(20.0, 9.0, 95_000_000, b""), WAITS, Remains(0, 0, 0))
HOST = Trial(
    Run(20.0, 9.0, 50_000_000, b""),
    Run(25.0, 9.0, 50_000_000, b""),
    {**WAITS, "longest": 13.0},
    Remains(0, 7, 0),
)
MEASURED = Measured(7, 100, 5_000_000, WAITS, (HOST,), (OWN,), Restored(100, 0, 0, 0), None)


def test_figures_compare_with_the_host_of_the_same_run() -> None:
    figures = shown(MEASURED, "").figures
    assert all(figure.is_met for figure in figures)
    assert [figure.measured for figure in figures] == [
        "200 ms",
        "40 ms",
        "0.50 ×",
        "0.80 ×",
        "0",
        "100",
        "95.0 MB",
    ]


def test_waits_are_those_of_the_worst_round_and_times_medians() -> None:
    slow = msgspec.structs.replace(OWN, alone=Run(99.0, 9.0, 1, b""), waits={**WAITS, "longest": 0.4})
    own = shown(msgspec.structs.replace(MEASURED, own=(OWN, slow, OWN)), "").numbers["own"]
    assert isinstance(own, dict)
    assert (own["alone_seconds"], own["longest"], own["commits"]) == (10.0, 0.4, 27)


def test_difference_after_a_restore_is_a_figure_that_was_missed() -> None:
    figures = shown(msgspec.structs.replace(MEASURED, restored=Restored(100, 0, 0, 1)), "").figures
    assert [figure.measured for figure in figures if not figure.is_met] == ["100, 1 differences"]


def test_host_that_cannot_remove_so_many_is_said_and_not_compared() -> None:
    result = shown(msgspec.structs.replace(MEASURED, host=(), host_error="too many SQL variables"), "")
    assert len(result.figures) == 5
    assert "too many SQL variables" in result.notes[-1]
    assert "| fails |" in result.tables[0]
