"""Through the partitions of the vault, newest month first: which sessions hold a match, and what they hold.

What must not live here: the store, and output.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from pathlib import Path

from hermes_retention.actions.inspect.search.messages import interesting_part, messages_in, whole
from hermes_retention.actions.inspect.search.query import Hits, Query
from hermes_retention.archive.bulk_read import plain_artifacts
from hermes_retention.archive.entries import ArchivedArtifact, SessionEntry
from hermes_retention.archive.partition import Partition
from hermes_retention.archive.vault import Vault, unreadable
from hermes_retention.model.errors import FrameCorrupt, VaultDamaged
from hermes_retention.model.session import ArtifactKind

Wanted = Callable[[SessionEntry], bool]


def matching_sessions(
    vault: Vault, query: Query, wanted: Wanted, damages: list[VaultDamaged]
) -> Generator[SessionEntry]:
    """The wanted sessions that hold a match, each once, those of the newest partition first.

    Within a partition the one that was active last comes first. A partition or a copy that cannot be read is
    added to ``damages`` and costs itself only.
    """
    seen: set[str] = set()
    for path in reversed(vault.partition_paths()):
        for entry in _in_partition(path, query, lambda one: one.id not in seen and wanted(one), damages):
            seen.add(entry.id)
            yield entry


def _in_partition(
    path: Path, query: Query, wanted: Wanted, damages: list[VaultDamaged]
) -> Generator[SessionEntry]:
    try:
        with Partition.open(path) as partition:
            entries = {entry.id: entry for entry in partition.sessions() if wanted(entry)}
            artifacts = [one for one in partition.artifacts() if one.session_id in entries]
            artifacts.sort(key=lambda one: (-entries[one.session_id].last_activity, one.session_id, one.id))
            yield from _matching(partition, artifacts, entries, query, damages)
    except VaultDamaged as error:
        damages.append(error)
    except (sqlite3.Error, ValueError) as error:
        damages.append(unreadable(path, error))


def _matching(
    partition: Partition,
    artifacts: list[ArchivedArtifact],
    entries: Mapping[str, SessionEntry],
    query: Query,
    damages: list[VaultDamaged],
) -> Generator[SessionEntry]:
    last_found = ""
    with closing(plain_artifacts(partition, artifacts, damages)) as batches:
        for artifact, plain in batches:
            if artifact.session_id != last_found and _matches(artifact, plain, query):
                last_found = artifact.session_id
                yield entries[last_found]


def _matches(artifact: ArchivedArtifact, plain: bytes, query: Query) -> bool:
    if not query.may_match(interesting_part(artifact.kind, plain)):
        return False
    return any(query.pattern.search(message.text) for message in messages_in(artifact.kind, plain))


def take_hits(vault: Vault, hits: Mapping[str, Hits], damages: list[VaultDamaged]) -> set[str]:
    """Look through every copy of these sessions, in all partitions, each compared with its sha256.

    Returns the sessions of which the vault has something.
    """
    archived: set[str] = set()
    for path in vault.partition_paths():
        try:
            with Partition.open(path) as partition:
                for session_id, found in hits.items():
                    for artifact in sorted(partition.artifacts(session_id=session_id), key=_rows_first):
                        archived.add(session_id)
                        _take(partition, artifact, found, damages)
        except VaultDamaged as error:
            damages.append(error)
        except (sqlite3.Error, ValueError) as error:
            damages.append(unreadable(path, error))
    return archived


def _take(partition: Partition, artifact: ArchivedArtifact, hits: Hits, damages: list[VaultDamaged]) -> None:
    try:
        hits.take(messages_in(artifact.kind, whole(partition.read(artifact))))
    except FrameCorrupt as error:
        damages.append(error)


def _rows_first(artifact: ArchivedArtifact) -> tuple[bool, int]:
    """Rows know the time of each message, files mostly do not."""
    return artifact.kind is not ArtifactKind.MESSAGES, artifact.id
