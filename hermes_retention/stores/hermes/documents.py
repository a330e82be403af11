"""Small documents of the host (an index, a list of jobs), read whole, and as tolerantly as the host does.

What must not live here: what a document means, and the files of sessions.
"""

from __future__ import annotations

import json
import os
import stat
from datetime import datetime
from pathlib import Path

import msgspec


def read_document(path: Path) -> bytes | None:
    """The bytes of a regular file; ``None`` when there is none.

    Raises ``OSError`` for anything else, symbolic links among it: they are not followed below a home.
    """
    # O_NONBLOCK: a FIFO of that name must not block the scan.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file")
        return stream.read()


def decode(text: bytes | str) -> object:
    """What the JSON in ``text`` says. Raises ``ValueError`` when it is none.

    What msgspec refuses and the host's own reader accepts (``NaN``, lone surrogates) is read the slow way.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:
        value: object = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:  # the reader's own words quote the text, which is nobody's business
        raise ValueError("it is not valid JSON") from error
    return value


def timestamp(value: object) -> float | None:
    """Unix seconds of an ISO 8601 text; without a zone it is local time, as the host means it."""
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
