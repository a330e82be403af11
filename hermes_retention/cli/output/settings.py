"""Every setting with its value and where it came from."""

from __future__ import annotations

from collections.abc import Sequence

from hermes_retention.cli.output.page import Column, Fit, Page, Style, Table
from hermes_retention.model.text import printable
from hermes_retention.settings.load import SettingLine


def show_settings(page: Page, lines: Sequence[SettingLine], *, descriptions: bool) -> None:
    """A table, or with ``descriptions`` a paragraph for each setting."""
    if descriptions:
        for line in lines:
            page.line(f"{line.name}={printable(line.value)}", Style.TITLE)
            page.line(f"  {line.description}")
            page.line(f"  from: {printable(line.origin)}", Style.FAINT)
        return
    columns = (Column("setting"), Column("value"), Column("from", fit=Fit.NAME))
    rows = [(line.name, printable(line.value) or "not set", printable(line.origin)) for line in lines]
    page.table(Table(columns, rows))
