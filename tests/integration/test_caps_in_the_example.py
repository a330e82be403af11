"""The example gateway does what caps say: it begins anew, or answers with a notice."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hermes_retention.gateway.cap_watch import CapWatch
from hermes_retention.gateway.plugin import RetentionPlugin
from hermes_retention.plugins import bare_plugin_manager

sys.path.append(str(Path(__file__).resolve().parents[2]))  # last: the installed package is the one tested

from examples.minimal_gateway import Gateway

Say = Callable[[str], str]


@pytest.fixture
def say(tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    """A message in the chat ``ada``; what the gateway prints, once the caps have done their work."""
    manager = bare_plugin_manager()
    plugin = RetentionPlugin(home=tmp_path, environ=request.param, plugins=lambda: manager)
    plugin.caps = CapWatch(plugin._open_caps, clock=plugin.clock, begin=lambda _: None)  # noqa: SLF001 - no thread
    manager.register(plugin)
    gateway = Gateway(tmp_path, manager)

    def said(text: str) -> str:
        gateway.message("ada", text)
        plugin.caps.work_off()
        return capsys.readouterr().out

    yield said
    gateway.stop()


def caps(**settings: str) -> dict[str, str]:
    return {f"HERMES_RETENTION_CHAT__CAPS__{name}": text for name, text in settings.items()}


@pytest.mark.parametrize("say", [caps(MAX_MESSAGES="4")], indirect=True)
def test_chat_at_its_limit_begins_anew(say: Say) -> None:
    assert [say(text) for text in ("one", "two", "three", "four")] == [
        "ada: one!\n",
        "ada: two!\n",
        "ada: a fresh start\nada: three!\n",
        "ada: four!\n",
    ]


@pytest.mark.parametrize("say", [caps(MAX_MESSAGES="4", MAX_MESSAGES_ACTION="stop")], indirect=True)
def test_stopped_chat_answers_with_a_notice(say: Say) -> None:
    say("one")
    say("two")
    assert say("three").startswith(
        "ada: Stopped: this session reached its limit of 4 messages (max_messages)."
    )
