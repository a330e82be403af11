"""A few faults of every sort, at effects of all that changes a home. ``tests/torture`` has every one."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from fault_runs import run_all
from scenes import SCENES

CASES = {
    "sweep": 16,
    "restore": 6,
    "undo": 6,
    "compact": 4,
    "archive remove": 4,
    "hold": 3,
    "routes": 5,
    "forget": 6,
    "sweep of OpenClaw": 10,
    "restore of OpenClaw": 4,
    "undo of OpenClaw": 4,
    "prestart": 5,
}


def test_every_scene_is_sampled() -> None:
    assert set(CASES) == set(SCENES)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost_whatever_fails(tmp_path: Path, name: str) -> None:
    seed = 7 if os.environ.get("CI") else random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    scene = SCENES[name](tmp_path)
    run_all(scene, scene.sampled(CASES[name], seed))
