"""The real host for each test, with an empty home, and a model that all of them may ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import Host, running_model


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    """Where the model answers."""
    with running_model() as url:
        yield url


@pytest.fixture
def host(tmp_path: Path, model_url: str) -> Host:
    """The host with an empty home."""
    return Host(tmp_path / "home", model_url)
