"""Rows of a host's database: how they are asked for, changed and put back, and how they lie in the archive.

A line with the table and its columns, then one line per row; more tables may follow, each with its own line::

    {"format":1,"table":"messages","columns":["id","session_id","content"]}
    [7,"20261101_090000_0a1b2c3d","hello"]

NULL is ``null``, an integer a number without a point, a real one with a point or an exponent, a text a
string. What JSON cannot say stands in an object: ``{"blob": base64}``, ``{"text": base64}`` for text that is
not UTF-8 (``str`` with surrogates, as the readers hand it out), ``{"real": "inf"}``. What must not live here:
SQL, and tables of any host.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from hermes_retention.model.errors import RetentionError
from hermes_retention.model.session import ArtifactKind, Session

Ticket: TypeAlias = Any
"""What whoever read rows remembers of them, so that exactly these are changed later. Opaque but for
``len()``, which tells how many messages were read.
"""

MARKER = "[hermes-retention: "
"""What every text begins with that stands in a database for tool output in the vault."""


class Reading(msgspec.Struct):
    """Rows of one session on their way to the vault."""

    kind: ArtifactKind
    name: str
    """What the vault calls them; no file of this name exists."""
    mtime_ns: int
    """The newest time that these rows tell."""
    chunks: Iterator[bytes]
    """The rows as lines. Take all of them before anything else is read."""
    ticket: Ticket
    """Complete when ``chunks`` came to their end."""


class RowReader(Protocol):
    """Rows as they are now. Every method raises ``StoreUnreadable`` when the database cannot be read."""

    def changes(self, sessions: Sequence[Session], *, now: float) -> dict[str, str]:
        """The sessions whose record or routes are not what the scan saw, by id, with what is different."""

    def messages(self, session: Session) -> Reading:
        """All its messages and its record."""

    def tool_output(self, session: Session, *, longer_than_bytes: int) -> Reading:
        """The messages of tools whose body is longer than that; perhaps none."""

    def record(self, session: Session) -> Reading:
        """Its record and all that goes with it, but no messages. Its ticket is of no use: see ``unit``."""

    def unit(self, session_id: str) -> tuple[tuple[str, ...], Ticket]:
        """The ids that leave together with this record, in order, and the ticket for ``remove_units``."""


class RowsChanged(msgspec.Struct, frozen=True):
    """What became of the rows of a ticket: how many were changed, and why not all of them."""

    session_id: str
    rows: int
    error: RetentionError | None = None


class RowRemover(Protocol):
    """Changes rows in short transactions. Each outcome is committed when it is told, in any order.

    What is no longer as it was read stays, with an error. Raises ``StoreUnreadable`` when the database cannot
    be written; outcomes that were not told are not begun, or undone by the next start of the host.
    """

    def remove_messages(self, tickets: Sequence[Ticket]) -> Iterator[RowsChanged]:
        """Remove what ``RowReader.messages`` read; records stay."""

    def replace_tool_output(self, tickets: Sequence[Ticket]) -> Iterator[RowsChanged]:
        """Put a marker in the place of each body that ``RowReader.tool_output`` read."""

    def tidy(self, changed_rows: int) -> bool:
        """Let the database use again what was removed, if that is worth it, and say whether that was done.

        ``changed_rows`` is how many rows were changed since it last was.
        """

    def remove_units(self, tickets: Sequence[Ticket]) -> Iterator[RowsChanged]:
        """Remove each unit with all that is left of its sessions, or nothing of it."""


class ArchivedRows(msgspec.Struct, frozen=True):
    """One archived version of some rows of a session."""

    kind: ArtifactKind
    read: Callable[[], Iterable[bytes]]
    """Its bytes from the beginning, each time it is called."""


class SessionRows(msgspec.Struct, frozen=True):
    """All archived versions of one session's rows, in the order in which they were archived."""

    session_id: str
    versions: tuple[ArchivedRows, ...]


class RowsRestored(msgspec.Struct, frozen=True):
    """How many rows were inserted, and what a person should know about it."""

    records: int
    messages: int
    notes: tuple[str, ...] = ()


class RowRestorer(Protocol):
    """Puts archived rows back into the host's database, a few milliseconds at a time."""

    def missing_parent(self, rows: SessionRows) -> str | None:
        """The session that this one's record needs and that the database does not have.

        ``None`` when there is none, and when the record itself is there. Raises ``VaultDamaged``.
        """

    def insert(self, family: Sequence[SessionRows]) -> RowsRestored:
        """Put back records and messages of sessions that need each other, all or none of them.

        What is there already is left as it is. A parent that is neither in the database nor in ``family`` is
        left out, with a note. Raises ``RestoreConflict`` when something else has an id now, ``VaultDamaged``
        when a version cannot be read; nothing is changed then. Cut short, it is completed by doing it again.
        """

    def put_tool_output_back(self, version: ArchivedRows) -> int:
        """Put bodies back where their marker stands and return how many; ``insert`` comes first.

        Raises ``VaultDamaged`` when the version cannot be read, ``SessionGone`` when the database does not
        have the session; nothing is changed then.
        """

    def link_children(self) -> None:
        """Once all are back: what lost a parent with its record is put below it again.

        A child that has another parent by now stays there. Raises ``StoreUnreadable``.
        """


FORMAT = 1
CHUNK_BYTES = 2**20
"""Encoded bytes that are handed out at once; a single longer row makes a longer chunk."""

Value: TypeAlias = str | float | int | bytes | None
"""What SQLite may hand out for any column, whatever the schema says."""
Row: TypeAlias = tuple[Value, ...]

_encode = msgspec.json.Encoder().encode
_PLAIN = frozenset({str, int, type(None)})


class RowFormatError(ValueError):
    """Bytes are not rows of this format. The message never holds content."""


class Header(msgspec.Struct, frozen=True):
    """Of which table the following rows are, and what their values are called, in order."""

    table: str
    columns: tuple[str, ...]


class _HeaderLine(msgspec.Struct):
    format: int
    table: str
    columns: list[str]


_decode = msgspec.json.Decoder().decode
_decode_header = msgspec.json.Decoder(_HeaderLine).decode


def encode_header(header: Header) -> bytes:
    """The line that comes before rows of ``header.table``, with its line feed."""
    return _encode(_HeaderLine(FORMAT, header.table, list(header.columns))) + b"\n"


def encode_row(row: Iterable[Value]) -> bytes:
    """One row as a line with its line feed.

    Raises ``ValueError`` for what no SQLite database holds: text with surrogates that are no escaped bytes.
    """
    values = [value if type(value) in _PLAIN else _written(value) for value in row]
    try:
        return _encode(values) + b"\n"
    except UnicodeEncodeError:
        return _encode([_written_text(value) for value in values]) + b"\n"


def encode(items: Iterable[Header | Row]) -> Iterator[bytes]:
    """Headers, each followed by its rows, as chunks of about ``CHUNK_BYTES``."""
    lines: list[bytes] = []
    size = 0
    for item in items:
        line = encode_header(item) if isinstance(item, Header) else encode_row(item)
        lines.append(line)
        size += len(line)
        if size >= CHUNK_BYTES:
            yield b"".join(lines)
            lines, size = [], 0
    if lines:
        yield b"".join(lines)


def decode(chunks: Iterable[bytes]) -> Iterator[Header | Row]:
    """What ``encode`` was given, whatever the chunks are cut into. Holds one chunk and one row at a time.

    Raises ``RowFormatError`` at the first line that is none of this format.
    """
    width: int | None = None
    for line in _lines(chunks):
        try:
            if line.startswith(b"{"):
                header = _header(line)
                width = len(header.columns)
                yield header
                continue
            row = tuple(map(_read, _decode(line)))
        except (msgspec.DecodeError, binascii.Error, TypeError, ValueError, KeyError) as error:
            raise RowFormatError(f"a line is no row ({type(error).__name__})") from error
        if len(row) != width:
            raise RowFormatError(f"a row of {len(row)} values where {width} belong")
        yield row


def sections(items: Iterable[Header | Row]) -> Iterator[tuple[Header, Iterator[Row]]]:
    """Each header with its rows, which have to be taken before the next header is asked for."""
    header = Header("", ())
    for _, group in itertools.groupby(items, key=lambda item: isinstance(item, Header)):
        first = next(group)
        if isinstance(first, Header):
            header = [first, *(item for item in group if isinstance(item, Header))][-1]
        else:
            yield header, itertools.chain([first], (item for item in group if not isinstance(item, Header)))


def _header(line: bytes) -> Header:
    known = _decode_header(line)
    if known.format != FORMAT:
        raise RowFormatError(f"rows in format {known.format}, and this version reads {FORMAT}")
    return Header(known.table, tuple(known.columns))


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Complete lines; pieces of a long one are joined once."""
    pieces: list[bytes] = []
    for chunk in chunks:
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            yield b"".join((*pieces, line)) if pieces else line
            pieces = []
        if rest:
            pieces.append(rest)
    if pieces:
        raise RowFormatError("the last line has no end")


def _written(value: Value) -> Any:  # noqa: ANN401 - what JSON takes
    if isinstance(value, bytes):
        return {"blob": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"real": repr(value)}
    return value


def _written_text(value: Any) -> Any:  # noqa: ANN401 - what ``_written`` gives
    if isinstance(value, str) and not _is_unicode(value):
        return {"text": base64.b64encode(value.encode("utf-8", "surrogateescape")).decode()}
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(value: Any) -> Value:  # noqa: ANN401 - what JSON gives
    if not isinstance(value, dict):
        if isinstance(value, list | bool):
            raise TypeError
        return value  # type: ignore[no-any-return]  # what is left of JSON's types
    ((kind, content),) = value.items()
    if kind == "real":
        return float(content)
    plain = base64.b64decode(content, validate=True)
    return plain if kind == "blob" else _text(kind, plain)


def _text(kind: str, plain: bytes) -> str:
    if kind != "text":
        raise ValueError(kind)
    return plain.decode("utf-8", "surrogateescape")
