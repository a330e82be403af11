"""What lies in a partition, as values: frames, artifacts, sessions; how bytes become frames, and
frames bytes again.

What must not live here: the file that they lie in (``partition``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from hermes_retention.archive.codec import Codec, FrameError
from hermes_retention.model.errors import FrameCorrupt
from hermes_retention.model.session import Artifact, ArtifactKind, SessionClass
from hermes_retention.model.text import printable
from hermes_retention.stores.base import SessionMetadata


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A piece of an artifact: its plain size in bytes and the compressed bytes."""

    size_bytes: int
    content: bytes


class Packed(msgspec.Struct, frozen=True, gc=False):
    """An artifact ready to be written: what it is, its hash, and its frames in order.

    ``frames`` may be an iterator that reads the file while it is consumed; it raises when the file changed.
    """

    session_id: str
    kind: ArtifactKind
    name: str
    size_bytes: int
    mtime_ns: int
    mode: int
    sha256: bytes
    dictionary_id: int | None
    frames: Iterable[Frame]


class ArchivedArtifact(msgspec.Struct, frozen=True, gc=False):
    """An artifact as the partition describes it, without its content."""

    id: int
    session_id: str
    kind: ArtifactKind
    name: str
    size_bytes: int
    mtime_ns: int
    mode: int
    sha256: bytes
    dictionary_id: int | None
    archived_at: float
    sweep: str
    partition: str


class SessionEntry(msgspec.Struct, frozen=True):
    """A session as the partition describes it."""

    id: str
    session_class: SessionClass
    last_activity: float
    metadata: SessionMetadata


class Packing(msgspec.Struct, frozen=True):
    """With what the artifacts of one partition are compressed from now on."""

    dictionary_id: int | None
    codec: Codec


def pack(session_id: str, artifact: Artifact, pieces: Iterable[bytes], packing: Packing) -> Packed:
    """Hash and compress one artifact of moderate size; its frames are held in memory."""
    digest, frames = hashlib.sha256(), []
    for piece in pieces:
        digest.update(piece)
        frames.append(Frame(len(piece), packing.codec.compress(piece)))
    return _packed(session_id, artifact, digest.digest(), frames, packing)


def pack_large(
    session_id: str, artifact: Artifact, first: Iterable[bytes], second: Iterable[bytes], packing: Packing
) -> Packed:
    """Like ``pack`` for an artifact of any size; it is read twice: for its hash, and frame by frame."""
    digest = hashlib.sha256()
    for piece in first:
        digest.update(piece)
    frames = (Frame(len(piece), packing.codec.compress(piece)) for piece in second)
    return _packed(session_id, artifact, digest.digest(), frames, packing)


def _packed(
    session_id: str, artifact: Artifact, digest: bytes, frames: Iterable[Frame], packing: Packing
) -> Packed:
    return Packed(
        session_id=session_id,
        kind=artifact.kind,
        name=artifact.name,
        size_bytes=artifact.size_bytes,
        mtime_ns=artifact.mtime_ns,
        mode=artifact.mode,
        sha256=digest,
        dictionary_id=packing.dictionary_id,
        frames=frames,
    )


def unpack(
    artifact: ArchivedArtifact, frames: Iterable[Frame], codec: Codec, partition_file: str
) -> Iterator[bytes]:
    """Decompress ``frames`` and compare size and sha256 with what ``artifact`` says.

    The comparison comes after the last piece: a receiver must not act on the pieces before the iterator ends.
    Raises ``FrameCorrupt``.
    """
    digest, total = hashlib.sha256(), 0
    try:
        for frame in frames:
            piece = _decompressed(frame, codec)
            digest.update(piece)
            total += len(piece)
            if total > artifact.size_bytes:  # before anybody writes more than was ever archived
                raise _corrupt(artifact, partition_file, "it holds more than it says")
            yield piece
    except FrameError as error:
        raise _corrupt(artifact, partition_file, str(error)) from error
    if total != artifact.size_bytes or digest.digest() != artifact.sha256:
        raise _corrupt(artifact, partition_file, "size or sha256 differs from what was archived")


def _decompressed(frame: Frame, codec: Codec) -> bytes:
    if type(frame.content) is not bytes or type(frame.size_bytes) is not int:
        raise FrameError("a frame is no bytes, or its size no number")  # any column may hold any type
    return codec.decompress(frame.content, frame.size_bytes)


def _corrupt(artifact: ArchivedArtifact, partition_file: str, why: str) -> FrameCorrupt:
    return FrameCorrupt(
        f"{partition_file}, session {artifact.session_id}, {artifact.name}",
        why,
        consequence="nothing was removed on its account",
    )


def compare_read_back(
    packed: Packed, artifact: ArchivedArtifact, frames: Iterable[Frame], codec: Codec
) -> FrameCorrupt | None:
    """``None`` when the stored copy is exactly what was packed, else why the original must stay."""
    file = f"{artifact.partition}.db"
    kept = (
        artifact.session_id,
        artifact.name,
        artifact.size_bytes,
        artifact.mtime_ns,
        artifact.mode,
        artifact.sha256,
    )
    meant = (packed.session_id, packed.name, packed.size_bytes, packed.mtime_ns, packed.mode, packed.sha256)
    if kept != meant:
        return FrameCorrupt(file, f"artifact {artifact.id} does not describe what was archived")
    try:
        for _ in unpack(artifact, frames, codec, file):
            pass
    except FrameCorrupt as error:
        return error.with_traceback(None)  # a traceback would keep cursors and buffers alive
    return None


def describe(artifact: ArchivedArtifact) -> dict[str, Any]:
    """The artifact as plain JSON data, for listings."""
    return {
        "kind": artifact.kind.value,
        "name": printable(artifact.name),
        "size": artifact.size_bytes,
        "sha256": artifact.sha256.hex(),
        "mtime_ns": artifact.mtime_ns,
        "mode": f"{artifact.mode:04o}",
        "archived_at": artifact.archived_at,
        "sweep": artifact.sweep,
        "partition": artifact.partition,
    }


def seal_of(*described: object) -> bytes:
    """A checksum over what a partition says of an artifact beside its content.

    It is that of: session id, kind, name (bytes), size, mtime_ns, mode, sha256, archived_at, sweep. The
    sha256 of an artifact covers its content only; without a seal a single bit could give a file another time,
    or let a copy expire years early.
    """
    return hashlib.sha256(repr(described).encode("utf-8", "surrogatepass")).digest()


_DAY = 86400


def partition_name(last_activity: float) -> str:
    """The partition of a session that was last active at this Unix time: its month in UTC."""
    return _month_of(int(last_activity // _DAY))


@lru_cache(maxsize=4096)
def _month_of(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY, UTC).strftime("%Y-%m")
