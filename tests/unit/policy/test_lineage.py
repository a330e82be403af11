"""Parents, children and theirs keep one another alive; what compression continues ages as one."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from inventories import (
    DAY,
    HOUR,
    KEY,
    MINUTE,
    NOW,
    Fact,
    Facts,
    chat,
    plan_for,
    policy,
    session,
    step_for,
    step_of,
)
from verdicts import Verdict

from hermes_retention.model.plan import Liveness, Rule
from hermes_retention.model.session import Lineage, Session, SessionClass
from hermes_retention.policy.liveness import families

OVER: Facts = {"ended": "cli_close"}


def linked(
    session_id: str, parent: str | None, lineage: Lineage = Lineage.DELEGATION, **facts: Fact
) -> Session:
    """A session that is over, with a parent."""
    facts.setdefault("ended", "cli_close")
    return chat(session_id, parent=parent, lineage=lineage, **facts)


def live_ids(*sessions: Session, holds: Mapping[str, str] | None = None) -> set[str]:
    plan = plan_for(*sessions, holds=holds)
    return {step.session_id for step in plan.steps if step.liveness is Liveness.LIVE}


# liveness


@pytest.mark.parametrize("lineage", Lineage)
def test_child_of_a_live_session_is_kept(lineage: Lineage) -> None:
    child = linked("child", "parent", lineage=lineage)
    step = step_for(child, chat("parent", routes=[KEY]))
    assert (step.verdict, step.liveness, step.rule) == (Verdict.KEEP, Liveness.LIVE, Rule.LINEAGE)
    assert step.reason == f"linked to parent, which is live: routed from {KEY}"


@pytest.mark.parametrize("lineage", Lineage)
def test_parent_of_a_live_session_is_kept(lineage: Lineage) -> None:
    child = linked("child", "parent", lineage=lineage, ended=None, idle=HOUR)
    assert live_ids(child, chat("parent", **OVER)) == {"child", "parent"}


def test_liveness_reaches_grandparents_cousins_and_grandchildren() -> None:
    family = [
        chat("root", **OVER),
        linked("left", "root"),
        linked("right", "root"),
        linked("left-left", "left", idle=5 * MINUTE),
        linked("right-right", "right"),
        chat("stranger", **OVER),
    ]
    assert live_ids(*family) == {"root", "left", "right", "left-left", "right-right"}


def test_family_without_a_live_member_goes() -> None:
    plan = plan_for(chat("parent", **OVER), linked("child", "parent"))
    assert [step.verdict for step in plan.steps] == [Verdict.ARCHIVE_FILES] * 2


@pytest.mark.parametrize("live", ["a", "b", "c"])
def test_lineage_that_goes_in_circles_is_a_family(live: str) -> None:
    circle = [linked(one, parent, idle=0 if one == live else 30 * DAY) for one, parent in ("ab", "bc", "ca")]
    assert live_ids(*circle) == {"a", "b", "c"}


def test_session_that_is_its_own_parent_stands_alone() -> None:
    assert step_for(linked("a", "a")).verdict == Verdict.ARCHIVE_FILES
    assert step_for(linked("a", "a", idle=0)).rule is Rule.MIN_AGE


def test_missing_parent_alone_keeps_nothing() -> None:
    assert step_for(linked("child", "gone")).verdict == Verdict.ARCHIVE_FILES


def test_siblings_belong_together_although_their_parent_is_gone() -> None:
    assert live_ids(linked("one", "gone", idle=0), linked("two", "gone"), linked("three", "else")) == {
        "one",
        "two",
    }


def test_empty_parent_id_is_no_parent() -> None:
    assert live_ids(linked("one", "", idle=0), linked("two", "")) == {"one"}


def test_parent_without_a_record_is_kept_for_its_child() -> None:
    orphan = chat("parent", recorded=False)
    assert live_ids(orphan, linked("child", "parent", idle=0)) == {"parent", "child"}


def test_parent_without_files_keeps_its_children() -> None:
    assert live_ids(chat("parent", files=False, routes=[KEY]), linked("child", "parent")) == {
        "parent",
        "child",
    }


def test_session_that_is_live_by_itself_keeps_its_own_reason() -> None:
    plan = plan_for(chat("parent", routes=[KEY]), linked("child", "parent", idle=0))
    assert step_of(plan, "child").rule is Rule.MIN_AGE
    assert step_of(plan, "parent").rule is Rule.ROUTED


def test_hold_spreads_over_lineage() -> None:
    step = step_for(linked("child", "parent"), chat("parent", **OVER), holds={"parent": "evidence"})
    assert (step.verdict, step.rule) == (Verdict.KEEP, Rule.LINEAGE)
    assert "held: evidence" in step.reason


def test_routed_hook_that_is_over_is_kept_for_its_live_child() -> None:
    over = session("hook", SessionClass.HOOK, routes=["k"], ended="webhook_complete")
    assert live_ids(over, linked("child", "hook", idle=0)) == {"hook", "child"}


# compression


def chain(*, newest_idle: float, **facts: Fact) -> list[Session]:
    """One conversation that was compressed twenty days ago and ten days ago."""
    return [
        chat("c1", idle=20 * DAY, ended="compression"),
        linked("c2", "c1", lineage=Lineage.COMPRESSION, idle=10 * DAY, ended="compression"),
        linked("c3", "c2", lineage=Lineage.COMPRESSION, idle=newest_idle, **facts),
    ]


def test_compressed_conversation_ages_as_one() -> None:
    young, old = plan_for(*chain(newest_idle=2 * DAY)), plan_for(*chain(newest_idle=7 * DAY))
    assert {step.verdict for step in young.steps} == {Verdict.KEEP}
    assert {step.rule for step in young.steps} == {Rule.FILES_AFTER}
    assert {step.verdict for step in old.steps} == {Verdict.ARCHIVE_FILES}


def test_compressed_conversation_goes_to_one_month_of_the_vault() -> None:
    plan = plan_for(*chain(newest_idle=8 * DAY))
    assert {step.last_activity for step in plan.removals()} == {NOW - 8 * DAY}


def test_compressed_conversation_is_live_while_its_last_part_is() -> None:
    assert live_ids(*chain(newest_idle=30 * DAY, ended=None, routes=[KEY])) == {"c1", "c2", "c3"}


@pytest.mark.parametrize("lineage", [kind for kind in Lineage if kind is not Lineage.COMPRESSION])
def test_other_lineage_ages_separately(lineage: Lineage) -> None:
    plan = plan_for(chat("parent", **OVER), linked("child", "parent", lineage=lineage, idle=2 * DAY))
    assert step_of(plan, "parent").verdict == Verdict.ARCHIVE_FILES
    assert step_of(plan, "child").verdict == Verdict.KEEP


def test_continued_cron_run_counts_for_keep_failed_from_its_last_part() -> None:
    run = session("c1", SessionClass.CRON, ended="compression", idle=9 * DAY, failed=True)
    rest = session(
        "c2", SessionClass.CRON, ended="cron_complete", idle=6 * DAY, parent="c1", lineage=Lineage.COMPRESSION
    )
    by = policy(classes={"files_after": DAY, "keep_failed": 7 * DAY})
    assert step_for(run, rest, by=by).rule is Rule.KEEP_FAILED


# families


def test_families_of_many_sessions_are_found_in_any_order() -> None:
    """Against a plain search, on random forests with circles and missing parents."""
    for seed in range(30):
        generator = random.Random(seed)
        ids = [f"s{number:02}" for number in range(40)]
        parents = {one: generator.choice([None, *ids, "gone1", "gone2"]) for one in ids}
        sessions = [linked(one, parents[one]) for one in ids]
        assert families(sessions).linked == searched(parents)


def searched(parents: dict[str, str | None]) -> list[list[int]]:
    ids = list(parents)
    groups: list[set[str]] = []
    for one, parent in parents.items():
        touched = [group for group in groups if group & {one, parent}]
        groups = [group for group in groups if group not in touched]
        groups.append({one}.union({parent} if parent else set(), *touched))
    places = [sorted(ids.index(one) for one in group if one in parents) for group in groups]
    return sorted(places for places in places if len(places) > 1)


def test_long_chain_of_compressions_is_one_family() -> None:
    ids = [f"c{number:05}" for number in range(20_000)]
    sessions = [
        linked(one, parent, lineage=Lineage.COMPRESSION)
        for one, parent in zip(ids, ["gone", *ids], strict=False)
    ]
    found = families(sessions)
    assert found.linked == found.continued == [list(range(20_000))]
