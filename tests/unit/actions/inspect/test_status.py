"""The state of a home: a session counts once, however many parts of it are due, and it may be remembered."""

from __future__ import annotations

import json
from pathlib import Path

from homes import DAY, NOW, HomeBuilder
from sites import clock, site_of
from verdicts import Verdict

from hermes_retention.actions.inspect.stats import DueNow, Group, SessionStage, take_picture
from hermes_retention.actions.inspect.status import take_status
from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.home.home import Home
from hermes_retention.home.queue import Occasion, Pending
from hermes_retention.model.plan import Liveness, Plan, Rule, Step
from hermes_retention.model.session import SessionClass


def step(verdict: Verdict, rule: Rule, size: int, partition: str | None = None) -> Step:
    return Step(
        "a", SessionClass.CHAT, Liveness.ENDED, *verdict.axes, rule, "due", bytes=size, partition=partition
    )


STEPS = (
    step(Verdict.EXPIRE_ARCHIVE, Rule.ARCHIVE_AFTER, 5, "2026-09"),
    step(Verdict.EXPIRE_ARCHIVE, Rule.ARCHIVE_AFTER, 6, "2026-10"),
    step(Verdict.ARCHIVE_FILES, Rule.FILES_AFTER, 10),
    step(Verdict.ARCHIVE_TOOL_OUTPUT, Rule.TOOL_OUTPUT_AFTER, 0),
    step(Verdict.ARCHIVE_MESSAGES, Rule.MESSAGES_AFTER, 20),
)


def test_session_with_several_steps_counts_once(tmp_path: Path) -> None:
    site = site_of(HomeBuilder(tmp_path).session("a", age=40 * DAY))
    inventory = site.take_inventory(now=NOW)
    picture = take_picture(inventory, Plan(str(site.path), NOW, STEPS))
    (group,) = picture.groups
    size = inventory.usage.sessions_bytes
    rows_bytes = round(inventory.bytes_per_message)
    assert group == Group(SessionClass.CHAT, Liveness.ENDED, SessionStage.FILES, 1, 1, size, 2, rows_bytes)
    assert picture.due == (
        DueNow(*Verdict.ARCHIVE_FILES.axes, 1, 10),
        DueNow(*Verdict.ARCHIVE_TOOL_OUTPUT.axes, 1, 0),
        DueNow(*Verdict.ARCHIVE_MESSAGES.axes, 1, 20),
        DueNow(*Verdict.EXPIRE_ARCHIVE.axes, 1, 11),
    )


def test_status_says_how_full_the_database_is(tmp_path: Path) -> None:
    space = take_status(site_of(HomeBuilder(tmp_path / "with").session("a")), now=NOW).database
    assert space is not None
    assert 0 == space.free_bytes < space.file_bytes
    assert take_status(site_of(HomeBuilder(tmp_path / "without", database=False)), now=NOW).database is None


def swept(path: Path) -> Home:
    home = (
        HomeBuilder(path).session("a", age=40 * DAY).session("b", age=60).session("c", files=(), age=9 * DAY)
    )
    site = site_of(home)
    sweep(site, clock=clock, origin="test")
    return site


def test_a_sweep_leaves_the_picture_that_a_fresh_look_gives(tmp_path: Path) -> None:
    site = swept(tmp_path)
    remembered = take_status(site, now=NOW + 5, large=0)
    fresh = take_status(site, now=NOW + 5)
    assert (remembered.is_fresh, fresh.is_fresh) == (False, True)
    assert remembered.picture.groups == fresh.picture.groups
    assert remembered.picture.due == fresh.picture.due == ()
    assert remembered.usage.total_bytes == fresh.usage.total_bytes
    assert {group.stage for group in fresh.picture.groups} == {SessionStage.FILES, SessionStage.MESSAGES}


def test_a_sweep_without_anything_to_do_renews_the_picture(tmp_path: Path) -> None:
    site = swept(tmp_path)
    (site.store.files_directory / "session_new.json").write_text("{}")
    sweep(site, clock=lambda: NOW + 90, origin="test")
    status = take_status(site, now=NOW + 120, large=0)
    assert status.picture.taken_at == NOW + 90
    assert status.picture.sessions == 4


def test_picture_of_an_unknown_form_is_no_obstacle(tmp_path: Path) -> None:
    site = swept(tmp_path)
    with site.workspace.ledger() as ledger:
        ledger.keep_picture('{"taken_at": "later"}', taken_at=NOW + DAY)
    assert take_status(site, now=NOW + DAY, large=0).is_fresh


def test_picture_that_names_what_is_due_by_verdicts_is_passed_over(tmp_path: Path) -> None:
    site = swept(tmp_path)
    fresh = take_status(site, now=NOW + 5)
    with site.workspace.ledger() as ledger:
        content = json.loads(ledger.newest_picture() or "")
        content["due"] = [{"verdict": "archive_files", "sessions": 1, "bytes": 10}]
        ledger.keep_picture(json.dumps(content), taken_at=NOW + 1)
    status = take_status(site, now=NOW + 5, large=0)
    assert status.is_fresh
    assert status.picture.groups == fresh.picture.groups
    assert status.picture.due == ()


def test_picture_holds_no_names(tmp_path: Path) -> None:
    site = site_of(
        HomeBuilder(tmp_path).session("secretary", age=-DAY, title="secret").session("b", age=9 * DAY)
    )
    sweep(site, clock=clock, origin="test")
    with site.workspace.ledger() as ledger:
        assert "secret" not in (ledger.newest_picture() or "secret")


def test_status_counts_what_a_gateway_announced(tmp_path: Path) -> None:
    site = swept(tmp_path)
    with site.workspace.ledger() as ledger:
        ledger.queue.add([Pending(Occasion.CRON, "b", NOW, NOW + 60), Pending(Occasion.END, "c", NOW)])
    status = take_status(site, now=NOW)
    assert [line.session_id for line in status.pending] == ["b", "c"]
