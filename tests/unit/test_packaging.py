"""What is said about the package in more than one place is the same in each."""

from __future__ import annotations

import configparser
import tomllib
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pytest
import yaml

import hermes_retention

TREE = Path(__file__).resolve().parents[2]


def pyproject() -> dict[str, Any]:
    return tomllib.loads((TREE / "pyproject.toml").read_text("utf-8"))


def project() -> dict[str, Any]:
    table: dict[str, Any] = pyproject()["project"]
    return table


def test_package_knows_its_version() -> None:
    assert hermes_retention.__version__ == metadata.version("hermes-retention")


def test_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute '__versions__'"):
        _ = hermes_retention.__versions__


def test_sources_that_were_not_installed_have_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", unknown)
    assert hermes_retention.__version__ == "0+unknown"


def test_manifest_announces_the_version_that_comes_next() -> None:
    """The version of a build is its tag; ``tox -e release`` compares that tag with the manifest."""
    text = resources.files("hermes_retention.gateway.hermes").joinpath("plugin.yaml").read_text("utf-8")
    announced = yaml.safe_load(text)["version"]
    assert pyproject()["tool"]["hatch"]["version"]["fallback-version"] == f"{announced}.dev0"


def test_lowest_environment_has_the_lower_bounds() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read_string((TREE / "tox.ini").read_text("utf-8"))
    lowest = tox["testenv:lowest"]["deps"].split()
    bounds = [dependency.partition(",")[0] for dependency in project()["dependencies"]]
    assert sorted(lowest) == sorted(bound.replace(">=", "==") + ".*" for bound in bounds)
