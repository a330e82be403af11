"""The power fails after every change that a sweep makes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from full_homes import FullHome
from power_runs import look_at_states, never_swept, swept_before


@pytest.mark.parametrize("make", [swept_before, never_swept])
def test_nothing_is_lost_with_the_power(tmp_path: Path, make: Callable[[Path], FullHome]) -> None:
    seed = random.randrange(2**32)
    seen = look_at_states(tmp_path, make, seed, every=1)
    print(f"power losses: {seen}, seed {seed}")  # noqa: T201 - for the docs
