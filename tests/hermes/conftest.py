"""The real host for each test, with an empty home, and a model that all of them may ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import Host, Model, Program, running_model


@pytest.fixture(scope="session")
def model() -> Iterator[Model]:
    """The model that every home asks."""
    with running_model() as answering:
        yield answering


@pytest.fixture
def host(tmp_path: Path, model: Model) -> Host:
    """The host with an empty home."""
    return Host(tmp_path / "home", model.url)


@pytest.fixture
def program(host: Host) -> Program:
    """Our command line on the home of ``host``."""
    return Program(host)
