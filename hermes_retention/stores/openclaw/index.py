"""The text of an index: ``key → entry``, taken apart without touching a byte, and put together again.

An index is one JSON object. Only its first level is looked at: where each entry begins and ends. What is kept
is copied as it stands, whatever a future host writes into it. What must not live here: files, locks, and what
an entry means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

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
