"""``settings``: every setting with its value and where it came from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hermes_retention.cli.options import JSON, Command
from hermes_retention.cli.output.page import Page, Style, Table, titled
from hermes_retention.model.errors import ExitCode

if TYPE_CHECKING:
    from hermes_retention.cli.context import Context
    from hermes_retention.settings.load import SettingLine

COMMAND = Command(
    "show every setting, its value and where it came from",
    about="With -v also what each of them does.",
    options=(JSON,),
)


def run(context: Context, _arguments: argparse.Namespace) -> int:
    """As a table, with ``-v`` as a paragraph for each setting, or as data."""
    import msgspec

    from hermes_retention.cli.context import print_object

    lines = context.settings.describe()
    if context.json:
        print_object({"settings": msgspec.to_builtins(lines)})
    elif context.verbose:
        _describe(context.page, lines)
    else:
        _list(context.page, lines)
    return ExitCode.DONE


def _describe(page: Page, lines: Sequence[SettingLine]) -> None:
    for line in lines:
        page.line(f"{line.name}={line.value}", Style.TITLE)
        page.line(f"  {line.description}")
        page.line(f"  from: {line.origin}", Style.FAINT)


def _list(page: Page, lines: Sequence[SettingLine]) -> None:
    columns = titled("setting", "value", "~from")
    rows = [(line.name, line.value or "not set", line.origin) for line in lines]
    page.table(Table(columns, rows))
