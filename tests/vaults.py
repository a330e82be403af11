"""Makes vaults for tests without a store: artifacts out of bytes, packed and committed as a sweep does it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from hermes_retention.archive.entries import SessionEntry, pack
from hermes_retention.archive.vault import PartitionWriter, Vault
from hermes_retention.model.session import Artifact, ArtifactKind, SessionClass
from hermes_retention.stores.base import SessionMetadata

MONTH = "2026-11"
PARTITION = f"{MONTH}.db"


def artifact_of(name: str, content: bytes, *, mtime_ns: int = 1_790_000_000_123_456_789) -> Artifact:
    """An artifact with this name and as many bytes as ``content`` has."""
    return Artifact(
        ArtifactKind.SNAPSHOT, name, len(content), len(content), mtime_ns=mtime_ns, inode=1, mode=0o640
    )


def entry_of(session_id: str, **metadata: object) -> SessionEntry:
    """A chat session with this metadata."""
    return SessionEntry(session_id, SessionClass.CHAT, 1.79e9, SessionMetadata(**metadata))  # type: ignore[arg-type]  # one keyword per field


def fill(
    root: Path,
    contents: Mapping[str, bytes],
    *,
    sweep: str = "s1",
    archived_at: float = 1.8e9,
    month: str = MONTH,
) -> Vault:
    """A vault below ``root`` with one file for each session id of ``contents``."""
    vault = Vault(root)
    root.mkdir(parents=True, exist_ok=True)
    with PartitionWriter(vault, month) as writer:
        packing = writer.choose_packing(list(contents.items()), sum(map(len, contents.values())))
        packed = [
            pack(session_id, artifact_of(f"session_{session_id}.json", content), [content], packing)
            for session_id, content in contents.items()
        ]
        ids = writer.write(
            [entry_of(session_id) for session_id in contents], packed, sweep=sweep, archived_at=archived_at
        )
        assert [check() for check in writer.read_back(packed, ids)] == [None] * len(ids)
    return vault


def content_of(vault: Vault, session_id: str) -> list[bytes]:
    """The bytes of every archived artifact of a session."""
    with vault.reader() as reader:
        return [b"".join(reader.read(artifact)) for artifact in vault.artifacts(session_id=session_id)]


def damage_table(partition: Path, table: str) -> None:
    """Overwrite the first page of ``table``: the file opens as before, but not all of it can be read."""
    with closing(sqlite3.connect(partition)) as connection:
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    with open(partition, "r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(b"\xaa" * page_bytes)
