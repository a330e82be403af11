"""Every effect of everything that changes a home fails in every manner. Takes long: ``tox -e torture``."""

from __future__ import annotations

import pytest
from fault_runs import run_all
from scenes import SCENES

SHARES = 10
"""Each scene is cut into as many tests, so that all processors have something to do."""


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("name", SCENES)
def test_nothing_is_lost_whatever_fails(
    tmp_path_factory: pytest.TempPathFactory, name: str, share: int
) -> None:
    scene = SCENES[name](tmp_path_factory.mktemp("scene"))
    cases = list(scene.cases())[share::SHARES]
    print(f"faults: {len(cases)} in {name}, which has {len(scene.effects)} effects")  # noqa: T201 - for the docs
    run_all(scene, cases)
