"""Finds sessions by what a person typed: in the store, in the vault, or in both.

What must not live here: output, and anything that changes a session.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

import msgspec

from hermes_retention.archive.entries import ArchivedArtifact
from hermes_retention.archive.partition import Partition
from hermes_retention.home.home import Home
from hermes_retention.model.errors import UsageError, VaultDamaged
from hermes_retention.model.session import SessionClass
from hermes_retention.model.text import printable
from hermes_retention.stores.base import SessionMetadata

SHORTEST_PREFIX = 6
"""Characters of an id from which a person may leave the rest away."""
_Found = TypeVar("_Found")
_NEAREST = 3
_NO_COPY = "the archive has no copy of it"
_COMPARED = 20_000
"""Ids that are compared with a misspelt one at most: enough to help, few enough not to wait for."""


class Copies(msgspec.Struct, frozen=True):
    """What one partition has of one session."""

    partition: str
    session_class: SessionClass
    last_activity: float
    metadata: SessionMetadata
    artifacts: tuple[ArchivedArtifact, ...]
    stored_bytes: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the originals."""
        return sum(artifact.size_bytes for artifact in self.artifacts)


class ArchiveEntry(msgspec.Struct, frozen=True):
    """A session in a listing of the vault. Sizes in bytes, times in Unix seconds."""

    session_id: str
    session_class: SessionClass
    title: str | None
    last_activity: float
    size_bytes: int
    stored_bytes: int
    partitions: tuple[str, ...]


class VaultIds(msgspec.Struct, frozen=True):
    """The ids in the vault, as far as it can be read."""

    ids: frozenset[str]
    damages: tuple[VaultDamaged, ...] = ()


class ArchiveListing(msgspec.Struct, frozen=True):
    """All sessions in the vault, newest first, as far as it can be read."""

    entries: tuple[ArchiveEntry, ...]
    damages: tuple[VaultDamaged, ...] = ()


def resolve(wanted: str, known: Collection[str], *, where: str) -> str:
    """The id that ``wanted`` means: itself, or the one id that begins with it. For what changes nothing.

    Raises ``UsageError`` when none or several do; it names ids that come near.
    """
    exact = _exact(wanted, known)
    if exact is not None:
        return exact
    begins = [one for one in known if one.startswith(wanted)] if len(wanted) >= SHORTEST_PREFIX else []
    if len(begins) == 1:
        return begins[0]
    if begins:
        some = _joined(sorted(begins)[:_NEAREST]) + (" …" if len(begins) > _NEAREST else "")
        raise UsageError(
            f"session {wanted}",
            f"{len(begins)} ids begin like that",
            consequence="nothing was done",
            cure=f"Write more of it: {some}",
        )
    raise _unknown(wanted, known, where)


def require(wanted: str, known: Collection[str], *, where: str) -> str:
    """The id ``wanted`` if it is one, whole. For what changes something. Raises ``UsageError``."""
    exact = _exact(wanted, known)
    if exact is None:
        raise _unknown(wanted, known, where)
    return exact


def vault_ids(home: Home) -> VaultIds:
    """Every id in the vault. A damaged partition hides its own only."""
    damages: list[VaultDamaged] = []
    ids = frozenset(entry.id for entry in _from_vault(home, damages, Partition.sessions))
    return VaultIds(ids, tuple(damages))


def resolve_archived(home: Home, wanted: Sequence[str]) -> list[str]:
    """The archived sessions that ``wanted`` means, each once. Raises ``UsageError``.

    Raises ``VaultDamaged`` instead when one is missing while a partition cannot be read.
    """
    return _each(home, wanted, partial(resolve, where=_NO_COPY))


def require_archived(home: Home, wanted: Sequence[str]) -> list[str]:
    """Like ``resolve_archived`` for whole ids only."""
    return _each(home, wanted, partial(require, where=_NO_COPY))


def archived_copies(home: Home, session_id: str) -> tuple[list[Copies], list[VaultDamaged]]:
    """What each partition has of a session, oldest month first, and the partitions that cannot be read."""
    damages: list[VaultDamaged] = []
    copies = list(_from_vault(home, damages, lambda partition: _copies(partition, session_id)))
    return copies, damages


def list_archive(home: Home, classes: Collection[str] = ()) -> ArchiveListing:
    """Every archived session of these classes, or of all."""
    damages: list[VaultDamaged] = []
    found: dict[str, ArchiveEntry] = {}
    for entry in _from_vault(home, damages, _entries):
        if not classes or entry.session_class in classes:
            known = found.get(entry.session_id)
            found[entry.session_id] = entry if known is None else _joined_entry(known, entry)
    entries = sorted(found.values(), key=lambda entry: (-entry.last_activity, entry.session_id))
    return ArchiveListing(tuple(entries), tuple(damages))


def _from_vault(
    home: Home, damages: list[VaultDamaged], read: Callable[[Partition], Iterable[_Found]]
) -> Iterator[_Found]:
    """What ``read`` finds in each partition; what is wrong with the others is added to ``damages``."""
    home.workspace.check()
    return home.workspace.vault.from_readable(damages, read)


def _copies(partition: Partition, session_id: str) -> Iterator[Copies]:
    artifacts = partition.artifacts(session_id=session_id)
    if not artifacts:
        return
    entry = next(entry for entry in partition.sessions() if entry.id == session_id)
    yield Copies(
        partition.name,
        entry.session_class,
        entry.last_activity,
        entry.metadata,
        tuple(artifacts),
        sum(map(partition.stored_bytes, artifacts)),
    )


def _entries(partition: Partition) -> Iterator[ArchiveEntry]:
    sizes: dict[str, int] = {}
    for artifact in partition.artifacts():
        sizes[artifact.session_id] = sizes.get(artifact.session_id, 0) + artifact.size_bytes
    stored = {session.id: session.stored_bytes for session in partition.archived_sessions()}
    for entry in partition.sessions():
        yield ArchiveEntry(
            session_id=entry.id,
            session_class=entry.session_class,
            title=entry.metadata.title,
            last_activity=entry.last_activity,
            size_bytes=sizes.get(entry.id, 0),
            stored_bytes=stored.get(entry.id, 0),
            partitions=(partition.name,),
        )


def _joined_entry(older: ArchiveEntry, newer: ArchiveEntry) -> ArchiveEntry:
    return msgspec.structs.replace(
        newer,
        title=newer.title or older.title,
        last_activity=max(older.last_activity, newer.last_activity),
        size_bytes=older.size_bytes + newer.size_bytes,
        stored_bytes=older.stored_bytes + newer.stored_bytes,
        partitions=(*older.partitions, *newer.partitions),
    )


def _each(home: Home, wanted: Sequence[str], find: Callable[[str, Collection[str]], str]) -> list[str]:
    known = vault_ids(home)
    try:
        return list(dict.fromkeys(find(one, known.ids) for one in wanted))
    except UsageError:
        if known.damages:
            raise known.damages[0] from None
        raise


def _exact(wanted: str, known: Collection[str]) -> str | None:
    if wanted in known:
        return wanted
    # What we print of an id with control characters is not the id; people copy what they see.
    return next((one for one in known if not one.isprintable() and printable(one) == wanted), None)


def _unknown(wanted: str, known: Collection[str], where: str) -> UsageError:
    if len(wanted) < SHORTEST_PREFIX and any(one.startswith(wanted) for one in known):
        cure = f"Write at least the first {SHORTEST_PREFIX} characters of an id."
        return UsageError(f"session {wanted}", where, consequence="nothing was done", cure=cure)
    alike = sorted(one for one in known if one[:4] == wanted[:4]) or known
    near = difflib.get_close_matches(wanted, list(islice(alike, _COMPARED)), n=_NEAREST)
    return UsageError(
        f"session {wanted}",
        where,
        consequence="nothing was done",
        cure=f"The nearest: {_joined(near)}" if near else "",
    )


def _joined(ids: Sequence[str]) -> str:
    return ", ".join(map(printable, ids))
