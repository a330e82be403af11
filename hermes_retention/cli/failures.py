"""What no module expected, in the one form in which people meet errors.

Messages of unknown exceptions are not repeated: they may hold a piece of a conversation.
"""

from __future__ import annotations

import sqlite3

from hermes_retention.model.errors import RetentionError
from hermes_retention.model.system_errors import refusal

_STATE = (
    "nothing leaves the store before its archived copy is verified, and the next sweep completes the rest"
)


def as_retention_error(error: Exception) -> RetentionError:
    """The error that a person can act on: the system's word where it refused, else a plea to report."""
    if isinstance(error, sqlite3.Error) or (isinstance(error, OSError) and error.strerror):
        return refusal(error)
    return RetentionError(
        "hermes-retention itself",
        f"it failed in a way that nobody foresaw ({type(error).__name__})",
        consequence=_STATE,
        cure="Please report this, with the traceback that -v shows.",
    )
