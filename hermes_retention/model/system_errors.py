"""What the operating system or SQLite refuses, as an error that people understand.

For refusals that no module has better words for. Not in ``errors``, which a gateway loads when it starts.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator

from hermes_retention.model.errors import RetentionError
from hermes_retention.model.text import words

_STATE = (
    "nothing leaves the store before its archived copy is verified, and the next sweep completes the rest"
)
_SPACE = "Free some space on the disk, then run it again."
_OWNER = "Run as the user who owns the home."
_CURES = {errno.ENOSPC: _SPACE, errno.EDQUOT: _SPACE, errno.EACCES: _OWNER, errno.EPERM: _OWNER}


def refusal(error: OSError | sqlite3.Error) -> RetentionError:
    """What the system or SQLite refused, where no module had better words for it."""
    cure = "With -v you see where it happened."
    if isinstance(error, sqlite3.Error):
        full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
        said = str(error).lower()
        return RetentionError("a database", said, consequence=_STATE, cure=_SPACE if full else cure)
    what = str(error.filename) if error.filename is not None else "the operating system"
    said = words(error)
    return RetentionError(what, said, consequence=_STATE, cure=_CURES.get(error.errno or 0, cure))


@contextlib.contextmanager
def refusals_told() -> Iterator[None]:
    """Raise what the system or SQLite refuses in the block as ``RetentionError``.

    A reader of our output that is gone is no refusal: whoever prints meets it.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, sqlite3.Error) as error:
        raise refusal(error) from error
