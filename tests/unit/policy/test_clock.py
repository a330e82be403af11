"""A clock that jumps: what would go for good waits, all else goes on."""

from __future__ import annotations

import pytest
from inventories import DAY, HOUR, MINUTE, NOW, archived, chat, hook, inventory, policy
from verdicts import Verdict

from hermes_retention.model.plan import Plan, Rule
from hermes_retention.model.session import ClockMemory, Inventory
from hermes_retention.policy.clock import check_clock, stamp
from hermes_retention.policy.decide import decide
from hermes_retention.policy.lifecycle import OnReset

YEAR = 365 * DAY
FINAL = {"archive": False, "messages_after": 7 * DAY, "record_after": 9 * DAY}


def verdicts(plan: Plan) -> set[str]:
    return {step.verdict for step in plan.steps}


def after_jump(*sessions: object, **facts: object) -> Inventory:
    return inventory(*sessions, swept=YEAR, **facts)  # type: ignore[arg-type]  # one keyword per fact


def test_jump_ahead_keeps_what_would_go_for_good() -> None:
    plan = decide(after_jump(chat(idle=YEAR, ended="done")), policy(classes=FINAL), now=NOW)
    assert verdicts(plan) == {Verdict.KEEP}
    assert {step.rule for step in plan.steps} == {Rule.CLOCK}
    assert any("in doubt" in warning for warning in plan.warnings)


def test_jump_ahead_does_not_keep_what_comes_back() -> None:
    plan = decide(after_jump(chat(idle=YEAR, ended="done")), policy(), now=NOW)
    assert verdicts(plan) == {Verdict.ARCHIVE_FILES}
    assert plan.warnings == ()


def test_jump_ahead_expires_nothing() -> None:
    given = after_jump(copies=[archived("old", age=YEAR)])
    assert decide(given, policy(classes={"archive_after": 30 * DAY}), now=NOW).steps == ()


def test_jump_ahead_deletes_no_superseded_files_and_no_dumps() -> None:
    gone = chat("gone", idle=YEAR, ended="new_session", successor="next")
    kept = hook("kept", idle=10, dumps=[YEAR])
    for final in (policy(on_reset=OnReset.DELETE), policy(classes={"archive": False})):
        assert verdicts(decide(after_jump(gone, kept), final, now=NOW)) <= {
            Verdict.KEEP,
            Verdict.ARCHIVE_FILES,
        }


def test_jump_ahead_lets_no_budget_take_what_would_go_for_good() -> None:
    given = after_jump(chat(idle=YEAR, ended="done", size=10**9))
    plan = decide(given, policy(classes=FINAL, max_disk=1000), now=NOW)
    assert verdicts(plan) == {Verdict.KEEP}


def test_clock_that_went_back_keeps_too() -> None:
    given = inventory(chat(idle=YEAR, ended="done"), swept=-YEAR)
    assert verdicts(decide(given, policy(classes=FINAL), now=NOW)) == {Verdict.KEEP}


@pytest.mark.parametrize("swept", [-MINUTE, 0, HOUR, 6 * DAY], ids=str)
def test_time_between_sweeps_and_corrections_of_the_clock_are_no_jumps(swept: float) -> None:
    given = inventory(chat(idle=YEAR, ended="done"), swept=swept)
    assert Verdict.KEEP not in verdicts(decide(given, policy(classes=FINAL), now=NOW))


def test_time_in_which_the_home_was_busy_has_passed() -> None:
    week = range(1, 61)
    busy = [chat(f"c{number}", idle=number * 6 * DAY, ended="done") for number in week]
    assert (
        check_clock(ClockMemory(NOW - YEAR, NOW - YEAR), [one.last_activity for one in busy], now=NOW).doubt
        is None
    )


def test_doubt_ends_when_the_clock_has_run_evenly_for_a_day() -> None:
    memory = check_clock(ClockMemory(NOW - YEAR, NOW - YEAR), (), now=NOW).memory
    for hours in (1, 12, 23.9):
        clock = check_clock(memory, (), now=NOW + hours * HOUR)
        assert clock.doubt is not None
        memory = clock.memory
    assert check_clock(memory, (), now=NOW + DAY) == check_clock(None, (), now=NOW + DAY)


def test_second_jump_begins_the_day_anew() -> None:
    memory = check_clock(ClockMemory(NOW - YEAR, NOW - YEAR), (), now=NOW).memory
    memory = check_clock(memory, (), now=NOW - YEAR).memory
    assert check_clock(memory, (), now=NOW - YEAR + 23 * HOUR).doubt is not None


def test_copies_made_under_a_clock_that_is_behind_are_not_old_when_it_is_right_again() -> None:
    memory = ClockMemory(NOW, NOW)
    behind = check_clock(memory, (), now=NOW - YEAR).memory
    assert stamp(memory, now=NOW - YEAR) == stamp(behind, now=NOW - YEAR + HOUR) == NOW


def test_without_a_memory_nothing_is_doubted() -> None:
    assert check_clock(None, (), now=NOW).doubt is None
    assert stamp(None, now=NOW) == NOW
