"""JSON for other programs: one object on standard output, ASCII, whatever the locale."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from hermes_retention.model.errors import RetentionError
from hermes_retention.model.text import printable
from hermes_retention.stores.base import DatabaseSpace

FORMAT = 1
"""Version of every object that is printed; it grows when a field changes its meaning or goes."""


def print_object(content: dict[str, Any]) -> None:
    """Print ``content``, indented, with ``format`` as its first field."""
    sys.stdout.write(json.dumps({"format": FORMAT, **content}, indent=2) + "\n")


def error_object(error: RetentionError) -> dict[str, Any]:
    """An error as data: what ``docs/reference/sweep-json.md`` describes."""
    return {
        "error": {
            "kind": type(error).__name__,
            "what": printable(error.what),
            "why": printable(error.why),
            "consequence": printable(error.consequence),
            "cure": printable(error.cure),
            "exit_code": int(error.exit_code),
        }
    }


def space_object(space: DatabaseSpace | None) -> dict[str, int] | None:
    """How full the host's database is, as data."""
    return None if space is None else msgspec.structs.asdict(space)
