"""Which host wrote a home."""

from __future__ import annotations

from pathlib import Path

import pytest

from hermes_retention.model.errors import StoreUnreadable, UsageError
from hermes_retention.stores.layouts import Layout, detect, layouts_in

HERMES_FILES = ["state.db", "sessions/session_a.json"]
OPENCLAW_FILES = ["agents/main/sessions/sessions.json", "agents/coder/sessions/a.jsonl"]
SQLITE_FILES = ["agents/main/agent/openclaw-agent.sqlite", "state/openclaw.sqlite"]


def home_with(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    return path


@pytest.mark.parametrize("name", HERMES_FILES)
def test_home_of_hermes_is_recognised(tmp_path: Path, name: str) -> None:
    assert detect(home_with(tmp_path, name)) is Layout.HERMES


@pytest.mark.parametrize("name", OPENCLAW_FILES)
def test_home_of_openclaw_is_recognised(tmp_path: Path, name: str) -> None:
    assert detect(home_with(tmp_path, name)) is Layout.OPENCLAW


@pytest.mark.parametrize("name", SQLITE_FILES)
def test_home_of_newer_openclaw_is_recognised_and_left_alone(tmp_path: Path, name: str) -> None:
    home = home_with(tmp_path, name, *OPENCLAW_FILES)
    assert layouts_in(home) == {Layout.OPENCLAW_SQLITE}
    with pytest.raises(
        StoreUnreadable, match=r"SQLite databases.*nothing was read or removed.*openclaw sessions"
    ):
        detect(home)


def test_home_of_two_hosts_is_for_a_person_to_decide(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sessions of hermes and openclaw; nothing was removed"):
        detect(home_with(tmp_path, *HERMES_FILES, *OPENCLAW_FILES))


def test_home_of_nobody_says_how_to_name_another(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreadable, match=r"no sessions of a known host.*--home DIR or HERMES_HOME"):
        detect(home_with(tmp_path, "config.yaml"))


def test_missing_home_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreadable, match=r"nowhere: there is no such directory.*--home"):
        detect(tmp_path / "nowhere")
