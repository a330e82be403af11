"""The tables of ``docs/reference/settings.md``, made from the fields so that they cannot differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hermes_retention.settings.fields import CLASSES, DESCRIPTIONS, SettingPath, variable
from hermes_retention.settings.load import default_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NO_SETTING = "–"
"""In the table of defaults: the class has no such setting."""


def tables() -> str:
    """Markdown: the settings for everything, those of a class of sessions, and the defaults of each class."""
    defaults = {line.name: line.value for line in default_settings().describe()}
    general = {variable(path): text for path, text in DESCRIPTIONS.items() if path[0] not in CLASSES}
    of_class = {path[1:]: text for path, text in DESCRIPTIONS.items() if path[0] in CLASSES}
    return "\n\n".join(
        (
            "### For everything",
            _table(
                ("Variable", "Default", "What it does"),
                ((_code(name), _code(defaults[name]), text) for name, text in general.items()),
            ),
            "### For a class of sessions",
            _table(
                ("Variable", "What it does"),
                ((_code(variable(("class", *path))), text) for path, text in of_class.items()),
            ),
            "### Defaults of each class",
            _table(
                ("Setting", *(_code(name.upper()) for name in CLASSES)),
                (
                    (_code("__".join(path).upper()), *(_default(defaults, (name, *path)) for name in CLASSES))
                    for path in of_class
                ),
            ),
        )
    )


def _default(defaults: dict[str, str], path: SettingPath) -> str:
    value = defaults.get(variable(path))
    return NO_SETTING if value is None else _code(value)


def _code(text: str) -> str:
    return f"`{text}`" if text else "not set"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(_lines(head, rows))


def _lines(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(row)} |"
