"""Everything that a home ever had, as far as it is known: what lies in the store, and what was archived.

Names, sizes and times only. What was deleted for good, by the host, by expiry or by a class without an
archive, is in neither. What must not live here: what follows from it, and output.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hermes_retention.archive.entries import ArchivedArtifact, SessionEntry
from hermes_retention.archive.partition import Partition
from hermes_retention.home.home import Home
from hermes_retention.model.errors import VaultDamaged
from hermes_retention.model.plan import ARCHIVED_SHARE
from hermes_retention.model.session import ROW_KINDS, Artifact, ArtifactKind, Inventory, Record, Session
from hermes_retention.policy.replay import Past, Scale
from hermes_retention.stores.base import Store

_BLOCK = 4096


class Archived(msgspec.Struct, frozen=True):
    """What the vault has of one session, over all months."""

    entry: SessionEntry
    artifacts: tuple[ArchivedArtifact, ...]


class History(msgspec.Struct, frozen=True):
    """All sessions, and what things take."""

    inventory: Inventory
    past: tuple[Past, ...]
    archived: dict[str, Archived]
    scale: Scale
    damages: tuple[VaultDamaged, ...] = ()
    """Months that cannot be read: what is in them is missing here."""


def read_history(site: Home, *, now: float) -> History:
    """The history of ``site``. Reads only. Raises ``StoreUnreadable`` when the store cannot be read."""
    inventory = site.take_inventory(now=now)
    damages: list[VaultDamaged] = []
    archived = _archived(site, damages)
    past = [_past(session, archived.get(session.id)) for session in inventory.sessions]
    known = {session.id for session in inventory.sessions}
    past += [
        _past(_session_of(archived[session_id].entry, site.store), archived[session_id])
        for session_id in sorted(archived.keys() - known)
    ]
    return History(inventory, tuple(past), archived, _scale(inventory, archived.values()), tuple(damages))


def _archived(site: Home, damages: list[VaultDamaged]) -> dict[str, Archived]:
    found: dict[str, Archived] = {}
    read = site.workspace.vault.from_readable(damages, lambda it: [_both(it)])
    for entries, artifacts in read:
        by_session: dict[str, list[ArchivedArtifact]] = {}
        for artifact in artifacts:
            by_session.setdefault(artifact.session_id, []).append(artifact)
        for entry in entries:
            before = found.get(entry.id)
            own = (*(() if before is None else before.artifacts), *by_session.get(entry.id, ()))
            newest = (
                entry if before is None or entry.last_activity >= before.entry.last_activity else before.entry
            )
            found[entry.id] = Archived(newest, own)
    return found


def _both(partition: Partition) -> tuple[list[SessionEntry], list[ArchivedArtifact]]:
    return list(partition.sessions()), partition.artifacts()


def _session_of(entry: SessionEntry, store: Store) -> Session:
    """A session of which only the vault has something, as it was."""
    told = entry.metadata
    record = None
    if told.source is not None:
        record = Record(
            source=told.source,
            started_at=told.started_at if told.started_at is not None else entry.last_activity,
            ended_at=told.ended_at,
            end_reason=told.end_reason,
            parent_id=told.parent_id,
            message_count=told.message_count or 0,
        )
    group = store.group_of(entry.id) or told.route_key
    return Session(entry.id, entry.session_class, record=record, group=group)


def _past(session: Session, archived: Archived | None) -> Past:
    files: dict[str, Artifact] = {}
    had_messages = session.record is not None and session.record.has_messages
    for artifact in () if archived is None else archived.artifacts:
        if artifact.kind in ROW_KINDS:
            had_messages = had_messages or artifact.kind is ArtifactKind.MESSAGES
            continue
        known = files.get(artifact.name)
        if known is None or known.mtime_ns < artifact.mtime_ns:
            files[artifact.name] = _file(artifact)
    files.update((artifact.name, artifact) for artifact in session.artifacts)
    record = session.record
    if record is not None and had_messages and not record.has_messages and archived is not None:
        record = msgspec.structs.replace(record, last_message_at=archived.entry.last_activity)
    whole = msgspec.structs.replace(
        session,
        artifacts=tuple(files.values()),
        record=None if record is None else msgspec.structs.replace(record, busy=None),
        restored_at=None,
        tool_output_done=False,
    )
    messages = max(1, record.message_count) if record is not None and had_messages else 0
    in_store = session.record is not None and session.record.has_messages
    return Past(whole, _began(whole), messages, in_store=in_store)


def _file(artifact: ArchivedArtifact) -> Artifact:
    allocated = -(-artifact.size_bytes // _BLOCK) * _BLOCK
    return Artifact(artifact.kind, artifact.name, artifact.size_bytes, allocated, artifact.mtime_ns, 0)


def _began(session: Session) -> float:
    if session.record is not None and session.record.started_at > 0:
        return session.record.started_at
    return min((it.mtime_ns / 1e9 for it in session.artifacts), default=session.last_activity)


def _scale(inventory: Inventory, archived: Iterable[Archived]) -> Scale:
    """Measured where the archive has something to measure by, else as cautious as a plan is."""
    usage = inventory.usage
    copies = [artifact for one in archived for artifact in one.artifacts]
    original = sum(artifact.size_bytes for artifact in copies)
    share = min(usage.vault_bytes / original, 1.0) if original else ARCHIVED_SHARE
    records = [session.record for session in inventory.sessions if session.record is not None]
    left = sum(max(1, it.message_count) for it in records if it.has_messages)
    per_message = _per_message(archived, inventory.bytes_per_message)
    rest = max(0.0, usage.database_bytes - left * per_message)
    free = usage.free_bytes
    return Scale(
        bytes_per_message=per_message,
        bytes_per_record=rest / len(records) if records else 0.0,
        archived_share=share,
        is_measured=original > 0,
        capacity_bytes=None if free is None else free + usage.total_bytes,
    )


def _per_message(archived: Iterable[Archived], in_store: float) -> float:
    """What a message takes in the database. Where few are left there, the records distort that: then their
    archived form tells it, and never more than the store does.
    """
    sizes = counts = 0
    for one in archived:
        own = [it.size_bytes for it in one.artifacts if it.kind is ArtifactKind.MESSAGES]
        if own and one.entry.metadata.message_count:
            sizes += max(own)
            counts += one.entry.metadata.message_count
    told = sizes / counts if counts else 0.0
    return min(told, in_store) if told and in_store else told or in_store
