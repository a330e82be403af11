"""Frames: what goes in comes out, with nothing but zstd, and a damaged one is an error."""

from __future__ import annotations

import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from hermes_retention.archive.codec import (
    DICTIONARY_BYTES,
    FRAME_BYTES,
    Codec,
    FrameError,
    build_dictionary,
    compress_dictionary,
    decompress_dictionary,
)

SHARED = b"\n".join(
    b'  "rule %d of the system prompt: %s",' % (i, sha256(b"%d" % i).hexdigest().encode()) for i in range(200)
)


@given(st.binary(max_size=5000), st.sampled_from([b"", SHARED]))
def test_any_bytes_come_back(plain: bytes, dictionary: bytes) -> None:
    codec = Codec(dictionary)
    assert codec.decompress(codec.compress(plain), len(plain)) == plain


def test_shared_dictionary_makes_small_frames_of_what_sessions_share() -> None:
    plain = SHARED + b'\n"one message of its own"'
    assert len(Codec(build_dictionary([SHARED])).compress(plain)) * 10 < len(Codec().compress(plain))


@pytest.mark.skipif(
    shutil.which("zstd") is None, reason="shows what the zstd program reads; it is not installed"
)
def test_frame_and_dictionary_need_nothing_but_the_zstd_program(tmp_path: Path) -> None:
    plain = SHARED + b"\nunique"
    (tmp_path / "dictionary").write_bytes(SHARED)
    (tmp_path / "frame.zst").write_bytes(Codec(SHARED).compress(plain))
    command = ["zstd", "-d", "-c", "-D", str(tmp_path / "dictionary"), str(tmp_path / "frame.zst")]
    assert subprocess.run(command, capture_output=True, check=True).stdout == plain


def test_damaged_frame_is_an_error() -> None:
    frame = bytearray(Codec().compress(SHARED))
    frame[len(frame) // 2 :] = b"\0" * (len(frame) - len(frame) // 2)
    with pytest.raises(FrameError):
        Codec().decompress(bytes(frame), len(SHARED))


def test_frame_that_claims_another_size_is_an_error() -> None:
    with pytest.raises(FrameError, match=r"claims \d+ bytes instead of 5"):
        Codec().decompress(Codec().compress(SHARED), 5)


def test_bomb_is_refused_before_memory_is_taken() -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(b"\0" * (FRAME_BYTES + 1))
    with pytest.raises(FrameError, match="outside what this format allows"):
        Codec().decompress(bomb, FRAME_BYTES + 1)


def test_frame_without_a_size_is_refused() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(b"abc")
    with pytest.raises(FrameError):
        Codec().decompress(frame, 3)


def test_trailing_bytes_behind_a_frame_are_refused() -> None:
    with pytest.raises(FrameError):
        Codec().decompress(Codec().compress(b"abc") + b"junk", 3)


def test_dictionary_holds_repeated_lines_once_and_the_first_sample_last() -> None:
    other = SHARED + b"\n" + b"only in the second sample, and long enough to count"
    dictionary = build_dictionary([SHARED, other])
    assert dictionary.endswith(SHARED)
    assert dictionary.count(SHARED[:60]) == 1
    assert b"only in the second sample" in dictionary


@given(st.lists(st.binary(max_size=3000), max_size=6))
def test_dictionary_is_deterministic_and_bounded(samples: list[bytes]) -> None:
    assert build_dictionary(samples) == build_dictionary(samples)
    assert len(build_dictionary(samples)) <= DICTIONARY_BYTES


def test_dictionary_is_bounded_for_samples_of_any_size() -> None:
    lines = [b"%06d of very many different lines that one sample may have" % i for i in range(20_000)]
    assert DICTIONARY_BYTES * 0.9 < len(build_dictionary([b"\n".join(lines)])) <= DICTIONARY_BYTES


def test_stored_dictionary_comes_back() -> None:
    assert decompress_dictionary(compress_dictionary(SHARED), len(SHARED)) == SHARED
