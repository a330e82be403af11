"""Versions of a session's rows are joined by their ids, whatever the columns were at the time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from hermes_retention.stores.hermes.rows.restore import JoinedMessages, Version, joined_output, newest_record
from hermes_retention.stores.rows import Header, Row, RowFormatError, encode

MESSAGES = Header("messages", ("id", "content"))
WIDER = Header("messages", ("id", "content", "mood"))
SESSIONS = Header("sessions", ("id", "title"))


def version(*items: Header | Row) -> Version:
    content = b"".join(encode(items))
    return lambda: [content[:7], content[7:]]


def said(*ids: int, at: str = "then") -> Version:
    return version(SESSIONS, ("s1", at), MESSAGES, *[(number, at) for number in ids])


def joined(*versions: Version) -> list[Row]:
    messages = JoinedMessages(versions)
    found = list(messages())
    assert list(messages()) == found
    return [item for item in found if isinstance(item, tuple)]


def ids(rows: Sequence[Row]) -> list[object]:
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([[1, 2, 3]], [1, 2, 3]),
        ([[1, 2, 3, 4], [3, 4]], [1, 2, 3, 4]),
        ([[1, 2, 3], [3, 5, 6]], [1, 2, 3, 5, 6]),
        ([[1, 2], [5, 6]], [1, 2, 5, 6]),
        ([[1, 2, 3, 4], [1, 2]], [1, 2]),
        ([[1, 2, 3, 4], [3]], [1, 2, 3]),
        ([[1, 2, 3, 4], [3], [7, 8]], [1, 2, 3, 7, 8]),
        ([[1, 2], [5, 6], [1, 2, 5, 6, 9]], [1, 2, 5, 6, 9]),
        ([[1, 2], [], [4]], [1, 2, 4]),
        ([[1, 2], []], [1, 2]),
        ([[]], []),
        ([], []),
    ],
    ids=str,
)
def test_older_versions_give_what_comes_before_the_newer_ones(
    versions: list[list[int]], expected: list[int]
) -> None:
    assert ids(joined(*[said(*one) for one in versions])) == expected


def test_row_that_several_versions_have_is_the_newest_ones() -> None:
    rows = joined(said(1, 2, 3, at="old"), said(2, 3, at="new"))
    assert rows == [(1, "old"), (2, "new"), (3, "new")]


def test_columns_that_came_later_have_a_header_of_their_own() -> None:
    found = list(JoinedMessages([said(1, 2), version(WIDER, (2, "later", "calm"), (3, "later", None))])())
    assert found == [MESSAGES, (1, "then"), WIDER, (2, "later", "calm"), (3, "later", None)]


def test_version_that_gives_rows_is_read_to_its_end_each_time() -> None:
    ends = []

    def older() -> Iterator[bytes]:
        yield from said(1, 2, 3)()
        ends.append("older")

    messages = JoinedMessages([older, said(2, 3)])
    ends.clear()
    list(messages())
    list(messages())
    assert ends == ["older", "older"]


def test_record_is_that_of_the_newest_version_that_has_one() -> None:
    without = version(MESSAGES, (9, "then"))
    tables = newest_record([said(1, at="first"), said(2, at="second"), without])
    assert [(table.header, table.rows) for table in tables] == [(SESSIONS, (("s1", "second"),))]
    assert newest_record([without]) == []


def test_tool_output_of_all_versions_comes_once() -> None:
    older, newer = version(MESSAGES, (2, "old"), (4, "old")), version(MESSAGES, (4, "new"), (6, "new"))
    assert list(joined_output([older, newer])) == [MESSAGES, (4, "new"), (6, "new"), (2, "old")]


@pytest.mark.parametrize(
    "broken",
    [
        version(Header("messages", ("content",)), ("a",)),
        version(MESSAGES, ("one", "a")),
        version(MESSAGES, (None, "a")),
        lambda: [b'{"format":1,"table":"messages","columns":["id"]}\n[1]\n[2'],
    ],
)
def test_rows_that_cannot_be_joined_are_an_error(broken: Version) -> None:
    with pytest.raises(RowFormatError):
        list(JoinedMessages([broken])())
