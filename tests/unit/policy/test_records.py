"""When records go, and which of them go together."""

from __future__ import annotations

import pytest
from inventories import (
    DAY,
    KEY,
    Fact,
    Facts,
    chat,
    cron,
    parts_of,
    plan_for,
    policy,
    rows_step_of,
    session,
)
from verdicts import Verdict

from hermes_retention.model.plan import Plan, Rule, Tier
from hermes_retention.model.session import Lineage, Session, SessionClass
from hermes_retention.policy.lifecycle import Lifecycle, Policy

OVER: Facts = {"ended": "cli_close", "files": False}
YEAR = 365 * DAY
RECORD = (Verdict.ARCHIVE_RECORD, Rule.RECORD_AFTER)


def by_class(**classes: Facts) -> Policy:
    """Chats lose their record after a year; those of every other class stay unless ``classes`` says so."""
    of = {kind: {} if kind is not SessionClass.CHAT else {"record_after": YEAR} for kind in SessionClass}
    facts = {
        kind: {"files_after": 7 * DAY, **of[kind], **classes.get(kind.value, {})} for kind in SessionClass
    }
    return Policy({kind: Lifecycle(**its) for kind, its in facts.items()})


def sub(session_id: str, parent: str, **facts: Fact) -> Session:
    """What ``parent`` delegated."""
    facts = {**OVER, "idle": 500 * DAY, **facts}
    return session(session_id, SessionClass.SUBAGENT, parent=parent, lineage=Lineage.DELEGATION, **facts)


def part(session_id: str, parent: str, **facts: Fact) -> Session:
    """What continues ``parent`` after compression."""
    return chat(
        session_id, parent=parent, lineage=Lineage.COMPRESSION, **{**OVER, "idle": 500 * DAY, **facts}
    )


def old(session_id: str, **facts: Fact) -> Session:
    return chat(session_id, **{**OVER, "idle": 500 * DAY, **facts})


def gone(plan: Plan) -> list[str]:
    return sorted(step.session_id for step in plan.steps if step.tier is Tier.RECORD)


def plan_of(*sessions: Session, by: Policy | None = None, holds: dict[str, str] | None = None) -> Plan:
    return plan_for(*sessions, by=by or by_class(), holds=holds)


# one alone


@pytest.mark.parametrize(("idle", "records"), [(YEAR - 1, []), (YEAR, ["a"])])
def test_record_goes_at_its_age(idle: float, records: list[str]) -> None:
    assert gone(plan_of(old("a", idle=idle))) == records


def test_record_never_goes_unless_an_age_is_set() -> None:
    assert gone(plan_for(old("a", idle=9000 * DAY), by=policy())) == []


def test_record_takes_everything_that_is_left() -> None:
    by = by_class(chat={"messages_after": 9 * DAY, "tool_output_after": DAY})
    assert parts_of(plan_of(old("a"), by=by), "a") == [RECORD]


def test_record_goes_in_the_same_plan_as_the_files_and_after_everything_else() -> None:
    plan = plan_of(old("a", files=True), old("b", files=True, idle=400 * DAY))
    assert [(step.session_id, step.verdict) for step in plan.steps] == [
        ("a", Verdict.ARCHIVE_FILES),
        ("b", Verdict.ARCHIVE_FILES),
        ("a", Verdict.ARCHIVE_RECORD),
        ("b", Verdict.ARCHIVE_RECORD),
    ]


def test_record_stays_while_files_stay() -> None:
    by = by_class(chat={"files_after": None, "messages_after": 30 * DAY})
    plan = plan_of(old("a", files=True), by=by)
    assert parts_of(plan, "a") == [(Verdict.ARCHIVE_MESSAGES, Rule.MESSAGES_AFTER)]


def test_record_goes_when_all_its_files_are_old_dumps() -> None:
    plan = plan_of(old("a", dumps=[400 * DAY]), by=by_class(chat={"files_after": None}))
    assert parts_of(plan, "a") == [(Verdict.ARCHIVE_FILES, Rule.DUMPS_AFTER), RECORD]


@pytest.mark.parametrize(("restored", "records"), [(YEAR - 1, []), (YEAR, ["a"])])
def test_restored_record_stays_for_its_own_age(restored: float, records: list[str]) -> None:
    assert gone(plan_of(old("a", restored=restored, idle=3 * YEAR))) == records


def test_bytes_of_a_record_are_those_of_its_messages() -> None:
    plan = plan_of(old("a", messages=12), old("b", messages=None))
    assert (rows_step_of(plan, "a").bytes, rows_step_of(plan, "b").bytes) == (12_000, 0)


# what compression continued


def test_conversation_goes_as_a_whole() -> None:
    assert gone(plan_of(old("a", ended="compression"), part("b", "a"), part("c", "b"))) == ["a", "b", "c"]


def test_conversation_stays_while_a_part_is_not_due() -> None:
    """Its parts age as one, but their classes may have other ages."""
    other = session("b", SessionClass.OTHER, parent="a", lineage=Lineage.COMPRESSION, idle=500 * DAY, **OVER)
    assert gone(plan_of(old("a"), other)) == []
    assert gone(plan_of(old("a"), other, by=by_class(other={"record_after": DAY}))) == ["a", "b"]


def test_conversation_stays_while_a_file_of_one_part_stays() -> None:
    by = by_class(chat={"files_after": None})
    assert gone(plan_of(old("a"), part("b", "a", files=True), by=by)) == []


def test_conversation_whose_beginning_is_gone_goes_as_a_whole() -> None:
    assert gone(plan_of(part("b", "gone"), part("c", "gone"))) == ["b", "c"]
    assert gone(plan_of(part("b", "gone"), part("c", "gone", restored=DAY))) == []


# what was delegated


def test_delegated_session_goes_along_whatever_its_class_says() -> None:
    plan = plan_of(old("a"), sub("b", "a"), sub("c", "b", idle=30 * DAY))
    assert gone(plan) == ["a", "b", "c"]
    step = rows_step_of(plan, "c")
    assert (step.rule, step.due_by) == (Rule.RECORD_AFTER, SessionClass.CHAT)
    assert step.reason == (
        "goes with a, whose record is due: ended (cli_close); idle for 500 d (due after 365 d)"
    )
    assert rows_step_of(plan, "a").due_by is None


def test_delegated_session_may_go_before_the_one_that_delegated_it() -> None:
    by = by_class(chat={"record_after": None}, subagent={"record_after": 30 * DAY})
    assert gone(plan_of(old("a"), sub("b", "a"), sub("c", "a", idle=20 * DAY), by=by)) == ["b"]


def test_delegated_session_that_is_due_by_itself_says_so() -> None:
    by = by_class(subagent={"record_after": 30 * DAY})
    step = rows_step_of(plan_of(old("a"), sub("b", "a"), by=by), "b")
    assert (step.due_by, step.reason) == (None, "ended (cli_close); idle for 500 d (due after 30 d)")


def test_what_any_part_of_a_conversation_delegated_goes_with_all_of_it() -> None:
    assert gone(plan_of(old("a"), part("b", "a"), sub("c", "b"), sub("d", "a"))) == ["a", "b", "c", "d"]


def test_continuation_of_a_delegated_session_goes_along() -> None:
    rest = session(
        "c", SessionClass.SUBAGENT, parent="b", lineage=Lineage.COMPRESSION, idle=400 * DAY, **OVER
    )
    assert gone(plan_of(old("a"), sub("b", "a"), rest)) == ["a", "b", "c"]


def test_branch_goes_its_own_way() -> None:
    branch = chat("b", parent="a", lineage=Lineage.BRANCH, idle=30 * DAY, **OVER)
    assert gone(plan_of(old("a"), branch)) == ["a"]


def test_child_of_a_session_that_is_gone_goes_by_itself() -> None:
    by = by_class(subagent={"record_after": 30 * DAY})
    assert gone(plan_of(sub("b", "gone"), by=by)) == ["b"]


@pytest.mark.parametrize(
    "facts",
    [{"files": True}, {"failed": True}, {"restored": DAY}, {"busy": "delegated task"}, {"routes": [KEY]}],
    ids=["its files stay", "it failed", "it was put back", "it is busy", "it is routed"],
)
def test_nothing_goes_while_something_keeps_what_was_delegated(facts: Facts) -> None:
    by = by_class(subagent={"files_after": None, "keep_failed": None})
    assert gone(plan_of(old("a"), sub("b", "a"), sub("c", "b", **facts), by=by)) == []


def test_held_child_keeps_the_whole_family() -> None:
    assert gone(plan_of(old("a"), sub("b", "a"), holds={"b": ""})) == []


def test_newest_run_of_a_job_keeps_those_that_delegated_it() -> None:
    run = cron("b", group="job", parent="a", lineage=Lineage.DELEGATION, idle=500 * DAY, files=False)
    assert gone(plan_of(old("a"), run, by=by_class(cron={"keep_last": 1}))) == []


def test_other_children_may_go_although_one_keeps_the_parent() -> None:
    by = by_class(subagent={"record_after": 30 * DAY, "keep_failed": None})
    assert gone(plan_of(old("a"), sub("b", "a"), sub("c", "a", failed=True), by=by)) == ["b"]


def test_what_stays_with_another_keeps_the_steps_that_it_had() -> None:
    by = by_class(chat={"messages_after": 30 * DAY}, subagent={"keep_failed": None})
    plan = plan_of(
        old("a"), old("x", messages=None), sub("b", "a", failed=True), sub("y", "x", failed=True), by=by
    )
    assert parts_of(plan, "a") == [(Verdict.ARCHIVE_MESSAGES, Rule.MESSAGES_AFTER)]
    assert parts_of(plan, "x") == [(Verdict.KEEP, Rule.NOTHING_LEFT)]


def test_lineage_in_a_circle_goes_once() -> None:
    circle = sub("a", "c"), sub("b", "a"), sub("c", "b")
    by = by_class(subagent={"record_after": 30 * DAY})
    assert gone(plan_of(*circle, sub("d", "d"), by=by)) == ["a", "b", "c", "d"]
    assert gone(plan_of(part("a", "b"), part("b", "a"))) == ["a", "b"]


def test_circle_goes_with_whoever_of_it_is_due() -> None:
    run = cron("c", parent="b", lineage=Lineage.DELEGATION, idle=500 * DAY, files=False)
    plan = plan_of(sub("a", "c"), sub("b", "a"), run, by=by_class(cron={"record_after": DAY}))
    assert gone(plan) == ["a", "b", "c"]
    assert rows_step_of(plan, "a").reason.startswith("goes with c, whose record is due")


# a class without an archive


@pytest.mark.parametrize(
    ("without", "verdict"),
    [
        ({"chat", "subagent"}, Verdict.DELETE_RECORD),
        ({"chat"}, Verdict.ARCHIVE_RECORD),
        ({"subagent"}, Verdict.ARCHIVE_RECORD),
    ],
)
def test_records_are_deleted_only_when_no_class_of_them_has_an_archive(
    without: set[str], verdict: Verdict
) -> None:
    chats: Facts = {"record_after": YEAR}
    by = by_class(
        chat=chats | {"archive": "chat" not in without}, subagent={"archive": "subagent" not in without}
    )
    plan = plan_of(old("a"), sub("b", "a"), by=by)
    assert {step.verdict for step in plan.steps} == {verdict}
