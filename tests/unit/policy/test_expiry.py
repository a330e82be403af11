"""When archived copies expire, and what keeps them: an expired copy is gone for good."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from inventories import DAY, HOUR, KEY, MINUTE, NOW, Facts, archived, chat, inventory, policy
from verdicts import Verdict

from hermes_retention.model.plan import Liveness, Plan, Rule
from hermes_retention.model.session import ArchivedSession, Session, SessionClass
from hermes_retention.policy.decide import decide
from hermes_retention.policy.lifecycle import Lifecycle, Policy

YEARLY = policy(classes={"archive_after": 365 * DAY})


def plan_of(
    copies: Sequence[ArchivedSession],
    *sessions: Session,
    by: Policy = YEARLY,
    holds: dict[str, str] | None = None,
) -> Plan:
    return decide(inventory(*sessions, copies=copies, holds=holds), by, now=NOW)


def expired(
    copies: Sequence[ArchivedSession],
    *sessions: Session,
    by: Policy = YEARLY,
    holds: dict[str, str] | None = None,
) -> list[str]:
    plan = plan_of(copies, *sessions, by=by, holds=holds)
    return [step.session_id for step in plan.steps if step.verdict == Verdict.EXPIRE_ARCHIVE]


def test_archived_copy_expires_after_archive_after() -> None:
    assert expired([archived("a", age=365 * DAY - 1), archived("b", age=365 * DAY)]) == ["b"]


def test_expiry_says_what_goes_from_where_and_why() -> None:
    (step,) = plan_of([archived("a", age=400 * DAY, size=4096)]).steps
    assert (step.rule, step.liveness, step.bytes) == (Rule.ARCHIVE_AFTER, Liveness.ARCHIVED, 4096)
    assert (step.partition, step.artifacts, step.last_activity) == ("2026-10", (), 0.0)
    assert step.reason == "archived 400 d ago, expires after 365 d"


def test_archive_is_kept_for_ever_unless_asked_otherwise() -> None:
    assert expired([archived("a", age=9999 * DAY)], by=policy()) == []


def test_each_class_expires_in_its_own_time() -> None:
    lifecycles = {
        kind: Lifecycle(None, archive_after=days * DAY) for days, kind in enumerate(SessionClass, 1)
    }
    copies = [archived(kind.value, kind, age=3 * DAY) for kind in SessionClass]
    assert expired(copies, by=Policy(lifecycles)) == sorted(kind.value for kind in list(SessionClass)[:3])


def test_held_copy_does_not_expire_whether_its_session_is_in_the_store_or_not() -> None:
    copies = [archived("a", age=400 * DAY), archived("b", age=400 * DAY), archived("c", age=400 * DAY)]
    assert expired(copies, chat("b"), holds={"a": "evidence", "b": ""}) == ["c"]


def test_copy_younger_than_the_minimum_age_does_not_expire() -> None:
    at_once = policy(classes={"archive_after": 0})
    assert expired([archived("a", age=10 * MINUTE - 1), archived("b", age=10 * MINUTE)], by=at_once) == ["b"]


@pytest.mark.parametrize(
    "facts",
    [{"routes": [KEY]}, {"idle": 0}, {"idle": HOUR}, {"busy": "compression lock"}, {"parent": "routed"}],
)
def test_copy_of_a_live_session_does_not_expire(facts: Facts) -> None:
    """Its archived files are the only ones there are."""
    copies = [archived("a", age=400 * DAY)]
    assert expired(copies, chat("a", files=False, **facts), chat("routed", routes=[KEY])) == []


def test_copy_of_a_session_that_is_over_expires_although_its_record_is_there() -> None:
    assert expired([archived("a", age=400 * DAY)], chat("a", files=False, ended="idle")) == ["a"]


def test_time_of_a_copy_starts_anew_when_a_person_restored_it() -> None:
    copies = [archived("a", age=400 * DAY)]
    assert expired(copies, chat("a", restored=364 * DAY, ended="idle")) == []
    assert expired(copies, chat("a", restored=365 * DAY, ended="idle")) == ["a"]


@pytest.mark.parametrize("time", [0.0, -5.0, -math.inf, math.nan, math.inf, NOW + DAY])
def test_copy_whose_time_makes_no_sense_does_not_expire(time: float) -> None:
    assert expired([ArchivedSession("a", SessionClass.CHAT, time, 1, "2026-10")]) == []


def test_keep_last_and_keep_failed_do_not_concern_the_archive() -> None:
    by = policy(classes={"archive_after": DAY, "keep_last": 9, "keep_failed": None})
    one = chat("a", files=False, ended="idle", failed=True, group="g")
    assert expired([archived("a", age=DAY)], one, by=by) == ["a"]


def test_copies_expire_partition_by_partition_in_any_order_of_listing() -> None:
    copies = [
        ArchivedSession(name, SessionClass.CHAT, NOW - 400 * DAY, 1, partition)
        for name, partition in [("b", "2025-02"), ("a", "2025-02"), ("c", "2025-01"), ("a", "2025-01")]
    ]
    steps = plan_of(copies).steps
    assert [(step.partition, step.session_id) for step in steps] == [
        ("2025-01", "a"),
        ("2025-01", "c"),
        ("2025-02", "a"),
        ("2025-02", "b"),
    ]
    assert plan_of(copies[::-1]).steps == steps
