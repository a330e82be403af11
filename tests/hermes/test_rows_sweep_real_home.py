"""Rows leave a home that the real host filled, and come back; the host lists, searches, goes on as before."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest
from gateways import running_gateway
from hermes_state import SessionDB  # type: ignore[import-not-found]  # only in the host's environment
from host_rows import Dump, check, dump, found
from hosts import CALL, Host, Model, Program, age

WHAT_THE_FILE_SAYS = "\n".join(f"line {number} tells of a zebra" for number in range(200))
ONE_FILE_IN_THE_WAY = 1
"""The exit code of a restore after the host went on: it has written its snapshot anew, and that stays."""
MARKER = "[hermes-retention: the output of "


@dataclasses.dataclass(frozen=True)
class Filled:
    """A home that the host filled, and what it filled it with."""

    home: Path
    talk: str
    """A conversation about a swordfish, with a title."""
    reading: str
    """One in which a tool was called and said a lot."""
    delegating: str
    delegated: str
    """What it delegated. Hosts before 0.18 do not mark it: it has a parent, as a branch has."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Filled:
    """Made once, for the host takes seconds for each."""
    host = Host(tmp_path_factory.mktemp("filled") / "home", model.url)
    file = host.home / "notes.txt"
    file.write_text(WHAT_THE_FILE_SAYS)
    talk = host.chat("remember the word swordfish")
    reading = host.chat(f"{CALL} read_file {json.dumps({'path': str(file)})}")
    delegating = host.chat(f"{CALL} delegate_task {json.dumps({'goal': 'count the okapis'})}")
    with closing(SessionDB(db_path=host.home / "state.db")) as database:
        database.set_session_title(talk, "About fish")
        database.set_meta(f"goal:{talk}", "find it")
        (delegated,) = {it["session_id"] for it in database.search_messages("okapis")} - {delegating}
    return Filled(host.home, talk, reading, delegating, delegated)


@pytest.fixture
def host(host: Host, filled: Filled) -> Host:
    """The host with a copy of that home, in which nothing has happened for a month."""
    shutil.copytree(filled.home, host.home, dirs_exist_ok=True)
    age(host.home, days=30)
    return host


def database_of(host: Host) -> Path:
    return host.home / "state.db"


def rows_of(host: Host, *keys: str) -> Dump:
    """All rows that hold one of these keys, with all their columns; messages in the order of their ids."""
    tables = {table: _of(rows, *keys) for table, rows in dump(database_of(host)).items()}
    tables.pop("async_delegations", None)  # the host's own queue, which it clears by itself
    return tables | {"messages": sorted(tables["messages"], key=lambda row: str(row[0]).zfill(9))}


def _of(rows: list[tuple[object, ...]], *keys: str) -> list[tuple[object, ...]]:
    return [row for row in rows if any(key.encode() in row for key in keys)]


def contents_of(host: Host, session_id: str) -> list[str]:
    with closing(SessionDB(db_path=database_of(host))) as database:
        return [it["content"] for it in database.get_messages(session_id) if it["content"]]


def last_asked(model: Model, message: str) -> list[str]:
    """What the model was told in the newest request that ends with this message of a person."""
    told = [[str(it["content"]) for it in messages] for messages in model.asked if messages]
    return next(texts for texts in reversed(told) if texts[-1].endswith(message))


def steps_of(report: Mapping[str, list[dict[str, str]]]) -> dict[str, set[str]]:
    """What a sweep took of each session."""
    taken: dict[str, set[str]] = {}
    for step in report["steps"]:
        taken.setdefault(step["session_id"], set()).add(step["verdict"])
    return taken


def test_conversation_whose_messages_left_is_listed_and_goes_on_once_they_are_back(
    host: Host, program: Program, model: Model, filled: Filled
) -> None:
    with closing(SessionDB(db_path=database_of(host))) as database:
        database.create_session("young", "cli")
        database.append_message("young", "user", "a swordfish again")
    before = rows_of(host, filled.talk)
    report = program.sweep(CLI__MESSAGES_AFTER="1h")
    assert steps_of(report)[filled.talk] == {"archive_files", "archive_messages"}
    check(database_of(host))
    assert contents_of(host, filled.talk) == []
    assert found(database_of(host), "swordfish") == {"young"}
    assert re.search(rf"About fish .*{filled.talk}", host.run("sessions", "list"))
    with closing(SessionDB(db_path=database_of(host))) as database:
        listed = {it["id"]: (it["title"], it["message_count"]) for it in database.list_sessions_rich()}
    assert listed[filled.talk] == ("About fish", 2)
    new = host.chat("what is an axolotl")
    assert found(database_of(host), "axolotl") == {new}

    program.run("restore", filled.talk)
    check(database_of(host))
    assert rows_of(host, filled.talk) == before
    assert found(database_of(host), "swordfish") == {"young", filled.talk}
    host.chat("and now", "--resume", filled.talk)
    assert last_asked(model, "and now")[1:] == ["remember the word swordfish", "Noted.", "and now"]
    assert contents_of(host, filled.talk)[2:] == ["and now", "Noted."]
    assert steps_of(program.sweep(CLI__MESSAGES_AFTER="1h"))[filled.talk] == {"keep"}


def test_conversation_that_went_on_without_its_messages_gets_them_back_in_order(
    host: Host, program: Program, model: Model, filled: Filled
) -> None:
    program.sweep(CLI__MESSAGES_AFTER="1h")
    host.chat("where were we", "--resume", filled.talk)
    assert "remember the word swordfish" not in last_asked(model, "where were we")
    assert "2 messages" in program.run("restore", filled.talk, code=ONE_FILE_IN_THE_WAY)
    check(database_of(host))
    said = ["remember the word swordfish", "Noted.", "where were we", "Noted."]
    assert contents_of(host, filled.talk) == said


def test_tool_output_gives_way_to_a_marker_with_which_the_host_goes_on(
    host: Host, program: Program, model: Model, filled: Filled
) -> None:
    before = rows_of(host, filled.reading)["messages"]
    report = program.sweep(CLI__TOOL_OUTPUT_AFTER="1h")
    assert steps_of(report)[filled.reading] == {"archive_files", "archive_tool_output"}
    check(database_of(host))
    assert found(database_of(host), "zebra") == set()
    host.chat("what did it tell", "--resume", filled.reading)
    (told,) = (it for it in last_asked(model, "what did it tell") if it.startswith(MARKER))
    assert f"`hermes-retention restore {filled.reading}` puts it back]" in told

    assert "1 output of a tool" in program.run("restore", filled.reading, code=ONE_FILE_IN_THE_WAY)
    check(database_of(host))
    assert found(database_of(host), "zebra") == {filled.reading}
    back = rows_of(host, filled.reading)["messages"]
    assert back[:-2] == before
    assert len(back) == len(before) + 2


def test_record_leaves_with_all_that_belongs_to_it_and_comes_back_whole(
    host: Host, program: Program, model: Model, filled: Filled
) -> None:
    belonging = (filled.talk, f"goal:{filled.talk}")
    before = rows_of(host, *belonging)
    assert {table for table, rows in before.items() if rows} >= {"sessions", "messages", "state_meta"}
    if "session_model_usage" in before:  # from host 0.19 on
        assert len(before["session_model_usage"]) == 1
    report = program.sweep(CLI__RECORD_AFTER="1h")
    assert "archive_record" in steps_of(report)[filled.talk]
    check(database_of(host))
    assert not any(rows_of(host, *belonging).values())
    assert filled.talk not in host.run("sessions", "list")

    program.run("restore", filled.talk)
    check(database_of(host))
    assert rows_of(host, *belonging) == before
    host.chat("and now", "--resume", filled.talk)
    assert last_asked(model, "and now")[1:] == ["remember the word swordfish", "Noted.", "and now"]


def test_delegated_work_leaves_and_comes_back_with_the_conversation_that_delegated_it(
    host: Host, program: Program, filled: Filled
) -> None:
    both = (filled.delegating, filled.delegated)
    before = rows_of(host, *both)
    report = program.sweep(CLI__RECORD_AFTER="1h", SUBAGENT__RECORD_AFTER="never")
    assert not any(rows_of(host, *both).values())
    assert report["counts"]["records_archived"] == 4
    program.run("restore", filled.delegated)
    assert len(rows_of(host, *both)["sessions"]) == 2, "its parent came along"
    program.run("restore", filled.delegating)
    check(database_of(host))
    assert rows_of(host, *both) == before


def test_parts_of_a_compressed_conversation_leave_and_come_back_together(
    host: Host, program: Program
) -> None:
    with closing(SessionDB(db_path=database_of(host))) as database:
        for part, above in (("first", None), ("second", "first"), ("third", "second")):
            if above is not None:
                database.end_session(above, "compression")
            database.create_session(part, "telegram", parent_session_id=above)
            database.append_message(part, "user", f"the {part} quokka")
        assert database.get_compression_tip("first") == "third"
    age(host.home, days=30)
    before = rows_of(host, "first", "second", "third")
    report = program.sweep(CHAT__RECORD_AFTER="1h")
    assert report["counts"]["records_archived"] == 3
    check(database_of(host))
    assert found(database_of(host), "quokka") == set()
    program.run("restore", "third")
    check(database_of(host))
    assert rows_of(host, "first", "second", "third")["sessions"] == before["sessions"]
    with closing(SessionDB(db_path=database_of(host))) as database:
        assert database.get_compression_tip("first") == "third"
    assert found(database_of(host), "quokka") == {"first", "second", "third"}


@pytest.mark.parametrize(
    "settings",
    [
        {"CLI__RECORD_AFTER": "1h", "SUBAGENT__RECORD_AFTER": "1h"},
        {"CLI__TOOL_OUTPUT_AFTER": "1h", "CHAT__MESSAGES_AFTER": "1h", "CRON__RECORD_AFTER": "1h"},
    ],
    ids=["records of the command line", "another tier of each class"],
)
def test_undo_of_a_sweep_gives_the_same_database(
    host: Host, program: Program, settings: dict[str, str]
) -> None:
    with closing(SessionDB(db_path=database_of(host))) as database:
        for session_id, source in (("chat", "telegram"), ("cron_news_20261001_080000", "cron")):
            database.create_session(session_id, source)
            database.append_message(session_id, "user", "say hi")
            database.end_session(session_id, "session_reset" if source == "telegram" else "cron_complete")
    age(host.home, days=30)
    before = dump(database_of(host))
    report = program.sweep(**settings, CRON__KEEP_LAST="0")
    taken = set().union(*steps_of(report).values())
    assert taken >= {f"archive_{name.split('__')[1].removesuffix('_AFTER').lower()}" for name in settings}
    program.run("archive", "verify")
    program.run("undo", "--yes")
    check(database_of(host))
    assert dump(database_of(host)) == before


@pytest.mark.skipif(find_spec("plugins.platforms.ntfy") is None, reason="this host cannot talk to ntfy")
def test_sweep_beside_a_gateway_takes_old_rows_and_keeps_the_chat_that_goes_on(
    host: Host, program: Program, model: Model
) -> None:
    with closing(SessionDB(db_path=database_of(host))) as database:
        for number in range(200):
            database.create_session(f"old{number}", "cli")
            for _ in range(5):
                database.append_message(f"old{number}", "user", "what an axolotl is " * 50)
    with running_gateway(host) as chat:
        chat.ask("remember the word quokka", until="Noted.")
        age(host.home, days=30)
        (live,) = found(database_of(host), "quokka")
        before = rows_of(host, live)["messages"]
        turns = 0
        with ThreadPoolExecutor(1) as pool:
            sweep = pool.submit(program.sweep, CLI__RECORD_AFTER="1h", CHAT__MESSAGES_AFTER="1h")
            while not sweep.done():
                chat.ask(f"and this is {turns}", until="Noted.")
                turns += 1
        assert turns > 0
        assert last_asked(model, f"and this is {turns - 1}")[1] == "remember the word quokka"
        steps = steps_of(sweep.result())
        assert steps[live] == {"keep"}
        assert "archive_record" in steps["old0"]
        check(database_of(host))
    assert [row for row in rows_of(host, live)["messages"] if row in before] == before
    with closing(SessionDB(db_path=database_of(host))) as database:
        said = [it["content"] for it in database.get_messages(live) if it["role"] == "user"]
    assert said == ["remember the word quokka", *(f"and this is {turn}" for turn in range(turns))]
    assert found(database_of(host), "axolotl") == set()
