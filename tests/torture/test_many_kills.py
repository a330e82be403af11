"""Two hundred sweeps that are killed at random instants."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from killing import kill_rounds

SHARES = 8


@pytest.mark.parametrize("share", range(SHARES))
def test_sweep_that_is_killed_loses_nothing(tmp_path: Path, share: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed} in share {share}")  # noqa: T201 - to do it again
    rounds = 200 // SHARES
    killed = kill_rounds(tmp_path, rounds, seed)
    print(f"kills: {killed} of {rounds} sweeps had not come to their end")  # noqa: T201 - for the docs
    assert killed > rounds // 4
