"""Archiving while the disk is nearly full: a little at a time, so that each part makes room for the next.

First the months that give back most, each with its smallest sessions first: a month that is new to the vault
takes room by itself, which a few small sessions do not give back. What must not live here: which sessions,
and how they are archived.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from hermes_retention.archive.vault import partition_name
from hermes_retention.home.ledger import Outcome
from hermes_retention.model.errors import VaultUnwritable
from hermes_retention.model.plan import Step

ROOMY_BYTES = 256 * 2**20
"""With so much free, batches of any size fit, and archiving need not wait for removals."""
_NEW_MONTH_BYTES = 192 * 2**10
"""What an empty partition takes, about."""
_JOURNAL_BYTES = 192 * 2**10
"""What a transaction takes beside its content while it lasts, about."""
_SHARE = 0.5
"""How much of what is free a round may take, before compression."""
_TRIES = 3
"""After so many rounds in a row that failed as a whole, the rest is not tried."""


def in_rounds(
    steps: Sequence[Step],
    archive: Callable[[Sequence[Step]], Iterator[Outcome]],
    *,
    free_bytes: Callable[[], int | None],
    has_month: Callable[[str], bool],
) -> Iterator[Outcome]:
    """Archive all at once where there is room, else in rounds that fit into half of what is free then.

    Yields one outcome for each step, up to where archiving is stopped. ``has_month`` tells whether the vault
    has a partition of that name.
    """
    free, failed = free_bytes(), 0
    if free is None or free >= ROOMY_BYTES:
        yield from archive(steps)
        return
    for month in _by_gain(steps, has_month):
        while month:
            room = (free_bytes() or 0) * _SHARE - _JOURNAL_BYTES
            some = month[: _fitting(month, room)]
            del month[: len(some)]
            outcomes = list(archive(some))
            yield from outcomes
            if len(outcomes) < len(some):  # archiving was stopped
                return
            refusals = [_refusal(outcome) for outcome in outcomes]
            if None in refusals:
                failed = 0
                continue
            failed += 1
            if failed == _TRIES:
                archive = _refusing(refusals[0])
            yield from _refusing(refusals[0])(month)
            month.clear()


def _by_gain(steps: Sequence[Step], has_month: Callable[[str], bool]) -> list[list[Step]]:
    """The steps of each month, the smallest first; the month that gives back most comes first."""
    months: defaultdict[str, list[Step]] = defaultdict(list)
    for step in sorted(steps, key=lambda step: (step.bytes, step.session_id)):
        months[partition_name(step.last_activity)].append(step)

    def gain(name: str) -> int:
        return sum(step.bytes for step in months[name]) - (0 if has_month(name) else _NEW_MONTH_BYTES)

    return [months[name] for name in sorted(months, key=lambda name: (-gain(name), name))]


def _fitting(steps: Sequence[Step], room: float) -> int:
    """How many of the first steps fit; at least one, since compressed it may."""
    total = 0
    for number, step in enumerate(steps):
        total += step.bytes
        if total > room:
            return max(1, number)
    return len(steps)


def _refusal(outcome: Outcome) -> VaultUnwritable | None:
    return next((error for error in outcome.errors if isinstance(error, VaultUnwritable)), None)


def _refusing(error: VaultUnwritable | None) -> Callable[[Sequence[Step]], Iterator[Outcome]]:
    """Tells every step what the others were told."""
    return lambda steps: (Outcome(step, () if error is None else (error,)) for step in steps)
