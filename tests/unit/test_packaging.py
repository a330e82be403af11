"""What is said about the package in more than one place is the same in each."""

from __future__ import annotations

import configparser
import tomllib
from pathlib import Path
from typing import Any

import hermes_retention

TREE = Path(__file__).resolve().parents[2]


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((TREE / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def test_package_knows_its_version() -> None:
    assert hermes_retention.__version__ == project()["version"]


def test_lowest_environment_has_the_lower_bounds() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read_string((TREE / "tox.ini").read_text("utf-8"))
    lowest = tox["testenv:lowest"]["deps"].split()
    bounds = [dependency.partition(",")[0] for dependency in project()["dependencies"]]
    assert sorted(lowest) == sorted(bound.replace(">=", "==") + ".*" for bound in bounds)
