"""Request dumps: they go when they are old, also from sessions that stay, but not from every one."""

from __future__ import annotations

import pytest
from inventories import (
    DAY,
    FILE_BYTES,
    HOUR,
    KEY,
    Fact,
    Facts,
    chat,
    cron,
    policy,
    step_for,
)
from verdicts import Verdict

from hermes_retention.model.plan import Liveness, Rule
from hermes_retention.model.session import Session

OVER: Facts = {"ended": "cli_close"}


def dumps_of(one: Session, **changes: Fact) -> tuple[list[str], Rule]:
    step = step_for(one, by=policy(**changes))
    return [artifact.name for artifact in step.artifacts], step.rule


@pytest.mark.parametrize(
    "facts",
    [
        {"routes": [KEY]},
        {"idle": HOUR},
        {"idle": 0},
        {"ended": "cli_close", "idle": 3 * DAY},
    ],
    ids=["routed", "running", "just active", "not due yet"],
)
def test_old_request_dump_goes_although_its_session_stays(facts: Facts) -> None:
    one = chat("a", dumps=[3 * DAY, 3 * DAY - 1, 90 * DAY], **facts)
    assert dumps_of(one) == (["request_dump_a_1.json", "request_dump_a_3.json"], Rule.DUMPS_AFTER)


def test_removal_of_a_dump_says_why_the_session_stays() -> None:
    step = step_for(chat(routes=[KEY], dumps=[4 * DAY]))
    assert step.reason == f"request dump older than 3 d; the session itself stays: routed from {KEY}"
    assert (step.verdict, step.liveness, step.bytes) == (Verdict.ARCHIVE_FILES, Liveness.LIVE, FILE_BYTES)


def test_old_dump_of_a_run_kept_as_one_of_the_newest_goes() -> None:
    by = policy(classes={"keep_last": 1})
    assert step_for(cron(dumps=[4 * DAY], group="job"), by=by).rule is Rule.DUMPS_AFTER


def test_dumps_of_a_failed_run_stay_with_it() -> None:
    """They tell why it failed."""
    by = policy(classes={"keep_failed": 60 * DAY})
    assert step_for(cron(failed=True, dumps=[20 * DAY]), by=by).rule is Rule.KEEP_FAILED
    assert step_for(cron(failed=True, dumps=[20 * DAY], idle=HOUR, ended=None), by=by).rule is Rule.RUNNING


def test_dumps_of_a_held_session_stay() -> None:
    step = step_for(chat("a", dumps=[90 * DAY]), holds={"a": ""})
    assert (step.verdict, step.rule) == (Verdict.KEEP, Rule.HELD)


def test_dumps_of_a_busy_session_stay() -> None:
    assert step_for(chat(dumps=[90 * DAY], busy="compression lock")).rule is Rule.BUSY


@pytest.mark.parametrize("facts", [OVER, {"idle": HOUR}, {"routes": [KEY]}])
def test_dumps_of_sessions_linked_to_a_held_one_stay(facts: Facts) -> None:
    child = chat("child", dumps=[90 * DAY], parent="parent", **facts)
    parents = [chat("parent", idle=0), chat("sibling", parent="parent", ended="idle")]
    assert step_for(child, *parents).rule is Rule.DUMPS_AFTER
    for held in ("parent", "sibling"):
        assert step_for(child, *parents, holds={held: ""}).verdict == Verdict.KEEP


def test_dumps_of_a_restored_session_start_anew_as_well() -> None:
    assert dumps_of(chat(dumps=[90 * DAY], restored=3 * DAY - 1, **OVER)) == ([], Rule.RESTORED)
    assert dumps_of(chat("a", dumps=[90 * DAY], restored=3 * DAY, **OVER))[1] is Rule.DUMPS_AFTER
    assert dumps_of(chat(dumps=[90 * DAY], restored=DAY, routes=[KEY])) == ([], Rule.ROUTED)


def test_dumps_never_go_on_their_own_when_asked_not_to() -> None:
    assert dumps_of(chat(dumps=[900 * DAY], routes=[KEY]), dumps_after=None) == ([], Rule.ROUTED)


def test_dumps_are_at_least_as_old_as_the_minimum_age() -> None:
    one = chat("a", dumps=[599, 600], routes=[KEY])
    assert dumps_of(one, dumps_after=0)[0] == ["request_dump_a_2.json"]


def test_dumps_of_a_class_without_archive_are_deleted() -> None:
    by = policy(classes={"archive": False})
    assert step_for(chat(dumps=[4 * DAY], routes=[KEY]), by=by).verdict == Verdict.DELETE_FILES


def test_old_dumps_go_with_their_session_in_one_step() -> None:
    one = chat(dumps=[20 * DAY, 8 * DAY], idle=8 * DAY, **OVER)
    assert (step_for(one).rule, step_for(one).artifacts) == (Rule.FILES_AFTER, one.artifacts)


def test_dumps_of_a_session_whose_files_never_go_are_removed_alone() -> None:
    step = step_for(chat("a", dumps=[4 * DAY], **OVER), by=policy(classes={"files_after": None}))
    assert ([artifact.name for artifact in step.artifacts], step.rule) == (
        ["request_dump_a_1.json"],
        Rule.DUMPS_AFTER,
    )
