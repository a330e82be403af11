"""Rows move from a host's database to the vault: what is archived, what goes, and what keeps it there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from host_databases import HostDatabase
from sites import policy_of
from vaults import damage_table
from verdicts import Verdict

from hermes_retention.actions.restore.restore import restore_sessions
from hermes_retention.actions.sweep import archive_rows, load_rows
from hermes_retention.actions.sweep.archive_rows import RowArchiver
from hermes_retention.archive.entries import partition_name
from hermes_retention.archive.vault import PartitionWriter
from hermes_retention.home.home import Home as OpenHome
from hermes_retention.home.ledger import Outcome
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.errors import (
    ArtifactChanged,
    FrameCorrupt,
    RetentionError,
    StoreUnreadable,
    VaultDamaged,
)
from hermes_retention.model.plan import Liveness, Rule, Step
from hermes_retention.model.session import ArtifactKind, Session
from hermes_retention.stores.hermes.rows import remove
from hermes_retention.stores.hermes.rows.pacing import Turns
from hermes_retention.stores.hermes.rows.remove import HermesRowRemover
from hermes_retention.stores.hermes.store import HermesStore
from hermes_retention.stores.rows import MARKER, Header, decode

NOW = 2e9
LONG = "what the zebra said " * 100
MONTH = partition_name(1e9)


class Home:
    """A home with a database of the host, and what archives its rows."""

    def __init__(self, path: Path, host: str) -> None:
        self.database = HostDatabase(path / "state.db", host=host)
        self.store = HermesStore(path)
        self.workspace = Workspace(path)
        self.workspace.create()
        self.archiver = RowArchiver(self.workspace.vault, self.store, sweep="s1", now=NOW)

    def sessions(self) -> dict[str, Session]:
        return {session.id: session for session in self.store.scan(now=NOW).sessions}

    def steps(self, *session_ids: str, verdict: Verdict = Verdict.ARCHIVE_MESSAGES) -> list[Step]:
        sessions = self.sessions()
        return [_step(sessions[session_id], verdict) for session_id in session_ids or sessions]

    def contents(self, session_id: str, kind: ArtifactKind) -> list[list[object]]:
        """Each archived copy of this kind, decoded."""
        with self.workspace.vault.reader() as reader:
            return [
                list(decode(reader.read(artifact)))
                for artifact in self.workspace.vault.artifacts(session_id=session_id)
                if artifact.kind is kind
            ]

    def messages(self, session_id: str) -> list[tuple[object, ...]]:
        return self.database.execute("SELECT * FROM messages WHERE session_id = ? ORDER BY id", session_id)

    def records(self) -> list[object]:
        return [row[0] for row in self.database.execute("SELECT id FROM sessions ORDER BY id")]


def _step(session: Session, verdict: Verdict) -> Step:
    return Step(
        session.id,
        session.session_class,
        Liveness.ENDED,
        *verdict.axes,
        Rule.MESSAGES_AFTER,
        "old",
        bytes=1000,
        last_activity=session.last_activity,
        seen=session,
    )


@pytest.fixture(params=["0.13", "0.19"])
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    made = Home(tmp_path, request.param)
    made.database.session("a", ["hello", LONG, "bye"], title="kept").session("b", ["zebra", "fish"])
    yield made
    made.database.check()


def errors_of(outcomes: Sequence[Outcome]) -> dict[str, list[type[RetentionError]]]:
    return {outcome.step.session_id: [type(error) for error in outcome.errors] for outcome in outcomes}


# messages


def test_messages_go_to_the_vault_and_the_record_stays(home: Home) -> None:
    before, record = home.messages("a"), home.database.execute("SELECT * FROM sessions WHERE id = 'a'")
    outcomes = list(home.archiver.archive_messages(home.steps("a")))
    assert [(it.errors, it.freed_bytes, it.idle) for it in outcomes] == [((), 1000, False)]
    assert (home.messages("a"), len(home.messages("b"))) == ([], 2)
    assert home.database.execute("SELECT * FROM sessions WHERE id = 'a'") == record
    (items,) = home.contents("a", ArtifactKind.MESSAGES)
    headers = [item.table for item in items if isinstance(item, Header)]
    assert headers == ["sessions", "messages"]
    assert (items[1:2], items[3:]) == (record, before)


def test_archived_rows_are_described_for_listings(home: Home) -> None:
    list(home.archiver.archive_messages(home.steps("a")))
    (artifact,) = home.workspace.vault.artifacts(session_id="a")
    assert (artifact.name, artifact.partition, artifact.mode) == ("messages_a.rows.jsonl", MONTH, 0o600)
    assert artifact.mtime_ns == round((1e9 + 2) * 1e9)


def test_messages_are_deleted_without_a_copy_where_that_is_asked_for(home: Home) -> None:
    outcomes = list(home.archiver.delete_messages(home.steps(verdict=Verdict.DELETE_MESSAGES)))
    assert errors_of(outcomes) == {"a": [], "b": []}
    assert home.database.execute("SELECT count(*) FROM messages") == [(0,)]
    assert home.records() == ["a", "b"]
    assert home.workspace.vault.partition_paths() == []


def test_many_batches_and_months(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_rows, "BATCH_STEPS", 2)
    for number in range(9):
        home.database.session(f"s{number}", [f"text {number}"])
        late = 1e9 + number * 86400 * 11
        home.database.execute("UPDATE messages SET timestamp = ? WHERE session_id = ?", late, f"s{number}")
    outcomes = list(home.archiver.archive_messages(home.steps()))
    assert len(outcomes) == 11
    assert not any(outcome.errors for outcome in outcomes)
    assert home.database.execute("SELECT count(*) FROM messages") == [(0,)]
    assert len(home.workspace.vault.partition_paths()) > 2
    assert all(len(home.contents(f"s{number}", ArtifactKind.MESSAGES)) == 1 for number in range(9))


def test_session_larger_than_memory_is_compressed_while_it_is_written(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_rows, "_HELD_BYTES", 0)
    monkeypatch.setattr(load_rows, "FRAME_BYTES", 700)
    before = home.messages("a")
    assert errors_of(list(home.archiver.archive_messages(home.steps("a")))) == {"a": []}
    (items,) = home.contents("a", ArtifactKind.MESSAGES)
    assert items[3:] == before


def test_archiving_again_after_a_crash_makes_no_second_copy(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> Iterator[object]:
        raise StoreUnreadable("state.db", "the power went")

    with monkeypatch.context() as patch:
        patch.setattr(HermesRowRemover, "remove_messages", die)
        assert errors_of(list(home.archiver.archive_messages(home.steps("a")))) == {"a": [StoreUnreadable]}
    assert (len(home.messages("a")), len(home.contents("a", ArtifactKind.MESSAGES))) == (3, 1)
    assert errors_of(list(home.archiver.archive_messages(home.steps("a")))) == {"a": []}
    assert len(home.contents("a", ArtifactKind.MESSAGES)) == 1


# what keeps rows


def test_message_since_the_scan_keeps_the_session(home: Home) -> None:
    steps = home.steps()
    home.database.execute(
        "INSERT INTO messages(session_id, role, content, timestamp) VALUES ('a', 'user', 'wait', ?)", NOW
    )
    outcomes = list(home.archiver.archive_messages(steps))
    assert errors_of(outcomes) == {"a": [ArtifactChanged], "b": []}
    assert (len(home.messages("a")), len(home.messages("b"))) == (4, 0)
    assert home.workspace.vault.artifacts(session_id="a") == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sessions SET ended_at = 2e9 WHERE id = 'a'",
        "UPDATE sessions SET handoff_state = 'pending' WHERE id = 'a'",
    ],
)
def test_change_of_the_record_since_the_scan_keeps_the_session(home: Home, change: str) -> None:
    steps = home.steps()
    home.database.execute(change)
    assert errors_of(list(home.archiver.archive_messages(steps))) == {"a": [ArtifactChanged], "b": []}


def test_route_since_the_scan_keeps_the_session(home: Home) -> None:
    steps = home.steps()
    (home.store.home / "sessions").mkdir()
    index = '{"agent:main:telegram:dm:1": {"session_id": "a"}}'
    (home.store.home / "sessions" / "sessions.json").write_text(index)
    outcomes = list(home.archiver.archive_messages(steps))
    assert errors_of(outcomes) == {"a": [ArtifactChanged], "b": []}
    assert "messages go to it again" in str(outcomes[0].errors[0])


def test_message_between_reading_and_removal_keeps_the_session(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = HermesRowRemover.remove_messages

    def late(self: HermesRowRemover, tickets: Sequence[object]) -> object:
        home.database.execute(
            "INSERT INTO messages(session_id, role, content, timestamp) VALUES ('a', 'user', 'wait', 1e9)"
        )
        return remove(self, tickets)  # type: ignore[arg-type]

    monkeypatch.setattr(HermesRowRemover, "remove_messages", late)
    outcomes = list(home.archiver.archive_messages(home.steps()))
    assert errors_of(outcomes) == {"a": [ArtifactChanged], "b": []}
    assert len(home.messages("a")) == 4


ROUTE = '{"agent:main:telegram:dm:1": {"session_id": "a"}}'
LOCK = "INSERT INTO compression_locks VALUES ('a', 'host', 1, 9e9)"


@pytest.mark.parametrize("verdict", [Verdict.ARCHIVE_MESSAGES, Verdict.ARCHIVE_RECORD])
@pytest.mark.parametrize("use", [ROUTE, LOCK])
def test_session_that_is_taken_up_while_rows_leave_keeps_what_it_has(
    tmp_path: Path, use: str, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path, "0.19")
    home.database.session("a", [] if verdict == Verdict.ARCHIVE_RECORD else [LONG] * 40).session("b")
    (tmp_path / "sessions").mkdir()
    begin, count = Turns._begin, 0  # noqa: SLF001 - once the lock is ours, the host has written before

    def late(self: Turns) -> None:
        nonlocal count
        count += 1
        if count == (1 if verdict == Verdict.ARCHIVE_RECORD else 3):
            if use == ROUTE:
                (tmp_path / "sessions" / "sessions.json").write_text(ROUTE)
            else:
                home.database.execute(LOCK)
        begin(self)

    monkeypatch.setattr(Turns, "_begin", late)
    act = home.archiver.archive_messages
    if verdict == Verdict.ARCHIVE_RECORD:
        act = home.archiver.archive_records
    outcomes = list(act(home.steps("a", verdict=verdict)))
    assert errors_of(outcomes) == {"a": [ArtifactChanged]}
    assert home.records() == ["a", "b"]
    assert len(home.messages("a")) > 0 or verdict == Verdict.ARCHIVE_RECORD


def test_session_that_is_reopened_half_way_keeps_the_rest(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.database.session("long", [LONG] * 40, ended_at=1e9 + 40, end_reason="done")
    begin, count = Turns._begin, 0  # noqa: SLF001 - as above

    def late(self: Turns) -> None:
        nonlocal count
        count += 1
        if count == 3:
            home.database.execute("UPDATE sessions SET ended_at = NULL WHERE id = 'long'")
        begin(self)

    monkeypatch.setattr(Turns, "_begin", late)
    (outcome,) = home.archiver.archive_messages(home.steps("long"))
    assert "its record was changed" in str(outcome.error)
    assert 0 < len(home.messages("long")) < 40


def test_copy_that_does_not_read_back_keeps_its_session(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    read_back = PartitionWriter.read_back

    def one_bad(self: PartitionWriter, packed: Sequence[object], ids: Sequence[int]) -> object:
        checks = read_back(self, packed, ids)  # type: ignore[arg-type]
        return [lambda: FrameCorrupt("2001-09.db", "one bit is wrong"), *checks[1:]]

    monkeypatch.setattr(PartitionWriter, "read_back", one_bad)
    outcomes = list(home.archiver.archive_messages(home.steps()))
    assert errors_of(outcomes) == {"a": [FrameCorrupt], "b": []}
    assert len(home.messages("a")) == 3


def test_damaged_partition_costs_its_own_month_only(home: Home) -> None:
    home.database.session("later", ["hello"])
    home.database.execute("UPDATE messages SET timestamp = 1.1e9 WHERE session_id = 'later'")
    list(home.archiver.archive_messages(home.steps("a")))
    damage_table(home.workspace.vault.root / f"{MONTH}.db", "meta")
    outcomes = list(home.archiver.archive_messages(home.steps("b", "later")))
    assert errors_of(outcomes) == {"b": [VaultDamaged], "later": []}
    assert len(home.messages("b")) == 2


def test_database_that_stays_locked_keeps_everything(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turns.__init__, "__kwdefaults__", {"wait_seconds": 0.2})
    steps = home.steps()
    with closing(sqlite3.connect(home.database.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        outcomes = list(home.archiver.archive_messages(steps))
    assert errors_of(outcomes) == {"a": [StoreUnreadable], "b": [StoreUnreadable]}
    assert home.database.execute("SELECT count(*) FROM messages") == [(5,)]


def test_database_that_vanishes_is_told_for_every_step(home: Home) -> None:
    steps = home.steps()
    away = home.database.path.rename(home.database.path.with_name("elsewhere.db"))
    outcomes = list(home.archiver.archive_messages(steps))
    away.rename(home.database.path)
    assert errors_of(outcomes) == {"a": [StoreUnreadable], "b": [StoreUnreadable]}


def test_reading_that_fails_half_way_tells_the_rest(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_rows, "BATCH_STEPS", 1)
    reading, times = home.store.reading_rows, iter(range(100))

    @contextmanager
    def once() -> Iterator[object]:
        if next(times) >= 2:  # the sample, the first batch, and no more
            raise StoreUnreadable("state.db", "it is damaged")
        with reading() as reader:
            yield reader

    monkeypatch.setattr(home.store, "reading_rows", once)
    outcomes = list(home.archiver.archive_messages(home.steps()))
    assert sorted(map(len, errors_of(outcomes).values())) == [0, 1]
    assert home.database.execute("SELECT count(DISTINCT session_id) FROM messages") == [(1,)]


# tool output


def test_long_tool_output_gives_way_to_a_marker(home: Home) -> None:
    outcomes = list(
        home.archiver.archive_tool_output(
            home.steps(verdict=Verdict.ARCHIVE_TOOL_OUTPUT), longer_than_bytes=1000
        )
    )
    assert {it.step.session_id: it.idle for it in outcomes} == {"a": False, "b": True}
    contents = home.database.execute("SELECT content FROM messages WHERE session_id = 'a' ORDER BY id")
    assert [contents[0], contents[2]] == [("hello",), ("bye",)]
    assert str(contents[1][0]).startswith(MARKER)
    (items,) = home.contents("a", ArtifactKind.TOOL_OUTPUT)
    assert LONG in items[1]  # type: ignore[operator]
    assert home.workspace.vault.artifacts(session_id="b") == []


# records


def test_record_goes_with_its_messages(home: Home) -> None:
    home.database.session("long", [f"message {number}" for number in range(120)])
    outcomes = list(home.archiver.archive_records(home.steps("long", "a", verdict=Verdict.ARCHIVE_RECORD)))
    assert errors_of(outcomes) == {"long": [], "a": []}
    assert home.records() == ["b"]
    assert {it.kind for it in home.workspace.vault.artifacts(session_id="long")} == {
        ArtifactKind.MESSAGES,
        ArtifactKind.RECORD,
    }


def test_unit_goes_as_a_whole_or_not_at_all(home: Home) -> None:
    home.database.execute("UPDATE sessions SET end_reason = 'compression' WHERE id = 'a'")
    home.database.session("next", ["on"], parent_session_id="a")
    alone = list(home.archiver.archive_records(home.steps("a", verdict=Verdict.ARCHIVE_RECORD)))
    assert errors_of(alone) == {"a": [ArtifactChanged]}
    assert "it goes only with next" in str(alone[0].errors[0])
    assert home.records() == ["a", "b", "next"]
    both = list(home.archiver.archive_records(home.steps("a", "next", verdict=Verdict.ARCHIVE_RECORD)))
    assert errors_of(both) == {"a": [], "next": []}
    assert home.records() == ["b"]


MONTH_LATER = 1e9 + 40 * 86400
"""When a session began whose rows go to another partition, which is written after that of the others."""


@pytest.mark.parametrize("later", ["parent", "child"])
@pytest.mark.parametrize("marks", [None, '{"_delegate_from": "parent"}', '{"_branched_from": "parent"}'])
def test_record_and_those_that_point_to_it_go_in_one_sweep(home: Home, marks: str | None, later: str) -> None:
    for name, above in (("parent", None), ("child", "parent"), ("grandchild", "child")):
        config = marks and above and marks.replace("parent", above)
        started = MONTH_LATER if name == later else 1e9
        home.database.session(name, parent_session_id=above, model_config=config, started_at=started)
    links = home.database.execute("SELECT id, parent_session_id FROM sessions ORDER BY id")
    steps = home.steps("grandchild", "parent", "child", verdict=Verdict.ARCHIVE_RECORD)
    outcomes = list(home.archiver.archive_records(steps))
    assert errors_of(outcomes) == {"parent": [], "child": [], "grandchild": []}
    assert home.records() == ["a", "b"]
    site = OpenHome(home.store, home.workspace, policy_of())
    restore_sessions(site, ["parent", "grandchild", "child"], now=NOW)
    assert home.database.execute("SELECT id, parent_session_id FROM sessions ORDER BY id") == links


def test_delegated_session_that_is_not_due_itself_stays_when_its_delegator_does(home: Home) -> None:
    home.database.session("child", parent_session_id="a", model_config='{"_delegate_from": "a"}')
    steps = home.steps("a", "child", verdict=Verdict.ARCHIVE_RECORD)
    steps[1] = msgspec.structs.replace(steps[1], due_by=steps[0].session_class)
    home.database.execute("INSERT INTO messages(session_id, role, timestamp) VALUES ('a', 'user', 1.5e9)")
    outcomes = list(home.archiver.archive_records(steps))
    assert errors_of(outcomes) == {"a": [ArtifactChanged], "child": [ArtifactChanged]}
    assert home.records() == ["a", "b", "child"]


def test_records_that_point_to_each_other_are_told_of_once(home: Home) -> None:
    home.database.session("c", parent_session_id="a", ended_at=1e9)
    home.database.execute("UPDATE sessions SET parent_session_id = 'c' WHERE id = 'a'")
    outcomes = list(home.archiver.archive_records(home.steps("a", "c", verdict=Verdict.ARCHIVE_RECORD)))
    assert sorted(outcome.step.session_id for outcome in outcomes) == ["a", "c"]


def test_messages_that_the_scan_did_not_see_keep_their_record(tmp_path: Path) -> None:
    """No host writes messages without a time, but only its schema forbids them."""
    home = Home(tmp_path, "0.19")
    home.database.execute("ALTER TABLE messages RENAME COLUMN timestamp TO told")
    home.database.execute("ALTER TABLE messages ADD COLUMN timestamp REAL")
    home.database.session("a")
    home.database.execute(
        "INSERT INTO messages(session_id, role, content, told) VALUES ('a', 'user', 'x', 1)"
    )
    (outcome,) = home.archiver.archive_records(home.steps("a", verdict=Verdict.ARCHIVE_RECORD))
    assert "messages that no scan saw" in str(outcome.error)
    assert (home.records(), len(home.messages("a"))) == (["a"], 1)


@pytest.mark.parametrize("batch", [1, 1000])
@pytest.mark.parametrize("order", [("a", "branch"), ("branch", "a")])
def test_branch_leaves_in_the_same_sweep_as_its_parent(
    home: Home, monkeypatch: pytest.MonkeyPatch, order: Sequence[str], batch: int
) -> None:
    """In turns of their own: the branch has no parent any more, or the parent one child less."""
    monkeypatch.setattr(archive_rows, "BATCH_STEPS", batch)
    monkeypatch.setattr(remove, "_MOST_SESSIONS", 1)
    home.database.session("branch", ["on"], parent_session_id="a")
    outcomes = list(home.archiver.archive_records(home.steps(*order, verdict=Verdict.ARCHIVE_RECORD)))
    assert errors_of(outcomes) == {"a": [], "branch": []}
    assert home.records() == ["b"]


def test_new_branch_keeps_its_parent(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = HermesRowRemover.remove_units

    def late(self: HermesRowRemover, tickets: Sequence[object]) -> object:
        home.database.session("branch", parent_session_id="a")
        return remove(self, tickets)  # type: ignore[arg-type]

    monkeypatch.setattr(HermesRowRemover, "remove_units", late)
    (outcome,) = home.archiver.archive_records(home.steps("a", verdict=Verdict.ARCHIVE_RECORD))
    assert "it has other children now" in str(outcome.error)
    assert home.records() == ["a", "b", "branch"]


@pytest.mark.parametrize("delegated", [1, 300])
def test_what_was_delegated_earlier_goes_with_who_delegated_it(home: Home, delegated: int) -> None:
    marks = {"parent_session_id": "a", "model_config": '{"_delegate_from": "a"}'}
    names = [f"helper{number}" for number in range(delegated)]
    for name in names:
        home.database.session(name, **marks)
    steps = home.steps(*names, "a", verdict=Verdict.ARCHIVE_RECORD)
    assert not any(outcome.errors for outcome in home.archiver.archive_records(steps))
    assert home.records() == ["b"]


def test_records_are_deleted_without_a_copy_where_that_is_asked_for(home: Home) -> None:
    outcomes = list(home.archiver.delete_records(home.steps("a", verdict=Verdict.DELETE_RECORD)))
    assert errors_of(outcomes) == {"a": []}
    assert home.records() == ["b"]
    assert home.workspace.vault.partition_paths() == []
