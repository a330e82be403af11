"""The policy of a one-off: one age for the chosen classes, and everything that keeps still keeps."""

from __future__ import annotations

import msgspec
import pytest
from inventories import DAY, HOUR, KEY, MINUTE, chat, cron, parts_of, plan_for, policy, step_for
from verdicts import Verdict

from hermes_retention.actions.upkeep.prune import prune_policy
from hermes_retention.model.plan import Rule
from hermes_retention.model.session import Session, SessionClass
from hermes_retention.policy.lifecycle import OnReset, Policy


def one_off(
    by: Policy | None = None, classes: tuple[SessionClass, ...] = tuple(SessionClass), older_than: int = HOUR
) -> Policy:
    return prune_policy(by or policy(), classes, older_than=older_than)


def test_chosen_classes_go_at_the_age_and_others_never() -> None:
    by = one_off(classes=(SessionClass.CHAT,), older_than=2 * HOUR)
    assert step_for(chat(idle=3 * HOUR, ended="session_expired"), by=by).verdict == Verdict.ARCHIVE_FILES
    assert step_for(chat(idle=HOUR, ended="session_expired"), by=by).verdict == Verdict.KEEP
    assert step_for(cron(idle=300 * DAY), by=by).rule is Rule.NEVER


@pytest.mark.parametrize(
    ("one", "rule"),
    [
        (chat(idle=5 * DAY, routes=[KEY]), Rule.ROUTED),
        (chat(idle=MINUTE, ended="session_reset"), Rule.MIN_AGE),
        (chat(idle=5 * DAY, busy="compression lock"), Rule.BUSY),
        (chat(idle=5 * DAY, ended="session_expired", failed=True), Rule.KEEP_FAILED),
        (cron(idle=5 * DAY, group="job"), Rule.KEEP_LAST),
        (chat(idle=5 * DAY, routes=[KEY], dumps=[90 * DAY]), Rule.ROUTED),
    ],
)
def test_what_keeps_sessions_still_keeps_them(one: Session, rule: Rule) -> None:
    by = one_off(policy(classes={"keep_last": 1, "keep_failed": 30 * DAY}))
    assert step_for(one, by=by).rule is rule


def test_superseded_sessions_get_no_shorter_time_and_nothing_else_runs() -> None:
    hasty = policy(classes={"archive_after": DAY, "persist": False}, max_disk=1, keep_free=10**12)
    by = one_off(hasty, older_than=2 * DAY)
    assert step_for(chat(idle=DAY, ended="session_reset"), by=by).verdict == Verdict.KEEP
    assert (by.on_reset, by.dumps_after, by.max_disk, by.keep_free) == (OnReset.KEEP, None, None, None)
    assert all(it.archive_after is None and it.persist for it in by.lifecycles.values())


def test_one_off_takes_nothing_out_of_the_database() -> None:
    ages = {"tool_output_after": DAY, "messages_after": DAY, "record_after": DAY}
    plan = plan_for(chat(idle=9 * DAY, ended="session_expired"), by=one_off(policy(classes=ages)))
    assert parts_of(plan, "chat") == [(Verdict.ARCHIVE_FILES, Rule.FILES_AFTER)]


def test_class_without_an_archive_is_still_removed_for_good() -> None:
    by = one_off(policy(classes={"archive": False}))
    assert step_for(chat(idle=DAY, ended="session_expired"), by=by).verdict == Verdict.DELETE_FILES


def test_the_policy_in_effect_is_not_changed() -> None:
    before = policy()
    one_off(before)
    assert msgspec.structs.asdict(before) == msgspec.structs.asdict(policy())
