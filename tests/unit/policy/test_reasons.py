"""Every rule has an answer for a session; that they agree with what is decided is a property (see there)."""

from __future__ import annotations

import msgspec
from inventories import DAY, HOUR, KEY, NOW, chat, cron, inventory, policy, session
from verdicts import GUARDS

from hermes_retention.model.plan import Rule
from hermes_retention.model.session import ClockMemory, Inventory, Lineage, SessionClass
from hermes_retention.policy.explain import reasons_for
from hermes_retention.policy.lifecycle import Policy


def answers(facts: Inventory, rules: Policy, session_id: str) -> dict[Rule, tuple[bool, str]]:
    reasons = reasons_for(facts, rules, session_id, now=NOW)
    assert reasons is not None
    return {one.rule: (one.is_yes, one.fact) for one in reasons.answers}


def test_every_guard_answers_although_the_first_would_do() -> None:
    facts = inventory(chat("a", idle=60, routes=[KEY], busy="compression lock"), holds={"a": "audit"})
    found = answers(facts, policy(), "a")
    assert [rule for rule, (is_yes, _) in found.items() if is_yes and rule in GUARDS] == [
        Rule.HELD,
        Rule.BUSY,
        Rule.MIN_AGE,
        Rule.ROUTED,
    ]
    assert found[Rule.HELD][1] == "held: audit"


def test_mark_of_the_host_is_told_where_it_keeps_nothing() -> None:
    facts = inventory(chat("a", ended="expired"), marks={"a": "archived there, and ages as any other"})
    fact = "not pinned; archived there, and ages as any other"
    assert answers(facts, policy(), "a")[Rule.PINNED] == (False, fact)
    assert answers(inventory(chat("a")), policy(), "a")[Rule.PINNED] == (False, "not pinned")


def test_rank_in_the_series_is_told_for_all() -> None:
    runs = [cron(f"cron_job_2026110{day}_090000", idle=day * DAY, group="job") for day in range(1, 6)]
    found = answers(inventory(*runs), policy(classes={"keep_last": 2}), runs[3].id)
    fact = "number 4 of its job or chat, counted from the newest; 2 of them are kept"
    assert found[Rule.KEEP_LAST] == (False, fact)


def test_ages_tell_how_far_they_are() -> None:
    found = answers(
        inventory(chat("a", idle=8 * DAY, ended="expired")), policy(classes={"files_after": 7 * DAY}), "a"
    )
    assert found[Rule.FILES_AFTER] == (True, "idle for 8 d, due after 7 d")
    live = answers(inventory(chat("a", idle=HOUR, routes=[KEY])), policy(classes={"files_after": 60}), "a")
    assert live[Rule.FILES_AFTER] == (
        False,
        "idle for 1 h, due after 10 min; it is live, so nothing is due",
    )


def test_session_that_nobody_knows_has_no_answers() -> None:
    assert reasons_for(inventory(chat("a")), policy(), "b", now=NOW) is None


def test_superseded_chat_shows_the_rule_that_makes_its_files_due() -> None:
    found = answers(inventory(chat("a", idle=HOUR, ended="new_session")), policy(), "a")
    assert found[Rule.ON_RESET] == (True, "idle for 1 h, due after 10 min")
    assert found[Rule.FILES_AFTER] == (False, "idle for 1 h, due after 7 d")


def test_run_that_shall_leave_nothing_shows_the_rule_that_makes_it_due() -> None:
    run = cron(idle=HOUR, ended="cron_complete")
    found = answers(inventory(run), policy(classes={"persist": False, "files_after": 7 * DAY}), run.id)
    assert found[Rule.PERSIST] == (True, "idle for 1 h, due after 10 min")
    assert found[Rule.FILES_AFTER] == (False, "idle for 1 h, due after 7 d")


def test_what_waits_for_the_clock_says_so() -> None:
    facts = inventory(chat("a", idle=40 * DAY, ended="expired"))
    facts = msgspec.structs.replace(facts, clock=ClockMemory(NOW + DAY, NOW + DAY))
    found = answers(facts, policy(classes={"archive": False, "files_after": DAY}), "a")
    assert found[Rule.CLOCK][0]
    assert found[Rule.FILES_AFTER][0] is False


def test_what_the_budget_takes_early_says_so() -> None:
    facts = inventory(chat("a", idle=3 * DAY, ended="expired"))
    found = answers(facts, policy(classes={"files_after": 7 * DAY}, max_disk=1), "a")
    assert found[Rule.MAX_DISK] == (True, "ended (expired); more is stored than max_disk allows")
    assert found[Rule.FILES_AFTER][0] is False


def test_record_that_goes_with_another_says_with_which() -> None:
    parent = chat("parent", idle=100 * DAY, ended="expired", files=False)
    child = session(
        "child",
        SessionClass.SUBAGENT,
        idle=90 * DAY,
        ended="done",
        parent="parent",
        lineage=Lineage.DELEGATION,
        files=False,
    )
    by = policy(classes={"record_after": None})
    chats = msgspec.structs.replace(by.lifecycles[SessionClass.CHAT], record_after=DAY)
    by = msgspec.structs.replace(by, lifecycles={**by.lifecycles, SessionClass.CHAT: chats})
    found = answers(inventory(parent, child), by, "child")
    assert found[Rule.RECORD_AFTER][0]
    assert found[Rule.RECORD_AFTER][1].startswith("goes with parent")
