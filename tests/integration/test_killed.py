"""Sweeps that are killed by the system at random instants; ``tests/torture`` has two hundred of them."""

from __future__ import annotations

import random
from pathlib import Path

from killing import kill_rounds


def test_sweep_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    kill_rounds(tmp_path, 8, seed)
