"""A partition that is written: artifacts and dictionaries added, sessions removed.

Writes happen inside ``with partition.transaction():`` only. What must not live here: when a batch is
committed, and whether its copies are good (``vault``).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

import msgspec

from hermes_retention.archive.codec import build_dictionary, compress_dictionary
from hermes_retention.archive.entries import Frame, Packed, SessionEntry, seal_of
from hermes_retention.archive.partition import FORMAT, METADATA, VARIABLES, Partition
from hermes_retention.disk import effects, writing

_APPLICATION_ID = 0x48527631  # "HRv1": lets ``file`` and doctors tell a partition from any other database
_PAGE_BYTES = 16384
"""A typical frame is 1 to 4 KB: with SQLite's usual pages of 4 KB a third of the file would be air."""
_SCHEMA = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE dictionaries(
    id INTEGER PRIMARY KEY, size INTEGER NOT NULL, sha256 BLOB NOT NULL UNIQUE,
    sources TEXT NOT NULL, content BLOB NOT NULL);
CREATE TABLE sessions(
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, class TEXT NOT NULL, last_activity REAL NOT NULL,
    {", ".join(METADATA)});
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


class WritablePartition(Partition):
    """An opened partition of which one thread changes what it holds."""

    @classmethod
    def create(cls, path: Path) -> Self:
        """Open the partition at ``path``, making it (mode 0600) when it does not exist or was left empty.

        A new one appears whole or not at all: to whoever reads the vault, half of one would be a damaged one.
        """
        if not path.is_symlink() and (not path.exists() or path.stat().st_size == 0):
            writing.replace_private_file(path, _empty_partition())
        return cls.open(path)

    def transaction(self) -> _Transaction:
        """All or nothing: committed and synced when the block ends, rolled back when it raises."""
        return _Transaction(self._connection)

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
        length = VARIABLES // width
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
        for start in range(0, len(session_ids), VARIABLES):
            some = session_ids[start : start + VARIABLES]
            marks = ", ".join("?" * len(some))
            found.update(
                self._connection.execute(f"SELECT id, number FROM sessions WHERE id IN ({marks})", some)
            )
        return found

    def _put_sessions(self, entries: Sequence[SessionEntry], known: Mapping[str, int]) -> dict[str, int]:
        """Insert or update the descriptions and return the number of each session."""
        fresh = itertools.count(self._next("sessions", "number"))
        numbers = {entry.id: known[entry.id] if entry.id in known else next(fresh) for entry in entries}
        updates = ", ".join(f"{field} = coalesce(excluded.{field}, {field})" for field in METADATA)
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


class _Transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
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
