"""Whole sweeps and undos that are killed: every row is in the database or the archive, the next completes.

The process dies before or after a transaction of the host's database or of the vault. Each tier is killed at
several of them; the numbers grow faster than one by one, for a test takes as long as its sweeps.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from host_databases import HostDatabase

from hermes_retention.actions.restore.restore import undo, undoable_sweeps
from hermes_retention.actions.sweep import archive_rows
from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.archive.partition_writing import _Transaction
from hermes_retention.home.home import Home as OpenHome
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import Lifecycle, Policy
from hermes_retention.stores.hermes.rows.pacing import Turns
from hermes_retention.stores.hermes.store import HermesStore
from hermes_retention.stores.rows import decode, sections

DAY = 86400
NOW = 1e9 + 100 * DAY
LONG = "what the zebra said " * 100
DELEGATED = '{"_delegate_from": "s1"}'
AT = (1, 2, 3, 4, 6, 9, 13, 19, 28)
TIERS = {
    "tool output": {"tool_output_after": DAY},
    "messages": {"messages_after": DAY},
    "records": {"record_after": DAY},
    "all": {"tool_output_after": DAY, "messages_after": DAY, "record_after": DAY},
}
Facts = dict[str, set[tuple[object, ...]]]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_rows, "BATCH_STEPS", 3)


class Home:
    """A home with sessions of several months, what compression continued, what was delegated, a branch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, path: Path, *, journal: str = "wal") -> Home:
        path.mkdir()
        database = HostDatabase(path / "state.db", journal=journal)
        for number in range(8):
            ended = {"ended_at": 1e9 + 100, "end_reason": "compression" if number == 2 else "done"}
            marks = {1: {}, 3: {"parent_session_id": "s2"}, 4: {"parent_session_id": "s1"}}.get(number, {})
            if number == 5:
                marks = {"parent_session_id": "s1", "model_config": DELEGATED}
            texts = [f"{number} {LONG}"] * (30 if number in {1, 6} else 4)
            database.session(f"s{number}", texts, source="cli", **ended, **marks)
            database.insert("session_model_usage", {"session_id": f"s{number}", "model": "m"})
            late = 1e9 + number * 9 * DAY
            database.execute("UPDATE messages SET timestamp = ? WHERE session_id = ?", late, f"s{number}")
        return cls(path)

    def copy(self, path: Path) -> Home:
        return Home(Path(shutil.copytree(self.path, path)))

    @property
    def database(self) -> HostDatabase:
        made = object.__new__(HostDatabase)
        made.path = self.path / "state.db"
        return made

    def site(self, tier: str) -> OpenHome:
        lifecycle = Lifecycle(files_after=None, idle_after=DAY, **TIERS[tier])  # type: ignore[arg-type]
        policy = Policy(dict.fromkeys(SessionClass, lifecycle))
        return OpenHome(HermesStore(self.path), Workspace(self.path), policy)

    def sweep(self, tier: str, *, now: float = NOW) -> None:
        report = sweep(self.site(tier), clock=lambda: now, origin="test")
        assert [str(failure.errors) for failure in report.failures] == []

    def undo(self) -> None:
        site = self.site("all")
        report = undo(site, undoable_sweeps(site, None, all_sweeps=True), now=NOW)
        assert report.exit_code is ExitCode.DONE

    def rows(self) -> Facts:
        tables = ("sessions", "messages", "session_model_usage")
        return {table: {*self.database.execute(f"SELECT * FROM {table}")} for table in tables}

    def archived(self) -> Facts:
        found: Facts = {"sessions": set(), "messages": set(), "session_model_usage": set()}
        vault = self.site("all").workspace.vault
        with vault.reader() as reader:
            for artifact in vault.artifacts():
                for header, rows in sections(decode(reader.read(artifact))):
                    found.setdefault(header.table, set()).update(rows)
        return found

    def check(self, before: Facts) -> None:
        """Nothing is lost; a child whose parent has left is below nobody for now."""
        self.database.check()
        now, archived = self.rows(), self.archived()
        for table, rows in before.items():
            missing = rows - now[table] - archived[table]
            assert table == "sessions" or not missing
            assert {row[0] for row in missing} <= {row[0] for row in now[table]}


def killed(act: Callable[[], object], at: int) -> bool:
    """Do it in a child process that dies at that transaction; whether it came that far."""
    child = os.fork()
    if child == 0:
        try:
            with pytest.MonkeyPatch.context() as patch:
                _die_at(patch, at)
                act()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child never returns into the test
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert status == 0 or os.WIFSIGNALED(status)
    return status != 0


def _die_at(patch: pytest.MonkeyPatch, at: int) -> None:
    """At the beginning or after the end of a transaction, of either database."""
    number = 0

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object) -> object:
            nonlocal number
            number += 1
            if number == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments)

        return step

    for kind, name in ((Turns, "_begin"), (Turns, "_checkpoint"), (_Transaction, "__enter__")):
        patch.setattr(kind, name, counted(getattr(kind, name)))
    leave = _Transaction.__exit__
    end = counted(int)

    def left(self: _Transaction, *error: object) -> None:
        leave(self, *error)
        end()

    patch.setattr(_Transaction, "__exit__", left)


@pytest.mark.parametrize(("tier", "journal"), [*((tier, "wal") for tier in TIERS), ("all", "delete")])
def test_killed_sweep_is_completed_by_the_next(tmp_path: Path, tier: str, journal: str) -> None:
    pattern = Home.make(tmp_path / "pattern", journal=journal)
    before = pattern.rows()
    whole = pattern.copy(tmp_path / "whole")
    whole.sweep(tier)
    assert whole.rows() != before
    outcomes = []
    for at in AT:
        home = pattern.copy(tmp_path / str(at))
        outcomes.append(killed(lambda home=home: home.sweep(tier), at))  # type: ignore[misc]
        home.check(before)
        home.sweep(tier)
        assert home.rows() == whole.rows()
        home.undo()
        assert home.rows() == before
        home.database.check()
    assert outcomes.count(True) >= 6


@pytest.mark.parametrize("swept", [False, True], ids=["completed", "swept before it is completed"])
def test_killed_undo_is_completed_by_the_next(tmp_path: Path, swept: bool) -> None:  # noqa: FBT001 - a fact
    pattern = Home.make(tmp_path / "pattern")
    before = pattern.rows()
    for tier in ("tool output", "messages", "records"):
        pattern.sweep(tier)
    assert pattern.rows()["sessions"] != before["sessions"]
    outcomes = []
    for at in AT:
        home = pattern.copy(tmp_path / str(at))
        outcomes.append(killed(home.undo, at))
        home.check(before)
        if swept:
            home.sweep("all", now=NOW + 100 * DAY)
            home.check(before)
        home.undo()
        assert home.rows() == before
        home.database.check()
    assert outcomes.count(True) >= 6
