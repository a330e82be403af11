"""What hosts since 0.20 say of turns that are under way, and since 0.22 of backends that run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from homes import DAY, HOUR, MINUTE, NOW, HomeBuilder
from host_databases import HostDatabase
from row_moves import read_messages

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.plan import Rule
from hermes_retention.model.session import Inventory, SessionClass, Usage
from hermes_retention.policy.decide import decide
from hermes_retention.policy.lifecycle import Lifecycle, Policy
from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.rows.remove import MessageRemoval
from hermes_retention.stores.hermes.rows.turn_machine import State, TurnMachine, UseWatch

TURN = "a turn is under way"
SHOWN = "a running backend may show it"
LEASES = "conversation_id TEXT PRIMARY KEY, holder TEXT, acquired_at REAL, expires_at REAL"
HEARTBEATS = """
    backend_id TEXT PRIMARY KEY, pid INTEGER, started_at REAL, last_heartbeat REAL, profile TEXT, host TEXT
"""
NOBODY = 2**22 + 1  # above what Linux gives out
HERE = os.uname().nodename


def home_with(path: Path, **tables: str) -> HomeBuilder:
    home = HomeBuilder(path)
    for name, columns in tables.items():
        home.execute(f"CREATE TABLE {name} ({columns})")
    return home


def leased(
    path: Path, *, expires: object = NOW + MINUTE, holder: str = "pid=1:turn=x", root: str = "a"
) -> HomeBuilder:
    home = home_with(path, session_turn_leases=LEASES)
    lease = {"conversation_id": root, "holder": holder, "expires_at": expires}
    return home.insert("session_turn_leases", lease)


def busy(home: HomeBuilder) -> dict[str, str | None]:
    sessions = home.store().scan(now=NOW).sessions
    return {one.id: one.record.busy for one in sessions if one.record is not None and one.record.busy}


def own_space() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


@pytest.mark.parametrize(
    ("expires", "holder", "is_live"),
    [
        (NOW + 1, "pid={nobody}:turn=x", True),
        (NOW, "", True),
        ("soon", "", True),
        (None, "", True),
        (NOW - 1, "pid={nobody}:turn=x", False),
        (NOW - 1, "somebody", False),
        (NOW - 1, "pid=²:turn=x", False),
        (NOW - HOUR, "pid={own}:turn=x", True),
        (NOW - 2 * DAY, "pid={own}:turn=x", False),
    ],
)
def test_lease_holds_until_it_expires_or_its_process_is_gone(
    tmp_path: Path,
    expires: object,
    holder: str,
    is_live: bool,  # noqa: FBT001 - a case
) -> None:
    holder = holder.format(own=os.getpid(), nobody=NOBODY)
    home = leased(tmp_path, expires=expires, holder=holder).session("a").session("b")
    assert busy(home) == ({"a": TURN} if is_live else {})


@pytest.mark.parametrize(("space", "is_live"), [(own_space, True), (lambda: 1, False), (lambda: "x", False)])
def test_process_of_another_container_proves_nothing(
    tmp_path: Path,
    space: Callable[[], object],
    is_live: bool,  # noqa: FBT001 - a case
) -> None:
    holder = f"pid={os.getpid()}:pidns={space()}:turn=x"
    home = leased(tmp_path, expires=NOW - 1, holder=holder).session("a")
    assert bool(busy(home)) is is_live


def test_lease_of_the_root_counts_for_all_that_compression_made_of_it(tmp_path: Path) -> None:
    home = leased(tmp_path).session("a", ended="compression", age=100 * DAY)
    home.session("b", ended="compression", parent="a", age=99 * DAY).session("c", parent="b", age=98 * DAY)
    home.session("d", parent="c", age=98 * DAY).session("e", age=98 * DAY)
    assert busy(home) == dict.fromkeys("abc", TURN)
    with home.store().reading_rows() as reader:
        calm = [one for one in home.store().scan(now=NOW + 2 * DAY).sessions if one.id == "c"]
        assert reader.changes(calm, now=NOW).keys() == {"c"}


def test_lineage_that_goes_in_a_circle_ends(tmp_path: Path) -> None:
    home = leased(tmp_path).session("a", ended="compression", parent="b")
    home.session("b", ended="compression", parent="a")
    assert busy(home) == dict.fromkeys("ab", TURN)


def test_leased_conversation_is_kept_whole(tmp_path: Path) -> None:
    home = leased(tmp_path).session("a", ended="compression", age=100 * DAY).session("b", parent="a", age=DAY)
    site = Policy(dict.fromkeys(SessionClass, Lifecycle(files_after=0, messages_after=0, record_after=0)))
    found = Inventory("", home.store().scan(now=NOW).sessions, Usage(0))
    steps = decide(found, site, now=NOW).steps
    assert {step.session_id: step.rule for step in steps} == dict.fromkeys("ab", Rule.BUSY)


def test_lease_that_is_taken_after_the_rows_were_read_keeps_them(tmp_path: Path) -> None:
    database = HostDatabase(tmp_path / "state.db")
    database.execute(f"CREATE TABLE session_turn_leases ({LEASES})")
    database.session("a", ["hello"], end_reason="compression").session("b", ["hello"], parent_session_id="a")
    database.session("c", ["hello"])
    seen, _ = read_messages(database.path, ["b", "c"])
    with state_db.writing(database.path) as connection:
        watch = UseWatch(connection, dict, ())
        lease = {"conversation_id": "a", "holder": "pid=1", "expires_at": 2e9}
        database.insert("session_turn_leases", lease)
        work = MessageRemoval(connection, seen)
        changes = {one.session_id: one for one in TurnMachine(connection, watch=watch).run(work)}
    assert changes["c"].state is State.DONE
    assert (changes["b"].state, changes["b"].why) == (State.CHANGED, f"the host is at work on it: {TURN}")


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({"session_turn_leases": "conversation TEXT, until REAL"}, "session_turn_leases has no"),
        ({"gateway_heartbeats": "backend_id TEXT, seen REAL"}, "gateway_heartbeats has no last_heartbeat"),
    ],
)
def test_table_of_another_form_ends_the_scan(tmp_path: Path, tables: dict[str, str], why: str) -> None:
    home = home_with(tmp_path, **tables).session("a")
    with pytest.raises(StoreUnreadable, match=f"{re.escape(why)}.*nothing was removed"):
        home.store().scan(now=NOW)


# backends


def began() -> float:
    return psutil.Process().create_time()


@pytest.mark.parametrize(
    ("beat", "is_live"),
    [
        ({"last_heartbeat": NOW - MINUTE, "host": "elsewhere"}, True),
        ({"last_heartbeat": "lately"}, True),
        ({"last_heartbeat": NOW - DAY, "pid": NOBODY, "started_at": NOW - DAY, "host": HERE}, False),
        ({"last_heartbeat": NOW - DAY, "pid": os.getpid(), "started_at": began() + 1, "host": HERE}, True),
        ({"last_heartbeat": NOW - DAY, "pid": os.getpid(), "started_at": began() + 1, "host": "x"}, False),
        ({"last_heartbeat": NOW - DAY, "pid": os.getpid(), "started_at": began() - DAY, "host": HERE}, False),
        ({"last_heartbeat": NOW - DAY}, False),
    ],
)
def test_backend_that_lives_may_show_what_nobody_ended(
    tmp_path: Path,
    beat: dict[str, object],
    is_live: bool,  # noqa: FBT001 - a case
) -> None:
    home = home_with(tmp_path, gateway_heartbeats=HEARTBEATS)
    for source in ("tui", "desktop", "unknown", "cli", "telegram"):
        home.session(source, source=source, ended=None, age=100 * DAY)
    home.session("ended", source="tui", age=100 * DAY).insert(
        "gateway_heartbeats", {"backend_id": "b"} | beat
    )
    assert busy(home) == (dict.fromkeys(("desktop", "tui", "unknown"), SHOWN) if is_live else {})
