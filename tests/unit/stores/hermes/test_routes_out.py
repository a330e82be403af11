"""Dead routes leave the table and the index of a home without a gateway, and nothing else does."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from homes import HOUR, NOW, HomeBuilder

from hermes_retention.disk import writing
from hermes_retention.stores.hermes import erasing
from hermes_retention.stores.hermes.erasing import OfflineRoutes

CHAT = "agent:main:telegram:dm:1"


def key_of(number: int) -> str:
    return f"agent:main:webhook:webhook:webhook:push:{number}:webhook:push"


def routes_of(home: HomeBuilder) -> OfflineRoutes:
    return OfflineRoutes(home.path.resolve(), lambda: NOW)


def table_of(home: HomeBuilder) -> set[str]:
    with closing(sqlite3.connect(home.path / "state.db")) as database:
        return {key for (key,) in database.execute("SELECT session_key FROM gateway_routing")}


def index_of(home: HomeBuilder) -> dict[str, object]:
    index: dict[str, object] = json.loads((home.files / "sessions.json").read_text())
    return index


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """Two deliveries and a chat."""
    home = HomeBuilder(tmp_path).route(CHAT, "chat", age=HOUR)
    return home.route(key_of(1), "one", age=HOUR).route(key_of(2), "two", age=HOUR)


def test_dead_routes_leave_table_and_index(home: HomeBuilder) -> None:
    before = index_of(home)
    assert routes_of(home).drop_routes({key_of(1): "one", key_of(2): "two"}) == [key_of(1), key_of(2)]
    assert table_of(home) == {CHAT}
    assert index_of(home) == {"_README": before["_README"], CHAT: before[CHAT]}


def test_index_alone_is_enough(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, host="0.13").route(key_of(1), "one", age=HOUR).route(CHAT, "chat", age=HOUR)
    assert routes_of(home).drop_routes({key_of(1): "one"}) == [key_of(1)]
    assert list(index_of(home)) == ["_README", CHAT]


def test_ten_thousand_dead_routes_leave_and_the_live_ones_stay(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).route(CHAT, "chat", age=HOUR)
    entry = index_of(home)[CHAT]
    assert isinstance(entry, dict)
    dead = {key_of(number): f"s{number}" for number in range(10_000)}
    entries: dict[str, object] = {key: entry | {"session_id": it} for key, it in dead.items()}
    home.index(entries)
    rows = [("scope", key, json.dumps(it), NOW) for key, it in entries.items()]
    with closing(sqlite3.connect(home.path / "state.db")) as database, database:
        database.executemany("INSERT INTO gateway_routing VALUES (?, ?, ?, ?)", rows)
    assert len(routes_of(home).drop_routes(dead)) == 10_000
    assert table_of(home) == {CHAT}
    assert list(index_of(home)) == ["_README", CHAT]


def test_route_that_leads_elsewhere_by_now_stays(home: HomeBuilder) -> None:
    assert routes_of(home).drop_routes({key_of(1): "another"}) == []
    assert key_of(1) in table_of(home)
    assert key_of(1) in index_of(home)


def test_route_that_was_used_a_moment_ago_stays(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).route(key_of(1), "one", age=59.0)
    assert routes_of(home).drop_routes({key_of(1): "one"}) == []


@pytest.mark.parametrize("entry", [None, [], {"session_id": "one"}, {"session_id": "one", "updated_at": "?"}])
def test_entry_that_says_too_little_stays(tmp_path: Path, entry: object) -> None:
    home = HomeBuilder(tmp_path, host="0.13").index({key_of(1): entry})
    assert routes_of(home).drop_routes({key_of(1): "one"}) == []
    assert key_of(1) in index_of(home)


def test_nothing_is_touched_while_a_gateway_runs(home: HomeBuilder) -> None:
    with (home.path / "gateway.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert routes_of(home).drop_routes({key_of(1): "one"}) == []
    assert key_of(1) in table_of(home)
    assert key_of(1) in index_of(home)


def test_nothing_is_touched_while_a_gateway_above_serves_the_profile(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "profiles" / "work").route(key_of(1), "one", age=HOUR)
    with (tmp_path / "gateway.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert routes_of(home).drop_routes({key_of(1): "one"}) == []
    assert key_of(1) in table_of(home)


def test_index_that_somebody_writes_meanwhile_is_left_alone(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that starts at this very moment has written its first live route."""

    def after_somebody_else(*arguments: object, **keywords: object) -> bool:
        home.index({"agent:main:telegram:dm:9": {"session_id": "new"}})
        return writing.rewrite_unchanged(*arguments, **keywords)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(erasing, "rewrite_unchanged", after_somebody_else)
    routes_of(home).drop_routes({key_of(1): "one"})
    assert {"agent:main:telegram:dm:9", key_of(1)} <= index_of(home).keys()
    assert os.listdir(home.files) == ["sessions.json"]


def test_index_keeps_its_mode_and_its_text(home: HomeBuilder) -> None:
    path = home.files / "sessions.json"
    path.chmod(0o640)
    home.index({"agent:main:telegram:dm:ü": {"session_id": "x", "more": [1, 2.5, None, "\ud83d\ude00"]}})
    routes_of(home).drop_routes({key_of(1): "one"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    left = index_of(home)
    assert left["agent:main:telegram:dm:ü"] == {"session_id": "x", "more": [1, 2.5, None, "\U0001f600"]}
    assert path.read_text() == json.dumps(left, indent=2)


def test_home_without_routes_is_no_problem(tmp_path: Path) -> None:
    assert routes_of(HomeBuilder(tmp_path)).drop_routes({"k": "s"}) == []
    assert OfflineRoutes(tmp_path / "nowhere", lambda: NOW).drop_routes({"k": "s"}) == []
