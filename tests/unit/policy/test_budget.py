"""What a budget takes before its time, in which order, and what it never takes."""

from __future__ import annotations

import msgspec
import pytest
from inventories import (
    DAY,
    FILE_BYTES,
    HOUR,
    KEY,
    MINUTE,
    NOW,
    Fact,
    Facts,
    archived,
    artifact,
    chat,
    cron,
    inventory,
    policy,
    session,
    step_of,
)
from verdicts import Verdict

from hermes_retention.model.plan import Plan, Rule
from hermes_retention.model.session import ArtifactKind, Inventory, Session, SessionClass
from hermes_retention.policy.decide import decide
from hermes_retention.policy.lifecycle import OnReset, Policy

MB = 10**6
OVER: Facts = {"ended": "cli_close", "size": MB}
CLASSES: Facts = {"files_after": 30 * DAY}


def plan_of(
    *sessions: Session,
    stored: int | None = None,
    free: int | None = None,
    **facts: Fact,
) -> Plan:
    facts["classes"] = {**CLASSES, **facts.get("classes", {})}
    return decide(inventory(*sessions, stored=stored, free=free), policy(**facts), now=NOW)


def taken(plan: Plan) -> list[str]:
    return [step.session_id for step in plan.removals() if step.rule in {Rule.MAX_DISK, Rule.KEEP_FREE}]


def aged(count: int, **facts: Fact) -> list[Session]:
    """Sessions of 1 MB that are over but not due; ``1`` is the youngest."""
    return [chat(str(day), idle=day * DAY, **{**OVER, **facts}) for day in range(1, count + 1)]


# what goes


def test_oldest_sessions_go_until_the_low_watermark() -> None:
    # 20 MB over a limit of 18: down to 14.4 MB takes seven sessions that give back 0.8 MB each.
    plan = plan_of(*aged(20), max_disk=18 * MB, low_watermark=0.8)
    assert taken(plan) == ["20", "19", "18", "17", "16", "15", "14"]
    assert plan.warnings == ()


def test_taken_session_says_why() -> None:
    plan = plan_of(*aged(3), max_disk=2 * MB)
    step = step_of(plan, "3")
    assert (step.verdict, step.rule, len(step.artifacts)) == (Verdict.ARCHIVE_FILES, Rule.MAX_DISK, 1)
    assert step.reason == "ended (cli_close); more is stored than max_disk allows"


def test_low_watermark_of_one_reclaims_no_more_than_needed() -> None:
    assert taken(plan_of(*aged(20), max_disk=18 * MB, low_watermark=1.0)) == ["20", "19", "18"]


def test_superseded_and_ended_sessions_go_before_stale_ones_and_orphans() -> None:
    plan = plan_of(
        chat("orphan", recorded=False, idle=29 * DAY, size=MB),
        chat("stale", idle=28 * DAY, size=MB),
        chat("ended", ended="cli_close", idle=3 * DAY, size=MB),
        chat("superseded", ended="idle", idle=2 * DAY, size=MB),
        max_disk=4 * MB - 1,
        low_watermark=0.01,
        on_reset=OnReset.KEEP,
    )
    assert taken(plan) == ["orphan", "stale", "ended", "superseded"]
    for limit, gone in [
        (3.5, ["ended"]),
        (2.5, ["ended", "superseded"]),
        (2.0, ["stale", "ended", "superseded"]),
    ]:
        some = plan_of(
            chat("orphan", recorded=False, idle=27 * DAY, size=MB),
            chat("stale", idle=28 * DAY, size=MB),
            chat("ended", ended="cli_close", idle=3 * DAY, size=MB),
            chat("superseded", ended="idle", idle=2 * DAY, size=MB),
            max_disk=int(limit * MB),
            low_watermark=1.0,
            on_reset=OnReset.KEEP,
        )
        assert taken(some) == gone


def test_equally_old_sessions_go_in_the_order_of_their_ids() -> None:
    equal = [chat(name, idle=5 * DAY, **OVER) for name in ("d", "b", "a", "c")]
    assert taken(plan_of(*equal, max_disk=3 * MB, low_watermark=0.8)) == ["a", "b"]


def test_class_without_archive_is_deleted_by_the_budget() -> None:
    plan = plan_of(*aged(3), max_disk=2 * MB, low_watermark=1.0, classes={"archive": False})
    assert [(step.session_id, step.verdict) for step in plan.removals()] == [("3", Verdict.DELETE_FILES)]


def test_orphan_is_archived_by_the_budget_whatever_its_class() -> None:
    one = chat(recorded=False, idle=9 * DAY, size=MB)
    plan = plan_of(one, max_disk=1, classes={"archive": False}, on_reset=OnReset.DELETE)
    assert [step.verdict for step in plan.removals()] == [Verdict.ARCHIVE_FILES]


def test_sessions_that_give_nothing_back_stay() -> None:
    plan = plan_of(chat("empty", idle=9 * DAY, ended="x", size=0), *aged(2), max_disk=MB)
    assert taken(plan) == ["2", "1"]


# what is due comes first


def test_budget_takes_nothing_when_what_is_due_suffices() -> None:
    due = chat("due", idle=40 * DAY, ended="cli_close", size=10 * MB)
    plan = plan_of(due, *aged(3), max_disk=6 * MB)
    assert [(step.session_id, step.rule) for step in plan.removals()] == [("due", Rule.FILES_AFTER)]


def test_budget_takes_nothing_when_expiring_copies_suffice() -> None:
    by = policy(classes={**CLASSES, "archive_after": 365 * DAY}, max_disk=6 * MB)
    copies = [archived("old", age=400 * DAY, size=5 * MB)]
    plan = decide(inventory(*aged(5), copies=copies, stored=10 * MB), by, now=NOW)
    assert [step.verdict for step in plan.removals()] == [Verdict.EXPIRE_ARCHIVE]


def test_budget_takes_what_is_still_missing_after_what_is_due() -> None:
    due = chat("due", idle=40 * DAY, ended="cli_close", size=2 * MB)
    plan = plan_of(due, *aged(5), max_disk=4 * MB, low_watermark=1.0)
    assert taken(plan) == ["5", "4"]


def test_expired_dumps_of_a_taken_session_go_once_with_its_other_files() -> None:
    one = chat("a", idle=5 * DAY, dumps=[10 * DAY, 20 * DAY], **OVER)
    plan = plan_of(one, max_disk=MB // 10)
    step = step_of(plan, "a")
    assert (step.rule, step.artifacts, step.bytes) == (Rule.MAX_DISK, one.artifacts, MB + 2 * FILE_BYTES)


def test_expired_dumps_of_a_taken_session_are_not_counted_twice() -> None:
    """The dump frees 0.8 MB anyway, so its session gives 0.8 MB more, and the next one is needed as well."""
    dump = artifact("request_dump_old.json", ArtifactKind.REQUEST_DUMP, age=10 * DAY, size=MB)
    old, *others = aged(3)[::-1]
    both = msgspec.structs.replace(old, artifacts=(dump, *old.artifacts))
    plan = plan_of(both, *others, stored=5 * MB, max_disk=3 * MB, low_watermark=1.0)
    assert taken(plan) == ["3", "2"]


def test_expired_dumps_count_among_what_is_due() -> None:
    one = chat("a", idle=5 * DAY, dumps=[10 * DAY], **OVER)
    plan = plan_of(one, max_disk=MB + FILE_BYTES // 2)
    assert step_of(plan, "a").rule is Rule.DUMPS_AFTER
    assert plan.warnings == ()


# what never goes


NEVER_TAKEN = [
    chat("held", idle=9 * DAY, **OVER),
    chat("busy", busy="compression lock", idle=9 * DAY, **OVER),
    chat("settling", idle=10 * MINUTE - 1, **OVER),
    chat("routed", routes=[KEY], idle=9 * DAY, **OVER),
    chat("running", idle=HOUR, size=MB),
    chat("linked", parent="routed", idle=9 * DAY, **OVER),
    chat("restored", restored=DAY, idle=9 * DAY, **OVER),
    cron("newest", group="job", idle=9 * DAY, size=MB),
    session("failed", SessionClass.API, failed=True, idle=9 * DAY, ended="x", size=MB),
]


def tight(dumps_after: int | None = 3 * DAY) -> Policy:
    wishes: Facts = {**CLASSES, "keep_last": 1, "keep_failed": 20 * DAY}
    return policy(classes=wishes, max_disk=1, dumps_after=dumps_after)


@pytest.mark.parametrize("dumps_after", [None, DAY])
def test_budget_takes_nothing_that_is_protected(dumps_after: int | None) -> None:
    by = tight(dumps_after=dumps_after)
    plan = decide(inventory(*NEVER_TAKEN, holds={"held": ""}), by, now=NOW)
    assert plan.removals() == ()


def test_budget_does_not_take_what_is_never_due() -> None:
    one = chat("a", idle=900 * DAY, dumps=[9 * DAY], **OVER)
    plan = plan_of(one, max_disk=1, classes={"files_after": None})
    step = step_of(plan, "a")
    assert ([artifact.kind.value for artifact in step.artifacts], step.rule) == (
        ["request_dump"],
        Rule.DUMPS_AFTER,
    )


@pytest.mark.parametrize(
    "facts", [{"routes": [KEY]}, {"restored": 5 * DAY}, {"failed": True, "restored": 5 * DAY}]
)
def test_budget_takes_no_more_than_old_dumps_of_a_protected_session(facts: Facts) -> None:
    one = chat("a", idle=9 * DAY, dumps=[9 * DAY], **OVER, **facts)
    removed = decide(inventory(one), tight(), now=NOW).removals()
    assert all(step.rule is Rule.DUMPS_AFTER for step in removed)


# messages


def with_messages(name: str, **facts: Fact) -> Session:
    """A session of 1 MB of messages and no files."""
    return chat(name, messages=1000, **{"ended": "cli_close", "files": False, **facts})


def rows_plan(*sessions: Session, free: int | None = None, stored: int = 0, **facts: Fact) -> Plan:
    by = policy(**{"classes": {"files_after": 30 * DAY, "messages_after": 90 * DAY}, **facts})
    database = MB * sum(one.record is not None and one.record.has_messages for one in sessions)
    return decide(inventory(*sessions, stored=stored, database=database, free=free), by, now=NOW)


def parts_taken(plan: Plan) -> list[tuple[str, str]]:
    return [(it.session_id, it.verdict) for it in plan.steps if it.rule in {Rule.MAX_DISK, Rule.KEEP_FREE}]


def test_oldest_messages_go_when_no_files_are_left_to_take() -> None:
    sessions = [with_messages(str(day), idle=day * DAY) for day in range(1, 6)]
    plan = rows_plan(*sessions, max_disk=4 * MB, low_watermark=0.9)
    assert parts_taken(plan) == [("5", Verdict.ARCHIVE_MESSAGES), ("4", Verdict.ARCHIVE_MESSAGES)]
    assert [step.reason for step in plan.steps if step.session_id == "5"] == [
        "ended (cli_close); more is stored than max_disk allows"
    ]
    assert plan.warnings == ()


def test_messages_of_superseded_and_ended_sessions_go_first() -> None:
    stale = with_messages("stale", idle=50 * DAY, ended=None)
    plan = rows_plan(stale, with_messages("ended", idle=2 * DAY), max_disk=int(1.5 * MB), low_watermark=1.0)
    assert parts_taken(plan) == [("ended", Verdict.ARCHIVE_MESSAGES)]


def test_files_go_before_any_messages() -> None:
    old, young = with_messages("old", idle=20 * DAY), chat("young", idle=2 * DAY, **OVER)
    plan = rows_plan(old, young, stored=MB, max_disk=int(2.5 * MB), low_watermark=1.0)
    assert parts_taken(plan) == [("young", Verdict.ARCHIVE_FILES)]


def test_messages_that_are_due_count_for_max_disk() -> None:
    due, waiting = with_messages("due", idle=100 * DAY), with_messages("waiting", idle=20 * DAY)
    plan = rows_plan(due, waiting, max_disk=int(1.2 * MB), low_watermark=1.0)
    assert (parts_taken(plan), plan.warnings) == ([], ())


def test_messages_that_are_due_do_not_count_for_keep_free() -> None:
    due, file = with_messages("due", idle=100 * DAY), chat("file", idle=2 * DAY, **OVER)
    plan = rows_plan(due, file, stored=MB, free=0, keep_free=MB // 2)
    assert parts_taken(plan) == [("file", Verdict.ARCHIVE_FILES)]


def test_keep_free_takes_no_messages() -> None:
    plan = rows_plan(with_messages("a", idle=20 * DAY), free=0, keep_free=MB)
    assert parts_taken(plan) == []
    (warning,) = plan.warnings
    assert "files_after, let" in warning


def test_messages_that_max_disk_takes_do_not_help_keep_free() -> None:
    one = with_messages("a", idle=20 * DAY)
    plan = rows_plan(one, max_disk=MB // 2, low_watermark=1.0, free=0, keep_free=MB)
    assert parts_taken(plan) == [("a", Verdict.ARCHIVE_MESSAGES)]
    assert [warning.partition(":")[0] for warning in plan.warnings] == ["keep_free"]


def test_taken_messages_take_the_tool_output_along() -> None:
    classes = {"files_after": 30 * DAY, "tool_output_after": 14 * DAY, "messages_after": 90 * DAY}
    plan = rows_plan(with_messages("a", idle=20 * DAY), max_disk=1, classes=classes)
    assert [(it.verdict, it.rule) for it in plan.steps] == [(Verdict.ARCHIVE_MESSAGES, Rule.MAX_DISK)]


@pytest.mark.parametrize(
    ("one", "lifecycle"),
    [
        (with_messages("a", idle=50 * DAY), {"messages_after": None}),
        (with_messages("a", idle=50 * DAY, routes=[KEY]), {}),
        (with_messages("a", idle=50 * DAY, restored=DAY), {}),
        (with_messages("a", idle=50 * DAY, failed=True), {"keep_failed": 60 * DAY}),
        (chat("a", idle=50 * DAY, files=False, messages=None, ended="x"), {"record_after": 60 * DAY}),
    ],
    ids=["never due", "routed", "put back", "failed", "nothing but its record"],
)
def test_budget_takes_no_rows_that_something_keeps(one: Session, lifecycle: Facts) -> None:
    classes = {"files_after": 30 * DAY, "messages_after": 90 * DAY, **lifecycle}
    plan = rows_plan(one, stored=5 * MB, max_disk=1, classes=classes)
    assert [step.verdict for step in plan.steps] == [Verdict.KEEP]


def test_dumps_that_go_beside_taken_messages_say_why_the_other_files_stay() -> None:
    classes = {"files_after": None, "messages_after": 90 * DAY}
    one = chat("a", idle=20 * DAY, dumps=[20 * DAY], messages=1000, **OVER)
    plan = rows_plan(one, stored=MB, max_disk=1, classes=classes)
    assert [step.rule for step in plan.steps] == [Rule.DUMPS_AFTER, Rule.MAX_DISK]
    assert step_of(plan, "a").reason.endswith("; other files stay: ended (cli_close); files_after is never")


# keep_free


def test_keep_free_takes_the_oldest_until_enough_is_free() -> None:
    plan = plan_of(*aged(5), free=10 * MB, keep_free=11 * MB)
    assert taken(plan) == ["5", "4"]
    assert step_of(plan, "5").reason == "ended (cli_close); less is free on the disk than keep_free asks for"
    assert plan.warnings == ()


def test_both_limits_together_take_what_the_larger_needs() -> None:
    plan = plan_of(*aged(10), free=0, max_disk=9 * MB, low_watermark=1.0, keep_free=3 * MB)
    assert taken(plan) == ["10", "9", "8", "7"]
    assert [step.rule for step in plan.removals()] == [Rule.MAX_DISK] * 2 + [Rule.KEEP_FREE] * 2


# what cannot be reclaimed


def test_warning_says_what_cannot_be_reclaimed_and_what_helps() -> None:
    plan = plan_of(chat("a", routes=[KEY], size=5 * MB), chat("b", idle=2 * DAY, **OVER), max_disk=2 * MB)
    (warning,) = plan.warnings
    assert warning.startswith(
        "max_disk: more is stored than max_disk allows, and about 3.2 MB of it cannot be reclaimed"
    )
    assert "archive_after" in warning


def test_missing_the_low_watermark_alone_is_no_reason_for_a_warning() -> None:
    plan = plan_of(
        chat("a", routes=[KEY], size=5 * MB), chat("b", idle=2 * DAY, **OVER), max_disk=int(5.5 * MB)
    )
    assert taken(plan) == ["b"]
    assert plan.warnings == ()


def test_limit_that_is_met_to_the_byte_is_no_reason_for_a_warning() -> None:
    plan = plan_of(*aged(1), free=0, keep_free=800_000)
    assert (taken(plan), plan.warnings) == (["1"], ())


def test_each_limit_that_cannot_be_kept_has_its_own_warning() -> None:
    plan = plan_of(chat("a", routes=[KEY], size=5 * MB), free=0, max_disk=MB, keep_free=MB)
    assert [warning.partition(":")[0] for warning in plan.warnings] == ["max_disk", "keep_free"]


def test_warnings_of_the_scan_come_first() -> None:
    taken_over: Inventory = inventory(chat(routes=[KEY]), warnings=["the host is old"])
    plan = decide(taken_over, policy(max_disk=1), now=NOW)
    assert plan.warnings[0] == "the host is old"
    assert plan.warnings[1].startswith("max_disk")
