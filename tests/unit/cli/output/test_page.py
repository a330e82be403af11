"""Pages: what a person sees is what was said, whatever names hold."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from hermes_retention.cli.output.page import (
    Column,
    Page,
    PlainPage,
    RichPage,
    Style,
    Table,
    open_page,
    shows_colours,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


NASTY = "[bold]not markup[/bold] :smile: [link=x]y"


def test_plain_page_writes_lines_as_they_are() -> None:
    stream = io.StringIO()
    page = PlainPage(stream)
    page.line(NASTY, Style.BAD)
    page.table(Table((Column("a"), Column("b", right=True)), [("x", "1"), ("yy", "22")]))
    assert stream.getvalue() == f"{NASTY}\n  a    b\n  x    1\n  yy  22\n"


def test_terminal_takes_no_name_for_markup() -> None:
    stream = Terminal()
    page = RichPage(Console(file=stream, force_terminal=True, width=100, color_system="standard"))
    page.line(NASTY, Style.BAD)
    page.table(Table((Column("a"),), [(NASTY,)], last_is_total=True))
    assert stream.getvalue().count(NASTY) == 2
    assert "\x1b[31m" in stream.getvalue()


@pytest.mark.parametrize("columns", [None, 60])
def test_no_text_makes_a_terminal_do_anything(columns: int | None) -> None:
    stream = Terminal()
    pages: list[Page] = [
        PlainPage(stream, columns),
        RichPage(Console(file=stream, force_terminal=True, width=60, color_system=None)),
    ]
    for page in pages:
        page.line("a\x1b[31m\nb")
        page.pieces([("a\x1b[31m", Style.HIT), ("\nb", Style.FAINT)])
        page.table(Table((Column("a\x1b[31m\nb"), Column("c")), [("a\x1b[31m\nb", "c")]))
    assert stream.getvalue().count(r"a\x1b[31m\nb") == 8
    assert "\x1b" not in stream.getvalue()


def test_a_table_that_is_too_wide_loses_nothing() -> None:
    stream = Terminal()
    page = RichPage(Console(file=stream, force_terminal=True, width=20, color_system=None))
    page.table(Table((Column("a"),), [("x" * 50,)]))
    assert "x" * 50 in stream.getvalue()


def test_colours_only_where_they_are_welcome() -> None:
    assert shows_colours(Terminal(), {"TERM": "xterm"})
    assert not shows_colours(io.StringIO(), {"TERM": "xterm"})
    assert not shows_colours(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not shows_colours(Terminal(), {"TERM": "dumb"})
    assert not shows_colours(Terminal(), {})
    assert isinstance(open_page(io.StringIO(), {}), PlainPage)
    assert isinstance(open_page(Terminal(), {"TERM": "xterm"}), RichPage)
