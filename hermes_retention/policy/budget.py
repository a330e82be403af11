"""How much must go beyond what is due: ``max_disk`` with its low watermark, and ``keep_free``.

Only how many bytes, and what a step is expected to free. Which sessions go is said in ``decide``.
"""

from __future__ import annotations

import msgspec

from hermes_retention.model import Usage
from hermes_retention.plan import Rule, Step, Verdict
from hermes_retention.policy.lifecycle import Policy

ARCHIVED_SHARE = 0.2
"""Of what a file takes, the part that its archived copy is assumed to take. Measured copies take 1/30;
the plan must not promise more than a vault without a shared dictionary can keep (1/4 to 1/3 of real files,
which the file system rounds up to whole blocks)."""


class Need(msgspec.Struct, frozen=True):
    """What one setting asks for beyond what is due."""

    rule: Rule
    reason: str
    target_bytes: int
    """How much to free."""
    least_bytes: int
    """How much of it must be free for the setting to be kept; the rest is head room until the next sweep."""


def needs(usage: Usage, policy: Policy, *, gained_bytes: int) -> list[Need]:
    """What the budget asks for, given that the steps that are due free ``gained_bytes``. Often nothing."""
    asked = (_over_budget(usage, policy, gained_bytes), _too_little_free(usage, policy, gained_bytes))
    return [need for need in asked if need is not None]


def expected_gain(step: Step) -> int:
    """Bytes that ``step`` is expected to give back to the file system."""
    if step.verdict is Verdict.ARCHIVE_FILES:
        return int(step.bytes * (1 - ARCHIVED_SHARE))
    if step.verdict in (Verdict.DELETE_FILES, Verdict.EXPIRE_ARCHIVE):
        return step.bytes
    return 0


def _over_budget(usage: Usage, policy: Policy, gained_bytes: int) -> Need | None:
    stored = usage.total_bytes - gained_bytes
    if policy.max_disk is None or stored <= policy.max_disk:
        return None
    return Need(
        Rule.MAX_DISK,
        "more is stored than max_disk allows",
        target_bytes=stored - int(policy.max_disk * policy.low_watermark),
        least_bytes=stored - policy.max_disk,
    )


def _too_little_free(usage: Usage, policy: Policy, gained_bytes: int) -> Need | None:
    if policy.keep_free is None or usage.free_bytes is None:
        return None
    missing = policy.keep_free - usage.free_bytes - gained_bytes
    if missing <= 0:
        return None
    return Need(Rule.KEEP_FREE, "less is free on the disk than keep_free asks for", missing, missing)
