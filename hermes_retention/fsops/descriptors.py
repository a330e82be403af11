"""Open files: written whole, closed whatever comes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator

from hermes_retention import effects

READ_BYTES = 8 * 2**20
"""How much is read at a time at most."""


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of ``content``; the system may take it in pieces. Raises ``OSError`` after a part of it."""
    left = memoryview(content)
    while left:
        left = left[effects.write(descriptor, left) :]


@contextlib.contextmanager
def closing(descriptor: int) -> Generator[int]:
    """Close a descriptor at the end of the block, whatever comes."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)
