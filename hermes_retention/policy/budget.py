"""How much must go beyond what is due: ``max_disk`` with its low watermark, and ``keep_free``.

Only how many bytes, and what a step is expected to free. Which sessions go is said in ``decide``.
"""

from __future__ import annotations

import msgspec

from hermes_retention.model import Usage
from hermes_retention.plan import Step, Verdict
from hermes_retention.policy.lifecycle import Policy

ARCHIVED_SHARE = 0.2
"""Of what a file takes, the part that its archived copy is assumed to take. Measured copies take 1/30;
the plan must not promise more than a vault without a shared dictionary can keep (1/4 to 1/3 of real files,
which the file system rounds up to whole blocks)."""


class Need(msgspec.Struct, frozen=True):
    """Bytes to reclaim, and the setting that asks for them in words."""

    bytes: int
    rule: str
    reason: str


def bytes_needed(usage: Usage, policy: Policy) -> Need | None:
    """What the budget asks for before any step is taken; the larger of the two settings, or ``None``."""
    needs = [need for need in (_over_budget(usage, policy), _too_little_free(usage, policy)) if need is not None]
    return max(needs, key=lambda need: need.bytes, default=None)


def expected_gain(step: Step) -> int:
    """Bytes that ``step`` is expected to give back to the file system."""
    if step.verdict is Verdict.ARCHIVE_FILES:
        return int(step.bytes * (1 - ARCHIVED_SHARE))
    if step.verdict in (Verdict.DELETE_FILES, Verdict.EXPIRE_ARCHIVE):
        return step.bytes
    return 0


def _over_budget(usage: Usage, policy: Policy) -> Need | None:
    if policy.max_disk is None or usage.total_bytes <= policy.max_disk:
        return None
    excess = usage.total_bytes - int(policy.max_disk * policy.low_watermark)
    return Need(excess, "max_disk", "more is stored than max_disk allows")


def _too_little_free(usage: Usage, policy: Policy) -> Need | None:
    if policy.keep_free is None or usage.free_bytes is None or usage.free_bytes >= policy.keep_free:
        return None
    return Need(policy.keep_free - usage.free_bytes, "keep_free", "less is free on the disk than keep_free asks for")
