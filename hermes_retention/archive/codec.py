"""Bytes to zstd frames and back, with a dictionary that sessions share.

A dictionary is raw content: the lines of a few sampled sessions, each once (system prompt, tool schemas, and
as much of the messages as fits). A frame needs nothing but its dictionary: ``zstd -d -D dictionary frame``.
What must not live here: files, databases, and any choice of what is archived.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence

import zstandard

LEVEL = 3
FRAME_BYTES = 8 * 2**20
"""Plain bytes in one frame at most: larger artifacts become several frames, so memory stays bounded."""
DICTIONARY_BYTES = 512 * 2**10
_LONG_LINE = 32
_WORTH_TOGETHER = 4
"""Frames; fewer are as quick one by one."""
_WORTH_REPLACING = 0.75
"""A dictionary is replaced when a fresh one makes frames of the sample smaller than this share."""
_WORTH_USING = 0.9
"""The same for using one at all: it takes three times as long as none."""


class FrameError(ValueError):
    """A frame is not what it claims to be. The message never holds content."""


class Codec:
    """Compresses and decompresses with one dictionary, or none. Safe to use from several threads."""

    def __init__(self, dictionary: bytes | None = None) -> None:
        self._dictionary: zstandard.ZstdCompressionDict | None = None
        if dictionary:
            self._dictionary = zstandard.ZstdCompressionDict(
                dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT
            )
            self._dictionary.precompute_compress(level=LEVEL)
        self._local = threading.local()  # zstandard's contexts must not be shared between threads

    def compress(self, plain: bytes) -> bytes:
        """One self-contained frame that states the size of ``plain``."""
        compressor: zstandard.ZstdCompressor | None = getattr(self._local, "compressor", None)
        if compressor is None:
            compressor = zstandard.ZstdCompressor(
                level=LEVEL, dict_data=self._dictionary, write_content_size=True, write_checksum=False
            )
            self._local.compressor = compressor
        # A copy of the right size: the compressor reserves for the worst case and gives back in place, and
        # the holes behind thousands of small frames would add up to the size of the plain bytes.
        return bytes(memoryview(compressor.compress(plain)))

    def decompress(self, frame: bytes, size_bytes: int) -> bytes:
        """The plain bytes, exactly ``size_bytes`` of them.

        Raises ``FrameError`` when the frame is damaged or claims another size. The claim is checked before
        memory is taken, so a forged frame cannot ask for more than ``FRAME_BYTES``.
        """
        if type(size_bytes) is not int or not 0 <= size_bytes <= FRAME_BYTES:
            raise FrameError(f"a frame of {size_bytes} bytes is outside what this format allows")
        try:
            claimed = zstandard.get_frame_parameters(frame).content_size
            if claimed != size_bytes:
                raise FrameError(f"the frame claims {claimed} bytes instead of {size_bytes}")
            decompressor: zstandard.ZstdDecompressor | None = getattr(self._local, "decompressor", None)
            if decompressor is None:
                decompressor = zstandard.ZstdDecompressor(dict_data=self._dictionary)
                self._local.decompressor = decompressor
            plain = decompressor.decompress(frame, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise FrameError(f"not a readable zstd frame ({error})") from error
        if len(plain) != size_bytes:
            raise FrameError(f"the frame holds {len(plain)} bytes instead of {size_bytes}")
        return plain

    def decompress_all(self, frames: Sequence[tuple[int, bytes]]) -> list[bytes]:
        """The plain bytes of many frames, each told with its size. Raises ``FrameError`` if one is damaged.

        Most of the work is done while other threads of Python run, which it is not frame by frame.
        """
        if any(not 0 <= size_bytes <= FRAME_BYTES for size_bytes, _ in frames):
            raise FrameError("a frame is larger than what this format allows")
        decompressor = zstandard.ZstdDecompressor(dict_data=self._dictionary)
        together = getattr(
            decompressor, "multi_decompress_to_buffer", None
        )  # not in every build of zstandard
        if together is None or len(frames) < _WORTH_TOGETHER:
            return [self.decompress(content, size_bytes) for size_bytes, content in frames]
        sizes = [size_bytes for size_bytes, _ in frames]
        try:
            plain = together(
                [content for _, content in frames],
                decompressed_sizes=struct.pack(f"={len(sizes)}Q", *sizes),
                threads=1,
            )
        except (zstandard.ZstdError, ValueError) as error:
            raise FrameError(f"not a readable zstd frame ({error})") from error
        return [segment.tobytes() for segment in plain]


def build_dictionary(samples: Sequence[bytes]) -> bytes:
    """Up to ``DICTIONARY_BYTES`` out of ``samples``: the first one whole and last, before it what others add.

    Last means nearest to the data, where zstd finds a match with the fewest bits. Lines that are in the
    dictionary already are left out; short ones stay, for they are what joins the long ones. Deterministic.
    """
    seen: set[bytes] = set()
    parts: list[bytes] = []
    room = DICTIONARY_BYTES
    for sample in samples:
        lines = []
        for line in sample.split(b"\n"):
            if len(line) < room and line not in seen:
                lines.append(line)
                room -= len(line) + 1
                if len(line) >= _LONG_LINE:
                    seen.add(line)
        parts.append(b"\n".join(lines))
    return b"\n".join(reversed(parts))


def compress_dictionary(dictionary: bytes) -> bytes:
    """How a dictionary is stored: as a frame without one, at a level that pays for what is kept once."""
    return zstandard.ZstdCompressor(level=12, write_content_size=True).compress(dictionary)


def decompress_dictionary(frame: bytes, size_bytes: int) -> bytes:
    """The dictionary back. Raises ``FrameError`` when it is damaged."""
    return Codec().decompress(frame, size_bytes)


# -- which dictionary: samples are pairs of a session id and the beginning of one of its artifacts


def fittest(
    known: Sequence[tuple[bytes, list[str]]], samples: Sequence[tuple[str, bytes]]
) -> tuple[bytes, list[str]]:
    """The dictionary that makes the samples smallest: files and rows of a month have one each."""
    if len(known) < 2:  # noqa: PLR2004 - nothing to compare
        return known[0] if known else (b"", [])

    def size(one: tuple[bytes, list[str]]) -> int:
        codec = Codec(one[0])
        return sum(len(codec.compress(plain)) for _, plain in samples)

    return min(known, key=size)


def is_clearly_better(current: bytes, samples: Sequence[tuple[str, bytes]], total_bytes: int) -> bool:
    """Whether a dictionary of half of the samples does so much better on the other half that it pays."""
    learn, judge = [plain for _, plain in samples[::2]], [plain for _, plain in samples[1::2]]
    judged = sum(map(len, judge))
    if not judged:
        return False
    candidate = build_dictionary(learn)
    old = sum(len(Codec(current).compress(plain)) for plain in judge)
    new = sum(len(Codec(candidate).compress(plain)) for plain in judge)
    saved = (old - new) * total_bytes / judged
    return new < old * _WORTH_REPLACING and saved > len(Codec().compress(candidate))


def is_worth_using(dictionary: bytes, samples: Sequence[tuple[str, bytes]], *, is_fresh: bool) -> bool:
    """Whether frames of the samples are clearly smaller with a dictionary than without.

    A fresh one was made of these samples: half of them judge one that is made of the other half.
    """
    plain = [content for _, content in samples]
    if is_fresh:
        dictionary, plain = build_dictionary(plain[::2]), plain[1::2]
    if not plain:
        return True
    without, codec = Codec(), Codec(dictionary)
    alone = sum(len(without.compress(content)) for content in plain)
    return sum(len(codec.compress(content)) for content in plain) < alone * _WORTH_USING
