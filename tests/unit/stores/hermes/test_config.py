"""Warnings about settings of the host that work against retention."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import HomeBuilder

ON = "sessions:\n  auto_prune: true\n"


def warnings(home: HomeBuilder, config: str | bytes) -> list[str]:
    content = config if isinstance(config, bytes) else config.encode()
    (home.path / "config.yaml").write_bytes(content)
    return home.store().host_warnings()


@pytest.mark.parametrize("config", [ON, "sessions: {auto_prune: yes}", "sessions: {auto_prune: 1}"])
def test_host_that_prunes_by_itself_is_warned_about(tmp_path: Path, config: str) -> None:
    (warning,) = warnings(HomeBuilder(tmp_path), config)
    assert "the host deletes sessions before they can be archived" in warning
    assert "`hermes config set sessions.auto_prune false`" in warning
    assert "\n" not in warning


@pytest.mark.parametrize(
    "config",
    [
        "",
        "sessions: {auto_prune: false}",
        "sessions: {retention_days: 90}",
        "sessions:",
        "sessions: [auto_prune]",
        "- sessions",
        "just text",
    ],
)
def test_host_that_does_not_prune_is_not(tmp_path: Path, config: str) -> None:
    assert warnings(HomeBuilder(tmp_path), config) == []


def test_home_without_configuration_has_no_warnings(tmp_path: Path) -> None:
    assert HomeBuilder(tmp_path).store().host_warnings() == []


@pytest.mark.parametrize(
    "config", ["sessions: {", "a: b: c", b"\xff\xfe\xfd", "\0", "a: !!python/object:os.system x"]
)
def test_configuration_that_cannot_be_read_is_one_warning(tmp_path: Path, config: str | bytes) -> None:
    (warning,) = warnings(HomeBuilder(tmp_path), config)
    assert "config.yaml: it is not valid YAML" in warning
    assert "Check sessions.auto_prune" in warning
    assert "\n" not in warning


def test_configuration_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles.yaml").write_text(ON)
    home = HomeBuilder(tmp_path / "home")
    (home.path / "config.yaml").symlink_to(tmp_path / "dotfiles.yaml")
    assert len(home.store().host_warnings()) == 1


def test_settings_that_matter_are_told(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    told = {one.name: (one.value, one.default) for one in home.store().host_settings()}
    assert told["sessions.auto_prune"] == (None, "false")
    config = (
        "sessions: {auto_prune: yes, retention_days: 30, write_json_snapshots: [1]}\nsession_reset: none\n"
    )
    (home.path / "config.yaml").write_text(config)
    told = {one.name: (one.value, one.default) for one in home.store().host_settings()}
    assert told["sessions.auto_prune"][0] == "true"
    assert told["sessions.retention_days"][0] == "30"
    assert told["sessions.write_json_snapshots"][0] is None
    assert told["session_reset.mode"][0] is None
    (home.path / "config.yaml").write_text("a: [")
    assert [one.name for one in home.store().host_settings()] == ["state.db: journal_mode"]
