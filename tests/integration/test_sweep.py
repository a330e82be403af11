"""Sweeps of real files into a real vault, and what must never be lost on the way."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import pytest
from homes import NOW, HomeBuilder, name_of
from pytest_mock import MockerFixture
from sites import DAY, clock, policy_of, site_of, snapshot_of
from verdicts import Verdict

from hermes_retention.actions.sweep import archive_files
from hermes_retention.actions.sweep.mode import may_remove
from hermes_retention.actions.sweep.report import Observer, SweepReport
from hermes_retention.actions.sweep.sweep import preview, sweep
from hermes_retention.archive.entries import Packed, Packing, pack_large
from hermes_retention.disk.originals import Remover
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import Outcome
from hermes_retention.home.workspace import Hold
from hermes_retention.model.errors import ExitCode, StoreUnreadable, SweepRunning
from hermes_retention.model.plan import Plan
from hermes_retention.model.session import Artifact, Inventory, SessionClass
from hermes_retention.model.text import safe_name
from hermes_retention.policy.lifecycle import Lifecycle
from hermes_retention.stores.hermes.erasing import OfflineRoutes

LIVE_KEY = "agent:main:telegram:dm:1"


class Meddler:
    """An observer that does something once the plan stands, as a busy host would."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self._meddle = meddle

    def planned(self, inventory: Inventory, plan: Plan) -> None:
        self._meddle()

    def done(self, outcome: Outcome) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """One live chat, two old ones, an old cron run, and a file that nobody knows."""
    return (
        HomeBuilder(tmp_path / "home")
        .session("20261119_080000_aaaaaaaa", ended=None, age=30 * DAY, key=LIVE_KEY)
        .route(LIVE_KEY, "20261119_080000_aaaaaaaa")
        .session("20261010_080000_bbbbbbbb", age=40 * DAY, files=("snapshot", "request_dump"))
        .session("20261101_080000_cccccccc", age=19 * DAY, files=("snapshot", "transcript"))
        .session("cron_news_20261015_080000", source="cron", ended="cron_complete", age=36 * DAY)
        .file("notes.txt", b"mine", age=400 * DAY)
    )


def run(site: Home, observer: Observer | None = None) -> SweepReport:
    return sweep(site, clock=clock, origin="test", observer=observer)


def hot(home: HomeBuilder) -> set[str]:
    return set(os.listdir(home.files))


def archived(site: Home, session_id: str) -> list[bytes]:
    vault = site.workspace.vault
    with vault.reader() as reader:
        return [b"".join(reader.read(artifact)) for artifact in vault.artifacts(session_id=session_id)]


def test_old_sessions_move_to_the_vault_and_the_rest_stays(home: HomeBuilder) -> None:
    site = site_of(home)
    report = run(site)
    assert hot(home) == {"session_20261119_080000_aaaaaaaa.json", "sessions.json", "notes.txt"}
    assert (report.counts.files_archived, report.counts.kept, report.counts.failed) == (3, 1, 0)
    assert archived(site, "20261101_080000_cccccccc") == [b"{}", b"{}"]
    assert report.exit_code is ExitCode.DONE
    assert os.listdir(site.workspace.root / "aside") == []


def test_partitions_are_months_of_last_activity(home: HomeBuilder) -> None:
    site = site_of(home)
    run(site)
    assert [path.stem for path in site.workspace.vault.partition_paths()] == ["2026-10", "2026-11"]


def test_archive_knows_what_the_record_said(home: HomeBuilder) -> None:
    home.execute("UPDATE sessions SET title = 'Tax return' WHERE id = '20261010_080000_bbbbbbbb'")
    site = site_of(home)
    run(site)
    entries = {
        entry.id: entry for partition in site.workspace.vault.partitions() for entry in partition.sessions()
    }
    assert entries["20261010_080000_bbbbbbbb"].metadata.title == "Tax return"
    assert entries["20261010_080000_bbbbbbbb"].session_class is SessionClass.CHAT


def test_second_sweep_changes_nothing(home: HomeBuilder) -> None:
    site = site_of(home)
    run(site)
    before = snapshot_of(site.workspace.vault.root)
    report = run(site)
    assert report.sweep is None
    assert snapshot_of(site.workspace.vault.root) == before


def test_preview_changes_nothing_at_all(home: HomeBuilder) -> None:
    before = snapshot_of(home.files)
    report = preview(site_of(home), clock=clock)
    assert report.counts.files_archived == 3
    assert snapshot_of(home.files) == before
    assert not (home.path / "retention").exists()


def test_preview_and_sweep_say_the_same(home: HomeBuilder) -> None:
    site = site_of(home)
    expected, real = preview(site, clock=clock), run(site)
    assert expected.steps == real.steps
    assert expected.counts == real.counts


def test_first_removal_is_remembered(home: HomeBuilder) -> None:
    site = site_of(home)
    assert not may_remove(site)
    run(site)
    assert may_remove(site)


def test_everything_is_noted_in_the_ledger(home: HomeBuilder) -> None:
    site = site_of(home)
    report = run(site)
    with site.workspace.ledger() as ledger:
        (row,) = ledger.sweeps()
        (step,) = ledger.history("cron_news_20261015_080000")
    assert (row.id, row.state, row.totals["files_archived"]) == (report.sweep, "done", 3)
    assert (step.verdict, step.rule, step.error) == ("archive_files", "files_after", None)


def test_bytes_are_what_the_file_system_says(home: HomeBuilder) -> None:
    for number in range(40):
        home.file(f"session_20260901_08{number:04d}_dddddddd.json", b"the same text " * 5000, age=60 * DAY)
    site = site_of(home)
    report = run(site)
    assert report.bytes_after == site.usage().total_bytes
    assert report.bytes_freed > 2_000_000


def test_class_without_archive_is_deleted_for_good(home: HomeBuilder) -> None:
    lifecycles = {**policy_of().lifecycles, SessionClass.CRON: Lifecycle(files_after=DAY, archive=False)}
    site = site_of(home, policy_of(lifecycles=lifecycles))
    report = run(site)
    assert report.counts.deleted == 1
    assert name_of("snapshot", "cron_news_20261015_080000") not in hot(home)
    assert site.workspace.vault.artifacts(session_id="cron_news_20261015_080000") == []


def a_month_later(site: Home) -> SweepReport:
    """A sweep after one that had to believe first that all this time has passed."""
    first = sweep(site, clock=lambda: NOW + 30 * DAY, origin="test")
    assert first.counts.expired == 0
    assert any("clock of this machine is in doubt" in warning for warning in first.warnings)
    return sweep(site, clock=lambda: NOW + 31 * DAY, origin="test")


def test_expired_copy_leaves_the_vault(home: HomeBuilder) -> None:
    run(site_of(home))
    lifecycles = dict.fromkeys(SessionClass, Lifecycle(files_after=DAY, archive_after=30 * DAY))
    site = site_of(home, policy_of(lifecycles=lifecycles))
    site.workspace.holds.add("20261101_080000_cccccccc", Hold("wanted", NOW))
    report = a_month_later(site)
    assert report.counts.expired == 2
    assert [path.stem for path in site.workspace.vault.partition_paths()] == ["2026-11"]
    assert archived(site, "20261101_080000_cccccccc") == [b"{}", b"{}"]


def test_copies_expire_also_when_the_sessions_directory_is_gone(home: HomeBuilder) -> None:
    run(site_of(home))
    shutil.rmtree(home.files)
    lifecycles = dict.fromkeys(SessionClass, Lifecycle(files_after=DAY, archive_after=30 * DAY))
    report = a_month_later(site_of(home, policy_of(lifecycles=lifecycles)))
    assert report.counts.expired == 3


def test_damaged_month_neither_expires_nor_stops_the_others(home: HomeBuilder) -> None:
    run(site_of(home))
    lifecycles = dict.fromkeys(SessionClass, Lifecycle(files_after=DAY, archive_after=30 * DAY))
    site = site_of(home, policy_of(lifecycles=lifecycles))
    (site.workspace.vault.root / "2026-10.db").write_bytes(b"garbage " * 5000)
    report = a_month_later(site)
    assert report.counts.expired == 1
    assert any("2026-10.db" in warning for warning in report.warnings)


# -- the host writes while we sweep -----------------------------------------------------------------


def test_file_that_changes_keeps_its_whole_session(home: HomeBuilder) -> None:
    changing = home.files / name_of("transcript", "20261101_080000_cccccccc")
    report = run(site_of(home), observer=Meddler(lambda: changing.write_bytes(b"one more turn")))
    assert changing.read_bytes() == b"one more turn"
    assert (home.files / name_of("snapshot", "20261101_080000_cccccccc")).exists()
    assert report.counts.failed == 1
    assert report.exit_code is ExitCode.SOME_FAILED
    assert "it changed since the scan; it was kept" in str(report.failures[0].error)


def test_file_that_vanishes_is_no_failure(home: HomeBuilder) -> None:
    vanishing = home.files / name_of("transcript", "20261101_080000_cccccccc")
    site = site_of(home)
    report = run(site, observer=Meddler(vanishing.unlink))
    assert report.counts.failed == 0
    assert archived(site, "20261101_080000_cccccccc") == [b"{}"]


def test_file_that_becomes_a_link_is_not_followed(home: HomeBuilder, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"{}")
    path = home.files / name_of("snapshot", "20261010_080000_bbbbbbbb")

    def relink() -> None:
        path.unlink()
        path.symlink_to(target)

    report = run(site_of(home), observer=Meddler(relink))
    assert report.counts.failed == 1
    assert target.read_bytes() == b"{}"
    assert path.is_symlink()


def test_unreadable_file_stays_and_the_others_go(home: HomeBuilder, mocker: MockerFixture) -> None:
    name = name_of("request_dump", "20261010_080000_bbbbbbbb")
    real_open = os.open

    def refuse(path: str, *arguments: int, **keywords: int) -> int:
        if path == name:
            raise PermissionError(13, "Permission denied")
        return real_open(path, *arguments, **keywords)

    mocker.patch("hermes_retention.disk.effects.open_file", refuse)
    report = run(site_of(home))
    assert name in hot(home)
    assert name_of("snapshot", "20261010_080000_bbbbbbbb") not in hot(home)
    assert report.counts.failed == 1


# -- things go wrong --------------------------------------------------------------------------------


def test_nothing_is_removed_when_the_vault_is_full(home: HomeBuilder, mocker: MockerFixture) -> None:
    before = snapshot_of(home.files)
    mocker.patch(
        "hermes_retention.archive.partition_writing.WritablePartition.put",
        side_effect=sqlite3.OperationalError("database or disk is full"),
    )
    report = run(site_of(home))
    assert snapshot_of(home.files) == before
    assert report.counts.failed == 3
    assert "Free some space on the disk" in str(report.failures[0].error)


def test_nothing_is_removed_when_the_copy_does_not_read_back(
    home: HomeBuilder, mocker: MockerFixture
) -> None:
    before = snapshot_of(home.files)
    mocker.patch("hermes_retention.archive.partition.Codec.decompress", return_value=b"[]")
    report = run(site_of(home))
    assert snapshot_of(home.files) == before
    assert report.counts.failed == 3
    assert report.exit_code is ExitCode.VAULT_DAMAGED


def test_damaged_partition_costs_only_its_own_month(home: HomeBuilder) -> None:
    site = site_of(home)
    site.workspace.create()
    (site.workspace.vault.root / "2026-10.db").write_bytes(b"garbage " * 5000)
    report = run(site)
    assert report.exit_code is ExitCode.VAULT_DAMAGED
    assert report.counts.failed == 2
    assert name_of("snapshot", "20261010_080000_bbbbbbbb") in hot(home)
    assert name_of("snapshot", "20261101_080000_cccccccc") not in hot(home)


class Killed(BaseException):
    """Stands for a process that dies: nothing catches it."""


def test_sweep_that_dies_before_a_removal_is_finished_by_the_next(
    home: HomeBuilder, mocker: MockerFixture
) -> None:
    before = snapshot_of(home.files)
    removed: list[str] = []
    remove = Remover.remove

    def die_after_two(self: Remover, artifact: Artifact) -> None:
        if len(removed) == 2:
            raise Killed
        remove(self, artifact)
        removed.append(artifact.name)

    mocker.patch.object(Remover, "remove", die_after_two)
    mocker.patch.object(archive_files, "_REMOVERS", 1)
    site = site_of(home)
    with pytest.raises(Killed):
        run(site)
    mocker.stopall()
    assert len(snapshot_of(home.files)) == len(before) - 2
    run(site)
    assert len(snapshot_of(home.files)) == 3
    assert len(site.workspace.vault.artifacts()) == 5
    with site.workspace.ledger() as ledger:
        assert [sweep.state for sweep in ledger.sweeps()] == ["done", "interrupted"]


def test_file_left_aside_by_a_dead_sweep_is_swept_by_the_next(home: HomeBuilder) -> None:
    site = site_of(home)
    site.workspace.create()
    name = name_of("snapshot", "20261010_080000_bbbbbbbb")
    (home.files / name).rename(site.workspace.root / "aside" / name)
    run(site)
    assert os.listdir(site.workspace.root / "aside") == []
    assert len(archived(site, "20261010_080000_bbbbbbbb")) == 2


def test_two_sweeps_at_once_are_one_sweep(home: HomeBuilder) -> None:
    site = site_of(home)
    with site.workspace.locked(), pytest.raises(SweepRunning):
        run(site)


def test_damaged_index_removes_nothing(home: HomeBuilder) -> None:
    (home.files / "sessions.json").write_bytes(b"{")
    before = snapshot_of(home.files)
    with pytest.raises(StoreUnreadable, match="nothing was removed"):
        run(site_of(home))
    assert snapshot_of(home.files) == before


def test_damaged_database_removes_nothing(home: HomeBuilder) -> None:
    (home.path / "state.db").write_bytes(b"no database" * 1000)
    before = snapshot_of(home.files)
    with pytest.raises(StoreUnreadable):
        run(site_of(home))
    assert snapshot_of(home.files) == before


def test_unreadable_holds_remove_nothing(home: HomeBuilder) -> None:
    site = site_of(home)
    site.workspace.create()
    (site.workspace.root / "holds.json").write_bytes(b"{")
    before = snapshot_of(home.files)
    with pytest.raises(StoreUnreadable):
        run(site)
    assert snapshot_of(home.files) == before


# -- odd input --------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{", b"\x00\xff" * 999, b"not json at all"])
def test_any_content_is_archived_byte_for_byte(home: HomeBuilder, content: bytes) -> None:
    home.file("session_20260901_080000_eeeeeeee.json", content, age=60 * DAY)
    site = site_of(home)
    run(site)
    assert archived(site, "20260901_080000_eeeeeeee") == [content]


@pytest.mark.parametrize("middle", [b"\xff\xfe", b"two\nlines", b"\x1b[31mred", "Größe".encode()])
def test_odd_names_come_back(home: HomeBuilder, middle: bytes) -> None:
    name = b"session_" + middle + b".json"
    home.file(name, b"odd", age=60 * DAY)
    site = site_of(home)
    report = run(site)
    assert report.counts.files_archived == 4
    assert name not in os.listdir(os.fsencode(home.files))
    names = [os.fsencode(artifact.name) for artifact in site.workspace.vault.artifacts()]
    assert name in names


def test_row_whose_id_is_no_text_stays_and_the_others_go(home: HomeBuilder) -> None:
    session_id = b"\xffA"
    name = f"session_{safe_name(os.fsdecode(session_id))}.json"
    home.execute(
        "INSERT INTO sessions(id, source, started_at, ended_at) VALUES (CAST(? AS TEXT), 'cli', 1.0, 1.0)",
        session_id,
    )
    home.file(name, age=60 * DAY).index({"agent:main:webhook:1": {"session_id": "\udc00"}})
    report = run(site_of(home))
    assert (report.counts.files_archived, report.counts.failed) == (3, 0)
    assert name in hot(home)


def test_title_that_is_no_text_is_archived_escaped(home: HomeBuilder) -> None:
    home.execute("UPDATE sessions SET title = CAST(x'ff41' AS TEXT) WHERE id = ?", "20261010_080000_bbbbbbbb")
    site = site_of(home)
    assert run(site).counts.failed == 0
    entries = {entry.id: entry for it in site.workspace.vault.partitions() for entry in it.sessions()}
    assert entries["20261010_080000_bbbbbbbb"].metadata.title == "\\xffA"


def test_file_larger_than_a_batch_is_streamed(home: HomeBuilder, mocker: MockerFixture) -> None:
    mocker.patch.object(archive_files, "BATCH_BYTES", 2**20)
    large = b"a large transcript line\n" * 400_000
    home.file("session_20260901_080000_ffffffff.json", large, age=60 * DAY)
    site = site_of(home)
    packed = mocker.spy(archive_files, "pack_large")
    assert run(site).counts.failed == 0
    assert packed.call_count == 1
    assert archived(site, "20260901_080000_ffffffff") == [large]


def test_large_file_that_changes_between_its_two_readings_stays(
    home: HomeBuilder, mocker: MockerFixture
) -> None:
    mocker.patch.object(archive_files, "BATCH_BYTES", 2**20)
    path = home.files / "session_20260901_080000_ffffffff.json"
    home.file(path.name, b"x" * 2_000_000, age=60 * DAY)

    def touch_between(
        session_id: str, artifact: Artifact, first: Iterable[bytes], second: Iterable[bytes], packing: Packing
    ) -> Packed:
        answer = pack_large(session_id, artifact, first, second, packing)
        path.write_bytes(b"y" * 2_000_000)
        return answer

    mocker.patch.object(archive_files, "pack_large", touch_between)
    site = site_of(home)
    report = run(site)
    assert report.counts.failed == 1
    assert path.read_bytes() == b"y" * 2_000_000
    assert site.workspace.vault.artifacts(session_id="20260901_080000_ffffffff") == []


def test_future_file_is_kept_with_a_warning(home: HomeBuilder) -> None:
    home.file("session_20260901_080000_eeeeeeee.json", age=-365 * DAY)
    report = run(site_of(home))
    assert "session_20260901_080000_eeeeeeee.json" in hot(home)
    assert any("time in the future" in warning for warning in report.warnings)


def test_linked_sessions_directory_is_refused(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session("20261010_080000_bbbbbbbb", age=40 * DAY)
    home.files.rename(tmp_path / "elsewhere")
    home.files.symlink_to(tmp_path / "elsewhere")
    before = snapshot_of(tmp_path / "elsewhere")
    with pytest.raises(StoreUnreadable, match="symbolic link"):
        run(site_of(home))
    assert snapshot_of(tmp_path / "elsewhere") == before


def test_nothing_but_sessions_is_ever_a_candidate(home: HomeBuilder) -> None:
    (home.files / "saved").mkdir()
    os.mkfifo(home.files / "session_fifo.json")
    (home.files / "session_link.json").symlink_to("notes.txt")
    report = run(site_of(home))
    assert {"saved", "session_fifo.json", "session_link.json", "notes.txt"} <= hot(home)
    assert all(
        step.verdict == Verdict.KEEP or step.session_id not in ("fifo", "link", "notes.txt")
        for step in report.steps
    )


def test_bytes_of_a_scan_are_those_of_a_listing(home: HomeBuilder) -> None:
    (home.files / "saved").mkdir()
    (home.files / "session_link.json").symlink_to("notes.txt")
    home.file("session_20260901_080000_eeeeeeee.json", b"x" * 100_000, age=60 * DAY)
    site = site_of(home)
    scanned, listed = (
        msgspec.structs.replace(usage, free_bytes=None)  # whatever else writes to this disk
        for usage in (site.take_inventory(now=NOW).usage, site.usage())
    )
    assert scanned == listed


DELIVERIES = {f"agent:main:webhook:webhook:webhook:push:{name}:webhook:push": name for name in ("d1", "d2")}


def with_deliveries(home: HomeBuilder) -> HomeBuilder:
    """One that nobody ended, one whose session left long ago."""
    home.session("d1", source="webhook", ended=None, age=30 * DAY, files=())
    for key, session_id in DELIVERIES.items():
        home.route(key, session_id, age=30 * DAY)
    return home


def test_dead_routes_leave_with_a_sweep_and_the_preview_tells(home: HomeBuilder) -> None:
    site = site_of(with_deliveries(home))
    assert preview(site, clock=clock).routes_dropped == 2
    report = sweep(site, clock=clock, origin="test", index=OfflineRoutes(site.path, clock))
    assert report.routes_dropped == 2
    assert json.loads((home.files / "sessions.json").read_text()).keys() == {"_README", LIVE_KEY}
    assert preview(site, clock=clock).routes_dropped == 0


def test_dead_routes_leave_also_when_nothing_else_is_due(tmp_path: Path) -> None:
    site = site_of(HomeBuilder(tmp_path).route("agent:main:webhook:x:push:1", "d1", age=30 * DAY))
    report = sweep(site, clock=clock, origin="test", index=OfflineRoutes(site.path, clock))
    assert (report.sweep, report.routes_dropped) == (None, 1)


@pytest.mark.parametrize("error", [StoreUnreadable("state.db", "locked"), ValueError("what somebody said")])
def test_trouble_with_the_index_is_a_warning(home: HomeBuilder, error: Exception) -> None:
    class Refuses:
        def drop_routes(self, routes: Mapping[str, str]) -> list[str]:
            assert routes == DELIVERIES
            raise error

    report = sweep(site_of(with_deliveries(home)), clock=clock, origin="test", index=Refuses())
    assert report.counts.files_archived == 3
    assert report.routes_dropped == 0
    assert len(report.warnings) == 1
    assert "somebody said" not in report.warnings[0]
