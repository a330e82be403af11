"""What keeps sessions that are over: they are among the newest, they failed, or a person put them back."""

from __future__ import annotations

import pytest
from inventories import (
    DAY,
    KEY,
    Fact,
    Facts,
    chat,
    cron,
    plan_for,
    policy,
    session,
    step_for,
    step_of,
)
from verdicts import Verdict

from hermes_retention.model.plan import Liveness, Plan, Rule
from hermes_retention.model.session import Lineage, Session, SessionClass
from hermes_retention.policy.lifecycle import OnReset

OVER: Facts = {"ended": "cli_close"}


# keep_last


def rules_of(plan: Plan) -> dict[str, Rule]:
    return {step.session_id: step.rule for step in plan.steps}


def kept(plan: Plan) -> list[str]:
    return sorted(step.session_id for step in plan.steps if step.verdict == Verdict.KEEP)


def runs(job: str, count: int, **facts: Fact) -> list[Session]:
    """Runs of a job, the first one the newest."""
    return [
        cron(f"{job}-{number}", group=job, idle=(10 + number) * DAY, **facts)
        for number in range(1, count + 1)
    ]


def test_newest_runs_of_each_job_are_kept() -> None:
    plan = plan_for(*runs("a", 5), *runs("b", 2), *runs("c", 4), by=policy(classes={"keep_last": 3}))
    assert kept(plan) == ["a-1", "a-2", "a-3", "b-1", "b-2", "c-1", "c-2", "c-3"]
    assert step_of(plan, "a-2").reason == "number 2 of the newest 3 of a"
    assert step_of(plan, "a-2").liveness is Liveness.ENDED


def test_newest_sessions_of_each_route_are_kept() -> None:
    chats = [chat(str(idle), idle=idle * DAY, ended="new_session", group=KEY) for idle in (10, 11, 12)]
    assert kept(plan_for(*chats, by=policy(classes={"keep_last": 2}))) == ["10", "11"]


def test_series_of_the_same_name_in_two_classes_are_two() -> None:
    both = (cron("1", group="x"), session("2", SessionClass.HOOK, group="x", **OVER))
    assert kept(plan_for(*both, by=policy(classes={"keep_last": 1}))) == ["1", "2"]


def test_sessions_that_belong_to_no_series_are_not_counted() -> None:
    assert kept(plan_for(cron("1"), cron("2"), by=policy(classes={"keep_last": 5}))) == []


def test_keep_last_of_zero_keeps_none() -> None:
    assert kept(plan_for(*runs("a", 2))) == []


def test_live_and_empty_sessions_count_among_the_newest() -> None:
    """What is kept are the newest runs, not the newest runs that a sweep could take."""
    newest = [cron("live", group="a", idle=0), cron("empty", group="a", idle=DAY, files=False)]
    assert kept(plan_for(*newest, *runs("a", 3), by=policy(classes={"keep_last": 3}))) == [
        "a-1",
        "empty",
        "live",
    ]


def test_of_equally_old_runs_those_with_the_last_ids_are_kept() -> None:
    equal = [cron(f"cron_job_20261101_09000{number}", group="job") for number in range(5)]
    plan = plan_for(*equal, by=policy(classes={"keep_last": 2}))
    assert kept(plan) == ["cron_job_20261101_090003", "cron_job_20261101_090004"]


def test_compressed_run_counts_with_the_time_of_its_last_part() -> None:
    first = cron("1", group="a", idle=20 * DAY, ended="compression")
    rest = cron("2", group="a", idle=9 * DAY, parent="1", lineage=Lineage.COMPRESSION)
    other = cron("3", group="a", idle=10 * DAY)
    assert kept(plan_for(first, rest, other, by=policy(classes={"keep_last": 2}))) == ["1", "2"]


# keep_failed


def test_failed_run_is_kept_for_its_time() -> None:
    by = policy(classes={"files_after": DAY, "keep_failed": 7 * DAY})
    early, due = (step_for(cron(idle=idle, failed=True), by=by) for idle in (7 * DAY - 1, 7 * DAY))
    assert (early.verdict, early.rule) == (Verdict.KEEP, Rule.KEEP_FAILED)
    assert early.reason == "it failed; kept for 7 d"
    assert (due.verdict, due.rule) == (Verdict.ARCHIVE_FILES, Rule.FILES_AFTER)


def test_failed_run_is_kept_for_ever_when_asked_for() -> None:
    step = step_for(cron(idle=4000 * DAY, failed=True), by=policy(classes={"keep_failed": None}))
    assert (step.verdict, step.rule) == (Verdict.KEEP, Rule.KEEP_FAILED)


def test_failed_run_is_due_as_others_when_nothing_is_asked_for() -> None:
    assert step_for(cron(failed=True), by=policy(classes={"keep_failed": 0})).verdict == Verdict.ARCHIVE_FILES


def test_keep_failed_does_not_shorten_files_after() -> None:
    by = policy(classes={"files_after": 9 * DAY, "keep_failed": DAY})
    assert step_for(cron(idle=8 * DAY, failed=True), by=by).rule is Rule.FILES_AFTER


def test_run_that_did_not_fail_is_not_kept() -> None:
    assert step_for(cron(), by=policy(classes={"keep_failed": None})).verdict == Verdict.ARCHIVE_FILES


# restored sessions


def test_time_of_a_restored_session_starts_anew() -> None:
    early, due = (step_for(chat(restored=restored, **OVER)) for restored in (7 * DAY - 1, 7 * DAY))
    assert (early.verdict, early.rule) == (Verdict.KEEP, Rule.RESTORED)
    assert early.reason == "restored 6 d ago: its time starts anew"
    assert (due.verdict, due.rule) == (Verdict.ARCHIVE_FILES, Rule.FILES_AFTER)


@pytest.mark.parametrize(
    "one",
    [
        chat(ended="new_session", restored=DAY),
        chat(recorded=False, restored=DAY),
        cron(restored=DAY),
    ],
    ids=["superseded", "orphan", "not to persist"],
)
def test_restored_session_is_not_due_at_once(one: Session) -> None:
    by = policy(on_reset=OnReset.DELETE, classes={"persist": False})
    assert step_for(one, by=by).rule is Rule.RESTORED


def test_restored_session_stays_at_least_for_the_minimum_age() -> None:
    by = policy(classes={"files_after": 0})
    assert step_for(chat(restored=599, **OVER), by=by).rule is Rule.RESTORED
    assert step_for(chat(restored=600, **OVER), by=by).verdict == Verdict.ARCHIVE_FILES


def test_restored_session_stays_for_ever_when_files_after_is_never() -> None:
    step = step_for(chat(ended="idle", restored=4000 * DAY), by=policy(classes={"files_after": None}))
    assert step.rule is Rule.RESTORED


# all together


def test_wishes_hold_runs_that_are_not_to_persist() -> None:
    by = policy(classes={"persist": False, "keep_last": 1, "keep_failed": 40 * DAY})
    plan = plan_for(
        cron("1", group="job", failed=True), cron("2", group="job"), cron("3", group="job"), by=by
    )
    assert rules_of(plan) == {"1": Rule.KEEP_FAILED, "2": Rule.PERSIST, "3": Rule.KEEP_LAST}
