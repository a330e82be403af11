"""Archived versions of one session's rows, joined into what comes back; one row is held at a time.

A version is a callable that gives its bytes (``format``) from the beginning; versions stand in the order
in which they were archived. Ids of messages only grow, and a removal that was interrupted took the oldest
rows first, so a later version may hold only the rest, or only what was said since. From the newest version to
the oldest, rows are therefore taken whose id is below all that were taken so far; what an older version has
beside them was deleted by the host on purpose. What must not live here: databases, and where bytes come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from hermes_retention.stores.hermes.rows.tables import MESSAGES, SESSIONS
from hermes_retention.stores.rows import Header, Row, RowFormatError, Value, decode, sections

PARENT = "parent_session_id"
Version = Callable[[], Iterable[bytes]]


class ArchivedTable(msgspec.Struct, frozen=True):
    """Some rows of one table, of which a session has few."""

    header: Header
    rows: tuple[Row, ...]

    def values(self, column: str) -> list[Value]:
        """What stands in ``column``, row by row; empty when there is no such column."""
        if column not in self.header.columns:
            return []
        at = self.header.columns.index(column)
        return [row[at] for row in self.rows]


class _Part(msgspec.Struct, frozen=True):
    """The messages that come from one version: those with an id below ``below``."""

    version: Version
    below: int | None

    def rows(self) -> Iterator[tuple[Header, Iterator[Row]]]:
        """Read to the end even where nothing more is taken: only then are the bytes known to be good."""
        for header, rows in sections(decode(self.version())):
            if header.table == MESSAGES:
                at = _position(header)
                yield header, (row for row in rows if self.below is None or _id(row, at) < self.below)


def newest_record(versions: Sequence[Version]) -> list[ArchivedTable]:
    """The record and what goes with it from the newest version that has one; empty when none does.

    Raises ``RowFormatError``.
    """
    for version in reversed(versions):
        tables = _tables(version)
        if any(table.header.table == SESSIONS for table in tables):
            return tables
    return []


def _tables(version: Version) -> list[ArchivedTable]:
    tables = []
    for header, rows in sections(decode(version())):
        if header.table == MESSAGES:
            break  # they come last, and may be many
        tables.append(ArchivedTable(header, tuple(rows)))
    return tables


def items_of(tables: Sequence[ArchivedTable]) -> Iterator[Header | Row]:
    """The tables as they are archived: each header, and its rows."""
    for table in tables:
        yield table.header
        yield from table.rows


def parents_in(tables: Sequence[ArchivedTable]) -> set[str]:
    """The sessions that records in ``tables`` name as their parents."""
    return {
        parent
        for table in tables
        if table.header.table == SESSIONS
        for parent in table.values(PARENT)
        if isinstance(parent, str)
    }


def without_parents(table: ArchivedTable, lost: set[str]) -> ArchivedTable:
    """``table`` with records that are below none of ``lost``."""
    if table.header.table != SESSIONS or PARENT not in table.header.columns:
        return table
    at = table.header.columns.index(PARENT)
    rows = [(*row[:at], None, *row[at + 1 :]) if row[at] in lost else row for row in table.rows]
    return ArchivedTable(table.header, tuple(rows))


class JoinedMessages:
    """The messages of all versions, ids ascending: call it as often as needed, it reads them again."""

    def __init__(self, versions: Sequence[Version]) -> None:
        """Reads the beginning of each version. Raises ``RowFormatError``."""
        parts: list[_Part] = []
        lowest: int | None = None
        for version in reversed(versions):
            first = _first_id(version)
            if first is not None and (lowest is None or first < lowest):
                parts.append(_Part(version, lowest))
                lowest = first
        self._parts = parts[::-1]

    def __call__(self) -> Iterator[Header | Row]:
        """A header before the first row and wherever columns change, and the rows."""
        yield from _with_headers(section for part in self._parts for section in part.rows())


def joined_output(versions: Sequence[Version]) -> Iterator[Header | Row]:
    """The tool output of all versions, the newest version first; each message once.

    Raises ``RowFormatError``. Memory: the ids.
    """
    yield from _with_headers(_output_once(versions))


def _output_once(versions: Sequence[Version]) -> Iterator[tuple[Header, Iterator[Row]]]:
    taken: set[Value] = set()
    for version in reversed(versions):
        for header, rows in sections(decode(version())):
            yield header, _untaken(rows, _position(header), taken)


def _untaken(rows: Iterable[Row], at: int, taken: set[Value]) -> Iterator[Row]:
    for row in rows:
        if row[at] not in taken:
            taken.add(row[at])
            yield row


def _with_headers(found: Iterable[tuple[Header, Iterator[Row]]]) -> Iterator[Header | Row]:
    last = None
    for header, rows in found:
        for row in rows:
            if header != last:
                yield header
                last = header
            yield row


def _first_id(version: Version) -> int | None:
    for header, rows in sections(decode(version())):
        if header.table == MESSAGES:
            at = _position(header)
            return next((_id(row, at) for row in rows), None)
    return None


def _position(header: Header) -> int:
    if "id" not in header.columns:
        raise RowFormatError("messages without ids")
    return header.columns.index("id")


def _id(row: Row, at: int) -> int:
    value = row[at]
    if not isinstance(value, int):
        raise RowFormatError("a message whose id is no number")
    return value
