"""How files move from a store to the vault: read, compress, commit, sync, read back, and only then remove.

A file that changed on the way keeps its whole session in the store; a file that cannot be read keeps itself.
What must not live here: which files, and why.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import groupby

import msgspec

from hermes_retention.archive.partition import Packed, SessionEntry
from hermes_retention.archive.vault import (
    Packing,
    PartitionWriter,
    Vault,
    check_read_back,
    pack,
    pack_large,
    partition_name,
)
from hermes_retention.errors import (
    ArtifactChanged,
    ArtifactUnreadable,
    ArtifactVanished,
    FrameCorrupt,
    RetentionError,
    VaultUnwritable,
)
from hermes_retention.fsops import Directory, Remover, read_unchanged
from hermes_retention.ledger import Outcome
from hermes_retention.model import Artifact
from hermes_retention.plan import Step
from hermes_retention.stores.base import SessionMetadata

BATCH_BYTES = 32 * 2**20
"""Plain bytes per transaction of the vault: enough that syncing costs little, little enough for memory."""
BATCH_STEPS = 512
_SAMPLES = 12
_SAMPLE_BYTES = 256 * 2**10

Describe = Callable[[Sequence[str]], dict[str, SessionMetadata]]


class _PackedStep(msgspec.Struct):
    """A step with what could be read of its artifacts; ``packed`` and ``artifacts`` go side by side."""

    step: Step
    artifacts: list[Artifact]
    packed: list[Packed]
    errors: list[RetentionError]


class Archiver:
    """Moves the artifacts of steps into the vault, on behalf of one sweep."""

    def __init__(  # noqa: PLR0913 - source, target, and on whose behalf
        self, vault: Vault, files: Directory, remover: Remover, describe: Describe, *, sweep: str, now: float
    ) -> None:
        self._vault, self._files, self._remover, self._describe = vault, files, remover, describe
        self._sweep, self._now = sweep, now

    def archive(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """One outcome for each step, a month after another; an unusable partition costs only its own month."""
        by_month = sorted(steps, key=_month)
        workers = max(2, min(4, os.cpu_count() or 2))
        with ThreadPoolExecutor(workers, thread_name_prefix="hermes-retention") as pool:
            for month, group in groupby(by_month, key=_month):
                members = list(group)
                try:
                    with PartitionWriter(self._vault, month) as writer:
                        packing = writer.choose_packing(self._samples(members), sum(map(_plain_bytes, members)))
                        batches = self._packed_batches(members, packing, pool, workers)
                        for batch in batches:
                            members = members[len(batch) :]
                            yield from self._settle(writer, batch)
                except (RetentionError, sqlite3.Error, OSError) as error:
                    yield from (Outcome(step, (vault_trouble(error),)) for step in members)

    # -- reading and packing, in the pool ----------------------------------------------------------------------

    def _packed_batches(
        self, steps: Sequence[Step], packing: Packing, pool: ThreadPoolExecutor, workers: int
    ) -> Iterator[list[_PackedStep]]:
        """The steps in batches. The next batch is being packed while the receiver works on this one."""
        waiting: list[Future[list[_PackedStep]]] = []
        for batch in _batches(steps):
            share = -(-len(batch) // (2 * workers))
            slices = [batch[start : start + share] for start in range(0, len(batch), share)]
            started = [pool.submit(self._pack_all, part, packing) for part in slices]
            if waiting:
                yield [packed for future in waiting for packed in future.result()]
            waiting = started
        if waiting:
            yield [packed for future in waiting for packed in future.result()]

    def _pack_all(self, steps: Sequence[Step], packing: Packing) -> list[_PackedStep]:
        return [self._pack_step(step, packing) for step in steps]

    def _pack_step(self, step: Step, packing: Packing) -> _PackedStep:
        result = _PackedStep(step, [], [], [])
        for artifact in step.artifacts:
            try:
                packed = self._pack_artifact(step.session_id, artifact, packing)
            except ArtifactVanished:
                continue  # somebody else removed it; there is nothing left to archive
            except ArtifactUnreadable as error:
                result.errors.append(error)
            except ArtifactChanged as error:
                # Somebody writes to this session: all of it stays.
                return _PackedStep(step, [], [], [error])
            else:
                result.artifacts.append(artifact)
                result.packed.append(packed)
        return result

    def _pack_artifact(self, session_id: str, artifact: Artifact, packing: Packing) -> Packed:
        pieces = read_unchanged(self._files, artifact)
        if artifact.size_bytes <= BATCH_BYTES:
            return pack(session_id, artifact, pieces, packing)
        return pack_large(session_id, artifact, pieces, read_unchanged(self._files, artifact), packing)

    def _samples(self, steps: Sequence[Step]) -> list[tuple[str, bytes]]:
        """The beginnings of a few artifacts, spread evenly, from which a dictionary may be built."""
        candidates = [(step.session_id, artifact) for step in steps for artifact in step.artifacts]
        samples = []
        for session_id, artifact in candidates[:: max(1, len(candidates) // _SAMPLES)][:_SAMPLES]:
            with closing(read_unchanged(self._files, artifact)) as pieces:
                try:
                    samples.append((session_id, next(pieces, b"")[:_SAMPLE_BYTES]))
                except RetentionError:
                    continue  # packing meets the same error and reports it
        return samples

    # -- commit, read back, remove -----------------------------------------------------------------------------

    def _settle(self, writer: PartitionWriter, batch: Sequence[_PackedStep]) -> Iterator[Outcome]:
        readable = [packed_step for packed_step in batch if packed_step.packed]
        try:
            ids = self._commit(writer, readable)
        except (RetentionError, sqlite3.Error, OSError) as error:
            for packed_step in readable:
                packed_step.artifacts.clear()
                packed_step.errors.append(vault_trouble(error))
            ids = []
        numbers = iter(ids)
        for packed_step in batch:
            own = [next(numbers) for _ in packed_step.artifacts]
            verified = self._verified(writer, packed_step, own)
            yield removed_by(self._remover, packed_step.step, verified, packed_step.errors)

    def _commit(self, writer: PartitionWriter, batch: Sequence[_PackedStep]) -> list[int]:
        if not batch:
            return []
        metadata = self._describe([packed_step.step.session_id for packed_step in batch])
        entries = [
            SessionEntry(
                step.session_id,
                step.session_class,
                step.last_activity,
                metadata.get(step.session_id, SessionMetadata()),
            )
            for step in (packed_step.step for packed_step in batch)
        ]
        packed = [one for packed_step in batch for one in packed_step.packed]
        return writer.write(entries, packed, sweep=self._sweep, archived_at=self._now)

    def _verified(self, writer: PartitionWriter, packed_step: _PackedStep, ids: Sequence[int]) -> list[Artifact]:
        """The artifacts whose stored copy reads back as what was packed; the others stay, with an error."""
        good = []
        for artifact, packed, artifact_id in zip(packed_step.artifacts, packed_step.packed, ids, strict=False):
            try:
                check_read_back(packed, *writer.fetch(artifact_id))
            except (FrameCorrupt, sqlite3.Error, OSError) as error:
                packed_step.errors.append(vault_trouble(error))
            else:
                good.append(artifact)
        return good


def removed_by(
    remover: Remover, step: Step, artifacts: Sequence[Artifact], errors: Sequence[RetentionError] = ()
) -> Outcome:
    """Remove ``artifacts`` and say what became of ``step``, of which ``errors`` are known already."""
    freed, met = 0, list(errors)
    for artifact in artifacts:
        try:
            remover.remove(artifact)
        except ArtifactVanished:
            continue  # somebody else removed it; there is nothing left to do or to lose
        except RetentionError as error:
            met.append(error)
        else:
            freed += artifact.allocated_bytes
    return Outcome(step, tuple(met), freed)


def vault_trouble(error: Exception) -> RetentionError:
    """``error`` as one that people understand; the files that it concerns were kept."""
    if isinstance(error, RetentionError):
        return error.with_traceback(None)  # a traceback would keep cursors and buffers alive
    reason = ((error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__).lower()
    is_full = "full" in reason or "no space" in reason
    return VaultUnwritable(
        "the vault",
        f"it could not be written ({reason})",
        consequence="the files were kept",
        cure="Free some space on the disk and sweep again." if is_full else "",
    )


def _month(step: Step) -> str:
    return partition_name(step.last_activity)


def _plain_bytes(step: Step) -> int:
    return sum(artifact.size_bytes for artifact in step.artifacts)


def _batches(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Runs of steps of at most ``BATCH_BYTES`` together; a larger step is a batch of its own."""
    batch: list[Step] = []
    size = 0
    for step in steps:
        own = _plain_bytes(step)
        if batch and (size + own > BATCH_BYTES or len(batch) >= BATCH_STEPS):
            yield batch
            batch, size = [], 0
        batch.append(step)
        size += own
    if batch:
        yield batch
