"""Every rule has an answer for a session; that they agree with what is decided is a property (see there)."""

from __future__ import annotations

from inventories import DAY, HOUR, KEY, NOW, chat, cron, inventory, policy

from hermes_retention.model.plan import Rule
from hermes_retention.model.session import Inventory
from hermes_retention.policy.explain import ask_all
from hermes_retention.policy.lifecycle import Policy

GUARDS = {Rule.HELD, Rule.BUSY, Rule.TIME_UNKNOWN, Rule.MIN_AGE, Rule.ROUTED, Rule.RUNNING, Rule.LINEAGE}


def answers(facts: Inventory, rules: Policy, session_id: str) -> dict[Rule, tuple[bool, str]]:
    return {one.rule: (one.is_yes, one.fact) for one in ask_all(facts, rules, session_id, now=NOW)}


def test_every_guard_answers_although_the_first_would_do() -> None:
    facts = inventory(chat("a", idle=60, routes=[KEY], busy="compression lock"), holds={"a": "audit"})
    found = answers(facts, policy(), "a")
    assert [rule for rule, (is_yes, _) in found.items() if is_yes and rule in GUARDS] == [
        Rule.HELD,
        Rule.BUSY,
        Rule.MIN_AGE,
        Rule.ROUTED,
    ]
    assert found[Rule.HELD][1] == "audit"


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
    assert ask_all(inventory(chat("a")), policy(), "b", now=NOW) == ()
