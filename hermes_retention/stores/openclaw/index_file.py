"""``sessions.json`` on disk: read whole, written under the host's lock, all at once or not at all.

What must not live here: what an entry means.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping

import msgspec

from hermes_retention.disk import effects
from hermes_retention.disk.directories import Directory
from hermes_retention.disk.writing import PRIVATE, replace_file
from hermes_retention.model.errors import ArtifactChanged, StoreUnreadable
from hermes_retention.model.text import format_size, printable, words
from hermes_retention.stores.openclaw.files import INDEX, LOCK
from hermes_retention.stores.openclaw.index import EntrySpan, SessionIndex
from hermes_retention.stores.openclaw.lock import Waiting, locked

CACHE_MAX_BYTES = 1_000_000
CACHE_VARIABLE = "HERMES_RETENTION_INDEX__CACHE_MAX_BYTES"
_PIECE = 2**20
_ATTEMPTS = 3
Changes = Mapping[str, bytes | None]
"""Key → its new entry, ``None`` to remove it."""


class Snapshot(msgspec.Struct, frozen=True):
    """An index as it was read, or written by us."""

    index: SessionIndex
    status: os.stat_result | None
    """The file that it was read from; ``None`` when there was none."""


class IndexCache:
    """Keeps small indexes that were read, for as long as their files stay what they are."""

    def __init__(self, max_bytes: int = CACHE_MAX_BYTES) -> None:
        """Indexes of more than ``max_bytes`` are read anew each time; 0 keeps none and says nothing."""
        self._max_bytes = max_bytes
        self._known: dict[str, Snapshot] = {}
        self._told: dict[str, str] = {}

    def find(self, path: str, status: os.stat_result) -> Snapshot | None:
        """What was kept of this file, if it still is this file."""
        known = self._known.get(path)
        if known is None or known.status is None or not _is_same(known.status, status):
            return None
        return known

    def keep(self, path: str, snapshot: Snapshot) -> None:
        """Keep a snapshot if it is small enough, else remember to say that it is not."""
        size = len(snapshot.index.content)
        if size <= self._max_bytes:
            self._known[path] = snapshot
            return
        self._known.pop(path, None)
        if self._max_bytes and path not in self._told:
            self._told[path] = (
                f"{printable(path)} has {format_size(size)}, more than the {format_size(self._max_bytes)} "
                f"that are kept in memory: it is read anew each time. {CACHE_VARIABLE} sets the limit."
            )

    def warnings(self) -> list[str]:
        """One line for each index that was too large, once."""
        lines = [line for line in self._told.values() if line]
        self._told = dict.fromkeys(self._told, "")
        return lines


class IndexFile:
    """The index in one directory, which stays open for as long as this is used."""

    def __init__(self, directory: Directory, cache: IndexCache, waiting: Waiting | None = None) -> None:
        self._directory, self._cache, self._waiting = directory, cache, waiting
        self.path = str(directory.path / INDEX)

    def load(self) -> Snapshot:
        """The index as it is now; an empty one when there is none.

        Raises ``StoreUnreadable`` when it is anything but a regular file with a JSON object.
        """
        try:
            descriptor = self._opened()
            if descriptor is None:
                return Snapshot(SessionIndex.empty(), None)
            with open(descriptor, "rb", buffering=0) as stream:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise self._unreadable("it is not a regular file")
                known = self._cache.find(self.path, status)
                if known is not None:
                    return known
                content = stream.readall()
        except OSError as error:
            raise self._unreadable(words(error)) from error
        try:
            snapshot = Snapshot(SessionIndex.split(content), status)
        except ValueError as error:
            raise self._unreadable(str(error)) from None
        self._cache.keep(self.path, snapshot)
        return snapshot

    def update(self, changes_to: Callable[[SessionIndex], Changes], held: Snapshot | None = None) -> Snapshot:
        """Change the index under the host's lock, and return it as it is then.

        ``changes_to`` is asked about the index as it stands under the lock. Nothing is written when there is
        nothing to change. ``held`` is used again when the file still has its bytes. The file keeps its mode
        and owner, and is the old one or the new one at every instant. Raises ``StoreUnreadable`` when it
        cannot be read, locked or written; it is the old one then.
        """
        with locked(self._directory, INDEX + LOCK, self._waiting) as lock:
            current = held if held is not None and self._is_still(held) else self.load()
            changes = changes_to(current.index)
            if not any(_differs(current.index, key, value) for key, value in changes.items()):
                return current
            pieces, members = current.index.rewritten(changes)
            before = current.status
            try:
                status = replace_file(
                    self._directory,
                    INDEX,
                    pieces,
                    like=PRIVATE if before is None else before,
                    may_go_on=lambda: lock.is_ours() and self._stands(before),
                )
            except ArtifactChanged as error:
                raise self._unreadable("somebody wrote it without its lock, or took the lock away") from error
            except OSError as error:
                raise self._unreadable(f"it cannot be written: {words(error)}") from error
            del pieces, current, held  # the old text need not be in memory beside the new one
            return self._written(status, members)

    def _written(self, status: os.stat_result, members: dict[str, EntrySpan]) -> Snapshot:
        """The index as it was just written, whose ``members`` need not be looked for again."""
        try:
            descriptor = self._opened()
            if descriptor is None:
                return self.load()
            with open(descriptor, "rb", buffering=0) as stream:
                if not _is_same(os.fstat(descriptor), status):
                    return self.load()
                content = stream.readall()
        except OSError as error:
            raise self._unreadable(words(error)) from error
        snapshot = Snapshot(SessionIndex(content, members), status)
        self._cache.keep(self.path, snapshot)
        return snapshot

    def _opened(self) -> int | None:
        # O_NONBLOCK: a FIFO of that name must not block the scan.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            return effects.open_file(INDEX, flags, dir_fd=self._directory.descriptor)
        except FileNotFoundError:
            return None

    def _stands(self, status: os.stat_result | None) -> bool:
        now = self._directory.status(INDEX)
        return now is None if status is None else now is not None and _is_same(now, status)

    def _is_still(self, held: Snapshot) -> bool:
        """Whether the file has the bytes of ``held``: compared whole, since a host may write in place."""
        if held.status is None or not self._stands(held.status):
            return False
        content, place = held.index.content, 0
        try:
            descriptor = self._opened()
            if descriptor is None:
                return False
            with open(descriptor, "rb", buffering=0) as stream:
                while piece := stream.read(_PIECE):
                    if not content.startswith(piece, place):
                        return False
                    place += len(piece)
        except OSError:
            return False
        return place == len(content)

    def _unreadable(self, why: str) -> StoreUnreadable:
        return StoreUnreadable(
            self.path,
            why,
            consequence="which sessions are in use cannot be told, so nothing was removed",
            cure="Stop the host, then put a backup (sessions.json.bak.*) in its place.",
        )


def _differs(index: SessionIndex, key: str, value: bytes | None) -> bool:
    if value is None or key not in index:
        return (key in index) != (value is not None)
    return index.value(key) != value


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) == (
        other.st_dev,
        other.st_ino,
        other.st_size,
        other.st_mtime_ns,
    )
