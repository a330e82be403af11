"""Texts and tables laid out in columns, for any output that shows characters of fixed width.

What must not live here: where the lines go, colours, and what they mean.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from hermes_retention.model.text import printable

GAP = 2
"""Blanks between two columns."""
_NARROWEST = 10
"""A column that may be cut never gets fewer cells than this; then the line is wider than asked for."""
_ELLIPSIS = "…"


class Fit(enum.Enum):
    """What happens to the texts of a column when the terminal is too narrow for all columns."""

    WHOLE = enum.auto()
    """They stay as they are."""
    NAME = enum.auto()
    """Their middle goes: ids and names differ at both ends."""
    WORDS = enum.auto()
    """Their end goes."""


class Column(NamedTuple):
    """A column of a table."""

    title: str
    right: bool = False
    fit: Fit = Fit.WHOLE


class Table(NamedTuple):
    """Rows of texts below the titles of their columns."""

    columns: tuple[Column, ...]
    rows: Sequence[tuple[str, ...]]
    last_is_total: bool = False

    def printable(self) -> Table:
        """The same with every text on one line of valid Unicode."""
        columns = tuple(column._replace(title=printable(column.title)) for column in self.columns)
        rows = [tuple(map(printable, row)) for row in self.rows]
        return self._replace(columns=columns, rows=rows)


def cells(text: str) -> int:
    """How many cells of a terminal ``text`` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def cut_middle(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells, without its middle where that is too little."""
    if cells(text) <= width:
        return text
    room = max(0, width - 1)
    end = _last_cells(text, room // 2)
    return f"{_first_cells(text, room - cells(end))}{_ELLIPSIS}{end}"


def cut_end(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells, without its end where that is too little."""
    if cells(text) <= width:
        return text
    return f"{_first_cells(text, max(0, width - 1)).rstrip()}{_ELLIPSIS}"


def bar(share: float, width: int) -> str:
    """A bar of at most ``width`` cells for a share from 0 to 1; what is more than nothing is seen."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(max(eighths, 1) if share > 0 else 0, 8)
    return "█" * full + " ▏▎▍▌▋▊▉"[rest].strip()


def column_widths(table: Table, width: int | None) -> list[int]:
    """Cells for each column: a row takes at most ``width`` as far as columns may be cut."""
    lines = [tuple(column.title for column in table.columns), *table.rows]
    widths = [max(cells(line[index]) for line in lines) for index in range(len(table.columns))]
    if width is None:
        return widths
    excess = sum(widths) + GAP * (len(widths) - 1) - width
    flexible = [index for index, column in enumerate(table.columns) if column.fit is not Fit.WHOLE]
    while excess > 0 and flexible:
        widest = max(flexible, key=lambda index: widths[index])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def aligned(table: Table, row: tuple[str, ...], widths: Sequence[int]) -> str:
    """One line of the table, without blanks at its end."""
    parts = []
    for column, text, width in zip(table.columns, row, widths, strict=True):
        shown = _CUT[column.fit](text, width)
        blanks = " " * max(0, width - cells(shown))
        parts.append(blanks + shown if column.right else shown + blanks)
    return (" " * GAP).join(parts).rstrip()


def titles(table: Table) -> tuple[str, ...]:
    """The row of titles."""
    return tuple(column.title for column in table.columns)


def _whole(text: str, _width: int) -> str:
    return text


_CUT = {Fit.WHOLE: _whole, Fit.NAME: cut_middle, Fit.WORDS: cut_end}


def _first_cells(text: str, width: int) -> str:
    return _last_cells(text[::-1], width)[::-1]


def _last_cells(text: str, width: int) -> str:
    taken, start = 0, len(text)
    while start and (taken := taken + cells(text[start - 1])) <= width:
        start -= 1
    return text[start:]
