"""A gateway of another kind that only fires hooks: it asks what to do about a session, and obeys."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hermes_retention.gateway.plugin import RetentionPlugin
from hermes_retention.hookspecs import hookimpl
from hermes_retention.plugins import bare_plugin_manager
from hermes_retention.policy.caps import Alert, Cap, CapAction, Reaction

KEY = "agent:main:telegram:dm:1"


class AnyGateway:
    """One chat. It stores nothing: what it tells at the end of a turn is all that can be counted."""

    def __init__(self, home: Path, **caps: str) -> None:
        environ = {f"HERMES_RETENTION_CHAT__CAPS__{name}": text for name, text in caps.items()}
        self.manager = bare_plugin_manager()
        self.plugin = RetentionPlugin(home=home, environ=environ, plugins=lambda: self.manager)
        self.manager.register(self.plugin)
        self.manager.register(self)
        self.alerts: list[Alert] = []
        self.sessions = ["s1"]

    @hookimpl
    def retention_alert(self, alert: Alert) -> None:
        self.alerts.append(alert)

    def over(self) -> CapAction | None:
        """What it is to do about the current session."""
        found: CapAction | None = self.manager.hook.session_over_cap(session_id=self.sessions[-1], cap=None)
        return found

    def say(self, tool_calls: int = 0) -> str:
        """A message of a person, and the answer."""
        over = self.over()
        if over is not None and over.action is Reaction.STOP:
            return over.text
        if over is not None and over.action is Reaction.RESET:
            self.sessions.append(f"s{len(self.sessions) + 1}")
            self.manager.hook.session_reset(
                session_key=KEY,
                old_session_id=self.sessions[-2],
                new_session_id=self.sessions[-1],
                platform="telegram",
            )
        usage = {"messages": 2 + 2 * tool_calls, "tool_calls": tool_calls}
        self.manager.hook.turn_end(
            session_id=self.sessions[-1], session_key=KEY, platform="telegram", usage=usage
        )
        return "Noted."

    def wait_until_told(self, what: Reaction | None) -> None:
        """The thread of the caps has its own time."""
        end = time.monotonic() + 30
        while (over := self.over()) is None or over.action is not what:
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def closing() -> Iterator[list[AnyGateway]]:
    gateways: list[AnyGateway] = []
    yield gateways
    for gateway in gateways:
        gateway.manager.hook.gateway_shutdown()


def test_session_at_its_limit_goes_on_in_a_new_one(home: Path, closing: list[AnyGateway]) -> None:
    closing.append(gateway := AnyGateway(home, MAX_MESSAGES="4"))
    gateway.say()
    gateway.say()
    gateway.wait_until_told(Reaction.RESET)
    assert gateway.say() == "Noted."
    assert gateway.sessions == ["s1", "s2"]
    assert gateway.over() is None
    gateway.plugin.caps.stop()  # whatever is under way is done then
    assert [(it.session_id, it.done) for it in gateway.alerts] == [("s1", Reaction.RESET)]


def test_session_that_runs_away_is_stopped_with_a_reason(home: Path, closing: list[AnyGateway]) -> None:
    closing.append(gateway := AnyGateway(home, MAX_TOOL_CALLS="10"))
    gateway.say(tool_calls=12)
    gateway.wait_until_told(Reaction.STOP)
    assert "10 tool calls in one turn (max_tool_calls)" in gateway.say()
    assert gateway.sessions == ["s1"]


def test_another_plugin_is_asked_first(home: Path, closing: list[AnyGateway]) -> None:
    class Lenient:
        @hookimpl
        def session_over_cap(self, session_id: str, cap: Cap | None) -> CapAction | None:
            return CapAction(Reaction.ALERT, Cap.MESSAGES, "let it go") if session_id == "s1" else None

    closing.append(gateway := AnyGateway(home, MAX_MESSAGES="2"))
    gateway.manager.register(Lenient())
    gateway.say()
    gateway.plugin.caps.stop()
    assert gateway.over() == CapAction(Reaction.ALERT, Cap.MESSAGES, "let it go")
    gateway.say()
    assert gateway.sessions == ["s1"]
