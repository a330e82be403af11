"""The vault as a whole: finds, writes, reads back, verifies and expires across its partitions.

What must not live here: files of the store (``disk``) and decisions about what is archived (``policy``).
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from hermes_retention.archive.codec import (
    FRAME_BYTES,
    Codec,
    build_dictionary,
    fittest,
    is_clearly_better,
    is_worth_using,
)
from hermes_retention.archive.entries import (
    ArchivedArtifact,
    Frame,
    Packed,
    Packing,
    SessionEntry,
    compare_read_back,
)
from hermes_retention.archive.partition import Partition
from hermes_retention.archive.partition_writing import WritablePartition
from hermes_retention.disk import directories, writing
from hermes_retention.model.errors import FrameCorrupt, RetentionError, VaultDamaged
from hermes_retention.model.session import ArchivedSession, SessionClass

Check = Callable[[], RetentionError | None]
"""Answers ``None`` when a copy is good, else why its original must stay."""
_Found = TypeVar("_Found")
_PARTITION_NAME = re.compile(r"\d{4}-\d{2}\.db", re.ASCII)
_COMPARED_DICTIONARIES = 4
"""How many of a partition's dictionaries may stay in use: files, messages, tool output, records."""


class ClassTotal(msgspec.Struct, frozen=True):
    """What the vault holds of one class of sessions."""

    session_class: SessionClass
    sessions: int
    original_bytes: int


class VaultSummary(msgspec.Struct, frozen=True):
    """What the vault holds, in numbers. Sizes in bytes."""

    sessions: int
    artifacts: int
    original_bytes: int
    stored_bytes: int
    partitions: int
    classes: tuple[ClassTotal, ...] = ()
    """In the order of the classes, without those that it has nothing of."""

    @property
    def ratio(self) -> float:
        """How many times smaller everything is than it was; 0.0 for an empty vault."""
        return self.original_bytes / self.stored_bytes if self.stored_bytes else 0.0


class Damage(msgspec.Struct, frozen=True):
    """Something that ``verify`` found wrong, in one line without content."""

    partition: str
    what: str


class Vault:
    """All partitions below ``<home>/retention/archive``. Opens files when asked, keeps none open."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def partition_path(self, name: str) -> Path:
        """Where a partition lies, or would lie."""
        return self.root / f"{name}.db"

    def partition_paths(self) -> list[Path]:
        """The partitions, oldest month first; empty when there is no vault yet."""
        if not self.root.is_dir():
            return []
        return sorted(path for path in self.root.iterdir() if _PARTITION_NAME.fullmatch(path.name))

    def partitions(self) -> Iterator[Partition]:
        """Each partition, opened while the loop is at it. Raises ``VaultDamaged``."""
        for path in self.partition_paths():
            with Partition.open(path) as partition:
                yield partition

    def from_readable(
        self, damages: list[VaultDamaged], read: Callable[[Partition], Iterable[_Found]]
    ) -> Iterator[_Found]:
        """All that ``read`` finds, partition by partition, oldest month first.

        A partition that cannot be opened, or cannot be read to its end, gives nothing and is added to
        ``damages``: it costs its own month only.
        """
        for path in self.partition_paths():
            try:
                with Partition.open(path) as partition:
                    found = list(read(partition))
            except VaultDamaged as error:
                damages.append(error)
            except (sqlite3.Error, ValueError) as error:
                damages.append(unreadable(path, error))
            else:
                yield from found

    def archived_sessions(self, damages: list[VaultDamaged]) -> tuple[ArchivedSession, ...]:
        """Every archived session with its age and size, once per readable partition that it is in."""
        return tuple(self.from_readable(damages, Partition.archived_sessions))

    def find(
        self, damages: list[VaultDamaged], *, session_id: str | None = None, sweep: str | None = None
    ) -> list[ArchivedArtifact]:
        """Like ``artifacts``, of the partitions that can be read; the others are added to ``damages``."""
        return _oldest_first(
            self.from_readable(damages, lambda it: it.artifacts(session_id=session_id, sweep=sweep))
        )

    def artifacts(self, *, session_id: str | None = None, sweep: str | None = None) -> list[ArchivedArtifact]:
        """Artifacts of one session or one sweep, oldest version first. Raises ``VaultDamaged``."""
        damages: list[VaultDamaged] = []
        found = self.find(damages, session_id=session_id, sweep=sweep)
        if damages:
            raise damages[0]
        return found

    def reader(self) -> VaultReader:
        """For reading many artifacts: keeps the partition open that was read last."""
        return VaultReader(self.root)

    def summary(self) -> VaultSummary:
        """Counts and sizes over all partitions. Raises ``VaultDamaged``."""
        damages: list[VaultDamaged] = []
        read = self.from_readable(damages, lambda it: [(it.classes(), it.sizes())])
        classes: dict[str, str] = {}
        bytes_of: Counter[str] = Counter()
        artifacts = 0
        for known, sizes in read:
            classes.update(known)
            for name, number, size in sizes:
                artifacts += number
                bytes_of[name] += size
        if damages:
            raise damages[0]
        sessions = Counter(classes.values())
        return VaultSummary(
            len(classes),
            artifacts,
            bytes_of.total(),
            self.allocated_bytes(),
            len(self.partition_paths()),
            tuple(ClassTotal(it, sessions[it], bytes_of[it]) for it in SessionClass if sessions[it]),
        )

    def written(self, *, days: int, now: float) -> tuple[int, ...]:
        """Original bytes of what was last written on each of the last ``days``, the newest day first.

        Partitions that cannot be read are left out.
        """
        by_day = [0] * days
        damages: list[VaultDamaged] = []
        start = now - days * 86400
        for day, size in self.from_readable(damages, lambda it: it.written(start=start, end=now)):
            by_day[min(day, days - 1)] += size
        return tuple(by_day)

    def allocated_bytes(self) -> int:
        """What the file system gives to the vault, journals included."""
        return directories.allocated_bytes(self.root)

    def verify(self) -> Iterator[tuple[str, list[Damage]]]:
        """Check every byte of every partition; yields each partition's name with what is wrong in it."""
        for path in self.partition_paths():
            try:
                with Partition.open(path) as partition:
                    yield path.stem, _verify_partition(partition)
            except VaultDamaged as error:
                yield path.stem, [Damage(path.stem, str(error))]
            except (sqlite3.Error, ValueError) as error:
                yield path.stem, [Damage(path.stem, str(unreadable(path, error)))]

    def require_as_archived(self, session_ids: Collection[str], *, partition: str) -> None:
        """Raise ``FrameCorrupt`` when the partition says something else of these sessions than before."""
        with Partition.open(self.root / f"{partition}.db") as opened:
            for error in opened.broken_seals(set(session_ids)):
                raise error

    def drop_partition(self, session_ids: Iterable[str], *, partition: str) -> bool:
        """Unlink a partition that holds nothing but these sessions; whether it did. Needs no space at all."""
        wanted, path = set(session_ids), self.root / f"{partition}.db"
        with Partition.open(path) as opened:
            if not {entry.id for entry in opened.sessions()} <= wanted:
                return False
        writing.remove_own_file(path)
        return True

    def remove_sessions(self, session_ids: Iterable[str], *, partition: str | None = None) -> None:
        """Remove sessions for good, from one partition or from all; an emptied partition is unlinked."""
        wanted = list(session_ids)
        for path in self.partition_paths():
            if partition is None or path.stem == partition:
                _remove_from(path, wanted)


def unreadable(path: Path, error: sqlite3.Error | ValueError) -> VaultDamaged:
    """What SQLite met in a partition that it could open, as an error that people understand."""
    why = f"SQLite cannot read it ({error})" if isinstance(error, sqlite3.Error) else "it holds nonsense"
    return VaultDamaged(
        str(path),
        why,
        consequence="the sessions in it cannot be read until it is mended; other months are not affected",
        cure="Run 'hermes-retention archive verify', and put the file back from a backup.",
    )


def _oldest_first(artifacts: Iterable[ArchivedArtifact]) -> list[ArchivedArtifact]:
    """By the time of the file itself: a sweep may have had a wrong clock, and a later version is newer."""
    return sorted(artifacts, key=attrgetter("mtime_ns", "archived_at", "partition", "id"))


class VaultReader:
    """Reads artifacts back; a context manager. Ask for them partition by partition where there are many."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._partition: Partition | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._partition is not None:
            self._partition.close()

    def read(self, artifact: ArchivedArtifact) -> Iterator[bytes]:
        """The original bytes in pieces.

        Raises ``VaultDamaged``, at the latest after the last piece, unless they are what was archived.
        """
        if self._partition is None or self._partition.name != artifact.partition:
            if self._partition is not None:
                self._partition.close()
            self._partition = None
            self._partition = Partition.open(self._root / f"{artifact.partition}.db")
        try:
            yield from self._partition.read(artifact)
        except sqlite3.Error as error:  # whoever takes the pieces may use another database
            raise unreadable(self._root / f"{artifact.partition}.db", error) from error


def _remove_from(path: Path, session_ids: Sequence[str]) -> None:
    with WritablePartition.open(path) as partition:
        with partition.transaction():
            partition.remove_sessions(session_ids)
        partition.shrink()
        empty = next(partition.sessions(), None) is None
    if empty:
        writing.remove_own_file(path)


def _verify_partition(partition: Partition) -> list[Damage]:
    damages = [
        Damage(partition.name, f"{partition.path.name}: {line}") for line in partition.check_structure()
    ]
    try:
        artifacts = partition.artifacts()
        damages += [Damage(partition.name, str(error)) for error in partition.broken_seals()]
    except Exception as error:  # noqa: BLE001 - a damaged file can make SQLite raise anything; all of it is damage
        return [*damages, Damage(partition.name, f"{partition.path.name}: {error}")]
    for artifact in artifacts:
        try:
            for _ in partition.read(artifact):
                pass
        except FrameCorrupt as error:
            damages.append(Damage(partition.name, str(error)))
        except Exception as error:  # noqa: BLE001 - as above
            damages.append(Damage(partition.name, f"{partition.path.name}, artifact {artifact.id}: {error}"))
    return damages


class PartitionWriter:
    """Writes batches into one partition and reads them back. A context manager, for one thread only."""

    def __init__(self, vault: Vault, name: str) -> None:
        """Open or make the partition ``name`` (``2026-11``). Raises ``VaultDamaged``, changing nothing."""
        self._vault = vault
        path = vault.root / f"{name}.db"
        self._writer = WritablePartition.create(path)
        # A connection of its own: what it reads comes from the file, not from the writer's page cache.
        try:
            self._reader = Partition.open(path)
        except BaseException:
            self._writer.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._writer.close()

    def choose_packing(self, samples: Sequence[tuple[str, bytes]], total_bytes: int) -> Packing:
        """The dictionary for ``total_bytes`` of artifacts that look like ``samples`` (session id, content).

        An existing one, of this partition or the one before, stays in use unless a fresh one is clearly
        better and saves more than it takes. It is stored in a transaction of its own. Where what is archived
        has little in common there is none.
        """
        known = self._writer.newest_dictionaries(_COMPARED_DICTIONARIES)
        content, sources = fittest(known or self._inherited(), samples)
        fresh = build_dictionary([plain for _, plain in samples])
        fresh_sources = [session_id for session_id, _ in samples]
        if not content or is_clearly_better(content, samples, total_bytes):
            content, sources = fresh, fresh_sources
        if not content or not is_worth_using(content, samples, is_fresh=content == fresh):
            return Packing(None, Codec())
        with self._writer.transaction():
            dictionary_id = self._writer.add_dictionary(content, sources)
        return Packing(dictionary_id, Codec(content))

    def _inherited(self) -> list[tuple[bytes, list[str]]]:
        for path in reversed(self._vault.partition_paths()):
            if path == self._writer.path:
                continue
            try:
                with Partition.open(path) as other:
                    return other.newest_dictionaries(_COMPARED_DICTIONARIES)
            except (VaultDamaged, sqlite3.Error, ValueError):
                continue  # its owner hears of it from verify; here a fresh dictionary does as well
        return []

    def write(
        self, entries: Sequence[SessionEntry], packed: Sequence[Packed], *, sweep: str, archived_at: float
    ) -> list[int]:
        """Commit a batch, synced to disk, and return the ids of its artifacts in order. All or nothing."""
        with self._writer.transaction():
            return self._writer.put(entries, packed, sweep=sweep, archived_at=archived_at)

    def read_back(self, packed: Sequence[Packed], ids: Sequence[int]) -> list[Check]:
        """For each committed copy a check that it reads back from the file as what was packed (invariant 1).

        What is small has been fetched when this returns, and its check may run in any thread; what is large
        has been compared already.
        """
        wanted = dict(zip(ids, packed, strict=True))
        checks: dict[int, Check] = {}
        trouble = FrameCorrupt(
            self._reader.path.name, "a committed artifact is missing", consequence="it was kept"
        )
        try:
            with closing(self._reader.span(min(ids, default=0), max(ids, default=-1))) as rows:
                for artifact, frames in rows:
                    if artifact.id in wanted:
                        checks[artifact.id] = self._check(wanted[artifact.id], artifact, frames)
        except (RetentionError, sqlite3.Error) as error:
            trouble = FrameCorrupt(self._reader.path.name, str(error), consequence="the files were kept")
        return [checks.get(number, lambda: trouble) for number in ids]

    def _check(self, packed: Packed, artifact: ArchivedArtifact, frames: Iterator[Frame]) -> Check:
        codec = self._reader.codec(artifact.dictionary_id)
        if artifact.size_bytes > FRAME_BYTES:
            answer = compare_read_back(packed, artifact, frames, codec)
            return lambda: answer
        fetched = list(frames)
        return lambda: compare_read_back(packed, artifact, fetched, codec)
