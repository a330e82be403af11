"""The agent of the real host is offered the search in the archive, calls it, and gets its answer."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from importlib import metadata

from hosts import CALL, Host, Model, Program, age

TOOL = "archived_session_search"
OFFERED = f"""
    from hermes_cli.plugins import discover_plugins
    import model_tools
    discover_plugins()
    result = [it["function"]["name"] for it in model_tools.get_tool_definitions()].count("{TOOL}")
"""
HAS_KEYS = tuple(map(int, metadata.version("hermes-agent").split("."))) >= (0, 18)
"""Whether records name the chat that they belong to."""


def test_tool_is_offered_only_with_the_setting(host: Host) -> None:
    host.enable()
    assert host.python(OFFERED) == 0
    host.enable(AGENT_TOOL="true")
    assert host.python(OFFERED) == 1


def test_model_calls_it_and_reads_the_answer(host: Host, model: Model) -> None:
    host.enable(AGENT_TOOL="true")
    host.chat(f'{CALL} {TOOL} {{"query": "harbour"}}')
    answers = [message for message in model.asked[-1] if message["role"] == "tool"]
    assert json.loads(answers[-1]["content"])["results"] == []


def test_what_left_the_database_is_found_again_by_its_user(host: Host, program: Program) -> None:
    host.enable(AGENT_TOOL="true")
    old = host.chat("the harbour of Lisbon")
    age(host.home, days=100)
    asking = host.chat("do you remember?")
    key = ", session_key = 'agent:main:telegram:dm:1'" if HAS_KEYS else ""
    with closing(sqlite3.connect(host.home / "state.db")) as database, database:
        database.execute(f"UPDATE sessions SET source = 'telegram', user_id = 'ann'{key}")
    program.sweep()
    found = host.python(f"""
        import json
        from hermes_cli.plugins import discover_plugins
        discover_plugins()
        from model_tools import handle_function_call as call
        result = [call("{TOOL}", {{"query": it}}, session_id="{asking}") for it in ("Harbour of", "harbour")]
    """)
    ids = [[one["session_id"] for one in json.loads(answer)["results"]] for answer in found]
    assert ids == [[], [old] if HAS_KEYS else []]
