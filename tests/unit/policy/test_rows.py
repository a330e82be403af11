"""When tool output and messages leave the host's database, and what keeps them there."""

from __future__ import annotations

import msgspec
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
    cron,
    hook,
    inventory,
    parts_of,
    plan_for,
    policy,
    rows_step_of,
    step_of,
)
from verdicts import Verdict

from hermes_retention.model.plan import Liveness, Rule, Step, Tier
from hermes_retention.model.session import Lineage, Session, SessionClass
from hermes_retention.policy.decide import decide
from hermes_retention.policy.lifecycle import OnReset, Policy

OVER: Facts = {"ended": "cli_close"}
AGES: Facts = {"files_after": 7 * DAY, "tool_output_after": 14 * DAY, "messages_after": 90 * DAY}
FILES = (Verdict.ARCHIVE_FILES, Rule.FILES_AFTER)
TOOL_OUTPUT = (Verdict.ARCHIVE_TOOL_OUTPUT, Rule.TOOL_OUTPUT_AFTER)
MESSAGES = (Verdict.ARCHIVE_MESSAGES, Rule.MESSAGES_AFTER)


def ages(**facts: Fact) -> Policy:
    return policy(classes={**AGES, **facts})


def parts(one: Session, *others: Session, by: Policy | None = None) -> list[tuple[str, Rule]]:
    return parts_of(plan_for(one, *others, by=by or ages()), one.id)


def kept(one: Session, *others: Session, by: Policy | None = None) -> Step:
    step = step_of(plan_for(one, *others, by=by or ages()), one.id)
    assert step.verdict == Verdict.KEEP
    return step


# ages


@pytest.mark.parametrize(
    ("idle", "going"),
    [
        (7 * DAY - 1, []),
        (7 * DAY, [FILES]),
        (14 * DAY - 1, [FILES]),
        (14 * DAY, [FILES, TOOL_OUTPUT]),
        (90 * DAY - 1, [FILES, TOOL_OUTPUT]),
        (90 * DAY, [FILES, MESSAGES]),
    ],
)
def test_each_part_goes_at_its_age(idle: float, going: list[tuple[str, Rule]]) -> None:
    found = parts(chat(idle=idle, **OVER))
    assert found == going or (not going and found == [(Verdict.KEEP, Rule.FILES_AFTER)])


def test_messages_that_are_due_take_the_tool_output_along() -> None:
    by = ages(tool_output_after=30 * DAY, messages_after=10 * DAY)
    assert parts(chat(idle=50 * DAY, **OVER), by=by) == [FILES, MESSAGES]


def test_tool_output_that_a_sweep_has_looked_through_is_not_looked_through_again() -> None:
    assert parts(chat(idle=20 * DAY, tool_output_done=True, **OVER)) == [FILES]


def test_session_without_messages_loses_none() -> None:
    assert parts(chat(idle=200 * DAY, messages=None, **OVER)) == [FILES]


def test_orphan_has_no_rows() -> None:
    assert parts(chat(idle=200 * DAY, recorded=False)) == [FILES]


def test_rows_go_although_the_files_stay() -> None:
    plan = plan_for(chat(idle=200 * DAY, **OVER), by=ages(files_after=None))
    assert parts_of(plan, "chat") == [MESSAGES]


@pytest.mark.parametrize("age", ["tool_output_after", "messages_after"])
def test_nothing_is_younger_than_the_minimum_age(age: str) -> None:
    by = policy(classes={"files_after": None, age: 0})
    assert kept(chat(idle=599, **OVER), by=by).rule is Rule.MIN_AGE
    assert [Verdict(verdict).axes[1] for verdict, _ in parts(chat(idle=600, **OVER), by=by)] == [
        Tier(age[:-6])
    ]


def test_parts_of_a_compressed_conversation_age_as_one() -> None:
    first = chat("a", idle=200 * DAY, ended="compression")
    rest = chat("b", idle=80 * DAY, parent="a", lineage=Lineage.COMPRESSION, **OVER)
    assert parts(first, rest) == [FILES, TOOL_OUTPUT]


# what a step about rows carries


def test_step_about_messages_says_all_that_is_needed_to_carry_it_out() -> None:
    one = chat(idle=100 * DAY, messages=40, **OVER)
    step = rows_step_of(decide(inventory(one, message=2500.4), ages(), now=NOW), "chat")
    assert step == Step(
        "chat",
        SessionClass.CHAT,
        Liveness.ENDED,
        *Verdict.ARCHIVE_MESSAGES.axes,
        Rule.MESSAGES_AFTER,
        "ended (cli_close); idle for 100 d (due after 90 d)",
        bytes=100_016,
        last_activity=NOW - 100 * DAY,
        seen=one,
    )


def test_messages_that_the_host_did_not_count_are_at_least_one() -> None:
    one = chat(idle=100 * DAY, messages=0, **OVER)
    assert rows_step_of(decide(inventory(one, message=700.0), ages(), now=NOW), "chat").bytes == 700


def test_nobody_knows_how_much_tool_output_there_is() -> None:
    step = rows_step_of(plan_for(chat(idle=20 * DAY, messages=40, **OVER), by=ages()), "chat")
    assert (step.bytes, step.artifacts) == (0, ())


# a class without an archive


def test_messages_of_a_class_without_an_archive_are_deleted() -> None:
    found = parts(chat(idle=100 * DAY, **OVER), by=ages(archive=False))
    assert found == [
        (Verdict.DELETE_FILES, Rule.FILES_AFTER),
        (Verdict.DELETE_MESSAGES, Rule.MESSAGES_AFTER),
    ]


def test_tool_output_of_a_class_without_an_archive_waits_for_the_messages() -> None:
    assert parts(chat(idle=50 * DAY, **OVER), by=ages(archive=False)) == [
        (Verdict.DELETE_FILES, Rule.FILES_AFTER)
    ]
    step = kept(chat(idle=50 * DAY, files=False, **OVER), by=ages(archive=False))
    assert step.rule is Rule.MESSAGES_AFTER


# persist and on_reset


def test_run_that_is_not_to_persist_gives_files_and_messages_away_at_once() -> None:
    by = policy(classes={**AGES, "messages_after": None, "record_after": 50 * DAY, "persist": False})
    persist = [(Verdict.ARCHIVE_FILES, Rule.PERSIST), (Verdict.ARCHIVE_MESSAGES, Rule.PERSIST)]
    assert parts(cron(idle=10 * MINUTE), by=by) == persist


def test_on_reset_concerns_files_only() -> None:
    by = policy(classes=AGES, on_reset=OnReset.DELETE)
    superseded = chat(idle=HOUR, ended="session_reset")
    assert parts(superseded, by=by) == [(Verdict.DELETE_FILES, Rule.ON_RESET)]
    old = chat(idle=100 * DAY, ended="session_reset")
    assert parts(old, by=by) == [(Verdict.DELETE_FILES, Rule.ON_RESET), MESSAGES]


# guards and wishes


@pytest.mark.parametrize(
    ("one", "rule"),
    [
        (chat("a", idle=200 * DAY, routes=[KEY]), Rule.ROUTED),
        (chat("a", idle=200 * DAY, busy="compression lock", **OVER), Rule.BUSY),
        (cron("a", idle=200 * DAY, group="job"), Rule.KEEP_LAST),
        (cron("a", idle=200 * DAY, failed=True), Rule.KEEP_FAILED),
        (hook("a", idle=200 * DAY, ended=None), Rule.ROUTED),
    ],
)
@pytest.mark.parametrize("files", [True, False])
def test_what_protects_a_session_protects_all_parts_of_it(
    one: Session,
    rule: Rule,
    files: bool,  # noqa: FBT001 - given by name
) -> None:
    by = ages(keep_last=1, keep_failed=None, record_after=100 * DAY, idle_after=None)
    session = one if files else msgspec.structs.replace(one, artifacts=())
    step = kept(session, by=by)
    assert (step.rule, step.artifacts, step.seen) == (rule, (), None)


def test_held_session_keeps_its_rows() -> None:
    plan = plan_for(chat(idle=200 * DAY, files=False, **OVER), by=ages(), holds={"chat": ""})
    assert parts_of(plan, "chat") == [(Verdict.KEEP, Rule.HELD)]


@pytest.mark.parametrize(
    ("restored", "going"),
    [
        (7 * DAY - 1, [(Verdict.KEEP, Rule.RESTORED)]),
        (7 * DAY, [FILES]),
        (14 * DAY - 1, [FILES]),
        (14 * DAY, [FILES, TOOL_OUTPUT]),
        (90 * DAY, [FILES, MESSAGES]),
    ],
)
def test_each_part_of_a_restored_session_stays_for_its_own_age(
    restored: float, going: list[tuple[str, Rule]]
) -> None:
    assert parts(chat(idle=400 * DAY, restored=restored, **OVER)) == going


def test_restored_part_whose_age_is_never_stays_for_ever() -> None:
    by = policy(classes={"files_after": 7 * DAY, "persist": False})
    found = parts(cron(idle=4000 * DAY, restored=3000 * DAY), by=by)
    assert found == [(Verdict.ARCHIVE_FILES, Rule.PERSIST)]


def test_restored_messages_without_files_are_kept_for_their_age() -> None:
    one = chat(idle=400 * DAY, restored=20 * DAY, files=False, tool_output_done=True, **OVER)
    step = kept(one)
    assert (step.rule, step.reason) == (Rule.RESTORED, "restored 20 d ago: its time starts anew")


# what a session that is kept says


@pytest.mark.parametrize(
    ("facts", "lifecycle", "rule", "end"),
    [
        ({}, {}, Rule.FILES_AFTER, "; due in 6 d (files_after: 7 d)"),
        ({"files": False}, {}, Rule.TOOL_OUTPUT_AFTER, "; due in 13 d (tool_output_after: 14 d)"),
        (
            {"files": False, "tool_output_done": True},
            {},
            Rule.MESSAGES_AFTER,
            "; due in 89 d (messages_after: 90 d)",
        ),
        ({}, {"tool_output_after": 2 * DAY}, Rule.TOOL_OUTPUT_AFTER, "due in 1 d (tool_output_after: 2 d)"),
        ({"files": False}, {"record_after": 3 * DAY}, Rule.RECORD_AFTER, "due in 2 d (record_after: 3 d)"),
        (
            {"files": False, "messages": None},
            {"record_after": 400 * DAY},
            Rule.RECORD_AFTER,
            "due in 399 d (record_after: 400 d)",
        ),
        # A record waits for the files, whatever its age.
        ({}, {"record_after": 3 * DAY}, Rule.FILES_AFTER, "; due in 6 d (files_after: 7 d)"),
        ({}, {"files_after": None}, Rule.TOOL_OUTPUT_AFTER, "; due in 13 d (tool_output_after: 14 d)"),
    ],
)
def test_kept_session_names_the_age_that_it_reaches_first(
    facts: Facts, lifecycle: Facts, rule: Rule, end: str
) -> None:
    step = kept(chat(idle=DAY, **OVER, **facts), by=ages(**lifecycle))
    assert step.rule is rule
    assert step.reason.endswith(end)


NEVER: Facts = {"files_after": None, "tool_output_after": None, "messages_after": None}


@pytest.mark.parametrize(
    ("facts", "rule", "reason"),
    [
        ({}, Rule.NEVER, "ended (cli_close); files_after is never"),
        ({"files": False}, Rule.NEVER, "ended (cli_close); messages_after is never"),
        ({"files": False, "messages": None}, Rule.NOTHING_LEFT, "nothing but its record is left"),
    ],
)
def test_kept_session_of_which_nothing_has_an_age(facts: Facts, rule: Rule, reason: str) -> None:
    step = kept(chat(idle=900 * DAY, **OVER, **facts), by=ages(**NEVER))
    assert (step.rule, step.reason) == (rule, reason)


def test_session_of_which_nothing_is_left() -> None:
    one = hook(idle=900 * DAY, recorded=False, files=False)
    step = kept(one)
    assert (step.rule, step.reason) == (Rule.NOTHING_LEFT, "nothing of it is in the store")


def test_nothing_is_left_to_wish_for() -> None:
    by = ages(keep_last=1)
    assert kept(cron(files=False, messages=None, group="job"), by=by).rule is Rule.NOTHING_LEFT


# request dumps beside rows


def test_old_dumps_and_rows_go_while_the_other_files_stay() -> None:
    plan = plan_for(chat(idle=200 * DAY, dumps=[200 * DAY], **OVER), by=ages(files_after=None))
    assert parts_of(plan, "chat") == [(Verdict.ARCHIVE_FILES, Rule.DUMPS_AFTER), MESSAGES]
    assert step_of(plan, "chat").reason == (
        "request dump older than 3 d; other files stay: ended (cli_close); files_after is never"
    )


def test_dumps_alone_still_say_that_the_session_stays() -> None:
    step = step_of(plan_for(chat(idle=5 * DAY, dumps=[5 * DAY], **OVER), by=ages()), "chat")
    assert step.reason == (
        "request dump older than 3 d; the session itself stays: "
        "ended (cli_close); due in 2 d (files_after: 7 d)"
    )


def test_dumps_that_are_all_its_files_go_beside_rows() -> None:
    one = chat(idle=200 * DAY, files=False, dumps=[200 * DAY], **OVER)
    step = step_of(plan_for(one, by=ages(files_after=None)), "chat")
    assert step.reason == "request dump older than 3 d; no other files are there"
