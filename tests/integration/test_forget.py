"""Forgetting: no byte of what was said stays, nothing else is touched, and a dead run is finished."""

from __future__ import annotations

import contextlib
import fcntl
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from homes import DAY, NOW, HomeBuilder
from sites import clock, policy_of, site_of

from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.actions.upkeep.forget import Wanted, forget, preview
from hermes_retention.archive.vault import Vault
from hermes_retention.home.home import Home
from hermes_retention.home.workspace import Hold
from hermes_retention.model.errors import DatabaseInUse, ExitCode, RetentionError, UsageError
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import Lifecycle

OLD, CHILD, LIVE, OTHER = (f"2026101{n}_080000_{n}aaaaaaa" for n in range(4))
KEY = "agent:main:telegram:dm:1"
SECRET = "zanzibar"
ANN = Wanted(user="ann", platform="telegram")
_AFTER_30_DAYS = Lifecycle(files_after=30 * 86400, messages_after=30 * 86400, idle_after=60)
POLICY = policy_of(lifecycles=dict.fromkeys(SessionClass, _AFTER_30_DAYS))
_FTS = """
CREATE VIRTUAL TABLE messages_fts USING fts5(content);
CREATE TRIGGER fts_in AFTER INSERT ON messages BEGIN
    INSERT INTO messages_fts(rowid, content) VALUES (new.id, coalesce(new.content, '')); END;
CREATE TRIGGER fts_out AFTER DELETE ON messages BEGIN DELETE FROM messages_fts WHERE rowid = old.id; END;
"""


def snapshot(secret: str) -> bytes:
    said = [{"role": "user", "content": f"{secret} line {n} of what was said"} for n in range(200)]
    return json.dumps({"messages": said}, indent=2).encode()


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """Ann has an archived session, one that it delegated, and a live one; Bob has one of each."""
    builder = HomeBuilder(tmp_path / "home")
    with closing(sqlite3.connect(builder.path / "state.db")) as database:
        database.executescript(_FTS)
    delegated = json.dumps({"_delegate_from": OLD})
    for session_id, age, columns in (
        (OLD, 41 * DAY, {"user_id": "ann"}),
        (CHILD, 41 * DAY, {"parent": OLD, "model_config": delegated, "source": "cli"}),
        (LIVE, DAY, {"user_id": "ann", "ended": None, "key": KEY}),
        (OTHER, 41 * DAY, {"user_id": "bob"}),
    ):
        secret = "bystander" if session_id == OTHER else f"{SECRET}{session_id[7]}"
        builder.session(session_id, age=age, files=(), messages=0, **columns)
        builder.file(f"session_{session_id}.json", snapshot(secret), age=age)
        said = {"session_id": session_id, "role": "user", "content": secret, "timestamp": NOW - age}
        builder.insert("messages", said)
    return builder.route(KEY, LIVE, age=DAY).route("agent:main:telegram:dm:2", OTHER, age=41 * DAY)


@pytest.fixture
def site(home: HomeBuilder) -> Home:
    return site_of(home, POLICY)


def archive(site: Home) -> None:
    assert sweep(site, clock=clock, origin="test").exit_code == 0


def places_of(home: HomeBuilder, text: str) -> list[str]:
    """The files below the home that hold ``text``, archived frames decompressed."""
    found = [str(it) for it in home.path.rglob("*") if it.is_file() and text.encode() in it.read_bytes()]
    vault = Vault(home.path / "retention" / "archive")
    for partition in vault.partitions():
        with closing(sqlite3.connect(partition.path)) as database:
            dictionaries = [number for (number,) in database.execute("SELECT id FROM dictionaries")]
        for number in dictionaries:
            content = partition.newest_dictionaries(100)[dictionaries[::-1].index(number)][0]
            found += [f"dictionary {number}"] if text.encode() in content else []
        for artifact in partition.artifacts():
            found += [artifact.name] if text.encode() in b"".join(partition.read(artifact)) else []
    return found


def rows(home: HomeBuilder, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(home.path / "state.db")) as database:
        return database.execute(query).fetchall()


@contextlib.contextmanager
def running_gateway(home: HomeBuilder) -> Iterator[None]:
    with (home.path / "gateway.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_no_byte_of_a_person_stays_and_others_lose_nothing(home: HomeBuilder, site: Home) -> None:
    archive(site)
    assert places_of(home, SECRET)
    receipt = forget(site, ANN, now=NOW)
    assert (receipt.exit_code, receipt.sessions, receipt.routes) == (ExitCode.DONE, 3, 1)
    assert places_of(home, SECRET) == []
    assert rows(home, "SELECT id FROM sessions") == [(OTHER,)]
    assert rows(home, "SELECT session_key FROM gateway_routing") == [("agent:main:telegram:dm:2",)]
    index = json.loads((home.files / "sessions.json").read_text())
    assert index.keys() == {"_README", "agent:main:telegram:dm:2"}
    assert places_of(home, "bystander")
    assert all(not damages for _, damages in site.workspace.vault.verify())


def test_session_in_the_store_only_is_forgotten_too(home: HomeBuilder, site: Home) -> None:
    receipt = forget(site, Wanted((OLD,)), now=NOW)
    assert (receipt.sessions, receipt.files, receipt.rows_of, receipt.archived) == (2, 2, 2, 0)
    assert places_of(home, f"{SECRET}{OLD[7]}") == []


def test_receipt_in_the_ledger_holds_no_content(site: Home) -> None:
    archive(site)
    receipt = forget(site, ANN, now=NOW)
    with site.workspace.ledger() as ledger:
        (entry,) = [one for one in ledger.sweeps() if one.id == receipt.sweep]
        steps = ledger.history(OLD)
    assert (entry.origin, entry.state, entry.totals["forgotten"]) == ("forget", "done", 3)
    assert {step.rule for step in steps if step.sweep == receipt.sweep} == {"forgotten"}
    assert b"ann" not in b"".join(step.reason.encode() for step in steps)


def test_preview_says_why_each_session_is_meant_and_changes_nothing(home: HomeBuilder, site: Home) -> None:
    archive(site)
    before = places_of(home, SECRET)
    why = {target.session_id: target.why for target in preview(site, ANN, now=NOW).targets}
    assert why == {OLD: "of this user", LIVE: "of this user", CHILD: f"belongs to {OLD}"}
    assert places_of(home, SECRET) == before


def test_live_session_is_refused_while_a_gateway_runs(home: HomeBuilder, site: Home) -> None:
    with running_gateway(home):
        with pytest.raises(DatabaseInUse, match=r"it is live .* the gateway runs: .* would write"):
            forget(site, ANN, now=NOW)
        assert rows(home, "SELECT count(*) FROM sessions") == [(4,)]
        seen = preview(site, ANN, now=NOW)
        receipt = forget(site, ANN, skip=[it.session_id for it in seen.live], now=NOW)
    assert (receipt.sessions, receipt.left, receipt.exit_code) == (2, (LIVE,), ExitCode.SOME_FAILED)
    assert [one for (one,) in rows(home, "SELECT id FROM sessions")] == [LIVE, OTHER]
    assert site.being_forgotten() == []


def test_held_session_is_refused(site: Home) -> None:
    archive(site)
    site.workspace.holds.add(OLD, Hold("tax audit", NOW))
    with pytest.raises(UsageError, match="held"):
        forget(site, ANN, now=NOW)


def test_session_that_is_pinned_in_the_host_is_refused(home: HomeBuilder, site: Home) -> None:
    home.execute("ALTER TABLE sessions ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0")
    home.execute("UPDATE sessions SET pinned = 1 WHERE id = ?", OLD)
    with pytest.raises(UsageError, match="a person pinned it in the host"):
        forget(site, ANN, now=NOW)
    home.execute("UPDATE sessions SET pinned = 0")
    assert forget(site, ANN, now=NOW).exit_code is ExitCode.DONE


@pytest.mark.parametrize(
    "dies_at",
    [
        "home.ledger.Ledger.begin_sweep",
        "home.ledger.Ledger.note",
        "stores.hermes.store.HermesStore.drop_routes_to",
        "archive.vault.Vault.remove_sessions",
        "home.ledger.Ledger.forget_sessions",
    ],
)
def test_run_that_died_is_finished_by_the_next(
    home: HomeBuilder, site: Home, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    archive(site)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"hermes_retention.{dies_at}", die)
        with pytest.raises(KeyboardInterrupt):
            forget(site, ANN, now=NOW)
    assert set(site.being_forgotten()) == {OLD, CHILD, LIVE}
    # Its record is gone, and with it the user: the list that was written down knows it all the same.
    receipt = forget(site, ANN, now=NOW)
    assert receipt.exit_code == 0
    assert places_of(home, SECRET) == []
    assert site.being_forgotten() == []


def test_damaged_partition_is_told_and_stays_pending(home: HomeBuilder, site: Home) -> None:
    archive(site)
    (site.workspace.vault.root / "2026-01.db").write_bytes(b"garbage")
    receipt = forget(site, ANN, now=NOW)
    assert receipt.exit_code == ExitCode.VAULT_DAMAGED
    assert set(site.being_forgotten()) == {OLD, CHILD, LIVE}
    (site.workspace.vault.root / "2026-01.db").unlink()
    assert places_of(home, SECRET) == []
    assert forget(site, ANN, now=NOW).sessions == 0
    assert site.being_forgotten() == []


def test_what_the_host_named_after_a_session_is_told(home: HomeBuilder, site: Home) -> None:
    (home.path / "hook_outputs" / OLD).mkdir(parents=True)
    assert forget(site, Wanted((OLD,)), now=NOW).besides == (f"hook_outputs/{OLD}",)


def test_unknown_session_is_wrong_usage(site: Home) -> None:
    with pytest.raises(UsageError, match="neither the store nor the archive"):
        forget(site, Wanted(("nobody",)), now=NOW)


def test_user_of_whom_there_is_nothing(site: Home) -> None:
    receipt = forget(site, Wanted(user="eve"), now=NOW)
    assert (receipt.sweep, receipt.sessions) == (None, 0)


def test_session_that_was_written_to_just_now_is_refused(home: HomeBuilder, site: Home) -> None:
    home.session("20261120_115900_bbbbbbbb", age=30, user_id="eve")
    with pytest.raises(RetentionError, match="within the last minute"):
        forget(site, Wanted(user="eve"), now=NOW)
