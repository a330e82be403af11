"""What can be told of the host beside us."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from hermes_retention.stores.base import Level
from hermes_retention.stores.hermes import config
from hermes_retention.stores.hermes.config import PLUGIN
from hermes_retention.stores.hermes.pruning import HOST


def installed(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """As if that version of the host were in this environment, with our entry point."""
    monkeypatch.setattr(metadata, "version", {HOST: version}.__getitem__)
    point = metadata.EntryPoint(PLUGIN, "hermes_retention.gateway.hermes", "hermes_agent.plugins")
    monkeypatch.setattr(metadata, "entry_points", lambda **_: (point,))


def levels(home: Path) -> dict[str, Level]:
    return {finding.check: finding.level for finding in config.checkup(home)}


def test_host_that_is_not_there_is_worth_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(_: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", missing)
    assert levels(tmp_path) == {"host version": Level.NOTE, "host configuration": Level.GOOD}


@pytest.mark.parametrize(
    ("version", "level"),
    [("0.13.0", Level.GOOD), ("0.19.4", Level.GOOD), ("0.12.9", Level.WARNING), ("1.0", Level.WARNING)],
)
def test_version_that_nobody_tested_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, level: Level
) -> None:
    installed(monkeypatch, version)
    assert levels(tmp_path)["host version"] is level


@pytest.mark.parametrize(
    ("content", "level"),
    [
        ("plugins: {enabled: [hermes-retention]}", Level.GOOD),
        ("plugins: {enabled: [other]}", Level.NOTE),
        ("plugins: [", Level.WARNING),
        ("", Level.NOTE),
    ],
)
def test_plugin_is_looked_for_where_it_is_enabled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, level: Level
) -> None:
    installed(monkeypatch, "0.19.0")
    (tmp_path / "config.yaml").write_text(content)
    assert levels(tmp_path)["plugin"] is level


def test_every_profile_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(monkeypatch, "0.19.0")
    profile = tmp_path / "profiles" / "work"
    profile.mkdir(parents=True)
    (profile / "config.yaml").write_text("{}")
    assert sum(finding.check == "plugin" for finding in config.checkup(tmp_path)) == 2
