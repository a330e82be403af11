"""What makes a session live, in order of precedence, and what it is when nothing does."""

from __future__ import annotations

import pytest
from inventories import (
    DAY,
    HOUR,
    KEY,
    MINUTE,
    NOW,
    Facts,
    archived,
    assert_kept_live,
    chat,
    cron,
    hook,
    inventory,
    liveness_of,
    plan_for,
    policy,
    session,
    step_for,
)
from verdicts import Verdict

from hermes_retention.model.plan import Liveness, Rule
from hermes_retention.model.session import Lineage, SessionClass
from hermes_retention.policy.decide import decide
from hermes_retention.policy.lifecycle import OnReset, Policy

ENDED_LONG_AGO: Facts = {"idle": 300 * DAY, "ended": "new_session"}
ONE_SHOT = (SessionClass.HOOK, SessionClass.CRON)
OTHERS = tuple(kind for kind in SessionClass if kind not in ONE_SHOT)


# held


def test_held_session_is_kept_whatever_else_is_true() -> None:
    assert_kept_live(chat("a", **ENDED_LONG_AGO), rule=Rule.HELD, holds={"a": "evidence"})


def test_held_orphan_is_kept() -> None:
    assert_kept_live(chat("a", recorded=False), rule=Rule.HELD, holds={"a": ""})


def test_hold_of_another_session_does_not_count() -> None:
    assert step_for(chat("a", **ENDED_LONG_AGO), holds={"b": ""}).verdict == Verdict.ARCHIVE_FILES


def test_reason_of_a_hold_is_shown_on_one_line() -> None:
    step = step_for(chat("a"), holds={"a": "court\norder\x1b[31m"})
    assert step.reason == "held: court\\norder\\x1b[31m"


# pinned in the host

PINS = {"a": "a person pinned it in the host"}


@pytest.mark.parametrize(
    "by",
    [
        policy(classes={"files_after": 0, "messages_after": 0, "record_after": 0, "idle_after": 0}),
        policy(classes={"persist": False}, on_reset=OnReset.DELETE),
        policy(classes={"files_after": DAY}, max_disk=1, keep_free=10**12, dumps_after=DAY),
    ],
    ids=["every tier", "removed for good", "budget and dumps"],
)
def test_pinned_session_is_kept_whatever_the_settings_say(by: Policy) -> None:
    facts = inventory(chat("a", dumps=[90 * DAY], **ENDED_LONG_AGO), pins=PINS, stored=10**12, free=1)
    (step,) = decide(facts, by, now=NOW).steps
    assert (step.verdict, step.liveness, step.rule) == (Verdict.KEEP, Liveness.LIVE, Rule.PINNED)
    assert step.reason == PINS["a"]


def test_pin_counts_for_all_that_compression_made_of_a_conversation() -> None:
    line = [
        chat("a", **ENDED_LONG_AGO | {"ended": "compression"}),
        chat("b", parent="a", lineage=Lineage.COMPRESSION, **ENDED_LONG_AGO | {"ended": "compression"}),
        chat("c", parent="b", lineage=Lineage.COMPRESSION, **ENDED_LONG_AGO),
    ]
    for pinned in "abc":
        steps = decide(inventory(*line, pins={pinned: "pinned"}), policy(), now=NOW).steps
        rules = {step.session_id: step.rule for step in steps}
        assert rules == dict.fromkeys("abc", Rule.LINEAGE) | {pinned: Rule.PINNED}


def test_archived_copy_of_a_pinned_session_does_not_expire() -> None:
    by = policy(classes={"archive_after": DAY})
    one, copies = chat("a", **ENDED_LONG_AGO), [archived("a", age=90 * DAY)]
    steps = decide(inventory(one, copies=copies, pins=PINS), by, now=NOW).steps
    assert [step.verdict for step in steps] == [Verdict.KEEP]


# busy


def test_busy_session_is_kept_although_it_ended_long_ago() -> None:
    assert_kept_live(chat("a", busy="compression lock", **ENDED_LONG_AGO), rule=Rule.BUSY)


def test_busy_comes_before_an_unknown_time() -> None:
    assert_kept_live(chat("a", busy="hand-off pending", idle=1e12, started=1e12), rule=Rule.BUSY)


# younger than the minimum age


@pytest.mark.parametrize("kind", SessionClass)
@pytest.mark.parametrize("recorded", [True, False])
def test_session_younger_than_min_age_is_kept(kind: SessionClass, recorded: bool) -> None:  # noqa: FBT001 - a case
    one = session("a", kind, idle=10 * MINUTE - 1, ended="done", recorded=recorded)
    everything_at_once = policy(classes={"files_after": 0, "persist": False, "idle_after": 0, "max_age": 0})
    assert_kept_live(one, rule=Rule.MIN_AGE, by=everything_at_once)


def test_min_age_counts_from_the_last_second() -> None:
    assert_kept_live(chat(idle=599, ended="new_session"), rule=Rule.MIN_AGE)
    assert step_for(chat(idle=600, ended="new_session")).verdict == Verdict.ARCHIVE_FILES


@pytest.mark.parametrize("min_age", [0, 1, 59, 60])
def test_min_age_has_a_floor_of_a_minute(min_age: int) -> None:
    by = policy(min_age=min_age)
    assert_kept_live(chat(idle=59, ended="new_session"), rule=Rule.MIN_AGE, by=by)
    assert step_for(chat(idle=60, ended="new_session"), by=by).verdict == Verdict.ARCHIVE_FILES


def test_fresh_file_keeps_a_session_whose_record_is_old() -> None:
    old = chat("a", idle=30 * DAY, ended="idle")
    assert_kept_live(chat("a", idle=30 * DAY, ended="idle", dumps=[MINUTE]), rule=Rule.MIN_AGE)
    assert step_for(old).verdict == Verdict.ARCHIVE_FILES


# routed


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("ended", [None, "idle", "new_session", "webhook_complete"])
def test_routed_session_is_kept_although_idle_for_years(kind: SessionClass, ended: str | None) -> None:
    one = session("a", kind, idle=2000 * DAY, ended=ended, routes=[KEY])
    assert_kept_live(one, rule=Rule.ROUTED, by=policy(classes={"max_age": DAY, "files_after": 0}))


def test_routed_session_without_a_record_is_kept() -> None:
    assert_kept_live(chat(recorded=False, routes=[KEY]), rule=Rule.ROUTED)


def test_routed_session_is_kept_although_the_index_names_a_successor() -> None:
    assert_kept_live(chat(routes=[KEY], successor="b", ended="new_session"), rule=Rule.ROUTED)


def test_route_is_named_by_its_first_key_in_order() -> None:
    step = step_for(chat(routes=["z:key", "a:key", "m:key"]))
    assert step.reason == "routed from a:key"


# routed one-shot sessions


def test_routed_hook_that_ended_is_over() -> None:
    assert liveness_of(hook(idle=2 * HOUR, ended="webhook_complete")) is Liveness.ENDED


def test_routed_cron_run_that_ended_is_over() -> None:
    assert liveness_of(cron(idle=2 * HOUR, routes=[KEY])) is Liveness.ENDED


def test_routed_hook_that_nobody_ended_is_kept_until_it_is_idle() -> None:
    by: Facts = {"idle_after": HOUR}
    assert liveness_of(hook(idle=HOUR - 1), **by) is Liveness.LIVE
    assert liveness_of(hook(idle=HOUR), **by) is Liveness.STALE


def test_routed_hook_of_max_age_is_over_although_active() -> None:
    by: Facts = {"idle_after": HOUR, "max_age": DAY}
    assert liveness_of(hook(idle=30 * MINUTE, started=DAY - 1), **by) is Liveness.LIVE
    assert liveness_of(hook(idle=30 * MINUTE, started=DAY), **by) is Liveness.STALE


def test_routed_hook_without_a_record_is_over_when_idle() -> None:
    assert liveness_of(hook(recorded=False, idle=2 * HOUR), idle_after=HOUR) is Liveness.STALE
    assert liveness_of(hook(recorded=False, idle=DAY), idle_after=None, max_age=DAY) is Liveness.STALE
    assert liveness_of(hook(recorded=False, idle=DAY), idle_after=None) is Liveness.LIVE


def test_routed_hook_that_never_ends_is_kept_when_no_limit_is_set() -> None:
    assert_kept_live(hook(idle=900 * DAY), rule=Rule.ROUTED, by=policy(classes={"idle_after": None}))


def test_route_outweighs_the_form_of_an_id_that_looks_like_cron() -> None:
    """Without a record nothing but its id says that this is no chat."""
    assert_kept_live(cron(recorded=False, routes=[KEY], idle=300 * DAY), rule=Rule.ROUTED)


def test_hook_that_is_used_again_after_its_end_is_live_until_idle() -> None:
    one = hook(ended="webhook_complete", ended_ago=3 * HOUR, idle=20 * MINUTE)
    assert_kept_live(one, rule=Rule.ROUTED, by=policy(classes={"idle_after": HOUR}))
    assert liveness_of(one, idle_after=10 * MINUTE) is Liveness.STALE


# sessions without files


@pytest.mark.parametrize(
    ("facts", "rule"),
    [({"routes": [KEY]}, Rule.ROUTED), ({"ended": "idle"}, Rule.NOTHING_LEFT), ({}, Rule.NOTHING_LEFT)],
)
def test_session_without_files_is_kept_with_its_liveness(facts: Facts, rule: Rule) -> None:
    step = step_for(chat(files=False, messages=None, idle=90 * DAY, **facts))
    assert (step.verdict, step.rule, step.bytes) == (Verdict.KEEP, rule, 0)
    assert step.liveness is liveness_of(chat(idle=90 * DAY, **facts))


def test_every_guard_is_shown_here() -> None:
    """The guards, in the order in which the first one that holds is named."""
    plan = plan_for(
        chat("1", busy="b", idle=0, routes=[KEY]),
        chat("2", busy="b", idle=0, routes=[KEY]),
        chat("3", idle=0, routes=[KEY]),
        chat("4", routes=[KEY], parent="3"),
        chat("5", idle=HOUR, parent="3"),
        chat("6", parent="3"),
        holds={"1": ""},
    )
    rules = {step.session_id: step.rule for step in plan.steps}
    guards = [Rule.HELD, Rule.BUSY, Rule.MIN_AGE, Rule.ROUTED, Rule.RUNNING, Rule.LINEAGE]
    assert rules == {str(number): rule for number, rule in enumerate(guards, 1)}
