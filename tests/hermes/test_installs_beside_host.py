"""Installing this package into a host's environment moves none of the versions that the host asks for."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

HOST = "hermes-agent"


def asked_for_by(distribution: str) -> list[Requirement]:
    """What ``distribution`` needs here, without its extras."""
    requirements = map(Requirement, metadata.requires(distribution) or [])
    return [it for it in requirements if it.marker is None or it.marker.evaluate({"extra": ""})]


def test_host_is_the_one_under_test() -> None:
    assert metadata.version(HOST) == os.environ["HERMES_HOST_VERSION"]


@pytest.mark.parametrize("requirement", asked_for_by(HOST), ids=str)
def test_host_has_the_version_it_asks_for(requirement: Requirement) -> None:
    installed = metadata.version(requirement.name)
    assert requirement.specifier.contains(installed, prereleases=True)


def test_host_pins_some_of_what_we_need() -> None:
    """The test above means something: both ask for the same packages, the host for exact versions."""
    pinned = {it.name.lower() for it in asked_for_by(HOST) if str(it.specifier).startswith("==")}
    assert {"rich", "pydantic", "pyyaml"} <= pinned
    assert {"rich", "pydantic-settings"} <= {it.name for it in asked_for_by("hermes-retention")}


def test_environment_has_no_broken_requirement() -> None:
    pip_check = [sys.executable, "-m", "pip", "check"]
    check = subprocess.run(pip_check, capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout
