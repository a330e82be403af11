"""Every byte of a small archive is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from flips import Flips

SHARES = 8


@pytest.mark.parametrize("share", range(SHARES))
def test_changed_byte_is_told_or_harmless(tmp_path: Path, share: int) -> None:
    flips = Flips(tmp_path / "archive")
    flips.flip(range(share, len(flips.whole), SHARES))
    print(f"bytes: {flips.told} changes told, {flips.harmless} harmless")  # noqa: T201 - for the docs
