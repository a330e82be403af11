"""Caps in the real host: sessions that grow too large begin anew, and turns that run away end."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib import import_module, metadata

import pytest
from gateways import KNOWS_MESSENGER, eventually, running_gateway
from hosts import CALL_ON, Host, Model, Program, age

from hermes_retention.gateway.hermes.callbacks import notice_as_answer
from hermes_retention.home.ledger import Ledger
from hermes_retention.policy.caps import Alert, Cap, CapStage, Reaction

CAN_STOP = tuple(map(int, metadata.version("hermes-agent").split(".")[:2])) >= (0, 17)
"""Whether this host asks before each call of the model."""
RUN_AWAY = f'{CALL_ON} todo {{"todos": []}}'
CAPS = "HERMES_RETENTION_CHAT__CAPS__"
stops = pytest.mark.skipif(not CAN_STOP, reason="this host cannot stop a turn")
talks = pytest.mark.skipif(not KNOWS_MESSENGER, reason="this host knows no messenger that a test can be")


@pytest.fixture
def capped(host: Host) -> Host:
    """The host with our plugin."""
    host.configure(lambda config: config.update(plugins={"enabled": ["hermes-retention"]}))
    host.settings["HERMES_RETENTION_MODE"] = "enforce"
    return host


def rows(host: Host, sql: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(host.home / "state.db")) as database:
        return list(database.execute(sql))


def said(host: Host) -> list[list[str]]:
    """What people said, session by session."""
    sessions: dict[str, list[str]] = {}
    for session_id, text in rows(
        host, "SELECT session_id, content FROM messages WHERE role = 'user' ORDER BY id"
    ):
        sessions.setdefault(session_id, []).append(text)
    return list(sessions.values())


def alerts(host: Host) -> list[Alert]:
    """Oldest first."""
    path = host.home / "retention" / "ledger.db"
    if not path.exists():
        return []
    with Ledger.open(path) as ledger:
        return ledger.caps.alerts()[::-1]


def reached(host: Host) -> list[str]:
    """Sessions that reached a limit, one after another."""
    return [it.session_id for it in alerts(host) if it.finding.stage is CapStage.REACHED]


def tool_results(model: Model) -> int:
    """How many results of tools the newest turn has sent to the model at most."""
    counts: list[int] = [sum(message["role"] == "tool" for message in asked) for asked in model.asked]
    return max(counts)


@talks
def test_session_at_its_limit_goes_on_in_a_new_one(capped: Host, program: Program) -> None:
    capped.settings[f"{CAPS}MAX_MESSAGES"] = "4"
    with running_gateway(capped) as gateway:
        for number in range(1, 6):
            gateway.ask(f"message {number}", until="Noted")
            # What comes within milliseconds of a turn's end may still go to the old session.
            eventually(lambda number=number: len(reached(capped)) == number // 2)  # type: ignore[misc]
        gateway.ask("message 6", until="Noted")
    first, *_, last = said(capped)
    assert (first, last) == (["message 1", "message 2"], ["message 5", "message 6"])
    old = reached(capped)[0]
    assert rows(capped, f"SELECT end_reason FROM sessions WHERE id = '{old}'")[0][0] in {
        "suspended",
        "session_reset",
    }
    age(capped.home, days=1)
    program.sweep()
    assert old in program.run("archive", "list", "--json")
    assert not [it for it in capped.sessions.iterdir() if old in it.name]


@talks
@stops
def test_turn_that_calls_tools_for_ever_ends_and_a_new_session_answers(capped: Host, model: Model) -> None:
    capped.settings[f"{CAPS}MAX_TOOL_CALLS"] = "10"
    model.asked.clear()
    with running_gateway(capped) as gateway:
        answer = gateway.ask(RUN_AWAY, until="max_tool_calls")
        assert "10 tool calls in one turn" in answer
        assert "/new" in answer
        assert tool_results(model) == 9  # the model heard of nine, asked for the tenth, and was asked no more
        assert len([it for it in rows(capped, "SELECT role FROM messages") if it == ("tool",)]) == 10
        gateway.ask("and now?", until="max_tool_calls")
        assert not [asked for asked in model.asked if asked[-1]["content"] == "and now?"]
        gateway.ask("/new", until="")
        gateway.ask("hello again", until="Noted")
        eventually(lambda: reached(capped))
    [alert] = [it for it in alerts(capped) if it.finding.stage is CapStage.REACHED]
    assert (alert.finding.cap, alert.finding.count, alert.done) == (Cap.TOOL_CALLS, 10, Reaction.STOP)


@talks
@stops
def test_stopped_session_stays_stopped_over_a_restart(capped: Host) -> None:
    capped.settings |= {f"{CAPS}MAX_TOOL_CALLS": "3", "HERMES_RETENTION_STOP_COOLDOWN": "never"}
    with running_gateway(capped) as gateway:
        gateway.ask(RUN_AWAY, until="max_tool_calls")
        eventually(lambda: reached(capped))
    with running_gateway(capped) as gateway:
        # Settings are read while the gateway is up already: what is said until then is answered.
        eventually(lambda: "max_tool_calls" in gateway.ask("and now?", until=""))
    assert len(said(capped)) == len(reached(capped)) == 1


@talks
@stops
def test_stopped_session_answers_after_its_cooldown(capped: Host) -> None:
    capped.settings |= {f"{CAPS}MAX_TOOL_CALLS": "3", "HERMES_RETENTION_STOP_COOLDOWN": "2s"}
    with running_gateway(capped) as gateway:
        gateway.ask(RUN_AWAY, until="max_tool_calls")
        eventually(lambda: gateway.ask("and now?", until="") == "Noted.")
    assert len(said(capped)) == 1


@talks
@pytest.mark.skipif(CAN_STOP, reason="this host can stop a turn")
def test_host_that_cannot_stop_resets_when_the_turn_is_over_and_says_so(capped: Host) -> None:
    capped.settings[f"{CAPS}MAX_TOOL_CALLS"] = "10"
    capped.configure(lambda config: config.setdefault("agent", {}).update(max_turns=12))
    with running_gateway(capped) as gateway:
        gateway.say(RUN_AWAY)
        eventually(lambda: reached(capped))
        gateway.ask("hello again", until="Noted")
        assert "cannot stop a running session" in gateway.log
    assert [it.done for it in alerts(capped) if it.finding.stage is CapStage.REACHED] == [Reaction.RESET]
    assert len(said(capped)) == 2


@talks
@stops
def test_too_many_messages_in_a_minute_stop_the_session(capped: Host) -> None:
    capped.settings[f"{CAPS}MAX_MESSAGES_PER_MINUTE"] = "30"
    with running_gateway(capped) as gateway:
        answer = gateway.ask(RUN_AWAY, until="max_messages_per_minute")
        assert "30 messages in one minute" in answer
    assert 28 <= len(rows(capped, "SELECT 1 FROM messages WHERE role IN ('tool', 'assistant', 'user')")) <= 33


@talks
def test_alert_comes_once_although_the_gateway_is_restarted(capped: Host) -> None:
    capped.settings |= {f"{CAPS}MAX_MESSAGES": "12", f"{CAPS}ALERT_AT": "50%"}
    with running_gateway(capped) as gateway:
        for number in range(1, 4):
            gateway.ask(f"message {number}", until="Noted")
        eventually(lambda: alerts(capped))
    with running_gateway(capped) as gateway:
        gateway.ask("message 4", until="Noted")
    assert [it.finding.stage for it in alerts(capped)] == [CapStage.NEAR]
    assert (capped.home / "gateway.log").read_text(errors="replace").count("is near a cap") == 1
    assert len(said(capped)) == 1


@stops
def test_command_line_is_stopped_as_well(capped: Host, model: Model) -> None:
    capped.settings["HERMES_RETENTION_CLI__CAPS__MAX_TOOL_CALLS"] = "5"
    model.asked.clear()
    printed = capped.run("chat", "-q", RUN_AWAY)
    assert "max_tool_calls" in printed
    assert tool_results(model) <= 5
    assert reached(capped)


@stops
@pytest.mark.parametrize(
    "api", ["chat_completions", "anthropic_messages", "codex_responses", "bedrock_converse"]
)
def test_host_takes_the_notice_for_an_answer_whatever_it_speaks(api: str) -> None:
    transport = import_module("agent.transports").get_transport(api)
    notice = notice_as_answer("Stopped: enough.")
    assert transport.validate_response(notice)
    answer = transport.normalize_response(notice)
    assert (answer.content, answer.finish_reason) == ("Stopped: enough.", "stop")
    assert not answer.tool_calls
