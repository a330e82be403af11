"""When the files of sessions that are over go, and in which way; who asked for them to stay."""

from __future__ import annotations

import pytest
from inventories import (
    DAY,
    FILE_BYTES,
    HOUR,
    MINUTE,
    NOW,
    Facts,
    chat,
    cron,
    plan_for,
    policy,
    session,
    step_for,
)
from verdicts import Verdict

from hermes_retention.model.plan import Liveness, Rule
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import Lifecycle, OnReset, Policy

OVER: Facts = {"ended": "cli_close"}


# files_after


@pytest.mark.parametrize(
    "facts", [OVER, {"ended": None}, {"recorded": False}], ids=["ended", "stale", "orphan"]
)
def test_files_go_after_files_after(facts: Facts) -> None:
    early, due = step_for(chat(idle=7 * DAY - 1, **facts)), step_for(chat(idle=7 * DAY, **facts))
    assert (early.verdict, early.rule, early.artifacts) == (Verdict.KEEP, Rule.FILES_AFTER, ())
    assert (due.verdict, due.rule) == (Verdict.ARCHIVE_FILES, Rule.FILES_AFTER)


def test_removal_names_all_files_with_their_bytes_and_the_last_activity() -> None:
    one = chat(idle=7 * DAY, dumps=[9 * DAY], **OVER)
    step = step_for(one)
    assert (step.artifacts, step.bytes, step.last_activity) == (one.artifacts, 2 * FILE_BYTES, NOW - 7 * DAY)


def test_kept_session_says_how_long_it_stays() -> None:
    step = step_for(chat(idle=3 * DAY, **OVER))
    assert step.reason == "ended (cli_close); due in 4 d (files_after: 7 d)"
    assert (step.bytes, step.last_activity) == (FILE_BYTES, NOW - 3 * DAY)


@pytest.mark.parametrize(
    "facts", [OVER, {"ended": None}, {"recorded": False}], ids=["ended", "stale", "orphan"]
)
def test_files_never_go_when_files_after_is_never(facts: Facts) -> None:
    step = step_for(chat(idle=4000 * DAY, **facts), by=policy(classes={"files_after": None}))
    assert (step.verdict, step.rule) == (Verdict.KEEP, Rule.NEVER)


def test_min_age_wins_over_a_shorter_files_after() -> None:
    by = policy(min_age=DAY, classes={"files_after": HOUR, "idle_after": HOUR})
    assert step_for(chat(idle=DAY - 1, **OVER), by=by).rule is Rule.MIN_AGE
    assert step_for(chat(idle=DAY, **OVER), by=by).reason.endswith("(due after 1 d)")


def test_each_class_has_its_own_lifecycle() -> None:
    lifecycles = {kind: Lifecycle(files_after=days * DAY) for days, kind in enumerate(SessionClass, 1)}
    plan = plan_for(
        *(session(kind.value, kind, idle=4 * DAY + HOUR, **OVER) for kind in SessionClass),
        by=Policy(lifecycles),
    )
    gone = {step.session_class for step in plan.removals()}
    assert gone == set(list(SessionClass)[:4])


# Without an archive


@pytest.mark.parametrize("facts", [OVER, {"ended": None}], ids=["ended", "stale"])
def test_class_without_archive_is_deleted(facts: Facts) -> None:
    step = step_for(chat(**facts), by=policy(classes={"archive": False}))
    assert (step.verdict, step.rule) == (Verdict.DELETE_FILES, Rule.FILES_AFTER)


@pytest.mark.parametrize("kind", SessionClass)
@pytest.mark.parametrize("on_reset", OnReset)
def test_orphan_is_never_deleted_outright(kind: SessionClass, on_reset: OnReset) -> None:
    by = policy(on_reset=on_reset, classes={"archive": False, "persist": False})
    one = session("a", kind, recorded=False, dumps=[20 * DAY])
    assert step_for(one, by=by).verdict == Verdict.ARCHIVE_FILES


def test_orphan_is_due_by_files_after_of_its_class() -> None:
    by = policy(on_reset=OnReset.DELETE, classes={"persist": False})
    waiting = step_for(chat(recorded=False, idle=7 * DAY - 1, successor="b"), by=by)
    assert (waiting.verdict, waiting.rule, waiting.liveness) == (
        Verdict.KEEP,
        Rule.FILES_AFTER,
        Liveness.ORPHAN,
    )


# on_reset


def test_superseded_session_is_due_after_the_minimum_age() -> None:
    step = step_for(chat(idle=10 * MINUTE, ended="new_session"))
    assert (step.verdict, step.rule) == (Verdict.ARCHIVE_FILES, Rule.ON_RESET)
    assert step.reason == "superseded (new_session); idle for 10 min (due after 10 min)"


def test_superseded_session_goes_although_files_after_is_never() -> None:
    step = step_for(chat(ended="new_session"), by=policy(classes={"files_after": None}))
    assert step.verdict == Verdict.ARCHIVE_FILES


def test_superseded_session_is_deleted_when_asked_for() -> None:
    step = step_for(chat(ended="new_session"), by=policy(on_reset=OnReset.DELETE))
    assert (step.verdict, step.rule) == (Verdict.DELETE_FILES, Rule.ON_RESET)


def test_on_reset_concerns_superseded_sessions_only() -> None:
    by = policy(on_reset=OnReset.DELETE)
    verdicts = {step_for(one, by=by).verdict for one in (chat(**OVER), chat(), chat(recorded=False))}
    assert verdicts == {Verdict.ARCHIVE_FILES}


def test_superseded_session_takes_its_time_when_asked_to() -> None:
    by = policy(on_reset=OnReset.KEEP)
    early, due = (step_for(chat(idle=idle, ended="idle"), by=by) for idle in (7 * DAY - 1, 7 * DAY))
    assert (early.verdict, early.rule, early.liveness) == (
        Verdict.KEEP,
        Rule.FILES_AFTER,
        Liveness.SUPERSEDED,
    )
    assert (due.verdict, due.rule) == (Verdict.ARCHIVE_FILES, Rule.FILES_AFTER)
    never = policy(on_reset=OnReset.KEEP, classes={"files_after": None})
    assert step_for(chat(ended="idle"), by=never).rule is Rule.NEVER


def test_superseded_session_of_a_class_without_archive_is_deleted() -> None:
    assert step_for(chat(ended="idle"), by=policy(classes={"archive": False})).verdict == Verdict.DELETE_FILES


# Runs that are not to persist


@pytest.mark.parametrize(
    "facts", [{"idle": 10 * MINUTE}, {"ended": None, "idle": DAY}], ids=["ended", "stale"]
)
def test_run_that_is_not_to_persist_goes_once_it_is_over(facts: Facts) -> None:
    step = step_for(cron(**facts), by=policy(classes={"persist": False}))
    assert (step.verdict, step.rule) == (Verdict.ARCHIVE_FILES, Rule.PERSIST)


def test_run_that_is_not_to_persist_goes_although_files_after_is_never() -> None:
    by = policy(classes={"persist": False, "files_after": None})
    assert step_for(cron(idle=10 * MINUTE), by=by).rule is Rule.PERSIST


def test_run_that_is_not_to_persist_stays_while_it_runs() -> None:
    by = policy(classes={"persist": False})
    assert step_for(cron(ended=None, idle=HOUR), by=by).rule is Rule.RUNNING
    assert step_for(cron(idle=MINUTE), by=by).rule is Rule.MIN_AGE
