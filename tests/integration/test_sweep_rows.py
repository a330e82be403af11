"""Whole sweeps of homes with a host's database: what moves, what is told, and that it all comes back."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_databases import HostDatabase
from verdicts import Verdict

from hermes_retention.actions.restore.restore import restore_sessions, undo, undoable_sweeps
from hermes_retention.actions.sweep import load_rows
from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.actions.sweep.sweep import preview, sweep
from hermes_retention.home.home import Home as OpenHome
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.errors import ArtifactUnreadable, ExitCode
from hermes_retention.model.plan import Rule
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import Lifecycle, Policy
from hermes_retention.stores.hermes.rows import pacing
from hermes_retention.stores.hermes.rows.fts import SearchTables
from hermes_retention.stores.hermes.store import HermesStore

DAY = 86400
NOW = 1e9 + 100 * DAY
LONG = "what the zebra said " * 100


def policy_of(**lifecycle: object) -> Policy:
    fields = {"files_after": None, "messages_after": 30 * DAY} | lifecycle
    return Policy(dict.fromkeys(SessionClass, Lifecycle(**fields)))  # type: ignore[arg-type]


class Home:
    def __init__(self, path: Path, host: str) -> None:
        self.path = path
        self.database = HostDatabase(path / "state.db", host=host)

    def site(self, policy: Policy | None = None) -> OpenHome:
        return OpenHome(HermesStore(self.path), Workspace(self.path), policy or policy_of())

    def sweep(self, policy: Policy | None = None, *, now: float = NOW) -> SweepReport:
        return sweep(self.site(policy), clock=lambda: now, origin="test")

    def undo(self) -> None:
        report = undo(self.site(), undoable_sweeps(self.site(), None, all_sweeps=True), now=NOW)
        assert report.exit_code is ExitCode.DONE

    def write(self, name: str) -> None:
        folder = self.path / "sessions"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("{}")


@pytest.fixture(params=["0.13", "0.19"])
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    made = Home(tmp_path, request.param)
    ended = {"ended_at": 1e9 + 50, "end_reason": "cron_complete", "source": "cron"}
    made.database.session("a", ["hello", LONG, "bye"], **ended).session("b", ["zebra", "fish"], **ended)
    yield made
    made.database.check()


def verdicts(report: SweepReport) -> dict[str, str]:
    return {step.session_id: step.verdict for step in report.steps}


def test_preview_says_what_the_sweep_does_and_changes_nothing(home: Home) -> None:
    before = home.database.dump()
    planned = preview(home.site(), clock=lambda: NOW)
    assert home.database.dump() == before
    done = home.sweep()
    assert planned.steps == done.steps
    assert (done.counts.messages_archived, done.counts.kept, done.exit_code) == (2, 0, ExitCode.DONE)


def test_second_sweep_finds_nothing_left(home: Home) -> None:
    home.sweep()
    again = home.sweep()
    assert {step.rule for step in again.steps} == {Rule.NOTHING_LEFT}
    assert again.sweep is None


def test_undo_is_the_identity_after_all_tiers(home: Home) -> None:
    before = home.database.dump()
    home.sweep(policy_of(messages_after=None, tool_output_after=DAY))
    assert home.database.found("zebra") == [4]
    home.sweep()
    home.sweep(policy_of(record_after=40 * DAY))
    assert home.database.execute("SELECT count(*) FROM sessions") == [(0,)]
    home.undo()
    assert home.database.dump() == before
    assert home.database.found("zebra") == [2, 4]


def test_tool_output_is_looked_through_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of(messages_after=200 * DAY, tool_output_after=DAY)
    first = home.sweep(policy)
    assert verdicts(first) == {"a": Verdict.ARCHIVE_TOOL_OUTPUT, "b": Verdict.KEEP}
    assert (first.counts.tool_output_archived, first.counts.kept) == (1, 1)
    (kept,) = (step for step in first.steps if step.verdict == Verdict.KEEP)
    assert (kept.rule, kept.bytes) == (Rule.MESSAGES_AFTER, 0)
    monkeypatch.delattr(load_rows.ToolOutputTier, "load")
    assert set(verdicts(home.sweep(policy)).values()) == {Verdict.KEEP}


def test_smaller_limit_looks_through_it_again(home: Home) -> None:
    home.database.session("c", ["hello", "x" * 700])
    home.sweep(policy_of(messages_after=None, tool_output_after=DAY))
    smaller = policy_of(messages_after=None, tool_output_after=DAY)
    smaller = Policy(smaller.lifecycles, tool_output_above=500)
    assert home.sweep(smaller).counts.tool_output_archived == 1


def test_what_came_back_is_looked_through_when_it_is_due_again(home: Home) -> None:
    policy = policy_of(messages_after=None, tool_output_after=DAY)
    home.sweep(policy)
    restore_sessions(home.site(), ["a"], now=NOW)
    assert verdicts(home.sweep(policy))["a"] == Verdict.KEEP
    assert verdicts(home.sweep(policy, now=NOW + 2 * DAY))["a"] == Verdict.ARCHIVE_TOOL_OUTPUT


def test_record_stays_while_a_file_of_its_session_does(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write("session_a.json")
    policy = policy_of(files_after=DAY, record_after=DAY)

    def unreadable(*_: object) -> Iterator[bytes]:
        raise ArtifactUnreadable("session_a.json", "it cannot be read")

    monkeypatch.setattr("hermes_retention.stores.files.read_unchanged", unreadable)
    report = home.sweep(policy, now=4e9)
    assert report.counts.failed == 1
    assert home.database.execute("SELECT id FROM sessions") == [("a",)]


def test_budget_counts_used_pages_and_takes_messages_early(home: Home) -> None:
    for number in range(40):
        home.database.session(f"s{number:02}", [LONG * 5] * 4, ended_at=1e9 + 50, end_reason="cron_complete")
    site = home.site(policy_of(messages_after=None))
    used = site.usage()
    assert used.database_bytes > 1_000_000
    tight = Policy(policy_of(messages_after=500 * DAY).lifecycles, max_disk=used.total_bytes - 300_000)
    report = home.sweep(tight)
    assert {step.rule for step in report.steps if step.verdict == Verdict.ARCHIVE_MESSAGES} == {Rule.MAX_DISK}
    assert 0 < report.counts.messages_archived < 42
    assert home.site().usage().database_bytes < used.database_bytes


def test_class_without_archive_loses_messages_for_good(home: Home) -> None:
    report = home.sweep(policy_of(archive=False))
    assert report.counts.deleted == 2
    assert home.database.execute("SELECT count(*) FROM messages") == [(0,)]
    assert home.site().workspace.vault.partition_paths() == []


def test_run_that_need_not_persist_keeps_only_its_record(home: Home) -> None:
    home.sweep(policy_of(messages_after=500 * DAY, files_after=500 * DAY, persist=False))
    assert home.database.execute("SELECT count(*) FROM messages") == [(0,)]
    assert home.database.execute("SELECT count(*) FROM sessions") == [(2,)]


def test_search_tables_are_condensed_when_small_sweeps_add_up(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    condensed: list[int] = []

    def condense(*_: object) -> bool:
        condensed.append(len(home.database.found("zebra")))
        return True

    monkeypatch.setattr(SearchTables, "condense", condense)
    for number in range(40):
        age = 1e9 + 40 * DAY + number * DAY
        home.database.session(f"s{number:02}", ["zebra"], ended_at=age, end_reason="cron_complete")
        home.database.execute("UPDATE messages SET timestamp = ? WHERE session_id = ?", age, f"s{number:02}")
    home.sweep(policy_of(messages_after=200 * DAY), now=NOW)
    for day in range(10):
        home.sweep(policy_of(messages_after=60 * DAY), now=NOW + day * DAY)
    # Six rows at once in the beginning, then one a day: of some forty, a tenth comes together in four days.
    assert len(condensed) == 3


def test_search_tables_are_left_to_a_later_sweep_while_somebody_writes(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def somebody_writes(_: float = 0.0) -> None:
        home.database.execute("UPDATE sessions SET message_count = message_count + 1")

    monkeypatch.setattr(SearchTables, "condense", lambda _, __, stop: not stop())
    monkeypatch.setattr(pacing, "_sleep", somebody_writes)
    with home.site().store.removing_rows() as remover:
        somebody_writes()
        assert not remover.tidy(10**9)
        seconds = itertools.count(time.perf_counter() + 60)  # by each look at the clock
        monkeypatch.setattr(pacing, "_sleep", lambda _: None)
        monkeypatch.setattr(pacing, "_clock", lambda: next(seconds))
        assert remover.tidy(10**9)
