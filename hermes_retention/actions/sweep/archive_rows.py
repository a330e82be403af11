"""How rows move from a store to the vault: read, compress, commit, sync, read back, and only then remove.

The way of files (``archiving``) with other steps at both ends: rows are read in one transaction per batch,
and removed in many short ones. What must not live here: which sessions, and why; SQL.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import groupby
from typing import TypeAlias, TypeVar

from hermes_retention.actions.sweep.archive_files import vault_trouble
from hermes_retention.actions.sweep.row_loading import (
    Load,
    Loader,
    MessagesLoader,
    ToolOutputLoader,
    UnitLoader,
)
from hermes_retention.actions.sweep.row_order import children_first
from hermes_retention.archive.entries import SessionEntry
from hermes_retention.archive.vault import Packing, PartitionWriter, Vault, partition_name
from hermes_retention.home.ledger import Outcome
from hermes_retention.model.errors import RetentionError, StoreUnreadable
from hermes_retention.model.plan import Step
from hermes_retention.model.stop import Stop, never
from hermes_retention.stores.base import SessionMetadata, Store
from hermes_retention.stores.rows import RowRemover, RowsChanged, Ticket

BATCH_BYTES = 16 * 2**20
"""Estimated bytes of a batch, search tables included: a read transaction of a second or so."""
BATCH_STEPS = 1000
_SAMPLES = 12
_SAMPLE_BYTES = 256 * 2**10
_UNDESCRIBED = SessionMetadata()

_Item = TypeVar("_Item")
_Remove: TypeAlias = Callable[[RowRemover, Sequence[Ticket]], Iterator[RowsChanged]]


def _remove_messages(remover: RowRemover, tickets: Sequence[Ticket]) -> Iterator[RowsChanged]:
    return remover.remove_messages(tickets)


def _replace_tool_output(remover: RowRemover, tickets: Sequence[Ticket]) -> Iterator[RowsChanged]:
    return remover.replace_tool_output(tickets)


def _remove_units(remover: RowRemover, tickets: Sequence[Ticket]) -> Iterator[RowsChanged]:
    return remover.remove_units(tickets)


class RowArchiver:
    """Moves rows of a store into the vault, or removes them for good, on behalf of one sweep.

    Each method yields one outcome for each step, but for those that a stop leaves out: nothing was removed of
    them. An error of the database ends the method: what is not done is told with that error. An unusable
    partition costs only its own month.
    """

    def __init__(  # noqa: PLR0913 - source, target, and on whose behalf
        self,
        vault: Vault,
        store: Store,
        *,
        sweep: str,
        now: float,
        archived_at: float | None = None,
        changed_rows: int = 0,
        stop: Stop = never,
    ) -> None:
        """Copies are noted as archived at ``archived_at``, which is ``now`` unless given.

        A stop is heard between two transactions.
        """
        self._vault, self._store, self._sweep, self._now, self._stop = vault, store, sweep, now, stop
        self._archived_at = now if archived_at is None else archived_at
        self.changed_rows = changed_rows
        """Rows of messages that were changed, in earlier sweeps too, since the database was last tidied."""

    def archive_tool_output(self, steps: Sequence[Step], *, longer_than_bytes: int) -> Iterator[Outcome]:
        """Put markers in the place of long bodies. An outcome is idle when there are none."""
        loader = ToolOutputLoader(longer_than_bytes=longer_than_bytes, now=self._now)
        return self._carry_out(steps, self._archived(steps, loader), _replace_tool_output)

    def archive_messages(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Remove messages; records stay."""
        loader = MessagesLoader(now=self._now)
        return self._carry_out(steps, self._archived(steps, loader), _remove_messages)

    def delete_messages(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Remove messages for good, without a copy."""
        loader = MessagesLoader(now=self._now)
        return self._carry_out(steps, self._only_read(steps, loader), _remove_messages)

    def archive_records(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Remove messages, and then records with those that leave together with them."""
        done = yield from _emptied(steps, self.archive_messages)
        for turn in self._until_stopped(children_first(done)):
            loads = self._archived(turn, UnitLoader(turn, now=self._now))
            yield from self._carry_out(turn, loads, _remove_units)

    def delete_records(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """The same for good, without a copy."""
        done = yield from _emptied(steps, self.delete_messages)
        for turn in self._until_stopped(children_first(done)):
            loads = self._only_read(turn, UnitLoader(turn, now=self._now))
            yield from self._carry_out(turn, loads, _remove_units)

    def _until_stopped(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """``items`` up to the stop, after which some sessions may not have lost what had to go before."""
        return itertools.takewhile(lambda _: not self._stop(), items)

    # -- reading, packing, committing: in a thread of its own ----------------------------------------

    def _archived(self, steps: Sequence[Step], loader: Loader) -> Generator[list[Load]]:
        """Batches whose copies are committed and read back whole; what failed says so."""
        for month, group in groupby(sorted(steps, key=_month), key=_month):
            members = list(group)
            try:
                with PartitionWriter(self._vault, month) as writer:
                    packing = self._packing(writer, loader, members)
                    for batch in _batches(members):
                        with self._store.reading_rows() as reader:
                            loads = loader.load(reader, batch, packing)
                            self._commit(writer, loads)
                        members = members[len(batch) :]
                        yield loads
            except StoreUnreadable:
                raise
            except (RetentionError, sqlite3.Error, OSError) as error:
                trouble = vault_trouble(error)
                yield [Load([step], error=trouble) for step in members]

    def _only_read(self, steps: Sequence[Step], loader: Loader) -> Generator[list[Load]]:
        for batch in _batches(steps):
            with self._store.reading_rows() as reader:
                loads = loader.load(reader, batch, None)
            yield loads

    def _packing(self, writer: PartitionWriter, loader: Loader, steps: Sequence[Step]) -> Packing:
        chosen = steps[:: max(1, len(steps) // _SAMPLES)][:_SAMPLES]
        with self._store.reading_rows() as reader:
            samples = [(step.session_id, loader.sample(reader, step)[:_SAMPLE_BYTES]) for step in chosen]
        return writer.choose_packing([one for one in samples if one[1]], sum(step.bytes for step in steps))

    def _commit(self, writer: PartitionWriter, loads: Sequence[Load]) -> None:
        """Commit what was packed and read it back; a load whose copy is not good gets an error."""
        packed = [one for load in loads for one in load.packed]
        if not packed:
            return
        try:
            ids = writer.write(self._entries(loads), packed, sweep=self._sweep, archived_at=self._archived_at)
            checks = iter(writer.read_back(packed, ids))
            for load in loads:
                errors = [error for _ in load.packed if (error := next(checks)()) is not None]
                load.error = load.error or next(iter(errors), None)
        except StoreUnreadable:
            raise
        except (RetentionError, sqlite3.Error, OSError, ValueError) as error:
            # ValueError: text that a database cannot take. The batch stays in the store, the sweep goes on.
            for load in loads:
                load.error = load.error or (vault_trouble(error) if load.packed else None)
        finally:
            for load in loads:
                load.packed = []

    def _entries(self, loads: Sequence[Load]) -> list[SessionEntry]:
        steps = [step for load in loads if load.packed for step in load.steps]
        metadata = self._store.metadata([step.session_id for step in steps])
        return [
            SessionEntry(
                step.session_id,
                step.session_class,
                step.last_activity,
                metadata.get(step.session_id, _UNDESCRIBED),
            )
            for step in steps
        ]

    # -- removing: in the caller's thread ------------------------------------------------------------

    def _carry_out(
        self, steps: Sequence[Step], loads: Generator[list[Load]], remove: _Remove
    ) -> Iterator[Outcome]:
        """Remove what was loaded, batch by batch, while the next one is being loaded."""
        left = {step.session_id: step for step in steps}
        try:
            with self._store.removing_rows(self._stop) as remover, closing(_one_ahead(loads)) as batches:
                for batch in self._until_stopped(batches):
                    for outcome in self._removed(batch, remover, remove):
                        if left.pop(outcome.step.session_id, None) is not None:  # told only once
                            yield outcome
                if remover.tidy(self.changed_rows):
                    self.changed_rows = 0
        except StoreUnreadable as error:
            trouble = error.with_traceback(None)
            for step in left.values():
                yield Outcome(step, (trouble,))

    def _removed(self, batch: Sequence[Load], remover: RowRemover, remove: _Remove) -> Iterator[Outcome]:
        waiting: dict[str, Load] = {}
        for load in batch:
            if load.error is not None:
                yield from (Outcome(step, (load.error,)) for step in load.steps)
            elif load.idle:
                yield from (Outcome(step, idle=True) for step in load.steps)
            else:
                waiting[load.session_id] = load
        for changed in remove(remover, [load.ticket for load in waiting.values()]):
            self.changed_rows += changed.rows
            errors = () if changed.error is None else (changed.error,)
            for step in waiting[changed.session_id].steps:
                yield Outcome(step, errors, 0 if errors else step.bytes)


def _emptied(
    steps: Sequence[Step], remove: Callable[[Sequence[Step]], Iterator[Outcome]]
) -> Generator[Outcome, None, list[Step]]:
    """Remove the messages of ``steps``; yields what failed and returns the steps whose records may go."""
    full = [step for step in steps if step.seen and step.seen.record and step.seen.record.has_messages]
    failed = set()
    for outcome in remove(full) if full else ():
        if outcome.errors:
            failed.add(outcome.step.session_id)
            yield outcome
    return [step for step in steps if step.session_id not in failed]


def _one_ahead(items: Generator[_Item]) -> Generator[_Item]:
    """``items``; the next one is made in a thread of its own while the receiver works on this one."""
    with ThreadPoolExecutor(1, thread_name_prefix="hermes-retention-rows") as pool:
        following = pool.submit(next, items, None)
        try:
            while (item := following.result()) is not None:
                following = pool.submit(next, items, None)
                yield item
        finally:
            # What is open in there belongs to that thread.
            pool.submit(items.close).result()


def _month(step: Step) -> str:
    return partition_name(step.last_activity)


def _batches(steps: Sequence[Step]) -> Iterator[list[Step]]:
    batch: list[Step] = []
    size = 0
    for step in steps:
        if batch and (size + step.bytes > BATCH_BYTES or len(batch) >= BATCH_STEPS):
            yield batch
            batch, size = [], 0
        batch.append(step)
        size += step.bytes
    if batch:
        yield batch
