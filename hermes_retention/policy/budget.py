"""How much must go beyond what is due: ``max_disk`` with its low watermark, and ``keep_free``.

Only how many bytes, and what a step is expected to free. Which sessions go is said in ``reclaim``. Rows count
for ``max_disk`` alone: the host's database uses the room again that they leave, but gives none of it back.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hermes_retention.model import Usage
from hermes_retention.plan import Rule, Step, Tier, Verdict
from hermes_retention.policy.lifecycle import Policy

ARCHIVED_SHARE = 0.2
"""Of what a file takes, the part that its archived copy is assumed to take. Measured copies take 1/30;
the plan must not promise more than a vault without a shared dictionary can keep (1/4 to 1/3 of real files,
which the file system rounds up to whole blocks)."""
_OF_ROWS = frozenset(verdict for verdict in Verdict if verdict.tier not in (None, Tier.FILES))
_ARCHIVING = frozenset({Verdict.ARCHIVE_FILES, Verdict.ARCHIVE_MESSAGES, Verdict.ARCHIVE_RECORD})
_DELETING = frozenset(
    {Verdict.DELETE_FILES, Verdict.DELETE_MESSAGES, Verdict.DELETE_RECORD, Verdict.EXPIRE_ARCHIVE}
)


class Need(msgspec.Struct, frozen=True):
    """What one setting asks for beyond what is due."""

    rule: Rule
    reason: str
    target_bytes: int
    """How much to free."""
    least_bytes: int
    """How much of it must be free for the setting to be kept; the rest is head room until the next sweep."""
    levers: str
    """The settings that keep what could meet it."""


def needs(usage: Usage, policy: Policy, steps: Iterable[Step]) -> list[Need]:
    """What the budget asks for beyond ``steps``, which are due. Often nothing.

    ``max_disk`` comes first: it may take more than files, ``keep_free`` may not.
    """
    gained = freed = 0
    for step in steps:
        gain = expected_gain(step)
        gained += gain
        freed += 0 if step.verdict in _OF_ROWS else gain
    asked = (_over_budget(usage, policy, gained), _too_little_free(usage, policy, freed))
    return [need for need in asked if need is not None]


def expected_gain(step: Step) -> int:
    """Bytes by which ``step`` is expected to lessen what counts against ``max_disk``.

    What it gives back to the file system is the same for files and archived copies, and nothing for rows.
    Their archived copies take a little there: that is not counted. It would be a share of an estimate, and no
    session shall lose its files early for that; the next sweep sees what is free.
    """
    if step.verdict in _ARCHIVING:
        return int(step.bytes * (1 - ARCHIVED_SHARE))
    if step.verdict in _DELETING:
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
        levers="keep_last, keep_failed, files_after or messages_after",
    )


def _too_little_free(usage: Usage, policy: Policy, gained_bytes: int) -> Need | None:
    if policy.keep_free is None or usage.free_bytes is None:
        return None
    missing = policy.keep_free - usage.free_bytes - gained_bytes
    if missing <= 0:
        return None
    return Need(
        Rule.KEEP_FREE,
        "less is free on the disk than keep_free asks for",
        target_bytes=missing,
        least_bytes=missing,
        levers="keep_last, keep_failed or files_after",
    )
