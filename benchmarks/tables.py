"""Figures and the Markdown that shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One thing that is wanted, and what was measured."""

    what: str
    wanted: str
    measured: str
    is_met: bool


class Result(msgspec.Struct, frozen=True):
    """What one benchmark has to say. ``numbers`` is the same for programs."""

    title: str
    command: str
    tables: tuple[str, ...]
    figures: tuple[Figure, ...]
    numbers: dict[str, object]
    notes: tuple[str, ...] = ()


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    rule = ("---", *("---:" for _ in head[1:]))
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in (head, rule, *rows))


def readme_table(results: Iterable[Result]) -> str:
    """What is wanted and what was measured, over all benchmarks."""
    rows = [
        (
            figure.what,
            figure.wanted,
            f"**{figure.measured}**" if figure.is_met else f"{figure.measured} (missed)",
        )
        for result in results
        for figure in result.figures
    ]
    return markdown(("", "wanted", "measured"), rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def megabytes(size_bytes: float) -> str:
    """Decimal megabytes, with a decimal where there are few."""
    value = size_bytes / 1e6
    return f"{value:,.1f} MB" if value < 100 else f"{value:,.0f} MB"  # noqa: PLR2004 - three digits are enough
