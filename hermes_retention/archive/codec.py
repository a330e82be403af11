"""Bytes to zstd frames and back, with a dictionary that sessions share.

A dictionary is raw content: every line that the sampled sessions have in common (system prompt, tool schemas)
and as much of the rest as fits. A frame needs nothing but its dictionary: ``zstd -d -D dictionary frame``.
What must not live here: files, databases, and any choice of what is archived.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

import zstandard

LEVEL = 3
FRAME_BYTES = 8 * 2**20
"""Plain bytes in one frame at most: larger artifacts become several frames, so memory stays bounded."""
DICTIONARY_BYTES = 256 * 2**10
_SHORTEST_LINE = 16


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
        return compressor.compress(plain)

    def decompress(self, frame: bytes, size_bytes: int) -> bytes:
        """The plain bytes, exactly ``size_bytes`` of them.

        Raises ``FrameError`` when the frame is damaged or claims another size. The claim is checked before
        memory is taken, so a forged frame cannot ask for more than ``FRAME_BYTES``.
        """
        if not 0 <= size_bytes <= FRAME_BYTES:
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


def build_dictionary(samples: Sequence[bytes]) -> bytes:
    """Up to ``DICTIONARY_BYTES`` of lines out of ``samples``, the most common ones last.

    Last means nearest to the data, where zstd finds a match with the fewest bits. Lines of one sample only
    fill what the common ones leave. Deterministic.
    """
    count: Counter[bytes] = Counter()
    for sample in samples:
        count.update({line for line in sample.split(b"\n") if len(line) >= _SHORTEST_LINE})
    order = dict.fromkeys(line for sample in samples for line in sample.split(b"\n") if line in count)
    chosen: list[bytes] = []
    room = DICTIONARY_BYTES
    for line in sorted(order, key=lambda line: -count[line]):
        if len(line) < room:
            chosen.append(line)
            room -= len(line) + 1
    chosen.reverse()
    return b"\n".join(chosen)


def compress_dictionary(dictionary: bytes) -> bytes:
    """How a dictionary is stored: one frame without a dictionary, at a level that pays for a thing kept once."""
    return zstandard.ZstdCompressor(level=12, write_content_size=True).compress(dictionary)


def decompress_dictionary(frame: bytes, size_bytes: int) -> bytes:
    """The dictionary back. Raises ``FrameError`` when it is damaged."""
    return Codec().decompress(frame, size_bytes)
