"""What holds for every test: no real home is ever in reach, and in CI the examples never vary."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A test never asserts a time, so no example has a deadline. In CI the same tree gives the same result;
# elsewhere each run tries new examples.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("torture", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("torture" if os.environ.get("TORTURE") else "ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session", autouse=True)
def _no_home_in_reach(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point HOME at an empty directory and forget every setting of the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("HERMES_RETENTION_", "OPENCLAW_")) or name == "HERMES_HOME":
                patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield
