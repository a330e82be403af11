"""The agent finds what left its database: of the user who asks, and of nobody else."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from homes import DAY, NOW, HomeBuilder
from program import run

from hermes_retention.gateway.hermes import tool

ASKING, ANNS, BOBS, GROUP, ELSEWHERE = (f"2026101{n}_080000_{n}aaaaaaa" for n in range(5))
DM, ROOM = "agent:main:telegram:dm:1", "agent:main:telegram:group:7:ann"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HomeBuilder:
    """Archived sessions of Ann, in private, in a group and on another platform, and one of Bob."""
    monkeypatch.setenv("HERMES_RETENTION_AGENT_TOOL", "true")
    builder = HomeBuilder(tmp_path / "home")
    for session_id, user, source, key in (
        (ANNS, "ann", "telegram", DM),
        (BOBS, "bob", "telegram", "agent:main:telegram:dm:2"),
        (GROUP, "ann", "telegram", ROOM),
        (ELSEWHERE, "ann", "discord", "agent:main:discord:dm:1"),
    ):
        builder.session(session_id, age=100 * DAY, source=source, user_id=user, key=key, messages=0)
        said = {"session_id": session_id, "role": "user", "content": f"the harbour of {user}"}
        builder.insert("messages", said | {"timestamp": NOW - 100 * DAY})
    assert run(builder, "sweep", "--yes").code == 0
    return builder


def ask(home: HomeBuilder, *, key: str | None = DM, user: str | None = "ann", **arguments: object) -> Any:  # noqa: ANN401 - JSON
    """What the tool says in a session of this user."""
    home.session(ASKING, age=60, ended=None, key=key, user_id=user, files=())
    known = {"session_id": ASKING, "task_id": "t", "user_task": "x"}
    return json.loads(tool.answer(home.path, {"query": "harbour", **arguments}, known))


def ids(answer: Any) -> list[str]:  # noqa: ANN401 - JSON
    return [found["session_id"] for found in answer["results"]]


def test_own_sessions_of_the_platform_are_found(home: HomeBuilder) -> None:
    answer = ask(home)
    assert sorted(ids(answer)) == [ANNS, GROUP]
    assert answer["results"][0]["excerpts"] == [{"role": "user", "text": "the harbour of ann"}]


def test_chat_that_others_read_gets_what_was_said_in_it(home: HomeBuilder) -> None:
    assert ids(ask(home, key=ROOM)) == [GROUP]


@pytest.mark.parametrize("unknown", [{"user": None}, {"key": None}, {"user": ""}])
def test_who_cannot_be_told_gets_nothing(home: HomeBuilder, unknown: dict[str, Any]) -> None:
    answer = ask(home, **unknown)
    assert (ids(answer), "not certain" in answer["note"]) == ([], True)


def test_session_that_nobody_knows_gets_nothing(home: HomeBuilder) -> None:
    for known in ({}, {"session_id": None}, {"session_id": "unknown"}):
        assert ids(json.loads(tool.answer(home.path, {"query": "harbour"}, known))) == []


@pytest.mark.parametrize("said", [{"HERMES_SESSION_USER_ID": "bob"}, {"HERMES_SESSION_PLATFORM": "discord"}])
def test_other_speaker_than_the_record_names_gets_nothing(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch, said: dict[str, str]
) -> None:
    context = SimpleNamespace(get_session_env=said.get)
    monkeypatch.setitem(sys.modules, "gateway.session_context", context)
    assert ids(ask(home)) == []


def test_key_of_the_gateway_counts_where_the_record_has_none(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = SimpleNamespace(get_session_env={"HERMES_SESSION_KEY": DM}.get)
    monkeypatch.setitem(sys.modules, "gateway.session_context", context)
    assert sorted(ids(ask(home, key=None))) == [ANNS, GROUP]


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (-5, 1), (10**9, 2), ("many", 2)])
def test_results_are_capped(home: HomeBuilder, limit: object, most: int) -> None:
    assert len(ids(ask(home, limit=limit))) == most


def test_nothing_to_look_for_is_an_error_the_model_can_read(home: HomeBuilder) -> None:
    assert "nothing to look for" in ask(home, query="")["error"]


def test_failure_tells_nothing_of_a_conversation(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the harbour of ann")

    monkeypatch.setattr("hermes_retention.actions.inspect.search.find.search", fail)
    assert ask(home) == {"error": "the search failed (RuntimeError)"}


class Registrar:
    """What is registered with the host."""

    def __init__(self) -> None:
        self.tools: dict[str, dict[str, Any]] = {}

    def register_tool(self, name: str, toolset: str, schema: object, handler: object, **more: Any) -> None:  # noqa: ANN401 - the host's
        self.tools[name] = {"toolset": toolset, "schema": schema, "handler": handler, **more}


@pytest.mark.parametrize(
    ("variable", "config", "offered"),
    [
        ("true", "", True),
        ("on", "", True),
        ("false", "plugins: {entries: {hermes-retention: {agent_tool: true}}}", False),
        ("", "plugins: {entries: {hermes-retention: {agent_tool: true}}}", True),
        ("", "plugins: {entries: {hermes-retention: {agent_tool: false}}}", False),
        ("", "", False),
    ],
)
def test_tool_is_offered_only_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, config: str, *, offered: bool
) -> None:
    monkeypatch.setenv("HERMES_RETENTION_AGENT_TOOL", variable)
    (tmp_path / "config.yaml").write_text(config)
    registrar = Registrar()
    tool.register_tool(registrar, tmp_path)
    registered = registrar.tools.get(tool.NAME)
    assert (registered is not None and registered["check_fn"]()) is offered


def test_wrong_settings_offer_no_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HERMES_RETENTION_AGENT_TOOL", "true")
    monkeypatch.setenv("HERMES_RETENTION_MODE", "nonsense")
    registrar = Registrar()
    tool.register_tool(registrar, tmp_path)
    assert not registrar.tools[tool.NAME]["check_fn"]()


def test_host_without_tools_of_plugins_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HERMES_RETENTION_AGENT_TOOL", "true")
    tool.register_tool(object(), tmp_path)
