"""Checksums over what a partition says of its artifacts: names, times, modes, and when they were archived.

The sha256 of an artifact covers its content only. Without a seal a single bit could give a file another time,
or let a copy expire years early. What must not live here: what follows from a broken seal.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

TABLE = "CREATE TABLE IF NOT EXISTS seals(artifact_id INTEGER PRIMARY KEY, digest BLOB NOT NULL)"
"""Partitions that an older version made have none, and their artifacts no seals, until something is added."""
_SEALED = (
    "SELECT a.id, e.digest, "
    "s.id, a.kind, a.name, a.size, a.mtime_ns, a.mode, a.sha256, a.archived_at, a.sweep FROM artifacts a "
    "LEFT JOIN sessions s ON s.number = a.session LEFT JOIN seals e ON e.artifact_id = a.id"
)


def seal_of(*described: object) -> bytes:
    """The seal of: session id, kind, name (bytes), size, mtime_ns, mode, sha256, archived_at, sweep."""
    return hashlib.sha256(repr(described).encode("utf-8", "surrogatepass")).digest()


def has_seals(connection: sqlite3.Connection) -> bool:
    """Whether the partition has the table."""
    query = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'seals'"
    return bool(connection.execute(query).fetchone()[0])


def broken(connection: sqlite3.Connection, session_ids: Collection[str] | None = None) -> Iterator[Any]:
    """Ids of the artifacts, of these sessions or of all, that are described otherwise than when archived."""
    if not has_seals(connection):
        return
    for number, digest, *described in connection.execute(_SEALED):
        if digest is None and described[0] is not None:
            continue  # from before there were seals
        if digest != seal_of(*described) and (session_ids is None or described[0] in session_ids):
            yield number
