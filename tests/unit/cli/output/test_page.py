"""Pages: what a person sees is what was said, whatever names hold."""

from __future__ import annotations

import io

from rich.console import Console

from hermes_retention.cli.output.page import (
    Column,
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
