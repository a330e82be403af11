"""The real host goes on with a database that was compacted."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hosts import Host
from sites import policy_of

from hermes_retention.actions.upkeep.compact import CompactReport, compact
from hermes_retention.home.home import Home
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.errors import DatabaseInUse
from hermes_retention.stores.hermes.store import HermesStore

FILL = """
    from hermes_state import SessionDB
    db = SessionDB()
    for number in range(200):
        db.create_session(f"s{number}", "cli")
        words = " ".join(f"word{number * 7 + it}" for it in range(150))
        db.append_message(f"s{number}", "user", f"zebra{number} {words}")
    for number in range(190):
        db.delete_session(f"s{number}")
    db.close()
"""
SEARCH = """
    from hermes_state import SessionDB
    db = SessionDB()
    result = [len(db.search_messages(word)) for word in ("zebra195", "zebra5", "quagga")]
    db.close()
"""


def run(host: Host) -> CompactReport:
    store = HermesStore(host.home)
    return compact(Home(store, Workspace(store.home), policy_of()), environ={})


def test_host_lists_searches_and_chats_after_compacting(host: Host) -> None:
    host.python(FILL)
    listed, found = host.run("sessions", "list"), host.python(SEARCH)
    assert found == [1, 0, 0]
    report = run(host)
    assert report.compacted
    assert report.bytes_after < report.bytes_before / 2
    assert host.run("sessions", "list") == listed
    assert host.python(SEARCH) == found
    host.run("chat", "-q", "quagga")
    assert host.python(SEARCH) == [1, 0, 1]
    with closing(sqlite3.connect(host.home / "state.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA journal_mode").fetchall() == [("wal",)]


def test_host_with_an_open_database_is_named(host: Host) -> None:
    host.python(FILL)
    opened = "from hermes_state import SessionDB\ndb = SessionDB()"
    with host.meanwhile(opened), pytest.raises(DatabaseInUse, match=r"python.*\(pid \d+\)"):
        run(host)
    assert run(host).compacted


def test_running_gateway_is_seen(host: Host) -> None:
    host.python(FILL)
    claimed = "from gateway.status import acquire_gateway_runtime_lock as claim\nassert claim()"
    with host.meanwhile(claimed), pytest.raises(DatabaseInUse, match=r"the gateway \(pid \d+\) runs"):
        run(host)
    assert run(host).compacted
