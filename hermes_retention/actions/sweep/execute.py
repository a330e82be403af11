"""Plan to effects. What happens was decided before; here is only in which order, and by whom.

A dry run uses ``NoEffects``, which does nothing and says that it is done. What must not live here: reasons,
output, the ledger.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Protocol

from hermes_retention.actions.sweep.archive_files import Archiver, deleted, vault_trouble
from hermes_retention.actions.sweep.archive_rows import RowArchiver
from hermes_retention.archive.entries import partition_name
from hermes_retention.archive.vault import Vault
from hermes_retention.home.ledger import Outcome
from hermes_retention.home.workspace import free_bytes
from hermes_retention.model.errors import ArtifactChanged, RetentionError, Stop, VaultUnwritable, never
from hermes_retention.model.plan import Action, Step, Tier
from hermes_retention.stores.base import Store, StoreFiles

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

What = tuple[Action, Tier | None]
"""An action and the tier that it is about; archived copies, which expire, have none."""
_IN_ORDER: tuple[What, ...] = (
    (Action.EXPIRE, None),
    (Action.DELETE, Tier.FILES),
    (Action.ARCHIVE, Tier.FILES),
    (Action.DELETE, Tier.MESSAGES),
    (Action.ARCHIVE, Tier.MESSAGES),
    (Action.ARCHIVE, Tier.TOOL_OUTPUT),
)
_AT_LAST: tuple[What, ...] = ((Action.DELETE, Tier.RECORD), (Action.ARCHIVE, Tier.RECORD))


class Effects(Protocol):
    """What can be done with the steps of a plan."""

    def carry_out(self, what: What, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Expire, delete or archive what these steps are about; yields one outcome for each of them."""


class NoEffects:
    """The effects of a dry run: none."""

    def carry_out(self, _: What, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Every step is done, as far as anybody can tell without doing it."""
        return (Outcome(step, freed_bytes=step.bytes) for step in steps)


def execute(steps: Sequence[Step], effects: Effects) -> Iterator[Outcome]:
    """Carry out ``steps``: first what frees space without needing any, then what is archived; records last.

    Yields an outcome for each step but the kept ones, and those that effects leave out because they were
    stopped; whatever comes after them is left out too. A failure concerns its own session only: its record
    stays, for what is left in the store must not become nobody's.
    """
    chosen: defaultdict[What, list[Step]] = defaultdict(list)
    for step in steps:
        chosen[step.action, step.tier].append(step)
    failed: set[str] = set()
    for what in _IN_ORDER:
        for outcome in effects.carry_out(what, chosen[what]) if chosen[what] else ():
            if outcome.errors:
                failed.add(outcome.step.session_id)
            yield outcome
    for what in _AT_LAST:
        yield from (Outcome(step, (_stays(step),)) for step in chosen[what] if step.session_id in failed)
        able = [step for step in chosen[what] if step.session_id not in failed]
        yield from effects.carry_out(what, able) if able else ()


def _stays(step: Step) -> ArtifactChanged:
    return ArtifactChanged(
        f"record of {step.session_id}",
        "something else of the session could not be removed",
        consequence="it was kept",
    )


class StoreEffects:
    """Effects on a real store and vault. Use it only while the lock of the home is held."""

    def __init__(  # noqa: PLR0913 - the parts of a home that effects touch
        self,
        store: Store,
        vault: Vault,
        files: StoreFiles,
        *,
        tool_output_above: int,
        changed_rows: int,
        sweep: str,
        now: float,
        archived_at: float,
        stop: Stop = never,
    ) -> None:
        """``tool_output_above`` is in bytes, times in Unix seconds; ``sweep`` is the id of the sweep.

        ``changed_rows`` is how many rows earlier sweeps changed since the database was last tidied.
        """
        self._vault, self._free_bytes, self._stop = vault, partial(free_bytes, store.home), stop
        self._archiver = Archiver(vault, files, store.metadata, sweep=sweep, now=archived_at, stop=stop)
        self._rows = rows = RowArchiver(
            vault, store, sweep=sweep, now=now, archived_at=archived_at, changed_rows=changed_rows, stop=stop
        )
        self._ways: dict[What, Callable[[Sequence[Step]], Iterator[Outcome]]] = {
            (Action.EXPIRE, None): self._expire,
            (Action.DELETE, Tier.FILES): partial(deleted, files, stop=stop),
            (Action.ARCHIVE, Tier.FILES): self._archive_files,
            (Action.DELETE, Tier.MESSAGES): rows.delete_messages,
            (Action.ARCHIVE, Tier.MESSAGES): rows.archive_messages,
            (Action.ARCHIVE, Tier.TOOL_OUTPUT): partial(
                rows.archive_tool_output, longer_than_bytes=tool_output_above
            ),
            (Action.DELETE, Tier.RECORD): rows.delete_records,
            (Action.ARCHIVE, Tier.RECORD): rows.archive_records,
        }

    @property
    def changed_rows(self) -> int:
        """The same, these steps included."""
        return self._rows.changed_rows

    def carry_out(self, what: What, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Do it. What is archived is committed and read back, and only then removed."""
        return self._ways[what](steps)

    def _archive_files(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """A little at a time while there is little room."""
        return in_rounds(
            steps,
            self._archiver.archive,
            free_bytes=self._free_bytes,
            has_month=lambda name: self._vault.partition_path(name).exists(),
        )

    def _expire(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Remove archived copies, a partition at a time; first whole ones, which needs no space."""
        left: list[list[Step]] = []
        for _, group in groupby(steps, key=lambda step: step.partition):
            members = list(group)
            if self._stop():
                return
            outcomes = self._expired(members, self._vault.drop_partition)
            yield from outcomes
            left += [] if outcomes else [members]
        for members in left:
            if self._stop():
                return
            yield from self._expired(members, self._vault.remove_sessions)

    def _expired(self, members: Sequence[Step], remove: Callable[..., bool | None]) -> list[Outcome]:
        """What became of the steps of one partition; nothing if ``remove`` says that they are not its own."""
        partition, ids = members[0].partition or "", [step.session_id for step in members]
        try:
            # Its age may be what is damaged.
            self._vault.require_as_archived(ids, partition=partition)
            if remove(ids, partition=partition) is False:
                return []
        except (RetentionError, sqlite3.Error, OSError) as error:
            return [Outcome(step, (vault_trouble(error),)) for step in members]
        return [Outcome(step, freed_bytes=step.bytes) for step in members]


def in_rounds(
    steps: Sequence[Step],
    archive: Callable[[Sequence[Step]], Iterator[Outcome]],
    *,
    free_bytes: Callable[[], int | None],
    has_month: Callable[[str], bool],
) -> Iterator[Outcome]:
    """Archive all at once where there is room, else in rounds that fit into half of what is free then.

    In rounds, each makes room for the next: first the months that give back most, each with its smallest
    sessions first. A month that is new to the vault takes room by itself, which a few small ones do not give
    back.

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
