"""The history of a home, from its store and its archive, and what the report shows of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import DAY, NOW, HomeBuilder
from program import run
from sites import policy_of, site_of

from hermes_retention.actions.inspect.report_data import Overview, Part, take_overview
from hermes_retention.actions.inspect.simulate import read_history
from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import Ledger
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import Lifecycle, Policy

RUN = "cron_news_20261020_080000"
ROWS_TOO: Policy = policy_of(
    lifecycles=dict.fromkeys(SessionClass, Lifecycle(files_after=86400, messages_after=86400))
)
EVERYTHING: Policy = policy_of(
    lifecycles=dict.fromkeys(
        SessionClass, Lifecycle(files_after=86400, messages_after=86400, record_after=86400)
    )
)


def home_of(path: Path) -> HomeBuilder:
    home = HomeBuilder(path).session("a", age=20 * DAY, ended="expired", title="A trip", messages=4)
    home.file("session_a.json", b"x" * 50_000, age=20 * DAY)
    return home.session(RUN, source="cron", age=12 * DAY, ended="cron_complete", messages=3)


def swept(path: Path, policy: Policy, *, age: float = 5 * DAY) -> Home:
    site = site_of(home_of(path), policy)
    sweep(site, clock=lambda: NOW - age, origin="test")
    return site


@pytest.mark.parametrize("policy", [ROWS_TOO, EVERYTHING])
def test_history_is_the_same_before_and_after_a_sweep(tmp_path: Path, policy: Policy) -> None:
    before = read_history(site_of(home_of(tmp_path / "one")), now=NOW)
    after = read_history(swept(tmp_path / "two", policy), now=NOW)
    for one, other in zip(before.past, after.past, strict=True):
        assert other.session.id == one.session.id
        assert other.session.group == one.session.group
        assert other.session.allocated_bytes == one.session.allocated_bytes
        assert other.session.last_activity == one.session.last_activity
        assert (other.began, other.messages) == (one.began, one.messages)
        assert one.in_store
        assert not other.in_store


def last(overview: Overview, place: str) -> dict[str, int]:
    """What lies in a place now, by class."""
    return {
        part.session_class.value: sizes[-1] for part, sizes in overview.layers.items() if part.place == place
    }


def test_what_was_archived_moves_from_place_to_place(tmp_path: Path) -> None:
    overview = take_overview(swept(tmp_path, ROWS_TOO), days=30, now=NOW)
    files = overview.layers[Part(SessionClass.CHAT, "files")]
    archive = overview.layers[Part(SessionClass.CHAT, "archive")]
    assert len(files) == len(overview.times) == 22
    assert files[-10] == 53_248
    assert (files[-1], archive[-10]) == (0, 0)
    assert archive[-1] > 0
    assert last(overview, "messages") == {"chat": 0, "cron": 0}


def test_what_was_put_back_lies_in_the_store_again(tmp_path: Path) -> None:
    site = swept(tmp_path, ROWS_TOO)
    assert run(site.path, "restore", "a").code == 0
    overview = take_overview(site, days=30, now=NOW)
    assert last(overview, "files") == {"chat": 53_248, "cron": 0}
    assert last(overview, "messages")["chat"] > 0


def test_largest_sessions_have_their_titles(tmp_path: Path) -> None:
    for policy in (ROWS_TOO, EVERYTHING):
        overview = take_overview(swept(tmp_path / str(id(policy)), policy), days=30, now=NOW)
        assert {one.session_id: one.title for one in overview.largest}["a"] == "A trip"
    fresh = take_overview(site_of(home_of(tmp_path / "fresh")), days=30, now=NOW)
    assert fresh.largest[0].session_id == "a"
    assert fresh.largest[0].archive_bytes == 0


def test_jobs_are_told_by_what_they_wrote(tmp_path: Path) -> None:
    overview = take_overview(swept(tmp_path, EVERYTHING), days=7, now=NOW)
    (job,) = overview.jobs
    assert (job.name, job.runs, job.runs_in_window) == ("news", 1, 0)
    assert job.written_bytes > job.stored_bytes > 0


def test_measured_totals_end_with_now(tmp_path: Path) -> None:
    overview = take_overview(swept(tmp_path, ROWS_TOO), days=30, now=NOW)
    assert overview.measured[-1] == (NOW, overview.status.usage.total_bytes)
    assert overview.measured[0][0] == NOW - 5 * DAY


def test_one_picture_stays_for_each_day(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        assert ledger.newest_picture() is None
        for at, content in ((NOW, "noon"), (NOW + 60, "later"), (NOW + DAY, "tomorrow")):
            ledger.keep_picture(content, taken_at=at)
        assert ledger.pictures() == ["later", "tomorrow"]
        assert ledger.pictures(since=NOW + DAY / 2) == ["tomorrow"]
        assert ledger.newest_picture() == "tomorrow"
