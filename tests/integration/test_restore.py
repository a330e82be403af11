"""Back from the vault: what is restored is what was archived, and nothing is overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from homes import NOW, HomeBuilder, name_of
from sites import DAY, site_of, snapshot_of
from vaults import damage_table

from hermes_retention.actions.inspect.lookup import archived_copies, list_archive
from hermes_retention.actions.restore.restore import (
    RestoreReport,
    export_sessions,
    restore_sessions,
    undo,
    undoable_sweeps,
)
from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.home.home import Home
from hermes_retention.model.errors import ExitCode, RestoreConflict, UsageError, VaultDamaged

OLD = "20261010_080000_bbbbbbbb"
OLDER = "cron_news_20261001_080000"


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    home = (
        HomeBuilder(tmp_path / "home")
        .session(OLD, age=40 * DAY, files=("snapshot", "request_dump"))
        .session(OLDER, source="cron", ended="cron_complete", age=50 * DAY)
    )
    os.chmod(home.files / name_of("snapshot", OLD), 0o640)
    return home


@pytest.fixture
def site(home: HomeBuilder) -> Home:
    return site_of(home)


def run(site: Home, *, now: float = NOW) -> str:
    report = sweep(site, clock=lambda: now, origin="test")
    assert report.sweep is not None
    return report.sweep


def undo_last(site: Home) -> RestoreReport:
    return undo(site, undoable_sweeps(site, None, all_sweeps=False), now=NOW)


def test_session_comes_back_with_bytes_time_and_mode(home: HomeBuilder, site: Home) -> None:
    before = snapshot_of(home.files)
    run(site)
    report = restore_sessions(site, [OLD, OLDER], now=NOW)
    assert snapshot_of(home.files) == before
    assert (report.sessions, report.exit_code) == (2, ExitCode.DONE)


def test_next_sweep_leaves_a_restored_session_alone(home: HomeBuilder, site: Home) -> None:
    before = snapshot_of(home.files)
    run(site)
    restore_sessions(site, [OLD, OLDER], now=NOW)
    assert sweep(site, clock=lambda: NOW + 3600, origin="test").sweep is None
    assert snapshot_of(home.files) == before


def test_restored_session_is_due_again_when_its_time_has_passed_anew(home: HomeBuilder, site: Home) -> None:
    run(site)
    restore_sessions(site, [OLD], now=NOW)
    run(site, now=NOW + 2 * DAY)
    assert os.listdir(home.files) == []
    assert len(site.workspace.vault.artifacts(session_id=OLD)) == 2


def test_newest_version_comes_back(home: HomeBuilder, site: Home) -> None:
    run(site)
    home.file(name_of("snapshot", OLD), b"a later version", age=30 * DAY)
    run(site, now=NOW + 1)
    restore_sessions(site, [OLD], now=NOW)
    assert (home.files / name_of("snapshot", OLD)).read_bytes() == b"a later version"


def test_newest_version_comes_back_also_after_a_sweep_by_a_clock_in_the_future(
    home: HomeBuilder, site: Home
) -> None:
    run(site, now=NOW + 3650 * DAY)
    home.file(name_of("snapshot", OLD), b"a later version", age=30 * DAY)
    run(site, now=NOW)
    restore_sessions(site, [OLD], now=NOW)
    assert (home.files / name_of("snapshot", OLD)).read_bytes() == b"a later version"


def test_existing_file_is_never_overwritten(home: HomeBuilder, site: Home) -> None:
    run(site)
    home.file(name_of("snapshot", OLD), b"written since")
    report = restore_sessions(site, [OLD], now=NOW)
    assert (home.files / name_of("snapshot", OLD)).read_bytes() == b"written since"
    assert isinstance(report.failures[0].error, RestoreConflict)
    assert report.exit_code is ExitCode.SOME_FAILED
    assert (home.files / name_of("request_dump", OLD)).exists()


def test_restoring_twice_is_no_conflict(site: Home) -> None:
    run(site)
    restore_sessions(site, [OLD], now=NOW)
    report = restore_sessions(site, [OLD], now=NOW)
    assert report.exit_code is ExitCode.DONE
    assert all(result.already_there for result in report.results)


def test_unknown_session_writes_nothing(home: HomeBuilder, site: Home) -> None:
    run(site)
    with pytest.raises(UsageError, match="the vault has no copy of it"):
        restore_sessions(site, [OLD, "nobody"], now=NOW)
    assert os.listdir(home.files) == []


def test_damaged_copy_leaves_no_file_behind(home: HomeBuilder, site: Home) -> None:
    run(site)
    home.execute("UPDATE frames SET frame = x'00'", database="retention/archive/2026-10.db")
    report = restore_sessions(site, [OLD], now=NOW)
    assert os.listdir(home.files) == []
    assert report.exit_code is ExitCode.VAULT_DAMAGED


def test_damaged_month_does_not_keep_the_others_from_coming_back(home: HomeBuilder, site: Home) -> None:
    run(site)
    (site.workspace.vault.root / "2026-09.db").write_bytes(b"garbage " * 5000)
    report = restore_sessions(site, [OLD], now=NOW)
    assert len(os.listdir(home.files)) == 2
    assert report.exit_code is ExitCode.VAULT_DAMAGED
    with pytest.raises(VaultDamaged):
        restore_sessions(site, ["perhaps in the damaged month"], now=NOW)


@pytest.mark.parametrize("table", ["sessions", "artifacts"])
def test_month_with_a_damaged_page_hides_its_own_sessions_only(
    home: HomeBuilder, site: Home, table: str
) -> None:
    home.session("20260921_080000_dddddddd", age=60 * DAY)
    run(site)
    damage_table(site.workspace.vault.root / "2026-09.db", table)
    listing = list_archive(site)
    assert [entry.session_id for entry in listing.entries] == [OLD, OLDER]
    assert len(listing.damages) == 1
    assert len(archived_copies(site, OLD)[0]) == 1
    assert restore_sessions(site, [OLD], now=NOW).failures == ()
    assert len(os.listdir(home.files)) == 2
    with pytest.raises(VaultDamaged):
        site.workspace.vault.summary()


def test_undo_over_a_damaged_month_can_be_tried_again(home: HomeBuilder, site: Home) -> None:
    last = run(site)
    damaged = site.workspace.vault.root / "2026-09.db"
    damaged.write_bytes(b"garbage " * 5000)
    assert undo_last(site).exit_code is ExitCode.VAULT_DAMAGED
    assert len(os.listdir(home.files)) == 3
    damaged.unlink()
    assert undo_last(site).sweeps == (last,)


def test_archived_name_that_leads_elsewhere_is_refused(home: HomeBuilder, site: Home, tmp_path: Path) -> None:
    run(site)
    evil = os.fsencode(tmp_path / "escaped")
    home.execute("UPDATE artifacts SET name = ?", evil, database="retention/archive/2026-10.db")
    report = restore_sessions(site, [OLD], now=NOW)
    assert report.exit_code is ExitCode.SOME_FAILED
    assert not (tmp_path / "escaped").exists()


def test_export_leaves_the_store_as_it_is(home: HomeBuilder, site: Home, tmp_path: Path) -> None:
    before = snapshot_of(home.files)
    run(site)
    report = export_sessions(site, [OLD], tmp_path / "out" / "deep")
    expected = {name: content for name, content in before.items() if OLD.encode() in name}
    assert snapshot_of(tmp_path / "out" / "deep") == expected
    assert os.listdir(home.files) == []
    assert report.directory == str(tmp_path / "out" / "deep")


def test_export_into_something_that_is_no_directory_is_an_error(site: Home, tmp_path: Path) -> None:
    run(site)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="files cannot be written there"):
        export_sessions(site, [OLD], tmp_path / "file")


def test_undo_puts_back_the_last_sweep(home: HomeBuilder, site: Home) -> None:
    run(site)
    home.session("20261012_080000_dddddddd", age=38 * DAY)
    between = snapshot_of(home.files)
    last = run(site, now=NOW + 1)
    report = undo_last(site)
    assert report.sweeps == (last,)
    assert snapshot_of(home.files) == between


def test_undo_again_goes_to_the_sweep_before(home: HomeBuilder, site: Home) -> None:
    before = snapshot_of(home.files)
    first = run(site)
    home.session("20261012_080000_dddddddd", age=38 * DAY)
    run(site, now=NOW + 1)
    undo_last(site)
    assert undo_last(site).sweeps == (first,)
    assert snapshot_of(home.files).items() >= before.items()
    with pytest.raises(UsageError, match="no sweep of this home archived anything"):
        undo_last(site)


def test_undo_all_is_the_identity(home: HomeBuilder, site: Home) -> None:
    run(site)
    home.session("20261012_080000_dddddddd", age=38 * DAY)
    run(site, now=NOW + 1)
    report = undo(site, undoable_sweeps(site, None, all_sweeps=True), now=NOW)
    assert len(report.sweeps) == 2
    assert len(os.listdir(home.files)) == 4


def test_undo_of_an_unknown_sweep_is_an_error(site: Home) -> None:
    with pytest.raises(UsageError, match="knows no sweep of that id"):
        undoable_sweeps(site, "20200101-000000", all_sweeps=False)


def test_undo_with_a_conflict_can_be_tried_again(home: HomeBuilder, site: Home) -> None:
    last = run(site)
    path = home.files / name_of("snapshot", OLD)
    path.write_bytes(b"in the way")
    assert undo_last(site).exit_code is ExitCode.SOME_FAILED
    path.unlink()
    assert undo_last(site).sweeps == (last,)


def test_sweep_that_was_interrupted_can_be_undone(home: HomeBuilder, site: Home) -> None:
    run(site)
    home.execute("UPDATE sweeps SET state = 'interrupted', totals = NULL", database="retention/ledger.db")
    undo_last(site)
    assert len(os.listdir(home.files)) == 3
