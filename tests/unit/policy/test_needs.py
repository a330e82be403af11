"""How much a budget asks for beyond what is due, and what a step is expected to give back."""

from __future__ import annotations

import pytest
from inventories import policy
from verdicts import Verdict

from hermes_retention.model.plan import Liveness, Rule, Step
from hermes_retention.model.session import SessionClass, Usage
from hermes_retention.policy.budget import needs


def deleting(size: int, verdict: Verdict = Verdict.DELETE_FILES) -> Step:
    return Step("a", SessionClass.CHAT, Liveness.ENDED, *verdict.axes, Rule.FILES_AFTER, "", bytes=size)


def test_nothing_is_asked_for_without_a_budget() -> None:
    assert needs(Usage(10**15, free_bytes=0), policy(), ()) == []


def test_nothing_is_asked_for_within_the_budget() -> None:
    by = policy(max_disk=100, keep_free=100)
    assert needs(Usage(60, 30, 10, free_bytes=100), by, ()) == []


def test_budget_counts_sessions_vault_and_ledger_down_to_the_low_watermark() -> None:
    (need,) = needs(Usage(61, 30, 10), policy(max_disk=100, low_watermark=0.8), ())
    assert (need.rule, need.target_bytes, need.least_bytes) == (Rule.MAX_DISK, 21, 1)


def test_keep_free_asks_for_what_is_missing() -> None:
    (need,) = needs(Usage(0, free_bytes=30), policy(keep_free=100), ())
    assert (need.rule, need.target_bytes, need.least_bytes) == (Rule.KEEP_FREE, 70, 70)


def test_keep_free_asks_for_nothing_when_free_space_cannot_be_read() -> None:
    assert needs(Usage(10**9), policy(keep_free=10**12), ()) == []


def test_what_due_steps_free_is_not_asked_for_again() -> None:
    by = policy(max_disk=100, keep_free=100)
    assert needs(Usage(110, free_bytes=90), by, [deleting(10)]) == []


def test_rows_that_go_count_for_the_budget_but_leave_nothing_free_on_the_disk() -> None:
    by = policy(max_disk=100, keep_free=100)
    (need,) = needs(Usage(90, database_bytes=20, free_bytes=90), by, [deleting(10, Verdict.DELETE_MESSAGES)])
    assert (need.rule, need.target_bytes) == (Rule.KEEP_FREE, 10)


def test_budget_counts_the_used_pages_of_the_database() -> None:
    (need,) = needs(Usage(50, database_bytes=51), policy(max_disk=100, low_watermark=1.0), ())
    assert (need.rule, need.target_bytes) == (Rule.MAX_DISK, 1)


@pytest.mark.parametrize(
    ("verdict", "gain"),
    [
        (Verdict.KEEP, 0),
        (Verdict.ARCHIVE_FILES, 800),
        (Verdict.DELETE_FILES, 1000),
        (Verdict.ARCHIVE_TOOL_OUTPUT, 0),
        (Verdict.ARCHIVE_MESSAGES, 800),
        (Verdict.DELETE_MESSAGES, 1000),
        (Verdict.ARCHIVE_RECORD, 800),
        (Verdict.DELETE_RECORD, 1000),
        (Verdict.EXPIRE_ARCHIVE, 1000),
    ],
)
def test_gain_counts_what_the_archived_copy_takes(verdict: Verdict, gain: int) -> None:
    assert deleting(0 if verdict == Verdict.ARCHIVE_TOOL_OUTPUT else 1000, verdict).expected_gain == gain
