"""One partition of the vault: a SQLite file with the sessions of one month.

The format is described in ``docs/explanation/vault.md``; ``FORMAT`` is its version. A partition of a newer
format is refused and not touched. What must not live here: what is written (``partition_writing``), files
of the store, and decisions.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

from hermes_retention.archive.codec import (
    Codec,
    FrameError,
    decompress_dictionary,
)
from hermes_retention.archive.entries import ArchivedArtifact, Frame, SessionEntry, seal_of, unpack
from hermes_retention.disk import effects
from hermes_retention.model.errors import FrameCorrupt, VaultDamaged
from hermes_retention.model.session import ArchivedSession, ArtifactKind, SessionClass
from hermes_retention.stores.base import SessionMetadata

FORMAT = 1
_ARTIFACT = (
    "a.id, s.id, a.kind, a.name, a.size, a.mtime_ns, a.mode, a.sha256, a.dictionary_id, "
    "a.archived_at, a.sweep"
)
_OF_SESSIONS = "artifacts a JOIN sessions s ON s.number = a.session"
_SEALED = (
    "SELECT a.id, e.digest, "
    "s.id, a.kind, a.name, a.size, a.mtime_ns, a.mode, a.sha256, a.archived_at, a.sweep FROM artifacts a "
    "LEFT JOIN sessions s ON s.number = a.session LEFT JOIN seals e ON e.artifact_id = a.id"
)
"""Every artifact with its seal, and with what the seal is of."""
VARIABLES = 500
"""SQLite allows at least 999 in a statement; more than 500 gain nothing."""
METADATA = SessionMetadata.__struct_fields__


class Partition:
    """An opened partition. A context manager."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.name = path.stem
        """What people call it: ``2026-11``."""
        self._connection = connection
        self._codecs: dict[int | None, Codec] = {}

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing partition. Raises ``VaultDamaged`` when it is none, or of a newer format."""
        if path.is_symlink():
            raise _damaged(path, "it is a symbolic link, and links below the home are not followed")
        if not path.is_file():
            raise _damaged(path, "there is no such partition")
        connection = _connect(path)
        try:
            found = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
            version = int(found[0]) if found else 0
        except (sqlite3.Error, ValueError) as error:
            connection.close()
            raise _damaged(path, f"it is not a readable partition ({error})") from error
        if version != FORMAT:
            connection.close()
            raise VaultDamaged(
                str(path),
                f"its format is {version} and this version reads {FORMAT}",
                consequence="it was not touched",
                cure="Install a newer hermes-retention.",
            )
        return cls(path, connection)

    def close(self) -> None:
        """Close the file; an open transaction is rolled back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def newest_dictionaries(self, number: int) -> list[tuple[bytes, list[str]]]:
        """Content and sources of at most so many dictionaries, the one that was added last first."""
        rows = self._connection.execute(
            "SELECT id, size, content, sources FROM dictionaries ORDER BY id DESC LIMIT ?", (number,)
        )
        return [(self._dictionary(*row[:3]), list(json.loads(row[3]))) for row in rows]

    def codec(self, dictionary_id: int | None) -> Codec:
        """The codec of a dictionary, made once. Raises ``FrameCorrupt`` when the dictionary is damaged."""
        if dictionary_id not in self._codecs:
            content = None
            if dictionary_id is not None:
                row = self._connection.execute(
                    "SELECT size, content FROM dictionaries WHERE id = ?", (dictionary_id,)
                ).fetchone()
                if row is None:
                    raise FrameCorrupt(self.path.name, f"dictionary {dictionary_id} is missing")
                content = self._dictionary(dictionary_id, row[0], row[1])
            self._codecs[dictionary_id] = Codec(content)
        return self._codecs[dictionary_id]

    def _dictionary(self, dictionary_id: int, size_bytes: int, content: bytes) -> bytes:
        try:
            return decompress_dictionary(content, size_bytes)
        except FrameError as error:
            raise FrameCorrupt(self.path.name, f"dictionary {dictionary_id}: {error}") from error

    def sessions(self) -> Iterator[SessionEntry]:
        """Every session, by id."""
        columns = ", ".join(METADATA)
        rows = self._connection.execute(
            f"SELECT id, class, last_activity, {columns} FROM sessions ORDER BY id"
        )
        for row in rows:
            metadata = SessionMetadata(**dict(zip(METADATA, row[3:], strict=True)))
            yield SessionEntry(row[0], SessionClass(row[1]), row[2], metadata)

    def classes(self) -> dict[str, str]:
        """Session id → its class, of every session."""
        return dict(self._connection.execute("SELECT id, class FROM sessions"))

    def sizes(self) -> list[tuple[str, int, int]]:
        """Class, number and original bytes of the artifacts, in a row for each class."""
        return self._connection.execute(
            f"SELECT s.class, count(*), sum(a.size) FROM {_OF_SESSIONS} GROUP BY s.class"
        ).fetchall()

    def written(self, *, start: float, end: float) -> list[tuple[int, int]]:
        """How many days before ``end``, and original bytes, of what was last written between two times."""
        return self._connection.execute(
            "SELECT CAST((? - mtime_ns / 1e9) / 86400 AS INTEGER), sum(size) FROM artifacts "
            "WHERE mtime_ns > ? AND mtime_ns <= ? GROUP BY 1",
            (end, int(start * 1e9), int(end * 1e9)),
        ).fetchall()

    def count_sessions(self) -> int:
        """How many sessions it holds."""
        return int(self._connection.execute("SELECT count(*) FROM sessions").fetchone()[0])

    def session_at(self, place: int) -> str:
        """The id of the session at this place, from 0, in an order that stays as long as nothing changes."""
        query = "SELECT id FROM sessions ORDER BY number LIMIT 1 OFFSET ?"
        return str(self._connection.execute(query, (place,)).fetchone()[0])

    def archived_sessions(self) -> Iterator[ArchivedSession]:
        """Every session as expiry sees it."""
        rows = self._connection.execute(
            "SELECT s.id, s.class, a.archived_at, a.stored FROM sessions s JOIN ("
            "  SELECT session, max(archived_at) AS archived_at, sum("
            "    (SELECT coalesce(sum(length(frame)), 0) FROM frames WHERE artifact_id = artifacts.id)"
            "  ) AS stored"
            "  FROM artifacts GROUP BY session) a ON a.session = s.number ORDER BY s.id"
        )
        for session_id, session_class, archived_at, stored in rows:
            yield ArchivedSession(session_id, SessionClass(session_class), archived_at, stored, self.name)

    def artifacts(self, *, session_id: str | None = None, sweep: str | None = None) -> list[ArchivedArtifact]:
        """The artifacts of the partition, of one session, or of one sweep; oldest first."""
        wanted = [
            (name, value) for name, value in (("s.id", session_id), ("a.sweep", sweep)) if value is not None
        ]
        where = " AND ".join(f"{name} = ?" for name, _ in wanted) or "1"
        rows = self._connection.execute(
            f"SELECT {_ARTIFACT} FROM {_OF_SESSIONS} WHERE {where} ORDER BY a.id",
            [value for _, value in wanted],
        )
        return [self._archived(row) for row in rows]

    def span(self, first_id: int, last_id: int) -> Generator[tuple[ArchivedArtifact, Generator[Frame]]]:
        """The artifacts of a range of ids with their frames, in one query; take each one's frames in turn."""
        rows = self._connection.execute(
            f"SELECT {_ARTIFACT}, f.size, f.frame FROM {_OF_SESSIONS} "
            "LEFT JOIN frames f ON f.artifact_id = a.id "
            "WHERE a.id BETWEEN ? AND ? ORDER BY a.id, f.seq",
            (first_id, last_id),
        )
        for _, group in itertools.groupby(rows, key=itemgetter(0)):
            same = iter(group)
            first = next(same)
            yield self._archived(first[:-2]), _frames(itertools.chain((first,), same))

    def _archived(self, row: Sequence[Any]) -> ArchivedArtifact:
        try:
            kind, name = ArtifactKind(row[2]), os.fsdecode(row[3])
        except (TypeError, ValueError) as error:
            raise FrameCorrupt(self.path.name, f"artifact {row[0]} is described by nonsense") from error
        rest: list[Any] = [*row[4:], self.name]
        return ArchivedArtifact(row[0], row[1], kind, name, *rest)

    def stored_frames(self, artifact: ArchivedArtifact) -> Generator[Frame]:
        """The frames of an artifact as they lie in the file, in order."""
        rows = self._connection.execute(
            "SELECT size, frame FROM frames WHERE artifact_id = ? ORDER BY seq", (artifact.id,)
        )
        for size_bytes, content in rows:
            yield Frame(size_bytes, content)

    def frames_of(self, artifact_ids: Sequence[int]) -> Iterator[tuple[int, int, bytes]]:
        """Artifact, plain size and content of the frames of some artifacts, in order of their ids."""
        for start in range(0, len(artifact_ids), VARIABLES):
            some = artifact_ids[start : start + VARIABLES]
            yield from self._connection.execute(
                "SELECT artifact_id, size, frame FROM frames "
                f"WHERE artifact_id IN ({', '.join('?' * len(some))}) ORDER BY artifact_id, seq",
                some,
            )

    def read(self, artifact: ArchivedArtifact) -> Iterator[bytes]:
        """The original bytes in pieces. Raises ``FrameCorrupt`` unless all of them are what was archived."""
        codec = self.codec(artifact.dictionary_id)
        yield from unpack(artifact, self.stored_frames(artifact), codec, self.path.name)

    def stored_bytes(self, artifact: ArchivedArtifact) -> int:
        """Compressed bytes of an artifact."""
        row = self._connection.execute(
            "SELECT coalesce(sum(length(frame)), 0) FROM frames WHERE artifact_id = ?", (artifact.id,)
        ).fetchone()
        return int(row[0])

    def broken_seals(self, session_ids: Collection[str] | None = None) -> list[FrameCorrupt]:
        """The artifacts, of these sessions or of all, that are described otherwise than when archived."""
        return [
            FrameCorrupt(
                self.path.name,
                f"artifact {number} is described otherwise than when it was archived",
                consequence="nothing was removed on its account",
            )
            for number, digest, *described in self._connection.execute(_SEALED)
            if digest != seal_of(*described) and (session_ids is None or described[0] in session_ids)
        ]

    def check_structure(self) -> list[str]:
        """What SQLite's own integrity check has to say; empty when all is well."""
        try:
            answer = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check")]
            orphans = self._connection.execute("PRAGMA foreign_key_check").fetchall()
        except sqlite3.Error as error:
            return [str(error)]
        if orphans:
            answer.append(f"{len(orphans)} row(s) without the row that they belong to")
        return [line for line in answer if line != "ok"]


def _frames(rows: Iterable[Sequence[Any]]) -> Generator[Frame]:
    for row in rows:
        if row[-1] is not None:  # an empty artifact has no frame
            yield Frame(row[-2], row[-1])


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _connect(path: Path) -> sqlite3.Connection:
    try:
        connection = effects.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise _damaged(path, f"it cannot be opened ({error})") from error
    # Of a damaged text Python would say what it holds, and where an error goes, nobody knows.
    connection.text_factory = _text
    for pragma in (
        "journal_mode = DELETE",
        "synchronous = EXTRA",
        "secure_delete = ON",
        "trusted_schema = OFF",
    ):
        try:
            connection.execute(f"PRAGMA {pragma}")
        except (sqlite3.Error, ValueError) as error:  # ValueError: Python cannot tell what SQLite said
            connection.close()
            raise _damaged(path, f"it is not a readable partition ({error})") from error
    return connection


def _damaged(path: Path, why: str) -> VaultDamaged:
    return VaultDamaged(
        str(path),
        why,
        consequence="it was not touched, and the sessions in it cannot be read until it is mended",
        cure="Run 'hermes-retention archive verify', and put the file back from a backup.",
    )


# -- many artifacts at full speed ----------------------------------------------------------------------------
#
# Nothing is compared with its sha256 here: whoever finds something reads it back (``Partition.read``) before
# it is believed.

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
