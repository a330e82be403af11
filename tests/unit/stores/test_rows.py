"""Rows come back from their lines without a difference."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_retention.stores import rows as row_format
from hermes_retention.stores.rows import Header, Row, RowFormatError, decode, encode

INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text() | st.binary().map(lambda it: it.decode("utf-8", "surrogateescape"))
VALUES = st.none() | INTEGERS | st.floats(allow_nan=False) | TEXTS | st.binary()
HEADER = Header("messages", ("id", "content"))


def typed(item: object) -> object:
    """Equal only when the types are, and the sign of zero."""
    return [(type(it), repr(it)) for it in item] if isinstance(item, tuple) else item


@given(st.lists(st.tuples(VALUES, VALUES)), st.integers(1, 50))
def test_every_value_survives_however_the_bytes_are_cut(rows: list[Row], size: int) -> None:
    whole = b"".join(encode([HEADER, *rows]))
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    assert list(map(typed, decode(pieces))) == list(map(typed, [HEADER, *rows]))


@pytest.mark.parametrize(
    "value",
    [
        None, 0, 1, 1.0, -0.0, 1e22, 1e-7, 5e-324, math.inf, -math.inf, 2**63 - 1, -(2**63), 2.0**63,
        "", "a\0b", "\u2028", "\udcff", '{"blob": "eA=="}', b"", b"\xff\0", "\n", "x" * 3_000_000,
    ],
    ids=lambda it: repr(it)[:20],
)  # fmt: skip
def test_value_that_a_database_hands_out_comes_back_as_it_was(value: row_format.Value) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        database.text_factory = lambda it: it.decode("utf-8", "surrogateescape")
        bound = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        cast = "CAST(? AS TEXT)" if isinstance(value, str) else "?"
        stored = database.execute(f"SELECT {cast}", (bound,)).fetchone()
    _, row = decode(encode([Header("t", ("a",)), stored]))
    assert typed(row) == typed((value,))


def test_lines_are_for_people() -> None:
    lines = b"".join(encode([HEADER, (7, "grüß dich"), (8, None)])).decode()
    assert lines == '{"format":1,"table":"messages","columns":["id","content"]}\n[7,"grüß dich"]\n[8,null]\n'
    assert all(json.loads(line) for line in lines.splitlines())


def test_rows_are_handed_out_in_chunks_not_at_once() -> None:
    made = 0

    def rows() -> object:
        nonlocal made
        yield HEADER
        for made in range(1, 100):
            yield made, "x" * 100_000

    first = next(encode(rows()))  # type: ignore[arg-type]
    assert len(first) < 2 * row_format.CHUNK_BYTES
    assert made < 15


def test_two_tables_follow_each_other() -> None:
    items: list[Header | Row] = [HEADER, (1, "a"), Header("sessions", ("id",)), ("s",), ("t",)]
    assert list(decode(encode(items))) == items


@pytest.mark.parametrize(
    "damaged",
    [
        b"[1,2]\n",
        b'{"format":2,"table":"t","columns":["a"]}\n',
        b'{"format":1,"table":"t","columns":["a"]}\n[1',
        b'{"format":1,"table":"t","columns":["a"]}\n[1,2]\n',
        b'{"format":1,"table":"t","columns":["a"]}\n[true]\n',
        b'{"format":1,"table":"t","columns":["a"]}\n[[1]]\n',
        b'{"format":1,"table":"t","columns":["a"]}\n[{"blob":"?"}]\n',
        b'{"format":1,"table":"t","columns":["a"]}\n[{"other":"eA=="}]\n',
        b'{"format":1,"table":"t","columns":["a"]}\n[{}]\n',
        b"\n",
        b"nonsense\n",
    ],
)
def test_what_is_no_row_is_an_error_without_content(damaged: bytes) -> None:
    with pytest.raises(RowFormatError) as caught:
        list(decode([damaged]))
    assert "eA" not in str(caught.value)


def test_text_that_no_database_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        list(encode([HEADER, (1, "\ud800")]))
