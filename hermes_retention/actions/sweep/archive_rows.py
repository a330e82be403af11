"""How rows move from a store to the vault: read, compress, commit, sync, read back, and only then remove.

The way of files (``archive_files``) with other steps at both ends. For each batch of steps:

1. **Load**, in a thread of its own, one batch ahead: read the rows in one transaction of the host's database,
   pack them, commit the copies to the partition of their month and read them back.
2. **Remove**, in the caller's thread: what was read leaves in many short transactions, unless it changed
   since.

What is to be deleted for good is loaded without a copy. What must not live here: which sessions, and why;
SQL.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from itertools import groupby
from typing import TypeVar

import msgspec

from hermes_retention.actions.sweep.archive_files import (
    SAMPLE_BYTES,
    commit_batch,
    entry_of,
    in_batches,
    month_of,
    spread,
    vault_trouble,
)
from hermes_retention.actions.sweep.load_rows import (
    Load,
    MessagesTier,
    RecordTier,
    RowTier,
    ToolOutputTier,
    children_first,
)
from hermes_retention.archive.entries import Packing, SessionEntry
from hermes_retention.archive.vault import PartitionWriter, Vault
from hermes_retention.home.ledger import Outcome
from hermes_retention.model.errors import RetentionError, Stop, StoreUnreadable, never
from hermes_retention.model.plan import Step
from hermes_retention.stores.base import SessionMetadata, Store
from hermes_retention.stores.rows import RowRemover

BATCH_BYTES = 16 * 2**20
"""Estimated bytes of a batch, search tables included: a read transaction of a second or so."""
BATCH_STEPS = 1000
_AHEAD = 1

_Item = TypeVar("_Item")


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
        return self._archive(steps, ToolOutputTier(longer_than_bytes=longer_than_bytes, now=self._now))

    def archive_messages(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Remove messages; records stay."""
        return self._archive(steps, MessagesTier(now=self._now))

    def delete_messages(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Remove messages for good, without a copy."""
        return self._delete(steps, MessagesTier(now=self._now))

    def archive_records(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Remove messages, and then records with those that leave together with them."""
        done = yield from _emptied(steps, self.archive_messages)
        for generation in self._until_stopped(children_first(done)):
            yield from self._archive(generation, RecordTier(generation, now=self._now))

    def delete_records(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """The same for good, without a copy."""
        done = yield from _emptied(steps, self.delete_messages)
        for generation in self._until_stopped(children_first(done)):
            yield from self._delete(generation, RecordTier(generation, now=self._now))

    def _archive(self, steps: Sequence[Step], tier: RowTier) -> Iterator[Outcome]:
        loader = _CopyingLoader(
            self._vault, self._store, tier, sweep=self._sweep, archived_at=self._archived_at
        )
        return self._carry_out(steps, tier, loader)

    def _delete(self, steps: Sequence[Step], tier: RowTier) -> Iterator[Outcome]:
        return self._carry_out(steps, tier, _Loader(self._store, tier))

    def _carry_out(self, steps: Sequence[Step], tier: RowTier, loader: _Loader) -> Iterator[Outcome]:
        """Remove what is loaded, batch by batch, while the next one is being loaded."""
        left = {step.session_id: step for step in steps}
        try:
            with (
                self._store.removing_rows(self._stop) as remover,
                closing(_loaded_ahead(loader, steps)) as batches,
            ):
                for loads in self._until_stopped(batches):
                    for outcome in self._removed(loads, remover, tier):
                        if left.pop(outcome.step.session_id, None) is not None:  # told only once
                            yield outcome
                if remover.tidy(self.changed_rows):
                    self.changed_rows = 0
        except StoreUnreadable as error:
            trouble = error.with_traceback(None)
            for step in left.values():
                yield Outcome(step, (trouble,))

    def _removed(self, loads: Sequence[Load], remover: RowRemover, tier: RowTier) -> Iterator[Outcome]:
        waiting: dict[str, Load] = {}
        for load in loads:
            if load.error is not None:
                yield from (Outcome(step, (load.error,)) for step in load.steps)
            elif load.idle:
                yield from (Outcome(step, idle=True) for step in load.steps)
            else:
                waiting[load.session_id] = load
        for changed in tier.remove(remover, [load.ticket for load in waiting.values()]):
            self.changed_rows += changed.rows
            errors = () if changed.error is None else (changed.error,)
            for step in waiting[changed.session_id].steps:
                yield Outcome(step, errors, 0 if errors else step.bytes)

    def _until_stopped(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """``items`` up to the stop, after which some sessions may not have lost what had to go before."""
        return itertools.takewhile(lambda _: not self._stop(), items)


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


# -- loading, in a thread of its own ------------------------------------------------------------------------


class _Batch(msgspec.Struct, frozen=True):
    """Steps whose rows are read in one transaction."""

    steps: Sequence[Step]
    of_month: Sequence[Step]
    """All steps whose copies go to the same partition; the first batch of a month opens it."""


def _loaded_ahead(loader: _Loader, steps: Sequence[Step]) -> Generator[list[Load]]:
    """Loaded batches; the next one is being loaded while the receiver removes this one."""
    with ThreadPoolExecutor(1, thread_name_prefix="hermes-retention-rows") as thread:
        loading: deque[Future[list[Load]]] = deque()
        try:
            for batch in loader.batches(steps):
                loading.append(thread.submit(loader.load, batch))
                if len(loading) > _AHEAD:
                    yield loading.popleft().result()
            while loading:
                yield loading.popleft().result()
        finally:
            # After a stop or an error: what has not begun is not loaded any more.
            for future in loading:
                future.cancel()
            thread.submit(loader.close).result()


class _Loader:
    """Only reads: what is deleted for good has no copy.

    ``load`` and ``close`` are called by one thread, which owns what they open.
    """

    def __init__(self, store: Store, tier: RowTier) -> None:
        self._store, self._tier = store, tier

    def batches(self, steps: Sequence[Step]) -> Iterator[_Batch]:
        """All of ``steps``, in the order in which ``load`` is to take them: that of the plan."""
        return (_Batch(some, steps) for some in _cut(steps))

    def load(self, batch: _Batch) -> list[Load]:
        """What of this batch may be removed; what may not has an error. Raises ``StoreUnreadable``."""
        with self._store.reading_rows() as reader:
            return self._tier.load(reader, batch.steps, None)

    def close(self) -> None:
        """Close what is open, whatever happened."""


class _CopyingLoader(_Loader):
    """Commits a copy of all that it reads, a month after another; one partition is open at a time."""

    def __init__(self, vault: Vault, store: Store, tier: RowTier, *, sweep: str, archived_at: float) -> None:
        super().__init__(store, tier)
        self._vault, self._sweep, self._archived_at = vault, sweep, archived_at
        self._month = ""
        self._open = ExitStack()
        self._writer: PartitionWriter | None = None
        self._packing: Packing | None = None
        self._trouble: RetentionError | None = None
        """Why nothing more can go to the partition of this month."""

    def batches(self, steps: Sequence[Step]) -> Iterator[_Batch]:
        """Month by month."""
        for _, group in groupby(sorted(steps, key=month_of), key=month_of):
            of_month = list(group)
            yield from (_Batch(some, of_month) for some in _cut(of_month))

    def load(self, batch: _Batch) -> list[Load]:
        """Read it, commit copies and read them back; what failed says so. Raises ``StoreUnreadable``."""
        try:
            if month_of(batch.steps[0]) != self._month:
                self._open_month(batch)
            if self._writer is not None and self._trouble is None:
                # The copies are committed within: large rows are read while they are written.
                with self._store.reading_rows() as reader:
                    loads = self._tier.load(reader, batch.steps, self._packing)
                    self._commit(self._writer, loads)
                return loads
        except StoreUnreadable:
            raise
        except (RetentionError, sqlite3.Error, OSError) as error:
            self._trouble = vault_trouble(error)
        return [Load([step], error=self._trouble) for step in batch.steps]

    def close(self) -> None:
        """Close the partition that is open, if any."""
        self._writer = None
        with suppress(sqlite3.Error):  # all that counts is committed
            self._open.close()

    def _open_month(self, batch: _Batch) -> None:
        self.close()
        self._month, self._trouble = month_of(batch.steps[0]), None
        self._writer = self._open.enter_context(PartitionWriter(self._vault, self._month))
        with self._store.reading_rows() as reader:
            samples = [
                (step.session_id, self._tier.sample(reader, step)[:SAMPLE_BYTES])
                for step in spread(batch.of_month)
            ]
        self._packing = self._writer.choose_packing(
            [sample for sample in samples if sample[1]], sum(step.bytes for step in batch.of_month)
        )

    def _commit(self, writer: PartitionWriter, loads: Sequence[Load]) -> None:
        """Commit what was packed and read it back; a load whose copy is not good gets an error."""
        packed = [one for load in loads for one in load.packed]
        if not packed:
            return
        entries = self._entries(loads)
        checks = iter(commit_batch(writer, entries, packed, sweep=self._sweep, archived_at=self._archived_at))
        for load in loads:
            # All of them here, in this thread, while the partition is open.
            errors = [error for _ in load.packed if (error := next(checks)()) is not None]
            # Large rows are read while they are written: it was not the vault that failed.
            if unreadable := next((error for error in errors if isinstance(error, StoreUnreadable)), None):
                raise unreadable
            load.error = load.error or next(iter(errors), None)
            load.packed = []

    def _entries(self, loads: Sequence[Load]) -> list[SessionEntry]:
        steps = [step for load in loads if load.packed for step in load.steps]
        metadata = self._store.metadata([step.session_id for step in steps])
        return [entry_of(step, metadata.get(step.session_id, SessionMetadata())) for step in steps]


def _cut(steps: Sequence[Step]) -> Iterator[list[Step]]:
    return in_batches(steps, lambda step: step.bytes, most_bytes=BATCH_BYTES, most_steps=BATCH_STEPS)
