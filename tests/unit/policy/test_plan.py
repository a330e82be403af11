"""The plan as a whole: order, determinism, what it is made of, and that its rules are explained."""

from __future__ import annotations

import random
import re
from pathlib import Path

import msgspec
import pytest
from inventories import DAY, HOUR, KEY, NOW, archived, chat, cron, hook, inventory, plan_for, policy, session
from verdicts import Verdict

from hermes_retention.model.plan import VERDICTS, Liveness, Plan, Rule
from hermes_retention.model.session import Inventory, Lineage, Session, SessionClass, Usage
from hermes_retention.policy.decide import decide

LIFECYCLE_PAGE = Path(__file__).resolve().parents[3] / "docs" / "explanation" / "lifecycle.md"

MIXED = (
    chat("routed", routes=[KEY], dumps=[9 * DAY]),
    chat("c1", ended="compression", idle=20 * DAY),
    chat("c2", ended="idle", idle=9 * DAY, parent="c1", lineage=Lineage.COMPRESSION),
    chat("superseded", ended="new_session", idle=5 * DAY),
    chat("waiting", ended="cli_close", idle=2 * DAY),
    hook("hook", ended="webhook_complete", idle=9 * DAY),
    session("orphan", SessionClass.OTHER, recorded=False),
    *(cron(f"run-{number}", group="job", idle=(3 + number) * DAY) for number in range(8)),
)
TIGHT = policy(classes={"keep_last": 2, "archive_after": 90 * DAY}, max_disk=100_000)


def mixed(sessions: tuple[Session, ...] = MIXED) -> Inventory:
    copies = [archived("old", age=100 * DAY), archived("young", age=DAY)]
    taken = inventory(*sessions, copies=copies, holds={"run-7": "evidence"})
    return msgspec.structs.replace(taken, sessions=sessions)


# determinism


def test_same_inventory_policy_and_time_give_an_identical_plan() -> None:
    plans = [decide(mixed(), TIGHT, now=NOW) for _ in range(3)]
    assert plans[0] == plans[1] == plans[2]
    assert len({plan.fingerprint() for plan in plans}) == 1


def test_order_in_which_sessions_are_listed_does_not_matter() -> None:
    expected = decide(mixed(), TIGHT, now=NOW).fingerprint()
    for seed in range(10):
        shuffled = tuple(random.Random(seed).sample(MIXED, len(MIXED)))
        assert decide(mixed(shuffled), TIGHT, now=NOW).fingerprint() == expected


def test_inventory_is_not_changed_by_a_decision() -> None:
    taken = mixed()
    copy = msgspec.structs.replace(taken, holds=dict(taken.holds))
    decide(taken, TIGHT, now=NOW)
    assert taken == copy


@pytest.mark.parametrize(
    "other",
    [
        {"now": NOW + 1},
        {"home": "/elsewhere"},
        {"warnings": ("one more",)},
        {"steps": ()},
    ],
    ids=lambda other: next(iter(other)),
)
def test_fingerprint_tells_different_plans_apart(other: dict[str, object]) -> None:
    plan = decide(mixed(), TIGHT, now=NOW)
    assert msgspec.structs.replace(plan, **other).fingerprint() != plan.fingerprint()


def test_fingerprint_of_names_that_are_not_utf8_exists() -> None:
    assert len(plan_for(chat("caf\udce9\n")).fingerprint()) == 64


# order


def test_steps_expire_first_then_remove_the_oldest_first_then_keep() -> None:
    plan = decide(mixed(), TIGHT, now=NOW)
    kinds = [
        0 if step.verdict == Verdict.EXPIRE_ARCHIVE else 2 if step.verdict == Verdict.KEEP else 1
        for step in plan.steps
    ]
    assert kinds == sorted(kinds)
    removed = [(step.last_activity, step.session_id) for step in plan.removals()[1:]]
    assert removed == sorted(removed)
    kept = [step.session_id for step in plan.steps if step.verdict == Verdict.KEEP]
    assert kept == sorted(kept)


def test_removals_are_all_steps_that_change_something() -> None:
    plan = decide(mixed(), TIGHT, now=NOW)
    assert plan.removals() == tuple(step for step in plan.steps if step.verdict != Verdict.KEEP)
    assert 0 < len(plan.removals()) < len(plan.steps)


def test_plan_names_home_time_and_every_session_once() -> None:
    plan = decide(mixed(), TIGHT, now=NOW)
    assert (plan.home, plan.now) == ("/home/ada/.hermes", NOW)
    about_files = [step.session_id for step in plan.steps if step.verdict != Verdict.EXPIRE_ARCHIVE]
    assert sorted(about_files) == sorted(one.id for one in MIXED)


def test_empty_home_has_an_empty_plan() -> None:
    plan = decide(Inventory("/home/ada/.hermes", (), Usage(0)), TIGHT, now=NOW)
    assert plan == Plan("/home/ada/.hermes", NOW, ())


# reasons


def test_reasons_are_one_printable_line_whatever_ids_and_texts_hold() -> None:
    evil = "x\n\x1b[31m\u202e\udcff\u2028"
    plan = plan_for(
        chat(evil, routes=[evil]),
        chat("1", parent=evil),
        chat("2", busy=evil),
        chat("3", ended=evil),
        chat("4", idle=HOUR, successor=evil),
        chat("5", ended=evil, group=evil),
        chat("6", idle=HOUR, ended=evil, started=2 * HOUR),
        hook("7", ended=evil, idle=8 * DAY),
        holds={"held": evil},
        by=policy(classes={"keep_last": 1}),
    )
    assert all(step.reason.isprintable() and step.reason for step in plan.steps)


def test_equal_reasons_of_many_sessions_take_memory_once() -> None:
    plan = plan_for(*(chat(f"{number:03}", ended="idle") for number in range(50)))
    assert len({id(step.reason) for step in plan.steps}) == 1


# what is documented


def documented(column: str) -> list[str]:
    """The names in the first column of the table with this heading."""
    lines = LIFECYCLE_PAGE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {column} |"))
    names = []
    for line in lines[start + 2 :]:
        match = re.match(r"\| `(\w+)` \|", line)
        if match is None:
            break
        names.append(match[1])
    return names


def test_every_rule_is_explained() -> None:
    assert documented("rule") == [rule.value for rule in Rule]


def test_every_liveness_is_explained() -> None:
    assert documented("liveness") == [liveness.value for liveness in Liveness]


def test_every_verdict_is_explained() -> None:
    assert documented("verdict") == list(VERDICTS.values())


def test_names_of_rules_are_stable() -> None:
    """The ledger and people's scripts hold them: a new rule is welcome here, a changed name is not."""
    assert " ".join(Rule) == (
        "held pinned busy time_unknown min_age routed running lineage clock restored keep_last keep_failed "
        "never files_after on_reset persist dumps_after leftovers_after tool_output_after messages_after "
        "record_after archive_after max_sessions max_disk keep_free discarded forgotten nothing_left"
    )
