"""The plugin in a running gateway: chats, resets, restarts in the middle of things, and deliveries."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from gateways import KNOWS_MESSENGER, Gateway, eventually, running_gateway
from host_rows import check
from hosts import VERSION, WAIT, Host, Model, Program, age

STOPS_IN_THE_MIDDLE = VERSION >= (0, 18)
"""Whether the gateway, asked to end, breaks off a turn that waits for the model."""
needs_messenger = pytest.mark.skipif(not KNOWS_MESSENGER, reason="this host cannot talk to ntfy")


@pytest.fixture
def host(host: Host) -> Host:
    """The host with our plugin, which sweeps when somebody says so."""
    host.enable(MODE="enforce", STARTUP_DELAY="1h")
    return host


@pytest.fixture(autouse=True)
def nobody_waits(model: Model) -> Iterator[None]:
    """The model answers at once, whatever the test before left."""
    model.waiting.clear()
    model.go_on.clear()
    yield
    model.go_on.set()


def query(host: Host, text: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(host.home / "state.db", timeout=30)) as database:
        return database.execute(text).fetchall()


def sessions_by_chat(host: Host) -> dict[str, str]:
    """The session that each route leads to, by the last part of its key."""
    index = json.loads((host.sessions / "sessions.json").read_text())
    return {key.split(":")[-1]: it["session_id"] for key, it in index.items() if not key.startswith("_")}


def archived(program: Program) -> str:
    return program.run("archive", "list")


def confirmed_sweep(gateway: Gateway, chat: str) -> str:
    """Sweep by the slash command, with the word that it asks for."""
    question = gateway.ask("/retention sweep", until="/retention sweep ", chat=chat)
    (token,) = re.findall(r"/retention sweep (\w+)", question)
    return gateway.ask(f"/retention sweep {token}", until="Moved", chat=chat)


@needs_messenger
def test_session_that_new_left_goes_to_the_archive_and_both_chats_go_on(host: Host, program: Program) -> None:
    with running_gateway(host) as gateway:
        gateway.ask("remember the word swordfish", until="Noted.", chat="alice")
        gateway.ask("remember the word quokka", until="Noted.", chat="bob")
        before = sessions_by_chat(host)
        gateway.ask("/new", until="", chat="alice")
        gateway.ask("hello again", until="Noted.", chat="alice")
        after = sessions_by_chat(host)
        assert (before["alice"] != after["alice"], before["bob"]) == (True, after["bob"])
        age(host.home, days=30)
        files = {it: (host.sessions / f"session_{it}.json").read_bytes() for it in after.values()}
        assert "1 session" in confirmed_sweep(gateway, "alice")
        assert before["alice"] in archived(program)
        assert not (host.sessions / f"session_{before['alice']}.json").exists()
        assert {it: (host.sessions / f"session_{it}.json").read_bytes() for it in after.values()} == files
        check(host.home / "state.db")
        for chat in ("alice", "bob"):
            gateway.ask("and now?", until="Noted.", chat=chat)
        assert sessions_by_chat(host) == after
        said = f"SELECT content FROM messages WHERE session_id = '{after['bob']}' AND role = 'user'"
        assert query(host, said) == [("remember the word quokka",), ("and now?",)]


@needs_messenger
def test_chat_command_looks_and_finds_and_prints_nothing_that_was_said(host: Host) -> None:
    with running_gateway(host) as gateway:
        gateway.ask("the password is swordfish", until="Noted.", chat="alice")
        session_id = sessions_by_chat(host)["alice"]
        for question, expected in (
            ("/retention", "1 session"),
            ("/retention preview", "Nothing is due."),
            ("/retention sweep 1234", "Nothing was removed"),
            ("/retention nonsense", "/retention find TEXT"),
            (f"/retention find {session_id[:8]}", session_id),
            ("/retention find swordfish", "No id, title or day holds 'swordfish'."),
        ):
            answer = gateway.ask(question, until="", chat="bob")
            assert expected in answer
            assert "password" not in answer


def interrupt(host: Host, model: Model) -> str:
    """A chat whose gateway ends in the middle of a turn; its session."""
    host.configure(lambda config: config.setdefault("agent", {}).update(restart_drain_timeout=1))
    with running_gateway(host) as gateway:
        gateway.ask("remember the word swordfish", until="Noted.", chat="alice")
        session_id = sessions_by_chat(host)["alice"]
        gateway.say(f"{WAIT} for me", chat="alice")
        assert model.waiting.wait(60)
        gateway.process.terminate()
        if not STOPS_IN_THE_MIDDLE:
            model.go_on.set()
        gateway.process.wait(60)
    model.go_on.set()
    assert query(host, f"SELECT ended_at FROM sessions WHERE id = '{session_id}'") == [(None,)]
    return session_id


def marked(host: Host) -> set[str]:
    """The sessions that the host would go on with by itself."""
    index = json.loads((host.sessions / "sessions.json").read_text())
    entries = [entry for key, entry in index.items() if not key.startswith("_")]
    return {entry["session_id"] for entry in entries if entry.get("resume_pending")}


@needs_messenger
def test_session_whose_gateway_ends_in_the_middle_of_a_turn_survives_and_goes_on(
    host: Host, model: Model, program: Program
) -> None:
    session_id = interrupt(host, model)
    with running_gateway(host) as gateway:
        gateway.ask("and now?", until="Noted.", chat="alice")
        assert sessions_by_chat(host)["alice"] == session_id
        assert any("swordfish" in str(it["content"]) for it in model.asked[-1])
    assert session_id not in archived(program)


@needs_messenger
@pytest.mark.skipif(
    not STOPS_IN_THE_MIDDLE, reason="this host waits for the turn, so nothing is left to resume"
)
def test_session_that_is_not_worth_it_is_not_resumed_and_goes_on_when_somebody_writes(
    host: Host, model: Model
) -> None:
    session_id = interrupt(host, model)
    assert marked(host) == {session_id}
    host.settings["HERMES_RETENTION_RESUME_MAX"] = "0"
    asked = len(model.asked)
    with running_gateway(host) as gateway:
        eventually(lambda: not marked(host))
        gateway.ask("and now?", until="Noted.", chat="alice")
        assert sessions_by_chat(host)["alice"] == session_id
    assert len(model.asked) == asked + 1
    assert any("swordfish" in str(it["content"]) for it in model.asked[-1])
