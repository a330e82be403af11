"""The commands of the tutorial, in their order, on a home that the real host filled."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hosts import ENABLES_PLUGINS, Host, age
from sites import snapshot_of

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "inside-the-gateway.md"
ALREADY_DONE = "pip install"
"""The environment of these tests has the package: built and installed as the tutorial says."""


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    return [block for block in blocks if not block.startswith(ALREADY_DONE)]


def run(host: Host, block: str) -> str:
    done = subprocess.run(
        ["bash", "-e", "-c", block],
        env=host.environment(),
        cwd=host.home.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.skipif(not ENABLES_PLUGINS, reason="the tutorial enables the plugin as newer hosts do")
def test_commands_of_the_tutorial_do_what_it_says(host: Host) -> None:
    session_id = host.chat("remember the word swordfish")
    age(host.home, days=30)
    before = {name: file for name, file in snapshot_of(host.sessions).items() if name != b"sessions.json"}
    enable, look, dry_run, mode, sweep, undo, disable = commands()
    run(host, enable)
    assert "due now" in run(host, look)
    assert "would" in run(host, dry_run)
    run(host, mode)
    assert session_id in run(host, sweep)
    assert not (host.sessions / f"session_{session_id}.json").exists()
    run(host, undo)
    assert {name: file for name, file in snapshot_of(host.sessions).items() if name in before} == before
    run(host, disable)
    assert host.chat("and now?", "--resume", session_id) == session_id
