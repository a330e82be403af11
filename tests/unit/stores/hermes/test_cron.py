"""Which runs of cron jobs failed, as each version of the host wrote it down."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import DAY, HOUR, MINUTE, NOW, HomeBuilder

JOB = "a1b2c3d4e5f6"
STAMP = "20261119_120000"


def run(
    home: HomeBuilder, number: int, *, age: float, ended: str | None = "cron_complete", job: str = JOB
) -> str:
    """A run that began a minute more than ``age`` ago."""
    session_id = f"cron_{job}_20261101_{number:06}"
    home.session(session_id, source="cron", age=age, ended=ended, files=())
    return session_id


def failed(home: HomeBuilder) -> set[str]:
    return {session.id for session in home.store().scan(now=NOW).sessions if session.failed}


@pytest.mark.parametrize(
    ("status", "expected"), [("failed", True), ("unknown", True), ("completed", False), ("running", False)]
)
def test_run_within_a_failed_execution_failed(tmp_path: Path, *, status: str, expected: bool) -> None:
    home = HomeBuilder(tmp_path)
    session_id = run(home, 1, age=DAY)
    run(home, 2, age=DAY, job="other")
    home.execution(JOB, status, age=DAY + MINUTE + 1, lasted=2 * MINUTE)
    assert failed(home) == ({session_id} if expected else set())


def test_runs_before_and_after_a_failed_execution_did_not_fail(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    run(home, 1, age=DAY + HOUR)
    middle = run(home, 2, age=DAY)
    run(home, 3, age=DAY - HOUR)
    home.execution(JOB, "completed", age=DAY + HOUR + MINUTE + 1).execution(
        JOB, "failed", age=DAY + MINUTE + 1
    )
    home.execution(JOB, "completed", age=DAY - HOUR + MINUTE + 1)
    assert failed(home) == {middle}


def test_execution_that_was_closed_late_still_covers_its_run(tmp_path: Path) -> None:
    """One whose process died gets its end when somebody notices, perhaps after a whole later one."""
    home = HomeBuilder(tmp_path)
    first, second = run(home, 1, age=DAY), run(home, 2, age=HOUR)
    home.execution(JOB, "unknown", age=DAY + MINUTE + 1, lasted=DAY)
    home.execution(JOB, "failed", age=DAY - HOUR, lasted=MINUTE)
    assert failed(home) == {first, second}


def test_failed_execution_without_an_end_covers_all_that_follows(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    run(home, 1, age=2 * DAY)
    later = run(home, 2, age=HOUR)
    home.execution(JOB, "failed", age=DAY, lasted=None)
    assert failed(home) == {later}


@pytest.mark.parametrize("host", ["0.13", "0.19"])
def test_last_status_is_that_of_the_newest_run(tmp_path: Path, host: str) -> None:
    home = HomeBuilder(tmp_path, host=host)
    run(home, 1, age=2 * DAY)
    newest = run(home, 2, age=DAY)
    home.jobs({"id": JOB, "last_status": "error", "last_run_at": None})
    assert failed(home) == {newest}


def test_run_that_is_under_way_is_not_the_one_that_failed_last(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    last = run(home, 1, age=DAY)
    run(home, 2, age=0)
    home.jobs({"id": JOB, "last_status": "error", "last_run_at": "2026-11-19T12:00:00+00:00"})
    assert failed(home) == {last}


@pytest.mark.parametrize(
    "jobs",
    [
        [{"id": JOB, "last_status": "ok"}],
        [{"id": JOB}],
        [{"last_status": "error"}, None, 5, {"id": 5, "last_status": "error"}],
        [{"id": "gone", "last_status": "error"}],
        [],
    ],
)
def test_other_jobs_say_nothing(tmp_path: Path, jobs: list[dict[str, object]]) -> None:
    home = HomeBuilder(tmp_path).jobs(*jobs)
    run(home, 1, age=DAY)
    assert failed(home) == set()
    assert home.store().scan(now=NOW).warnings == ()


def test_executions_know_better_than_the_last_status(tmp_path: Path) -> None:
    """A job may fail before it has a session: then its newest session is that of a run that went well."""
    home = HomeBuilder(tmp_path).jobs(
        {"id": JOB, "last_status": "error"}, {"id": "older", "last_status": "error"}
    )
    run(home, 1, age=DAY)
    unrecorded = run(home, 2, age=DAY, job="older")
    home.execution(JOB, "completed", age=DAY + MINUTE + 1).execution(JOB, "failed", age=HOUR, lasted=1)
    assert failed(home) == {unrecorded}


def test_run_that_never_ended_failed(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    session_id = run(home, 1, age=DAY, ended=None)
    assert failed(home) == {session_id}


def test_continuation_of_a_run_fails_with_it(tmp_path: Path) -> None:
    """Compression goes on under an id of another form, and the host ends only the first session of a run."""
    home = HomeBuilder(tmp_path)
    good, bad = run(home, 1, age=DAY, ended="compression"), run(home, 2, age=HOUR, ended="compression")
    home.execution(JOB, "failed", age=HOUR + MINUTE + 1, lasted=HOUR)
    for parent, first, second in ((good, "a1", "a2"), (bad, "b1", "b2")):
        home.session(first, source="cron", parent=parent, ended="compression", files=())
        home.session(second, source="cron", parent=first, ended=None, files=())
    sessions = home.store().scan(now=NOW).sessions
    assert failed(home) == {bad, "b1", "b2"}
    assert {session.group for session in sessions} == {JOB}


def test_circle_of_continuations_is_survived(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    home.session("a", source="cron", parent="b", ended="compression").session(
        "b", source="cron", parent="a", ended="compression"
    )
    assert failed(home) == set()


def test_child_of_a_run_that_is_no_continuation_belongs_to_no_job(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    home.session("child", source="cron", parent=run(home, 1, age=DAY), ended=None, files=())
    child = {session.id: session for session in home.store().scan(now=NOW).sessions}["child"]
    assert (child.group, child.failed) == (None, False)


def test_sessions_of_other_classes_do_not_fail(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session(f"cron_{JOB}_{STAMP}", source="telegram", ended=None)
    home.session("20261119_120000_0a1b2c3d", ended=None)
    assert failed(home) == set()


def test_damaged_executions_are_a_warning(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).jobs({"id": JOB, "last_status": "error"})
    session_id = run(home, 1, age=DAY)
    (home.path / "cron" / "executions.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    (warning,) = home.store().scan(now=NOW).warnings
    assert "executions.db: it is damaged" in warning
    assert "keep_failed knows only runs that never ended" in warning
    assert failed(home) == {session_id}


def test_executions_of_an_unknown_form_say_nothing(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).jobs()
    home.execute("CREATE TABLE executions (id TEXT)", database="cron/executions.db")
    run(home, 1, age=DAY)
    assert failed(home) == set()


def test_times_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).execution(JOB, "failed", age=DAY + MINUTE + 1)
    run(home, 1, age=DAY)
    home.execute("UPDATE executions SET claimed_at = 'x', started_at = NULL", database="cron/executions.db")
    assert failed(home) == set()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "it is not valid JSON"),
        ('{"jobs": 5}', "it holds no list of jobs"),
        ('"x"', "it holds no list of jobs"),
    ],
)
def test_damaged_list_of_jobs_is_a_warning(tmp_path: Path, content: str, why: str) -> None:
    home = HomeBuilder(tmp_path).jobs()
    (home.path / "cron" / "jobs.json").write_text(content)
    (warning,) = home.store().scan(now=NOW).warnings
    assert f"jobs.json: {why}; keep_failed" in warning


def test_list_of_jobs_may_be_bare(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).jobs()
    session_id = run(home, 1, age=DAY)
    (home.path / "cron" / "jobs.json").write_text(f'[{{"id": "{JOB}", "last_status": "error"}}]')
    assert failed(home) == {session_id}
