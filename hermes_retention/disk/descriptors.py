"""Open files: written whole, closed whatever comes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterable

from hermes_retention.disk import effects

READ_BYTES = 8 * 2**20
"""How much is read at a time at most."""
_TOGETHER_BYTES = 2**20


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of ``content``; the system may take it in pieces. Raises ``OSError`` after a part of it."""
    left = memoryview(content)
    while left:
        left = left[effects.write(descriptor, left) :]


def write_pieces(descriptor: int, pieces: Iterable[bytes | memoryview]) -> None:
    """Write ``pieces`` one behind the other, small ones together. Raises ``OSError`` after a part of them."""
    waiting: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _TOGETHER_BYTES:
            write_all(descriptor, b"".join(waiting))
            waiting, size = [], 0
    write_all(descriptor, b"".join(waiting))


@contextlib.contextmanager
def closing(descriptor: int) -> Generator[int]:
    """Close a descriptor at the end of the block, whatever comes."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)
