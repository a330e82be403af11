"""JSON for other programs: one object on standard output, ASCII, whatever the locale."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hermes_retention.model.text import printable

if TYPE_CHECKING:
    from hermes_retention.model.errors import RetentionError
    from hermes_retention.stores.base import DatabaseSpace

FORMAT = 1
"""Version of every object that is printed; it grows when a field changes its meaning or goes."""


def print_object(content: dict[str, Any]) -> None:
    """Print ``content``, indented, with ``format`` as its first field. Its texts are made printable."""
    import json

    sys.stdout.write(json.dumps({"format": FORMAT, **_printable(content)}, indent=2) + "\n")


def _printable(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can say
    match value:
        case str():
            return printable(value)
        case dict():
            return {_printable(key): _printable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_printable(inner) for inner in value]
        case _:
            return value


def error_object(error: RetentionError) -> dict[str, Any]:
    """An error as data: what ``docs/reference/sweep-json.md`` describes."""
    return {
        "error": {
            "kind": type(error).__name__,
            "what": error.what,
            "why": error.why,
            "consequence": error.consequence,
            "cure": error.cure,
            "exit_code": int(error.exit_code),
        }
    }


def space_object(space: DatabaseSpace | None) -> dict[str, int] | None:
    """How full the host's database is, as data."""
    import msgspec

    return None if space is None else msgspec.structs.asdict(space)
