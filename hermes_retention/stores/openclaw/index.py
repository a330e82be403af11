"""The index ``sessions.json``: its text, taken apart without touching a byte and put together, and its file.

An index is one JSON object, ``key → entry``. Only its first level is looked at: where each entry begins and
ends. What is kept is copied as it stands, whatever a future host writes into it. The file is read whole, and
written under the host's lock, all at once or not at all. What must not live here: what an entry means.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from hermes_retention.disk import effects
from hermes_retention.disk.directories import Directory
from hermes_retention.disk.writing import PRIVATE, replace_file
from hermes_retention.model.errors import ArtifactChanged, StoreUnreadable
from hermes_retention.model.text import format_size, printable, words
from hermes_retention.stores.openclaw.files import INDEX, LOCK, Waiting, locked

_BLANK = rb"[ \t\r\n]*"
_OPEN = re.compile(_BLANK + rb"\{")
_NEXT = re.compile(rb'(%b,)?(%b"[^"\\]*(?:\\.[^"\\]*)*"%b:%b)' % ((_BLANK,) * 4), re.DOTALL)
_CLOSE = re.compile(_BLANK + rb"\}" + _BLANK)
_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LEAD, _COLON, _END = b"\n  ", b": ", b"\n}\n"
"""How the host writes an index; for what has no neighbour to imitate."""


TextPiece: TypeAlias = "bytes | memoryview"


class EntrySpan(NamedTuple):
    """Where one entry stands in the text, its key and what is before that included."""

    start: int
    """Behind the comma or brace before it."""
    value: int
    end: int


class SessionIndex:
    """An index at one moment. Nothing in it ever changes: ``changed`` makes another one."""

    __slots__ = ("content", "members")

    def __init__(self, content: bytes, members: dict[str, EntrySpan]) -> None:
        self.content, self.members = content, members

    @classmethod
    def empty(cls) -> SessionIndex:
        """An index without entries, as a file that does not exist stands for."""
        return cls(b"{}", {})

    @classmethod
    def split(cls, content: bytes) -> SessionIndex:
        """Find the entries in ``content``.

        Raises ``ValueError`` with a reason that quotes nothing when it is no JSON object, is cut off, or has
        a key twice.
        """
        # A JSON reader tells keys and lengths of values, but not where they stand. The text between two
        # entries is matched, and must be a comma, this very key and a colon: a key that stands there twice
        # would be read as one, and cutting by its first place would take the wrong bytes.
        members: dict[str, EntrySpan] = {}
        place = _opened(content)
        for key, length in _lengths(content):
            found = _NEXT.match(content, place)
            if found is None or key in members or bool(found[1]) != bool(members) or not _says(found[2], key):
                raise ValueError("a key stands in it twice")
            place = found.end() + length
            members[key] = EntrySpan(found.start(2), found.end(), place)
        # What is left must be the closing brace alone, or an entry was passed over.
        if _CLOSE.fullmatch(content, place) is None:
            raise ValueError("a key stands in it twice")
        return cls(content, members)

    def __len__(self) -> int:
        return len(self.members)

    def __contains__(self, key: object) -> bool:
        return key in self.members

    def value(self, key: str) -> bytes:
        """The entry of ``key``, byte for byte. Raises ``KeyError``."""
        member = self.members[key]
        return self.content[member.value : member.end]

    def size_bytes(self, key: str) -> int:
        """The bytes of an entry with its key."""
        member = self.members[key]
        return member.end - member.start

    def excerpt(self, keys: Iterable[str]) -> bytes:
        """An index of these entries only, each as it stands in this one."""
        chosen = (self.members[key] for key in keys)
        return b"{" + b",".join(self.content[span.start : span.end] for span in chosen) + _END

    def changed(self, changes: Mapping[str, bytes | None]) -> SessionIndex:
        """The index with other entries, as ``rewritten`` tells, in memory of its own."""
        pieces, members = self.rewritten(changes)
        return SessionIndex(b"".join(pieces), members)

    def rewritten(self, changes: Mapping[str, bytes | None]) -> tuple[list[TextPiece], dict[str, EntrySpan]]:
        """The text with other entries, in pieces of which most are views of this one, and its members.

        ``None`` removes an entry, bytes take its place or are added at the end. The text of all others, and
        what is before the first and behind the last, stays as it is.
        """
        # Views, not copies: a large index is written from the memory that it was read into.
        pieces: list[TextPiece] = [self.content[: self._first_start()]]
        members: dict[str, EntrySpan] = {}
        place = len(pieces[0])
        for key, text, value_at in self._texts(changes):
            # Places in the new text are counted along, so that it need not be taken apart again.
            comma = 1 if members else 0
            pieces += [b",", text] if comma else [text]
            start = place + comma
            place = start + len(text)
            members[key] = EntrySpan(start, start + value_at, place)
        pieces.append(self._tail() if self.members or not members else _END)
        return pieces, members

    def _texts(self, changes: Mapping[str, bytes | None]) -> Iterator[tuple[str, TextPiece, int]]:
        """Key, text and offset of the value in it, of everything that the changed index holds."""
        view = memoryview(self.content)
        for key, (start, value, end) in self.members.items():
            if key not in changes:
                yield key, view[start:end], value - start
            elif (other := changes[key]) is not None:
                yield key, self.content[start:value] + other, value - start
        lead, colon = self._manner()
        for key, added in changes.items():
            if key not in self.members and added is not None:
                name = lead + json.dumps(key, ensure_ascii=False).encode() + colon
                yield key, name + added, len(name)

    def _first_start(self) -> int:
        """Behind the opening brace."""
        return _opened(self.content)

    def _tail(self) -> bytes:
        """All behind the last entry."""
        last = next(reversed(self.members.values())).end if self.members else self._first_start()
        return self.content[last:]

    def _manner(self) -> tuple[bytes, bytes]:
        """What stands before a key and behind it, as the neighbours have it."""
        for start, value, _ in self.members.values():
            text = self.content[start:value]
            before, _, rest = text.partition(b'"')
            return before, rest[rest.rindex(b'"') + 1 :]
        return _LEAD, _COLON


def _opened(content: bytes) -> int:
    found = _OPEN.match(content)
    if found is None:
        raise ValueError("it is empty" if not content.strip() else "it is no JSON object")
    return found.end()


def _lengths(content: bytes) -> Iterable[tuple[str, int]]:
    """The keys in order, each with the length of its entry; of a key that stands there twice the last one."""
    try:
        return [(key, len(memoryview(raw))) for key, raw in _DECODER.decode(content).items()]
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeError):
        return _lengths_read_slowly(content)


def _lengths_read_slowly(content: bytes) -> Iterator[tuple[str, int]]:
    """The same with the reader of the standard library, which takes half of a character as the host does.

    A label that was cut off in the middle of an emoji must not make a whole index unreadable.
    """
    text = content.decode("latin-1")  # a character for each byte, so that places in both are the same
    place = _opened(content)
    while (found := _NEXT.match(content, place)) is not None:
        try:
            key = json.loads(found[2][: found[2].rindex(b'"') + 1])
            _, place = _SLOW.raw_decode(text, found.end())
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        except ValueError:  # its words may quote the text
            raise ValueError(_NO_JSON) from None
        yield key, place - found.end()
    if _CLOSE.fullmatch(content, place) is None:
        raise ValueError(_NO_JSON)


def _no_constant(_: str) -> object:
    raise ValueError(_NO_JSON)


_SLOW = json.JSONDecoder(parse_constant=_no_constant)
_NO_JSON = "it is not valid JSON, or cut off"


def _says(text: bytes, key: str) -> bool:
    """Whether this key text, with what is around it, spells ``key``."""
    inner = text[text.index(b'"') : text.rindex(b'"') + 1]
    if b"\\" not in inner:
        return inner[1:-1] == key.encode()
    return bool(json.loads(inner) == key)


CACHE_MAX_BYTES = 1_000_000
CACHE_VARIABLE = "HERMES_RETENTION_INDEX__CACHE_MAX_BYTES"
_PIECE = 2**20
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
