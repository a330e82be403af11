"""Many artifacts of a partition at full speed: decompressed in batches, a few ahead of whoever reads them.

Nothing is compared with its sha256 here: whoever finds something reads it back (``Partition.read``) before it
is believed. What must not live here: what the bytes mean.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from hermes_retention.archive.codec import FrameError
from hermes_retention.archive.entries import ArchivedArtifact
from hermes_retention.archive.partition import Partition
from hermes_retention.model.errors import FrameCorrupt, VaultDamaged

BATCH_BYTES = 2 * 2**20
"""Plain bytes of a batch: what the caches of a processor hold."""
BATCH_ARTIFACTS = 400
"""Fewer than SQLite allows variables in a statement."""
_AHEAD = 3

Plain = tuple[ArchivedArtifact, bytes]


def plain_artifacts(
    partition: Partition, artifacts: Sequence[ArchivedArtifact], damages: list[VaultDamaged]
) -> Generator[Plain]:
    """``artifacts`` with their original bytes, in order.

    What cannot be decompressed is left out and added to ``damages``. Memory: a few batches, or one artifact
    where that is larger. The partition must not be used meanwhile.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="hermes-retention-scan") as pool:
        waiting: deque[Future[list[Plain]]] = deque()
        try:
            for batch in _batches(artifacts):
                waiting.append(pool.submit(_load, partition, batch, damages))
                if len(waiting) > _AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _batches(artifacts: Sequence[ArchivedArtifact]) -> Iterator[list[ArchivedArtifact]]:
    batch: list[ArchivedArtifact] = []
    size = 0
    for artifact in artifacts:
        if batch and (size + artifact.size_bytes > BATCH_BYTES or len(batch) >= BATCH_ARTIFACTS):
            yield batch
            batch, size = [], 0
        batch.append(artifact)
        size += artifact.size_bytes
    if batch:
        yield batch


def _load(
    partition: Partition, batch: Sequence[ArchivedArtifact], damages: list[VaultDamaged]
) -> list[Plain]:
    frames: dict[int, list[tuple[int, bytes]]] = {artifact.id: [] for artifact in batch}
    try:
        for number, size_bytes, content in partition.frames_of([artifact.id for artifact in batch]):
            frames[number].append((size_bytes, content))
    except sqlite3.Error as error:
        damages.append(FrameCorrupt(partition.path.name, f"SQLite cannot read frames ({error})"))
        return []
    found: dict[int, bytes] = {}
    for dictionary_id in dict.fromkeys(artifact.dictionary_id for artifact in batch):
        same = [artifact for artifact in batch if artifact.dictionary_id == dictionary_id]
        found.update(_decompress(partition, same, frames, damages))
    return [(artifact, found[artifact.id]) for artifact in batch if artifact.id in found]


def _decompress(
    partition: Partition,
    same: Sequence[ArchivedArtifact],
    frames: dict[int, list[tuple[int, bytes]]],
    damages: list[VaultDamaged],
) -> Iterator[tuple[int, bytes]]:
    """The artifacts that share a dictionary. All at once; one by one if one of them is damaged."""
    try:
        codec = partition.codec(same[0].dictionary_id)
    except VaultDamaged as error:
        damages.append(error)
        return
    together = [frame for artifact in same for frame in frames[artifact.id]]
    try:
        pieces = iter(codec.decompress_all(together))
        for artifact in same:
            yield artifact.id, b"".join([next(pieces) for _ in frames[artifact.id]])
    except FrameError as error:
        if len(same) > 1:
            for artifact in same:
                yield from _decompress(partition, [artifact], frames, damages)
        else:
            what = f"{partition.path.name}, session {same[0].session_id}"
            damages.append(FrameCorrupt(what, str(error), consequence="it was not searched"))
