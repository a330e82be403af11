"""Feeds the parsers of names, documents, entries and frames with what atheris makes up; a script.

Each may raise what its docstring promises and nothing else. Run by ``test_fuzzing``; alone it runs until it
is stopped: ``python tests/torture/fuzz_parsers.py``.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["hermes_retention"]):
    from hermes_retention.archive.codec import Codec, FrameError, decompress_dictionary
    from hermes_retention.model.text import parse_duration, parse_size, printable, safe_name, storable
    from hermes_retention.stores.files import decode, timestamp
    from hermes_retention.stores.hermes.files import (
        class_by_shape,
        cron_job,
        is_of_no_session,
        platform_of,
        split_name,
    )
    from hermes_retention.stores.rows import decode as decode_rows
    from hermes_retention.stores.rows import sections

_CODEC = Codec(b"a dictionary of a few earlier sessions " * 9)


def names(data: bytes) -> None:
    """File names and ids, as a directory gives them."""
    name = data.decode("utf-8", "surrogateescape")
    split_name(name)
    is_of_no_session(name)
    assert "/" not in safe_name(name)
    cron_job(name)
    class_by_shape(name)
    platform_of(name)
    assert printable(name).isprintable()
    storable(name).encode()


def documents(data: bytes) -> None:
    """SearchTables, entries and lists of jobs."""
    with contextlib.suppress(ValueError):
        value = decode(data)
        timestamp(value)


def frames(data: bytes) -> None:
    """Frames and dictionaries of an archive."""
    for size in (len(data), data[0] * 1000 if data else 0):
        with contextlib.suppress(FrameError):
            assert len(_CODEC.decompress(data, size)) == size
        with contextlib.suppress(FrameError):
            decompress_dictionary(data, size)


def rows(data: bytes) -> None:
    """Archived rows."""
    with contextlib.suppress(ValueError):
        for _, found in sections(decode_rows(iter([data]))):
            list(found)


def settings(data: bytes) -> None:
    """Ages and sizes that a person writes."""
    text = data.decode("utf-8", "replace")
    for parse in (parse_duration, parse_size):
        with contextlib.suppress(ValueError, OverflowError):
            parse(text)


PARSERS: tuple[Callable[[bytes], None], ...] = (names, documents, frames, rows, settings)


def one_input(data: bytes) -> None:
    """The first byte chooses the parser."""
    if data:
        PARSERS[data[0] % len(PARSERS)](data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
