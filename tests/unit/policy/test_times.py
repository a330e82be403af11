"""Times that cannot be right: wrong clocks, damaged rows, none at all. What is not understood is kept."""

from __future__ import annotations

import math

import msgspec
import pytest
from inventories import (
    DAY,
    HOUR,
    KEY,
    MINUTE,
    NOW,
    Fact,
    archived,
    artifact,
    chat,
    hook,
    inventory,
    policy,
    step_for,
)
from verdicts import Verdict

from hermes_retention.model.plan import Liveness, Rule
from hermes_retention.model.session import ArtifactKind, Record, Session
from hermes_retention.policy.decide import decide

EAGER = policy(classes={"files_after": 0, "idle_after": 0, "max_age": 0, "archive_after": 0}, dumps_after=0)
"""Under which everything goes that nothing keeps."""
NOT_A_TIME = [math.inf, -math.inf, math.nan, 0.0, -1.0, -1e300]
FAR_AHEAD = [NOW + 100 * 365 * DAY, 1e300, math.inf]


def with_record(**facts: Fact) -> Session:
    record = Record("telegram", started_at=NOW - 30 * DAY, last_message_at=NOW - 29 * DAY)
    return msgspec.structs.replace(chat(files=False), record=msgspec.structs.replace(record, **facts))


def with_file(one: Session, *, age: float) -> Session:
    return msgspec.structs.replace(one, artifacts=(artifact("session_chat.json", age=age),))


# the future


@pytest.mark.parametrize("ahead", [1, HOUR, 90 * DAY])
def test_file_from_the_future_counts_as_changed_now(ahead: int) -> None:
    step = step_for(chat(idle=-ahead, ended="new_session", started=30 * DAY), by=EAGER)
    assert (step.verdict, step.rule, step.reason) == (Verdict.KEEP, Rule.MIN_AGE, "active 0 s ago")
    assert step.last_activity == NOW


@pytest.mark.parametrize("field", ["started_at", "ended_at", "last_message_at"])
@pytest.mark.parametrize("time", FAR_AHEAD)
def test_record_from_the_future_keeps_its_session(field: str, time: float) -> None:
    one = with_file(with_record(**{field: time}), age=90 * DAY)
    assert step_for(one, by=EAGER).rule is Rule.MIN_AGE


def test_sessions_from_the_future_get_one_warning() -> None:
    sessions = [chat("b\n", idle=-HOUR), chat("c", idle=-DAY), chat("a", idle=HOUR), chat("d", idle=-60)]
    plan = decide(inventory(*sessions), policy(), now=NOW)
    (warning,) = plan.warnings
    assert warning.startswith(
        "2 session(s) have a time in the future, such as b\\n: they count as active now"
    )


def test_clock_that_is_a_little_slow_is_no_reason_for_a_warning() -> None:
    assert decide(inventory(chat(idle=-60)), policy(), now=NOW).warnings == ()


def test_start_in_the_future_does_not_make_a_session_old() -> None:
    """Its last message is old all the same: two facts disagree."""
    assert step_for(chat(idle=2 * DAY, started=-5 * DAY), by=EAGER).liveness is Liveness.LIVE


# a clock that is far off


@pytest.mark.parametrize("now", [0.0, -5.0, 1000.0, NOW - 3650 * DAY])
def test_clock_that_is_far_behind_removes_nothing(now: float) -> None:
    sessions = chat("a", ended="idle", dumps=[90 * DAY]), hook("b"), chat("c", recorded=False)
    plan = decide(inventory(*sessions, copies=[archived("x", age=900 * DAY)]), EAGER, now=now)
    assert plan.removals() == ()
    assert "3 session(s) have a time in the future" in plan.warnings[0]


def test_clock_that_is_far_ahead_removes_no_live_session() -> None:
    sessions = chat("a", routes=[KEY]), chat("b", parent="a"), chat("c", ended="idle"), chat("d", busy="lock")
    plan = decide(inventory(*sessions, holds={"c": ""}), policy(), now=NOW + 200 * 365 * DAY)
    assert {step.liveness for step in plan.steps} == {Liveness.LIVE}


@pytest.mark.parametrize("now", [math.nan, -math.inf])
def test_clock_that_is_no_number_removes_nothing(now: float) -> None:
    plan = decide(inventory(chat("a", ended="idle"), copies=[archived("x", age=900 * DAY)]), EAGER, now=now)
    assert plan.removals() == ()


def test_infinite_clock_is_survived() -> None:
    plan = decide(inventory(chat("a", ended="idle"), copies=[archived("x", age=DAY)]), EAGER, now=math.inf)
    assert plan.steps[-1].reason == "superseded (idle); idle for an unknown time (due after 10 min)"


# no time at all


@pytest.mark.parametrize("mtime_ns", [0, -1, -(10**18)])
def test_orphan_without_a_believable_time_is_kept(mtime_ns: int) -> None:
    one = chat(recorded=False)
    timeless = tuple(msgspec.structs.replace(it, mtime_ns=mtime_ns) for it in one.artifacts)
    step = step_for(msgspec.structs.replace(one, artifacts=timeless), by=EAGER)
    assert (step.verdict, step.rule, step.liveness) == (Verdict.KEEP, Rule.TIME_UNKNOWN, Liveness.LIVE)
    assert step.last_activity == 0.0


def test_file_without_a_time_belongs_to_a_session_that_has_one() -> None:
    one = with_file(with_record(ended_at=NOW - 29 * DAY, end_reason="idle"), age=NOW)
    assert one.artifacts[0].mtime_ns == 0
    assert step_for(one).verdict == Verdict.ARCHIVE_FILES


def test_dump_without_a_time_stays_with_its_session() -> None:
    one = chat(routes=[KEY], files=False)
    dump = artifact("request_dump_a_1.json", ArtifactKind.REQUEST_DUMP, age=NOW)
    assert step_for(msgspec.structs.replace(one, artifacts=(dump,)), by=EAGER).rule is Rule.ROUTED


@pytest.mark.parametrize("started", NOT_A_TIME)
def test_start_that_is_no_time_says_nothing_about_an_age(started: float) -> None:
    by = policy(classes={"max_age": DAY, "idle_after": None, "files_after": 0})
    for one in (
        with_record(started_at=started),
        msgspec.structs.replace(hook(), record=Record("webhook", started)),
    ):
        assert step_for(with_file(one, age=2 * DAY), by=by).liveness is Liveness.LIVE


@pytest.mark.parametrize("ended", [0.0, -1.0, -math.inf, math.nan])
def test_end_that_is_no_time_is_no_end(ended: float) -> None:
    one = with_file(with_record(ended_at=ended, end_reason="new_session"), age=HOUR)
    assert step_for(one).rule is Rule.RUNNING


@pytest.mark.parametrize("time", [-math.inf, math.nan, 0.0, -1.0])
def test_successor_that_started_at_no_time_does_not_end_a_session_early(time: float) -> None:
    successor = msgspec.structs.replace(chat("b", files=False), record=Record("telegram", time))
    assert step_for(chat("a", idle=11 * MINUTE, successor="b"), successor).rule is Rule.RUNNING


@pytest.mark.parametrize("restored", [math.nan, math.inf, NOW + DAY])
def test_session_restored_at_no_time_is_kept(restored: float) -> None:
    one = msgspec.structs.replace(chat(ended="idle"), restored_at=restored)
    assert step_for(one).rule is Rule.RESTORED
