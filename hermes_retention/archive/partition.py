"""One partition of the vault: a SQLite file with the sessions of one month.

The format is described in ``docs/explanation/vault.md``; ``FORMAT`` is its version. A partition of a newer
format is refused and not touched. What must not live here: which partition a session belongs to, files of
the store, and decisions.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sqlite3
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from hermes_retention.archive.codec import (
    Codec,
    FrameError,
    build_dictionary,
    compress_dictionary,
    decompress_dictionary,
)
from hermes_retention.archive.entries import ArchivedArtifact, Frame, Packed, SessionEntry, seal_of, unpack
from hermes_retention.disk import effects, writing
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
_APPLICATION_ID = 0x48527631  # "HRv1": lets ``file`` and doctors tell a partition from any other database
_VARIABLES = 500
"""SQLite allows at least 999 in a statement; more than 500 gain nothing."""
_PAGE_BYTES = 16384
"""A typical frame is 1 to 4 KB: with SQLite's usual pages of 4 KB a third of the file would be air."""
_METADATA = SessionMetadata.__struct_fields__
_SCHEMA = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE dictionaries(
    id INTEGER PRIMARY KEY, size INTEGER NOT NULL, sha256 BLOB NOT NULL UNIQUE,
    sources TEXT NOT NULL, content BLOB NOT NULL);
CREATE TABLE sessions(
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, class TEXT NOT NULL, last_activity REAL NOT NULL,
    {", ".join(_METADATA)});
CREATE TABLE artifacts(
    id INTEGER PRIMARY KEY, session INTEGER NOT NULL REFERENCES sessions(number), kind TEXT NOT NULL,
    name BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, mode INTEGER NOT NULL,
    sha256 BLOB NOT NULL, dictionary_id INTEGER REFERENCES dictionaries(id),
    archived_at REAL NOT NULL, sweep TEXT NOT NULL);
CREATE INDEX artifacts_by_session ON artifacts(session);
CREATE TABLE frames(
    artifact_id INTEGER NOT NULL REFERENCES artifacts(id), seq INTEGER NOT NULL,
    size INTEGER NOT NULL, frame BLOB NOT NULL, PRIMARY KEY (artifact_id, seq));
CREATE TABLE seals(artifact_id INTEGER PRIMARY KEY, digest BLOB NOT NULL);
INSERT INTO meta VALUES('format', '{FORMAT}');
"""


class Partition:
    """An opened partition. Writes happen inside ``with partition.transaction():`` only."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.name = path.stem
        """What people call it: ``2026-11``."""
        self._connection = connection
        self._codecs: dict[int | None, Codec] = {}

    @classmethod
    def open(cls, path: Path) -> Partition:
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

    @classmethod
    def create(cls, path: Path) -> Partition:
        """Open the partition at ``path``, making it (mode 0600) when it does not exist or was left empty.

        A new one appears whole or not at all: to whoever reads the vault, half of one would be a damaged one.
        """
        if not path.is_symlink() and (not path.exists() or path.stat().st_size == 0):
            writing.replace_private_file(path, _empty_partition())
        return cls.open(path)

    def close(self) -> None:
        """Close the file; an open transaction is rolled back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def transaction(self) -> _Transaction:
        """All or nothing: committed and synced when the block ends, rolled back when it raises."""
        return _Transaction(self._connection)

    # -- writing ------------------------------------------------------------------------------------

    def add_dictionary(self, content: bytes, sources: Sequence[str]) -> int:
        """Store a dictionary built from the sessions ``sources`` and return its id."""
        digest = hashlib.sha256(content).digest()
        known = self._connection.execute("SELECT id FROM dictionaries WHERE sha256 = ?", (digest,)).fetchone()
        if known:
            return int(known[0])
        cursor = self._connection.execute(
            "INSERT INTO dictionaries(size, sha256, sources, content) VALUES (?, ?, ?, ?)",
            (len(content), digest, json.dumps(sorted(set(sources))), compress_dictionary(content)),
        )
        return int(cursor.lastrowid or 0)

    def put(
        self, entries: Sequence[SessionEntry], packed: Sequence[Packed], *, sweep: str, archived_at: float
    ) -> list[int]:
        """Store artifacts with their sessions, of which ``entries`` has each once; return their ids in order.

        An artifact that is there already, as a sweep that died leaves it, keeps its id and gets fresh frames.
        """
        known = self._session_numbers([entry.id for entry in entries])
        numbers = self._put_sessions(entries, known)
        fresh = itertools.count(self._next("artifacts", "id"))
        ids = []
        for one in packed:
            same = self._same_artifact(known[one.session_id], one) if one.session_id in known else None
            if same is not None:
                self._forget_artifact(same)
            ids.append(next(fresh) if same is None else same)
        described = [_described(one) for one in packed]
        self._insert(
            "INSERT INTO artifacts",
            [
                (number, numbers[one.session_id], *columns, archived_at, sweep)
                for number, one, columns in zip(ids, packed, described, strict=True)
            ],
        )
        self._connection.executemany(  # one after another: a large artifact is packed while it is written
            "INSERT INTO frames VALUES (?, ?, ?, ?)",
            (
                (number, seq, frame.size_bytes, frame.content)
                for number, one in zip(ids, packed, strict=True)
                for seq, frame in enumerate(one.frames)
            ),
        )
        self._insert(
            "INSERT OR REPLACE INTO seals",
            [
                (number, seal_of(one.session_id, *columns[:-1], float(archived_at), sweep))
                for number, one, columns in zip(ids, packed, described, strict=True)
            ],
        )
        return ids

    def _insert(self, into: str, rows: Sequence[Sequence[object]], otherwise: str = "") -> None:
        """Insert rows with as few statements as the number of variables in one allows.

        Python gives its lock away for each of them. Where other threads want it as well, getting it back
        takes longer than inserting a row.
        """
        width = len(rows[0]) if rows else 1
        length = _VARIABLES // width
        for start in range(0, len(rows), length):
            some = rows[start : start + length]
            marks = ", ".join([f"({', '.join('?' * width)})"] * len(some))
            values = list(itertools.chain.from_iterable(some))
            self._connection.execute(f"{into} VALUES {marks} {otherwise}", values)

    def _next(self, table: str, column: str) -> int:
        row = self._connection.execute(f"SELECT coalesce(max({column}), 0) + 1 FROM {table}").fetchone()
        return int(row[0])

    def _session_numbers(self, session_ids: Sequence[str]) -> dict[str, int]:
        """Session id → number, of those that the partition has already."""
        found: dict[str, int] = {}
        for start in range(0, len(session_ids), _VARIABLES):
            some = session_ids[start : start + _VARIABLES]
            marks = ", ".join("?" * len(some))
            found.update(
                self._connection.execute(f"SELECT id, number FROM sessions WHERE id IN ({marks})", some)
            )
        return found

    def _put_sessions(self, entries: Sequence[SessionEntry], known: Mapping[str, int]) -> dict[str, int]:
        """Insert or update the descriptions and return the number of each session."""
        fresh = itertools.count(self._next("sessions", "number"))
        numbers = {entry.id: known[entry.id] if entry.id in known else next(fresh) for entry in entries}
        updates = ", ".join(f"{field} = coalesce(excluded.{field}, {field})" for field in _METADATA)
        self._insert(
            "INSERT INTO sessions",
            [
                (
                    numbers[entry.id],
                    entry.id,
                    entry.session_class.value,
                    entry.last_activity,
                    *msgspec.structs.astuple(entry.metadata),
                )
                for entry in entries
            ],
            "ON CONFLICT(id) DO UPDATE SET class = excluded.class, "
            f"last_activity = max(last_activity, excluded.last_activity), {updates}",
        )
        return numbers

    def _same_artifact(self, session: int, packed: Packed) -> int | None:
        row = self._connection.execute(
            "SELECT id FROM artifacts "
            "WHERE session = ? AND name = ? AND sha256 = ? AND mtime_ns = ? AND mode = ?",
            (session, os.fsencode(packed.name), packed.sha256, packed.mtime_ns, packed.mode),
        ).fetchone()
        return int(row[0]) if row else None

    def _forget_artifact(self, artifact_id: int) -> None:
        self._connection.execute("DELETE FROM frames WHERE artifact_id = ?", (artifact_id,))
        self._connection.execute("DELETE FROM artifacts WHERE id = ?", (artifact_id,))

    def remove_sessions(self, session_ids: Sequence[str]) -> None:
        """Remove these sessions with all their artifacts, also from dictionaries that were built from them.

        Pages are overwritten (``secure_delete``). Raises ``FrameCorrupt`` when another session that shares
        such a dictionary cannot be read; nothing has changed then.
        """
        gone = set(session_ids)
        for session_id in gone:
            self._connection.execute(
                "DELETE FROM frames WHERE artifact_id IN ("
                "  SELECT a.id FROM artifacts a JOIN sessions s ON s.number = a.session WHERE s.id = ?)",
                (session_id,),
            )
            self._connection.execute(
                "DELETE FROM artifacts WHERE session = (SELECT number FROM sessions WHERE id = ?)",
                (session_id,),
            )
            self._connection.execute("DELETE FROM sessions WHERE id = ?", (session_id,))
        self._connection.execute("DELETE FROM seals WHERE artifact_id NOT IN (SELECT id FROM artifacts)")
        for dictionary_id, sources in self._connection.execute(
            "SELECT id, sources FROM dictionaries"
        ).fetchall():
            if gone.intersection(json.loads(sources)):
                self._replace_dictionary(int(dictionary_id))

    def _replace_dictionary(self, dictionary_id: int) -> None:
        """Give the users of a dictionary a new one that is built from themselves, and drop the old one."""
        users = [artifact for artifact in self.artifacts() if artifact.dictionary_id == dictionary_id]
        new_id: int | None = None
        sample = users[:: max(1, len(users) // 8)][:8]
        if sample:
            content = build_dictionary([next(self.read(artifact), b"") for artifact in sample])
            if content:
                new_id = self.add_dictionary(content, [artifact.session_id for artifact in sample])
        codec = self.codec(new_id)
        for artifact in users:
            frames = [Frame(len(piece), codec.compress(piece)) for piece in self.read(artifact)]
            self._connection.executemany(
                "UPDATE frames SET frame = ? WHERE artifact_id = ? AND seq = ?",
                [(frame.content, artifact.id, seq) for seq, frame in enumerate(frames)],
            )
            self._connection.execute(
                "UPDATE artifacts SET dictionary_id = ? WHERE id = ?", (new_id, artifact.id)
            )
            # These may be the only copies: what was packed anew is read back before anything is committed.
            for _ in self.read(msgspec.structs.replace(artifact, dictionary_id=new_id)):
                pass
        if new_id == dictionary_id:
            sources = json.dumps(sorted({artifact.session_id for artifact in sample}))
            self._connection.execute(
                "UPDATE dictionaries SET sources = ? WHERE id = ?", (sources, dictionary_id)
            )
        else:
            self._connection.execute("DELETE FROM dictionaries WHERE id = ?", (dictionary_id,))
            self._codecs.pop(dictionary_id, None)

    def shrink(self) -> None:
        """Give free pages back to the file system. Call it outside a transaction."""
        # As a script, which runs to its end: execute() would stop after the first page.
        self._connection.executescript("PRAGMA incremental_vacuum")

    # -- reading ------------------------------------------------------------------------------------

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
        columns = ", ".join(_METADATA)
        rows = self._connection.execute(
            f"SELECT id, class, last_activity, {columns} FROM sessions ORDER BY id"
        )
        for row in rows:
            metadata = SessionMetadata(**dict(zip(_METADATA, row[3:], strict=True)))
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
        for start in range(0, len(artifact_ids), _VARIABLES):
            some = artifact_ids[start : start + _VARIABLES]
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


def _described(packed: Packed) -> tuple[object, ...]:
    """The columns of table ``artifacts`` from ``kind`` to ``dictionary_id``."""
    return (
        packed.kind.value,
        os.fsencode(packed.name),
        packed.size_bytes,
        packed.mtime_ns,
        packed.mode,
        packed.sha256,
        packed.dictionary_id,
    )


def _frames(rows: Iterable[Sequence[Any]]) -> Generator[Frame]:
    for row in rows:
        if row[-1] is not None:  # an empty artifact has no frame
            yield Frame(row[-2], row[-1])


class _Transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._connection.execute("COMMIT")
        finally:
            # Also after a commit that failed: what stays open would refuse every transaction after it.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _empty_partition() -> bytes:
    with closing(effects.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
        return connection.serialize()


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
