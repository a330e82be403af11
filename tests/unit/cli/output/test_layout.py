"""Columns: aligned, cut where a terminal is narrow, right for wide characters."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_retention.cli.output.page import (
    Column,
    Fit,
    PlainPage,
    Table,
    bar,
    cells,
    cut_end,
    cut_middle,
)


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("日本", 4), ("a\u0301", 1), ("räk", 3), ("", 0)])
def test_cells_of_a_terminal(text: str, width: int) -> None:
    assert cells(text) == width


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [
        ("20261010_080000_bbbbbbbb", 24, "20261010_080000_bbbbbbbb"),
        ("20261010_080000_bbbbbbbb", 11, "20261…bbbbb"),
        ("日本日本日本", 7, "日本…本"),
        ("abc", 1, "…"),
    ],
)
def test_names_lose_their_middle(text: str, width: int, cut: str) -> None:
    assert cut_middle(text, width) == cut


def test_words_lose_their_end() -> None:
    assert cut_end("over, and older than that", 11) == "over, and…"


@given(st.text(alphabet="ab日\u0301ä _", max_size=40), st.integers(1, 20))
def test_nothing_is_wider_than_asked_for(text: str, width: int) -> None:
    assert cells(cut_middle(text, width)) <= width
    assert cells(cut_end(text, width)) <= width


TABLE = Table(
    (Column("name", fit=Fit.NAME), Column("size", right=True), Column("why", fit=Fit.WORDS)),
    [("session_20261010_080000.json", "1 B", "because it is old enough"), ("日本", "10 KB", "new")],
)


def shown(width: int | None) -> list[str]:
    stream = io.StringIO()
    PlainPage(stream, width).table(TABLE)
    return stream.getvalue().splitlines()


def test_columns_are_as_wide_as_their_widest_text_without_a_limit() -> None:
    assert shown(None)[1] == "  session_20261010_080000.json    1 B  because it is old enough"
    assert shown(None)[2] == "  日本" + " " * 26 + "10 KB  new"
    assert shown(100) == shown(None)


def test_the_widest_column_gives_way_first() -> None:
    name, size, why = (part.strip() for part in re.split(r"  +", shown(42)[1].strip(), maxsplit=2))
    assert cells(shown(42)[1]) <= 42
    assert size == "1 B"
    assert "…" in name
    assert "…" in why
    assert abs(cells(name) - cells(why)) <= 2  # a blank before the … goes too


def test_a_column_never_becomes_too_narrow_to_tell_apart() -> None:
    assert shown(7) == [
        "  name         size  why",
        "  sessi…json    1 B  because i…",
        "  日本        10 KB  new",
    ]


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0.0, ""), (1.0, "████"), (0.5, "██"), (0.53, "██▏"), (1e-9, "▏"), (7.0, "████"), (-1.0, "")],
)
def test_bar_shows_what_is_more_than_nothing(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn
