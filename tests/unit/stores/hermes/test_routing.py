"""What is routed: by the table, by the index, by either; and what happens to entries that make no sense."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from homes import HOUR, NOW, HomeBuilder

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.session import Record, Route, Session, SessionClass
from hermes_retention.stores.base import Scan
from hermes_retention.stores.hermes.files import platform_of
from hermes_retention.stores.hermes.routing import Routing

KEY = "agent:main:telegram:dm:1"


def scan(home: HomeBuilder) -> Scan:
    return home.store().scan(now=NOW)


def session_of(home: HomeBuilder, session_id: str) -> Session:
    return {session.id: session for session in scan(home).sessions}[session_id]


@pytest.mark.parametrize(
    ("key", "platform"),
    [
        (KEY, "telegram"),
        ("agent:coder:google_chat:group:spaces/x", "google_chat"),
        ("agent:main:ntfy", "ntfy"),
        ("agent:main:", None),
        ("agent:main", None),
        ("somebody:main:telegram:dm:1", None),
        ("", None),
    ],
)
def test_key_speaks_of_a_platform(key: str, platform: str | None) -> None:
    assert platform_of(key) == platform


def test_route_of_the_table_alone_counts(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a", ended=None).route(KEY, "a", age=HOUR, index=False)
    assert session_of(home, "a").routes == (Route(KEY, NOW - HOUR),)


def test_route_of_the_index_alone_counts(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, host="0.13").session("a", ended=None).route(KEY, "a", age=HOUR)
    assert session_of(home, "a").routes == (Route(KEY, NOW - HOUR),)


def test_route_of_another_scope_counts_as_well(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a").route(KEY, "a", scope="/mnt/elsewhere/sessions")
    assert session_of(home, "a").routes != ()


def test_where_table_and_index_differ_both_are_routed_and_the_table_is_the_successor(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    for name in ("old", "listed", "current"):
        home.session(name, ended=None, key=KEY)
    home.index({KEY: {"session_id": "listed"}}).route(KEY, "current", index=False)
    assert [bool(session_of(home, name).routes) for name in ("old", "listed", "current")] == [
        False,
        True,
        True,
    ]
    assert session_of(home, "old").successor == "current"
    assert session_of(home, "listed").successor is None


def test_own_scope_says_who_the_successor_is(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("old", key=KEY)
    home.route(KEY, "own", index=False)
    home.route(KEY, "other", scope="/zzz").route(KEY, "another", scope="")
    assert session_of(home, "old").successor == "own"


def test_session_keeps_the_newest_time_of_a_key_and_every_key(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a").route(KEY, "a", age=HOUR).route("agent:main:telegram:dm:2", "a")
    home.index({KEY: {"session_id": "a", "updated_at": datetime.fromtimestamp(NOW, UTC).isoformat()}})
    assert session_of(home, "a").routes == (Route(KEY, NOW), Route("agent:main:telegram:dm:2", NOW))


@pytest.mark.parametrize("updated", [None, 5, "yesterday", "0001-01-01T00:00:00", "99999-01-01T00:00:00", ""])
def test_time_that_cannot_be_read_is_no_time(tmp_path: Path, updated: object) -> None:
    home = HomeBuilder(tmp_path).session("a").index({KEY: {"session_id": "a", "updated_at": updated}})
    (route,) = session_of(home, "a").routes
    assert route.updated_at is None or route.updated_at < 0  # the year 1 may or may not be within reach


def test_notes_of_the_host_are_no_entries(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a").index({"_README": "x", "_future": {"session_id": "a"}})
    assert session_of(home, "a").routes == ()
    assert scan(home).warnings == ()


def test_routed_session_needs_neither_row_nor_files(tmp_path: Path) -> None:
    session = session_of(HomeBuilder(tmp_path).route(KEY, "a"), "a")
    assert (session.record, session.artifacts, session.session_class) == (None, (), SessionClass.CHAT)


def test_missing_index_is_no_error(tmp_path: Path) -> None:
    assert scan(HomeBuilder(tmp_path)).warnings == ()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not valid JSON"),
        (b'{"agent:main:telegram:dm:1": {"session_id": "a"', "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
    ],
)
def test_damaged_index_makes_the_store_unreadable(tmp_path: Path, content: bytes, why: str) -> None:
    home = HomeBuilder(tmp_path).file("sessions.json", content)
    with pytest.raises(StoreUnreadable, match=rf"sessions\.json: it is {why}; nobody knows what is routed"):
        scan(home)


def test_index_that_only_the_hosts_own_reader_accepts_is_read(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a")
    entry = f'{{"{KEY}": {{"session_id": "a", "estimated_cost_usd": NaN, "display_name": "\\ud83d"}}}}'
    home.file("sessions.json", entry.encode())
    assert session_of(home, "a").routes == (Route(KEY),)


@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_index_that_is_no_regular_file_makes_the_store_unreadable(tmp_path: Path, kind: str) -> None:
    path = HomeBuilder(tmp_path).files / "sessions.json"
    if kind == "link":
        path.symlink_to("elsewhere.json")
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(StoreUnreadable, match=r"sessions\.json: .*nobody knows what is routed"):
        scan(HomeBuilder(tmp_path, database=False))


# Entries that name no session


@pytest.mark.parametrize(
    "entry", [True, "a", None, [], {}, {"session_id": ""}, {"session_id": 5}, {"session_id": None}]
)
def test_entry_without_session_keeps_what_it_may_lead_to(tmp_path: Path, entry: object) -> None:
    home = HomeBuilder(tmp_path, host="0.13").index({KEY: entry})
    home.session("open", ended=None).session("over").session("elsewhere", source="discord", ended=None)
    routes = {session.id: session.routes for session in scan(home).sessions}
    assert routes == {"open": (Route(KEY),), "over": (), "elsewhere": ()}
    (warning,) = scan(home).warnings
    assert f"1 entries name no session, such as {KEY}; sessions that they may lead to are kept" in warning


@pytest.mark.parametrize("entry", ["", "{", "[]", "{}", b"\xff"])
def test_row_without_session_keeps_what_it_may_lead_to(tmp_path: Path, entry: object) -> None:
    home = HomeBuilder(tmp_path).insert(
        "gateway_routing", {"scope": "", "session_key": KEY, "entry_json": entry}
    )
    home.session("same", key=KEY, ended=None).session("other", key="agent:main:telegram:dm:2", ended=None)
    routes = {session.id: session.routes for session in scan(home).sessions}
    assert routes == {"same": (Route(KEY),), "other": ()}
    assert len(scan(home).warnings) == 1


def test_doubt_is_settled_by_the_other_source(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a", ended=None).session("b", ended=None)
    home.route(KEY, "a", index=False).index({KEY: True})
    routes = {session.id: bool(session.routes) for session in scan(home).sessions}
    assert routes == {"a": True, "b": False}


def test_doubt_reaches_files_that_nobody_knows(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, database=False).index({KEY: True})
    home.file("20261101_090000_0a1b2c3d.jsonl").file("session_cron_job_20261101_090000.json")
    routes = {session.session_class: session.routes for session in scan(home).sessions}
    assert routes == {SessionClass.CHAT: (Route(KEY),), SessionClass.CRON: ()}


@pytest.mark.parametrize(
    ("kind", "kept"), [(SessionClass.CHAT, True), (SessionClass.HOOK, True), (SessionClass.CLI, False)]
)
def test_doubt_about_an_unknown_platform_reaches_whatever_a_gateway_routes(
    *, kind: SessionClass, kept: bool
) -> None:
    routing = Routing(doubtful={"odd": None})
    record = Record(source="x", started_at=NOW)
    assert routing.possible_route(record, None, kind) == ((Route("odd"),) if kept else ())


# Routes that lie elsewhere


def test_index_in_the_directory_of_the_gateways_own_configuration_counts(tmp_path: Path) -> None:
    elsewhere = HomeBuilder(tmp_path / "elsewhere", database=False).index({KEY: {"session_id": "a"}})
    home = HomeBuilder(tmp_path / "home", host="0.13").session("a", ended=None)
    (home.path / "gateway.json").write_text(json.dumps({"sessions_dir": str(elsewhere.files)}))
    assert session_of(home, "a").routes == (Route(KEY),)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sessions_dir": 5}', '{"sessions_dir": ""}', "\udcff"])
def test_configuration_that_the_gateway_ignores_is_ignored(tmp_path: Path, content: str) -> None:
    home = HomeBuilder(tmp_path).session("a").route(KEY, "a")
    (home.path / "gateway.json").write_bytes(os.fsencode(content))
    assert session_of(home, "a").routes != ()


def test_own_directory_in_the_gateways_configuration_changes_nothing(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a").route(KEY, "a")
    (home.path / "gateway.json").write_text(json.dumps({"sessions_dir": str(home.files)}))
    assert session_of(home, "a").routes != ()


def test_directory_relative_to_wherever_the_gateway_started_makes_the_store_unreadable(
    tmp_path: Path,
) -> None:
    home = HomeBuilder(tmp_path)
    (home.path / "gateway.json").write_text(json.dumps({"sessions_dir": "my/sessions"}))
    with pytest.raises(StoreUnreadable, match=r"gateway\.json: its sessions_dir \(my/sessions\) is relative"):
        scan(home)


@pytest.mark.parametrize("index", [True, False])
def test_gateway_of_the_home_above_routes_to_files_of_a_profile(tmp_path: Path, *, index: bool) -> None:
    above = HomeBuilder(tmp_path).route("agent:coder:telegram:dm:1", "20261101_090000_0a1b2c3d", index=index)
    above.route(KEY, "of_the_home_above", index=index)
    profile = HomeBuilder(tmp_path / "profiles" / "coder").file("session_20261101_090000_0a1b2c3d.json")
    (session,) = scan(profile).sessions
    assert [route.key for route in session.routes] == ["agent:coder:telegram:dm:1"]
