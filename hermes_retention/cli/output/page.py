"""Where lines and tables go: plain text into anything, colours and rules onto a terminal.

A page takes any text: what a terminal would obey is escaped here. rich is imported only when a terminal is
there to show it. What must not live here: what the lines say.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Protocol

from hermes_retention.cli.output.layout import Column, Fit, Table, aligned, column_widths, titles
from hermes_retention.model.text import printable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Column", "Fit", "Page", "PlainPage", "RichPage", "Style", "Table", "open_page", "shows_colours"]

_NARROW = 80


class Style(enum.StrEnum):
    """What a line is, not how it looks."""

    NORMAL = "none"
    TITLE = "bold"
    FAINT = "dim"
    GOOD = "green"
    WARNING = "yellow"
    BAD = "red"
    HIT = "bold magenta"


class Page(Protocol):
    """Something that people read."""

    @property
    def width(self) -> int | None:
        """Cells in a line of a terminal; ``None`` for a file or pipe."""

    def line(self, text: str = "", style: Style = Style.NORMAL) -> None:
        """One line; a terminal wraps it."""

    def pieces(self, parts: Sequence[tuple[str, Style]]) -> None:
        """One line of texts, each in its own style."""

    def table(self, table: Table) -> None:
        """Titles and rows in columns."""


class PlainPage:
    """Lines without any control character. ``width`` is that of a terminal, ``None`` for a file or pipe."""

    def __init__(self, stream: IO[str], width: int | None = None) -> None:
        self._stream, self._width = stream, width

    @property
    def width(self) -> int | None:
        """As it was given."""
        return self._width

    def line(self, text: str = "", style: Style = Style.NORMAL) -> None:
        """The text; the style is not shown."""
        self._stream.write(f"{printable(text)}\n")

    def pieces(self, parts: Sequence[tuple[str, Style]]) -> None:
        """The texts one behind the other; styles are not shown."""
        self.line("".join(text for text, _ in parts))

    def table(self, table: Table) -> None:
        """Aligned columns, indented; nothing is cut unless there is a width to fit."""
        table = table.printable()
        widths = column_widths(table, None if self._width is None else self._width - 2)
        for row in (titles(table), *table.rows):
            self.line(f"  {aligned(table, row, widths)}".rstrip())


class RichPage:
    """A terminal with colours."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @property
    def width(self) -> int | None:
        """That of the console."""
        return self.console.width

    def line(self, text: str = "", style: Style = Style.NORMAL) -> None:
        """The text in the colour of its style. Nothing in it is taken for markup: names may hold anything."""
        self.console.print(printable(text), style=style.value, markup=False, highlight=False, emoji=False)

    def pieces(self, parts: Sequence[tuple[str, Style]]) -> None:
        """The texts one behind the other, each in the colour of its style."""
        from rich.text import Text

        self.console.print(Text.assemble(*((printable(text), style.value) for text, style in parts)))

    def table(self, table: Table) -> None:
        """Columns that fit the terminal; titles and totals stand out."""
        table = table.printable()
        widths = column_widths(table, self.console.width - 2)
        self._row(table, titles(table), widths, Style.TITLE)
        for number, row in enumerate(table.rows, 1):
            is_total = table.last_is_total and number == len(table.rows)
            self._row(table, row, widths, Style.TITLE if is_total else Style.NORMAL)

    def _row(self, table: Table, row: tuple[str, ...], widths: Sequence[int], style: Style) -> None:
        text = f"  {aligned(table, row, widths)}".rstrip()
        # What is still too wide is left to the terminal: it wraps without losing anything.
        self.console.print(
            text, style=style.value, markup=False, highlight=False, emoji=False, soft_wrap=True
        )


def shows_colours(stream: IO[str], environ: Mapping[str, str]) -> bool:
    """Whether ``stream`` is a terminal on which colours and a progress bar are welcome."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") not in (None, "", "dumb")


def open_page(stream: IO[str], environ: Mapping[str, str]) -> Page:
    """The page for ``stream``: colours on a terminal unless ``NO_COLOR`` or ``TERM=dumb`` is set."""
    if not shows_colours(stream, environ):
        return PlainPage(stream, _terminal_width(stream))
    from rich.console import Console

    return RichPage(Console(file=stream, highlight=False, markup=False, emoji=False))


def _terminal_width(stream: IO[str]) -> int | None:
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or _NARROW
    except OSError:
        return _NARROW
