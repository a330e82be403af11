"""How files move from a store to the vault: read, compress, commit, sync, read back, and only then remove.

A file that changed on the way keeps its whole session in the store; a file that cannot be read keeps itself.
Four stages work at the same time, each on a batch of its own:

    pack     a pool      read and compress; at most one batch ahead, for it is held in memory
    commit   the caller  one transaction of the vault, synced, then read back from the file
    compare  removers    does each copy decompress to what was packed?
    leave    one thread  off the host's index, then away from the directory (removers)

What must not live here: which files, and why.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import groupby
from typing import TypeVar

import msgspec

from hermes_retention.archive.codec import Codec
from hermes_retention.archive.entries import Packed, Packing, SessionEntry, pack, pack_large, partition_name
from hermes_retention.archive.vault import Check, PartitionWriter, Vault
from hermes_retention.home.ledger import Outcome
from hermes_retention.model.errors import (
    ArtifactChanged,
    ArtifactUnreadable,
    ArtifactVanished,
    RetentionError,
    Stop,
    VaultUnwritable,
    never,
)
from hermes_retention.model.plan import Step
from hermes_retention.model.session import Artifact, ArtifactKind
from hermes_retention.stores.base import SessionMetadata, StoreFiles

BATCH_BYTES = 12 * 2**20
"""Plain bytes per transaction of the vault: enough that syncing costs little, little enough for memory."""
BATCH_STEPS = 2048
LEAVE_BYTES = 64 * 2**20
"""Plain bytes that leave the store together: a host's index is written anew each time."""
_REMOVERS = 4
_AHEAD = 1
_SAMPLES = 12
SAMPLE_BYTES = 256 * 2**10

_Item = TypeVar("_Item")
Describe = Callable[[Sequence[str]], dict[str, SessionMetadata]]


class _PackedStep(msgspec.Struct):
    """A step on its way through the stages. It belongs to one of them at a time, so nothing is locked.

    ``artifacts`` are what will be removed if nothing more happens. They only get fewer, and what is dropped
    from them leaves an error: that is how everything that goes wrong on the way keeps something in the store.
    """

    step: Step
    metadata: SessionMetadata
    artifacts: list[Artifact]
    packed: list[Packed]
    """Side by side with ``artifacts``, until it is committed: then its memory is given back."""
    checks: list[Check]
    """Side by side with ``artifacts``, from then until they are compared."""
    errors: list[RetentionError]

    def is_committed(self, checks: list[Check]) -> None:
        """Its copies lie in the vault, or failed to; ``checks`` tell of each whether it is good."""
        self.checks, self.packed = checks, []

    def compare(self) -> None:
        """Drop what has no good copy. Where that is an index entry, all of the session stays with it."""
        good: list[Artifact] = []
        for artifact, check in zip(self.artifacts, self.checks, strict=True):
            error = check()
            if error is None:
                good.append(artifact)
            elif error not in self.errors:  # a batch that failed gives all of its copies the same one
                self.errors.append(error)
        entries = filter(_is_entry, self.artifacts)
        # An entry that leads to files that are gone loses a conversation; files without one are orphans.
        self.artifacts = good if all(entry in good for entry in entries) else []
        self.checks = []

    def keep(self, error: RetentionError) -> None:
        """All of it stays, for this reason."""
        self.artifacts = []
        self.errors.append(error)


_SPACE = (
    "Free some space on the disk of the home and sweep again: a few MB are enough to begin with, what is "
    "archived makes more. Copies that nobody needs leave with 'archive remove', or by ARCHIVE_AFTER."
)


_Packings = dict[bool, Packing]
"""With what the artifacts of one partition are compressed, by whether they are index entries."""


def _failed(step: Step, error: RetentionError) -> _PackedStep:
    return _PackedStep(step, SessionMetadata(), [], [], [], [error])


class Archiver:
    """Moves the artifacts of steps into the vault, on behalf of one sweep."""

    def __init__(  # noqa: PLR0913 - source, target, and on whose behalf
        self,
        vault: Vault,
        files: StoreFiles,
        describe: Describe,
        *,
        sweep: str,
        now: float,
        stop: Stop = never,
    ) -> None:
        """A stop is heard between two batches: what was committed by then is removed and told."""
        self._vault, self._files, self._describe = vault, files, describe
        self._sweep, self._now, self._stop = sweep, now, stop

    def archive(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """One outcome for each step, a month after another; an unusable partition costs only its own month.

        Steps that a stop leaves out have no outcome, and nothing of them was touched. If the process dies,
        each artifact is in the store, in the vault, or in both; the next sweep finds what is in both again.
        """
        workers = max(2, min(4, os.cpu_count() or 2))
        with (
            ThreadPoolExecutor(workers, thread_name_prefix="hermes-retention-pack") as pool,
            ThreadPoolExecutor(_REMOVERS, thread_name_prefix="hermes-retention-remove") as removing,
            ThreadPoolExecutor(1, thread_name_prefix="hermes-retention-leave") as leaving,
        ):
            way_out = _WayOut(self._files, removing)
            pending: deque[Future[list[Outcome]]] = deque()
            for committed in self._committed_batches(sorted(steps, key=month_of), pool, workers):
                pending.append(leaving.submit(way_out.lead_out, committed))
                # What waits for its comparison is in memory: a slow disk must not let it pile up.
                while pending and (len(pending) > _AHEAD or pending[0].done()):
                    yield from pending.popleft().result()
            # Behind all the others on that one thread: what did not fill a round of its own leaves now.
            pending.append(leaving.submit(way_out.lead_out_rest))
            for future in pending:
                yield from future.result()

    def _committed_batches(
        self, by_month: Sequence[Step], pool: ThreadPoolExecutor, workers: int
    ) -> Iterator[list[_PackedStep]]:
        """Batches that are committed, with their checks; every step comes at most once."""
        for month, group in groupby(by_month, key=month_of):
            if self._stop():
                return
            members = list(group)
            try:
                with PartitionWriter(self._vault, month) as writer:
                    packing = self._packings(writer, members)
                    for batch in self._packed_batches(members, packing, pool, workers):
                        if self._ends(pool):  # before the commit: what is only packed is still untouched
                            return
                        # Off the list first: what goes wrong with this batch is told by its own checks.
                        members = members[len(batch) :]
                        self._commit(writer, batch)
                        yield batch
                        if self._ends(pool):
                            return
            except (RetentionError, sqlite3.Error, OSError) as error:
                # The partition itself is of no use: what is left of its month stays, the next month goes on.
                yield [_failed(step, vault_trouble(error)) for step in members]

    def _ends(self, pool: ThreadPoolExecutor) -> bool:
        """Whether to stop here. What is packed but not committed is left as it is in the store."""
        if not self._stop():
            return False
        pool.shutdown(wait=False, cancel_futures=True)
        return True

    # -- reading and packing, in the pool -----------------------------------------------------------

    def _packed_batches(
        self, steps: Sequence[Step], packing: _Packings, pool: ThreadPoolExecutor, workers: int
    ) -> Iterator[list[_PackedStep]]:
        """The steps in batches. The next one is being packed while the receiver works on this one."""
        waiting: deque[list[Future[list[_PackedStep]]]] = deque()
        # More parts than workers, so that none of them waits long for the one with the large files.
        for batch in in_batches(steps, _plain_bytes, most_bytes=BATCH_BYTES, most_steps=BATCH_STEPS):
            waiting.append(
                [pool.submit(self._pack_all, part, packing) for part in _slices(batch, 2 * workers)]
            )
            if len(waiting) > _AHEAD:
                yield _gathered(waiting.popleft())
        while waiting:
            yield _gathered(waiting.popleft())

    def _pack_all(self, steps: Sequence[Step], packing: _Packings) -> list[_PackedStep]:
        try:
            metadata = self._describe([step.session_id for step in steps])
        except RetentionError as error:
            return [_failed(step, error.with_traceback(None)) for step in steps]
        return [
            self._pack_step(step, packing, metadata.get(step.session_id, SessionMetadata())) for step in steps
        ]

    def _pack_step(self, step: Step, packing: _Packings, metadata: SessionMetadata) -> _PackedStep:
        result = _PackedStep(step, metadata, [], [], [], [])
        for artifact in step.artifacts:
            try:
                packed = self._pack_artifact(step.session_id, artifact, packing[_is_entry(artifact)])
            except ArtifactVanished:
                continue  # somebody else removed it; there is nothing left to archive
            except ArtifactUnreadable as error:
                result.errors.append(error)
            except ArtifactChanged as error:
                # Somebody writes to this session: all of it stays.
                return _failed(step, error)
            else:
                result.artifacts.append(artifact)
                result.packed.append(packed)
        return result

    def _pack_artifact(self, session_id: str, artifact: Artifact, packing: Packing) -> Packed:
        pieces = self._files.read(session_id, artifact)
        if artifact.size_bytes <= BATCH_BYTES:
            return pack(session_id, artifact, pieces, packing)
        return pack_large(session_id, artifact, pieces, self._files.read(session_id, artifact), packing)

    def _packings(self, writer: PartitionWriter, steps: Sequence[Step]) -> _Packings:
        """How files are packed, and how index entries, which have nothing in common with them."""
        found: dict[bool, list[tuple[str, Artifact]]] = {False: [], True: []}
        for step in steps:
            for artifact in step.artifacts:
                found[_is_entry(artifact)].append((step.session_id, artifact))
        return {is_entry: self._packing(writer, some) for is_entry, some in found.items()}

    def _packing(self, writer: PartitionWriter, artifacts: Sequence[tuple[str, Artifact]]) -> Packing:
        if not artifacts:
            return Packing(None, Codec())
        return writer.choose_packing(self._samples(artifacts), sum(it.size_bytes for _, it in artifacts))

    def _samples(self, candidates: Sequence[tuple[str, Artifact]]) -> list[tuple[str, bytes]]:
        """The beginnings of a few artifacts, spread evenly, from which a dictionary may be built."""
        samples = []
        for session_id, artifact in spread(candidates):
            with closing(self._files.read(session_id, artifact)) as pieces:
                try:
                    samples.append((session_id, next(pieces, b"")[:SAMPLE_BYTES]))
                except RetentionError:
                    continue  # packing meets the same error and reports it
        return samples

    # -- commit and read back -----------------------------------------------------------------------

    def _commit(self, writer: PartitionWriter, batch: Sequence[_PackedStep]) -> None:
        """Commit a batch and leave in ``checks`` how its copies compare with what was packed."""
        packed = [one for packed_step in batch for one in packed_step.packed]
        entries = [
            entry_of(packed_step.step, packed_step.metadata) for packed_step in batch if packed_step.packed
        ]
        checks: list[Check] = []
        if packed:
            checks = commit_batch(writer, entries, packed, sweep=self._sweep, archived_at=self._now)
        waiting = iter(checks)  # in the order in which the copies were written
        for packed_step in batch:
            packed_step.is_committed([next(waiting) for _ in packed_step.packed])


class _WayOut:
    """Leads what is committed out of the store. All methods run on one thread, which the removers help."""

    def __init__(self, files: StoreFiles, removers: ThreadPoolExecutor) -> None:
        self._files, self._removers = files, removers
        self._compared: list[_PackedStep] = []
        """What waits for others: the host's index is written anew each time that something leaves it."""

    def lead_out(self, committed: Sequence[_PackedStep]) -> list[Outcome]:
        """Compare the copies of a batch, and once enough of them wait, lead all of them out."""
        list(self._removers.map(_compare_all, _slices(committed, _REMOVERS)))
        self._compared += committed
        if sum(_plain_bytes(one.step) for one in self._compared) < LEAVE_BYTES:
            return []
        return self.lead_out_rest()

    def lead_out_rest(self) -> list[Outcome]:
        """Take the sessions that wait off the index, and remove what nothing needs any longer."""
        leaving, self._compared = self._compared, []
        # The index first: a crash between the two leaves orphans, which the next sweep finishes.
        going = {one.step.session_id: one.artifacts for one in leaving if one.artifacts}
        needed = self._files.let_go(going) if going else {}
        for packed_step in leaving:
            if (error := needed.get(packed_step.step.session_id)) is not None:
                packed_step.keep(error)
        outcomes = self._removers.map(self._remove_all, _slices(leaving, _REMOVERS))
        return [outcome for some in outcomes for outcome in some]

    def _remove_all(self, leaving: Sequence[_PackedStep]) -> list[Outcome]:
        return [removed_by(self._files, one.step, one.artifacts, one.errors) for one in leaving]


def _compare_all(committed: Sequence[_PackedStep]) -> None:
    for packed_step in committed:
        packed_step.compare()


def deleted(files: StoreFiles, steps: Sequence[Step], stop: Stop = never) -> Iterator[Outcome]:
    """Remove the artifacts of these steps for good, and say what became of each step until ``stop``."""
    for start in range(0, len(steps), BATCH_STEPS):
        if stop():
            return
        some = steps[start : start + BATCH_STEPS]
        needed = files.let_go({step.session_id: step.artifacts for step in some})
        for step in some:
            error = needed.get(step.session_id)
            yield Outcome(step, (error,)) if error is not None else removed_by(files, step, step.artifacts)


def removed_by(
    files: StoreFiles, step: Step, artifacts: Sequence[Artifact], errors: Sequence[RetentionError] = ()
) -> Outcome:
    """Remove ``artifacts`` and say what became of ``step``, of which ``errors`` are known already."""
    freed, met = 0, list(errors)
    for artifact in artifacts:
        try:
            files.remove(step.session_id, artifact)
        except ArtifactVanished:
            continue  # somebody else removed it; there is nothing left to do or to lose
        except RetentionError as error:
            met.append(error)
        else:
            freed += artifact.allocated_bytes
    return Outcome(step, tuple(met), freed)


def vault_trouble(error: Exception) -> RetentionError:
    """``error`` as one that people understand; the files and rows that it concerns were kept."""
    if isinstance(error, RetentionError):
        return error.with_traceback(None)  # a traceback would keep cursors and buffers alive
    reason = (
        (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    ).lower()
    is_full = "full" in reason or "no space" in reason
    return VaultUnwritable(
        "the vault",
        f"it could not be written ({reason})",
        consequence="what it was to take was kept",
        cure=_SPACE if is_full else "",
    )


def _is_entry(artifact: Artifact) -> bool:
    return artifact.kind is ArtifactKind.ENTRY


def month_of(step: Step) -> str:
    """The partition that its copies go to."""
    return partition_name(step.last_activity)


def entry_of(step: Step, metadata: SessionMetadata) -> SessionEntry:
    """Its session, as a partition describes it."""
    return SessionEntry(step.session_id, step.session_class, step.last_activity, metadata)


def _plain_bytes(step: Step) -> int:
    return sum(artifact.size_bytes for artifact in step.artifacts)


def _gathered(futures: Sequence[Future[list[_PackedStep]]]) -> list[_PackedStep]:
    return [packed_step for future in futures for packed_step in future.result()]


def _slices(items: Sequence[_Item], number: int) -> Iterator[Sequence[_Item]]:
    """``items`` in at most ``number`` runs of about the same length."""
    length = max(1, -(-len(items) // number))
    return (items[start : start + length] for start in range(0, len(items), length))


def in_batches(
    steps: Sequence[Step], size: Callable[[Step], int], *, most_bytes: int, most_steps: int
) -> Iterator[list[Step]]:
    """Runs of steps of at most ``most_bytes`` together; a larger step is a batch of its own."""
    batch: list[Step] = []
    total = 0
    for step in steps:
        own = size(step)
        if batch and (total + own > most_bytes or len(batch) >= most_steps):
            yield batch
            batch, total = [], 0
        batch.append(step)
        total += own
    if batch:
        yield batch


def spread(items: Sequence[_Item]) -> Sequence[_Item]:
    """A few of ``items``, spread evenly, of which samples tell how the others are packed best."""
    return items[:: max(1, len(items) // _SAMPLES)][:_SAMPLES]


def commit_batch(
    writer: PartitionWriter,
    entries: Sequence[SessionEntry],
    packed: Sequence[Packed],
    *,
    sweep: str,
    archived_at: float,
) -> list[Check]:
    """Commit a batch and read it back: for each copy how it compares with what was packed.

    A batch that could not be committed is an error of each of its copies: nothing of it is in the vault.
    """
    try:
        ids = writer.write(entries, packed, sweep=sweep, archived_at=archived_at)
        return writer.read_back(packed, ids)
    except (RetentionError, sqlite3.Error, OSError, ValueError) as error:
        # ValueError: text that a database cannot take. The batch stays in the store, the sweep goes on.
        trouble = vault_trouble(error)
        return [lambda: trouble] * len(packed)
