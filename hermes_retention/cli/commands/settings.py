"""``settings``: every setting with its value and where it came from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hermes_retention.cli.context import Context, print_object
from hermes_retention.cli.output.page import Column, Fit, Page, Style, Table
from hermes_retention.model.errors import ExitCode
from hermes_retention.settings.load import SettingLine


def run(context: Context, _arguments: argparse.Namespace) -> int:
    """As a table, with ``-v`` as a paragraph for each setting, or as data."""
    lines = context.settings.describe()
    if context.json:
        print_object({"settings": [_object(line) for line in lines]})
    elif context.verbose:
        _describe(context.page, lines)
    else:
        _list(context.page, lines)
    return ExitCode.DONE


def _object(line: SettingLine) -> dict[str, str]:
    return {
        "name": line.name,
        "value": line.value,
        "origin": line.origin,
        "description": line.description,
    }


def _describe(page: Page, lines: Sequence[SettingLine]) -> None:
    for line in lines:
        page.line(f"{line.name}={line.value}", Style.TITLE)
        page.line(f"  {line.description}")
        page.line(f"  from: {line.origin}", Style.FAINT)


def _list(page: Page, lines: Sequence[SettingLine]) -> None:
    columns = (Column("setting"), Column("value"), Column("from", fit=Fit.NAME))
    rows = [(line.name, line.value or "not set", line.origin) for line in lines]
    page.table(Table(columns, rows))
