"""Where lines and tables go: plain text into anything, colours and rules onto a terminal.

A page takes any text: what a terminal would obey is escaped here. rich is imported only when a terminal is
there to show it. What must not live here: what the lines say.
"""

from __future__ import annotations

import enum
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol

from hermes_retention.model.text import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.measure import Measurement
    from rich.segment import Segment
    from rich.table import Table as RichTable
    from rich.text import Text

_NARROW = 80
"""Cells of a terminal that does not say how wide it is."""
_GAP = 2
"""Blanks before the first column and between two."""
_NARROWEST = 10
"""A column that may be cut never gets fewer cells than this; then the line is wider than the terminal."""
_WIDEST = 10_000
"""Cells: more than any table needs."""
_ELLIPSIS = "…"
_FEW = 10
"""How many lines of a kind are shown without ``-v``."""


class Style(enum.StrEnum):
    """What a line is, not how it looks."""

    NORMAL = "none"
    TITLE = "bold"
    FAINT = "dim"
    GOOD = "green"
    WARNING = "yellow"
    BAD = "red"
    HIT = "bold magenta"


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


def titled(*titles: str) -> tuple[Column, ...]:
    """Columns by their titles: ``>size`` stands right, ``~session`` is a name, ``why…`` holds words."""
    return tuple(
        Column(
            title.strip(">~…"),
            right=title.startswith(">"),
            fit=Fit.NAME if title.startswith("~") else Fit.WORDS if title.endswith("…") else Fit.WHOLE,
        )
        for title in titles
    )


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
        if self._width is not None:
            from rich.console import Console

            height = 1  # without one, rich asks the environment for both
            _print_table(
                Console(file=self._stream, width=self._width, height=height, color_system=None), table
            )
            return
        table = table.printable()
        lines = [tuple(column.title for column in table.columns), *table.rows]
        widths = [max(map(cells, texts)) for texts in zip(*lines, strict=True)]
        for line in lines:
            shown = (
                _blanks(width - cells(text)) + text if column.right else text + _blanks(width - cells(text))
                for column, text, width in zip(table.columns, line, widths, strict=True)
            )
            self._stream.write((_blanks(_GAP) + _blanks(_GAP).join(shown)).rstrip() + "\n")


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
        _print_table(self.console, table)


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


def show_some(page: Page, lines: Sequence[str], *, every: bool, few: int = _FEW) -> None:
    """The first few of ``lines``, indented, or all of them."""
    shown = lines if every else lines[:few]
    for line in shown:
        page.line(f"  {line}")
    if len(lines) > len(shown):
        page.line(f"  … and {len(lines) - len(shown):,} more; -v shows all", Style.FAINT)


# -- tables ------------------------------------------------------------------------------------------


def _print_table(console: Console, table: Table) -> None:
    """With the widths that rich finds. Where even the least is too wide, the terminal wraps."""
    from rich.segment import Segment, Segments

    shown = _rich_table(table.printable())
    least = console.measure(shown, options=console.options.update(width=_WIDEST)).minimum
    width = max(console.width, least)
    for line in console.render_lines(shown, console.options.update(width=width), pad=False):
        console.print(
            Segments([*Segment.simplify(_without_blanks_at_its_end(line)), Segment.line()]), crop=False
        )


def _rich_table(table: Table) -> RichTable:
    from rich.table import Table as RichTable

    shown = RichTable(box=None, padding=(0, 0, 0, _GAP), header_style=Style.TITLE.value)
    for number, column in enumerate(table.columns):
        longest = max(map(cells, (column.title, *(row[number] for row in table.rows))))
        least = longest if column.fit is Fit.WHOLE else min(longest, _NARROWEST)
        shown.add_column(
            _Cell(column.title, cut_end),
            justify="right" if column.right else "left",
            min_width=least,
            no_wrap=column.fit is Fit.WHOLE,  # what may not wrap does not give way
        )
    for number, row in enumerate(table.rows, 1):
        is_total = table.last_is_total and number == len(table.rows)
        cut = (_Cell(text, _CUT[column.fit]) for column, text in zip(table.columns, row, strict=True))
        shown.add_row(*cut, style=Style.TITLE.value if is_total else None)
    return shown


class _Cell:
    """A text that rich gives a width to, cut in our way: rich only knows how to cut the end, or to wrap."""

    def __init__(self, text: str, cut: Callable[[str, int], str]) -> None:
        self._text, self._cut = text, cut

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        return Measurement(0, cells(self._text))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        yield Text(self._cut(self._text, options.max_width), no_wrap=True)


def _without_blanks_at_its_end(line: list[Segment]) -> list[Segment]:
    """They would become lines of their own when somebody makes the window narrower."""
    kept = [segment if segment.style else segment._replace(style=None) for segment in line]
    while kept and not kept[-1].text.rstrip():
        kept.pop()
    if kept:
        kept[-1] = kept[-1]._replace(text=kept[-1].text.rstrip())
    return kept


def _blanks(number: int) -> str:
    return " " * number


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
