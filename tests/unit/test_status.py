"""The state of a home: a session counts once, however many parts of it are due."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from homes import DAY, NOW, HomeBuilder
from sites import site_of

from hermes_retention.model import SessionClass
from hermes_retention.plan import Liveness, Plan, Rule, Step, Verdict
from hermes_retention.status import DueNow, Group, take_status

if TYPE_CHECKING:
    from pytest_mock import MockerFixture


def step(verdict: Verdict, rule: Rule, size: int, partition: str | None = None) -> Step:
    return Step("a", SessionClass.CHAT, Liveness.ENDED, verdict, rule, "due", bytes=size, partition=partition)


STEPS = (
    step(Verdict.EXPIRE_ARCHIVE, Rule.ARCHIVE_AFTER, 5, "2026-09"),
    step(Verdict.EXPIRE_ARCHIVE, Rule.ARCHIVE_AFTER, 6, "2026-10"),
    step(Verdict.ARCHIVE_FILES, Rule.FILES_AFTER, 10),
    step(Verdict.ARCHIVE_TOOL_OUTPUT, Rule.TOOL_OUTPUT_AFTER, 0),
    step(Verdict.ARCHIVE_MESSAGES, Rule.MESSAGES_AFTER, 20),
)


def test_session_with_several_steps_counts_once(tmp_path: Path, mocker: MockerFixture) -> None:
    home = HomeBuilder(tmp_path).session("a", age=40 * DAY)
    site = site_of(home)
    mocker.patch("hermes_retention.status.decide", return_value=Plan(str(site.home), NOW, STEPS))
    status = take_status(site, now=NOW)
    size = status.usage.sessions_bytes
    assert status.groups == (Group(SessionClass.CHAT, Liveness.ENDED, sessions=1, files=1, bytes=size),)
    assert status.due == (
        DueNow(Verdict.ARCHIVE_FILES, 1, 10),
        DueNow(Verdict.ARCHIVE_TOOL_OUTPUT, 1, 0),
        DueNow(Verdict.ARCHIVE_MESSAGES, 1, 20),
        DueNow(Verdict.EXPIRE_ARCHIVE, 1, 11),
    )


def test_status_says_how_full_the_database_is(tmp_path: Path) -> None:
    space = take_status(site_of(HomeBuilder(tmp_path / "with").session("a")), now=NOW).database
    assert space is not None
    assert 0 == space.free_bytes < space.file_bytes
    assert take_status(site_of(HomeBuilder(tmp_path / "without", database=False)), now=NOW).database is None
