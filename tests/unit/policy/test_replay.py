"""A policy in time: the same decisions, one day after the other, on what is known of the past."""

from __future__ import annotations

import msgspec
from inventories import DAY, FILE_BYTES, HOUR, KEY, NOW, chat, cron, policy

from hermes_retention.actions.inspect.simulate import repeated
from hermes_retention.model.session import Session
from hermes_retention.policy.lifecycle import Policy
from hermes_retention.policy.replay import Past, Point, Scale, replay

SCALE = Scale(
    bytes_per_message=1000.0,
    bytes_per_record=100.0,
    archived_share=0.1,
    is_measured=True,
    capacity_bytes=None,
)
WEEK = policy(classes={"files_after": 7 * DAY, "messages_after": 14 * DAY})


def past(*sessions: Session) -> list[Past]:
    return [
        Past(one, one.record.started_at if one.record else one.last_activity, 10 if one.record else 0)
        for one in sessions
    ]


def course(
    sessions: list[Past], rules: Policy | None, *ages: float, scale: Scale = SCALE, **holds: str
) -> list[Point]:
    return list(replay(sessions, rules, times=[NOW - age for age in ages], scale=scale, holds=holds))


def test_each_part_leaves_at_its_age() -> None:
    ended = past(chat("a", idle=30 * DAY, ended="expired"))
    first, files_gone, rows_gone = course(ended, WEEK, 29 * DAY, 22 * DAY, 15 * DAY)
    assert (first.files_bytes, first.database_bytes, first.archive_bytes) == (FILE_BYTES, 10_100, 0)
    assert (files_gone.files_bytes, files_gone.database_bytes) == (0, 10_100)
    assert files_gone.archive_bytes == round(FILE_BYTES * 0.1)
    assert (rows_gone.files_bytes, rows_gone.database_bytes) == (0, 100)
    assert rows_gone.archive_bytes == round(FILE_BYTES * 0.1 + 1000)
    assert rows_gone.sessions == 1


def test_nothing_is_there_before_it_began() -> None:
    (point,) = course(past(chat("a", idle=DAY, ended="expired")), WEEK, 20 * DAY)
    assert (point.total_bytes, point.sessions) == (0, 0)


def test_without_a_policy_nothing_leaves() -> None:
    sessions = past(chat("a", idle=30 * DAY, ended="expired"), chat("b", idle=20 * DAY, ended="expired"))
    assert [point.files_bytes for point in course(sessions, None, 25 * DAY, 0)] == [
        FILE_BYTES,
        2 * FILE_BYTES,
    ]


def test_session_grows_evenly_and_is_live_while_it_does() -> None:
    long = past(chat("a", idle=0, started=20 * DAY))
    (half,) = course(long, policy(classes={"files_after": HOUR}), 10 * DAY)
    assert half.files_bytes == FILE_BYTES / 2
    assert half.database_bytes == 5100


def test_route_that_was_taken_over_kept_its_session_until_then() -> None:
    reset = past(chat("a", idle=20 * DAY, ended="new_session", ended_ago=5 * DAY))
    before, after = course(reset, policy(classes={"files_after": DAY}), 6 * DAY, 4 * DAY)
    assert (before.files_bytes, after.files_bytes) == (FILE_BYTES, 0)


def test_held_session_stays() -> None:
    ended = past(chat("a", idle=30 * DAY, ended="expired"))
    assert course(ended, WEEK, 0, a="audit")[0].files_bytes == FILE_BYTES


def test_newest_runs_of_a_job_stay_until_newer_ones_come() -> None:
    runs = [cron(f"cron_job_{day}", idle=day * DAY, group="job") for day in (9, 8, 7)]
    rules = policy(classes={"files_after": HOUR, "messages_after": HOUR, "keep_last": 1})
    points = course(past(*runs), rules, 8.5 * DAY, 7.5 * DAY, 6.5 * DAY)
    assert [point.files_bytes for point in points] == [FILE_BYTES] * 3


def test_expired_copies_leave_the_archive() -> None:
    rules = policy(classes={"files_after": DAY, "archive_after": 5 * DAY})
    ended = past(chat("a", idle=30 * DAY, ended="expired"))
    there, gone = course(ended, rules, 28 * DAY, 20 * DAY)
    assert there.archive_bytes > 0
    assert gone.archive_bytes == 0


def test_final_removals_leave_no_copy() -> None:
    rules = policy(classes={"files_after": DAY, "archive": False})
    (point,) = course(past(chat("a", idle=30 * DAY, ended="expired")), rules, 0)
    assert (point.files_bytes, point.archive_bytes) == (0, 0)


def test_disk_that_is_nearly_full_takes_files_early() -> None:
    tight = msgspec.structs.replace(SCALE, capacity_bytes=FILE_BYTES + 20_000)
    rules = policy(classes={"files_after": 100 * DAY}, keep_free=50_000)
    assert course(past(chat("a", idle=30 * DAY, ended="expired")), rules, 0, scale=tight)[0].files_bytes == 0
    assert course(past(chat("a", idle=30 * DAY, ended="expired")), rules, 0)[0].files_bytes == FILE_BYTES


def test_equal_pasts_in_any_order_give_equal_points() -> None:
    sessions = past(*(chat(f"c{day}", idle=day * DAY, ended="expired") for day in range(1, 40)))
    times = [day * DAY for day in range(40, -1, -2)]
    assert course(sessions, WEEK, *times) == course(list(reversed(sessions)), WEEK, *times)


def test_future_repeats_the_window() -> None:
    sessions = past(chat("old", idle=50 * DAY, ended="expired"), chat("new", idle=5 * DAY, ended="expired"))
    again = list(repeated(sessions, window=30 * DAY, times=1, now=NOW))
    assert [one.session.id for one in again] == ["old", "new", "new again"]
    assert again[2].began == sessions[1].began + 30 * DAY
    assert again[2].session.last_activity == sessions[1].session.last_activity + 30 * DAY


def test_repeated_chat_takes_over_the_route() -> None:
    again = list(repeated(past(chat("a", idle=5 * DAY, routes=[KEY])), window=10 * DAY, times=1, now=NOW))
    points = course(again, policy(classes={"files_after": DAY}), -4 * DAY, -9 * DAY)
    assert [point.files_bytes for point in points] == [FILE_BYTES] * 2


def test_repeated_lineage_stays_within_the_repetition() -> None:
    parent, child = (
        chat("p", idle=5 * DAY, ended="expired"),
        chat("c", idle=5 * DAY, ended="expired", parent="p"),
    )
    again = {
        one.session.id: one.session for one in repeated(past(parent, child), window=9 * DAY, times=2, now=NOW)
    }
    parents = {one.id: one.record.parent_id for one in again.values() if one.record is not None}
    assert parents["c again"] == "p again"
    assert parents["c again again"] == "p again again"
