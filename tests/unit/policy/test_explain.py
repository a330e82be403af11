"""What is foretold is what will be decided."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inventories import DAY, HOUR, KEY, MINUTE, NOW, archived, chat, cron, hook, inventory, policy

from hermes_retention.model.plan import Rule, Step, Tier
from hermes_retention.model.session import ArchivedSession, Lineage, Session
from hermes_retention.policy.decide import decide
from hermes_retention.policy.explain import Coming, Outlook, look_ahead
from hermes_retention.policy.lifecycle import Policy

SECOND = 0.01


def outlook(
    one: Session, *others: Session, by: Policy | None = None, copies: list[ArchivedSession] | None = None
) -> Outlook:
    return look_ahead(inventory(one, *others), by or policy(), one.id, copies=copies or [], now=NOW)


def test_what_is_due_is_due_now() -> None:
    coming = outlook(chat(idle=8 * DAY, ended="session_expired")).files
    assert coming is not None
    assert coming.at == NOW
    assert coming.before is None


def test_what_waits_for_an_age_is_due_at_that_age() -> None:
    coming = outlook(chat(idle=2 * DAY, ended="session_expired")).files
    assert coming is not None
    assert coming.before is not None
    assert coming.at == pytest.approx(NOW + 5 * DAY, abs=SECOND)
    assert (coming.step.rule, coming.before.rule) == (Rule.FILES_AFTER, Rule.FILES_AFTER)


def test_fresh_superseded_session_is_due_after_the_minimum_age() -> None:
    coming = outlook(chat(idle=MINUTE, ended="session_reset")).files
    assert coming is not None
    assert coming.at == pytest.approx(NOW + 9 * MINUTE, abs=SECOND)


def test_session_that_nobody_ended_becomes_stale_first() -> None:
    coming = outlook(chat(idle=HOUR), by=policy(classes={"files_after": HOUR})).files
    assert coming is not None
    assert coming.at == pytest.approx(NOW + 23 * HOUR, abs=SECOND)


def test_delivery_is_over_at_its_maximum_age() -> None:
    by = policy(classes={"files_after": HOUR, "idle_after": None, "max_age": DAY})
    coming = outlook(hook(idle=2 * HOUR, started=3 * HOUR), by=by).files
    assert coming is not None
    assert coming.at == pytest.approx(NOW + 21 * HOUR, abs=SECOND)


def test_routed_chat_never_goes_but_its_dumps_do() -> None:
    found = outlook(chat(idle=HOUR, routes=[KEY], dumps=[DAY]))
    assert found.files is None
    assert found.kept_by is not None
    assert found.kept_by.rule is Rule.ROUTED
    assert found.dumps is not None
    assert found.dumps.at == pytest.approx(NOW + 2 * DAY, abs=SECOND)


def test_newest_of_a_series_never_goes() -> None:
    old = cron("cron_job_20261001_090000", idle=50 * DAY, group="job")
    new = cron("cron_job_20261101_090000", idle=20 * DAY, group="job")
    by = policy(classes={"keep_last": 1})
    assert outlook(old, new, by=by).files is not None
    kept_by = outlook(new, old, by=by).kept_by
    assert kept_by is not None
    assert kept_by.rule is Rule.KEEP_LAST


def test_relatives_keep_one_another_until_the_last_of_them_is_over() -> None:
    parent, child = chat("a", idle=30 * DAY, ended="compression"), chat("b", idle=HOUR, parent="a")
    coming = outlook(parent, child, by=policy(classes={"files_after": HOUR})).files
    assert coming is not None
    assert coming.before is not None
    assert coming.at == pytest.approx(NOW + 23 * HOUR, abs=SECOND)
    assert coming.before.rule is Rule.LINEAGE


def test_budget_is_not_foretold() -> None:
    one = chat(idle=2 * DAY, ended="session_expired")
    tight = policy(max_disk=1000)
    assert decide(inventory(one), tight, now=NOW).steps[0].rule is Rule.MAX_DISK
    coming = outlook(one, by=tight).files
    assert coming is not None
    assert coming.step.rule is Rule.FILES_AFTER


def test_expiry_of_the_first_copy() -> None:
    by = policy(classes={"archive_after": 30 * DAY})
    copies = [archived("chat", age=10 * DAY), archived("chat", age=DAY)]
    coming = look_ahead(inventory(), by, "chat", copies=copies, now=NOW).expiry
    assert coming is not None
    assert coming.at == pytest.approx(NOW + 20 * DAY, abs=SECOND)
    assert look_ahead(inventory(), policy(), "chat", copies=copies, now=NOW) == Outlook()


TIERS = {"tool_output_after": 14 * DAY, "messages_after": 90 * DAY, "record_after": 365 * DAY}


def days_until(coming: Coming | None) -> int:
    assert coming is not None
    return round((coming.at - NOW) / DAY)


def test_each_part_comes_at_its_age() -> None:
    found = outlook(chat(idle=4 * DAY, ended="session_expired"), by=policy(classes=TIERS))
    parts = (found.files, found.tool_output, found.messages, found.record)
    assert [days_until(one) for one in parts] == [3, 10, 86, 361]
    assert [one.step.tier for one in parts if one is not None] == list(Tier)


def test_tool_output_that_goes_with_the_messages_is_not_told_apart() -> None:
    by = policy(classes={**TIERS, "tool_output_after": 100 * DAY})
    found = outlook(chat(idle=4 * DAY, ended="session_expired"), by=by)
    assert (found.tool_output, days_until(found.messages)) == (None, 86)


def test_messages_that_go_with_the_record_come_then() -> None:
    by = policy(classes={"messages_after": None, "record_after": 30 * DAY})
    found = outlook(chat(idle=4 * DAY, ended="session_expired"), by=by)
    assert days_until(found.messages) == days_until(found.record) == 26


def test_record_waits_for_what_goes_with_it() -> None:
    by = policy(classes={"record_after": 30 * DAY, "keep_failed": 50 * DAY})
    child = chat("b", idle=4 * DAY, parent="a", lineage=Lineage.DELEGATION, failed=True, ended="x")
    assert days_until(outlook(chat("a", idle=40 * DAY, ended="x"), child, by=by).record) == 46
    assert days_until(outlook(child, chat("a", idle=40 * DAY, ended="x"), by=by).record) == 46


def test_record_that_goes_with_the_newest_run_of_a_job_never_goes() -> None:
    """Which run is the newest is seen from the other runs, which nothing links to the session asked for."""
    by = policy(classes={"record_after": 30 * DAY, "keep_last": 1})
    parent = chat("p", idle=95 * DAY, ended="x")
    older = cron("cron_1", idle=91 * DAY, group="job")
    newest = cron("cron_2", idle=90 * DAY, group="job", parent="p", lineage=Lineage.DELEGATION)
    assert outlook(parent, newest, older, by=by).record is None
    newer = cron("cron_3", idle=80 * DAY, group="job")
    assert outlook(parent, newest, newer, by=by).record is not None


def test_guard_that_keeps_everything_for_good_is_named_once() -> None:
    found = outlook(chat(idle=400 * DAY, routes=[KEY]), by=policy(classes=TIERS))
    assert (found.files, found.tool_output, found.messages, found.record) == (None,) * 4
    assert found.kept_by is not None
    assert found.kept_by.rule is Rule.ROUTED


def test_age_that_is_never_is_no_guard() -> None:
    found = outlook(chat(idle=400 * DAY, ended="x"), by=policy(classes={"files_after": None}))
    assert (found.files, found.kept_by) == (None, None)


def test_session_without_files_has_an_outlook_too() -> None:
    one = chat(idle=4 * DAY, files=False, messages=None, ended="x")
    found = outlook(one, by=policy(classes=TIERS))
    assert (found.files, found.messages, days_until(found.record)) == (None, None, 361)


def is_due(coming: Coming | None, time: float) -> bool:
    return coming is not None and coming.at <= time


AGES = st.sampled_from([0, MINUTE, HOUR, 3 * HOUR, DAY, 4 * DAY, 9 * DAY, 40 * DAY])


@given(
    idle=AGES,
    ended=st.sampled_from([None, "session_reset", "session_expired"]),
    restored=st.none() | AGES,
    failed=st.booleans(),
    dumps=st.lists(AGES, max_size=2),
    child=st.none() | AGES,
    keep_failed=st.sampled_from([0, 5 * DAY, None]),
)
def test_nothing_goes_before_it_was_foretold_and_everything_goes_then(  # noqa: PLR0917 - given by name
    idle: int,
    ended: str | None,
    restored: int | None,
    failed: bool,  # noqa: FBT001 - the same
    dumps: list[int],
    child: int | None,
    keep_failed: int | None,
) -> None:
    one = chat("a", idle=idle, ended=ended, restored=restored, failed=failed, dumps=dumps)
    others = [] if child is None else [chat("b", idle=child, parent="a")]
    ages = {"files_after": 3 * DAY, "tool_output_after": 2 * DAY, "messages_after": 5 * DAY}
    by = policy(classes={**ages, "record_after": 19 * DAY, "keep_failed": keep_failed})
    found = look_ahead(inventory(one, *others), by, "a", now=NOW)

    def steps_at(time: float) -> list[Step]:
        plan = decide(inventory(one, *others), by, now=time)
        return [step for step in plan.steps if step.session_id == "a"]

    whole = len(one.artifacts)
    for hours in (0, 1, 5, 23, 25, 24 * 2, 24 * 3 + 1, 24 * 6, 24 * 20, 24 * 100):
        time = NOW + hours * HOUR + 1
        steps = steps_at(time)
        going = sum(len(step.artifacts) for step in steps)
        assert (going == whole) is is_due(found.files, time)
        assert (going > 0) is (is_due(found.files, time) or is_due(found.dumps, time))
        rows = {step.tier for step in steps} - {None, Tier.FILES}
        assert (rows == {Tier.RECORD}) is is_due(found.record, time)
        assert bool(rows - {Tier.TOOL_OUTPUT}) is is_due(found.messages, time)
        assert bool(rows) is (is_due(found.messages, time) or is_due(found.tool_output, time))


def test_outlook_is_plain_data() -> None:
    assert msgspec.structs.fields(Outlook)
