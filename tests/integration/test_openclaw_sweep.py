"""Entries and transcripts of OpenClaw homes leave together and come back together, whatever comes between."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import openclaw_writer
import pytest
from homes import DAY, HOUR, MINUTE, NOW
from openclaw_homes import OpenClawHome, due_policy, openclaw_site
from sites import clock, snapshot_of

from hermes_retention.actions.restore.restore import restore_sessions, undo, undoable_sweeps
from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.actions.sweep.sweep import preview, sweep
from hermes_retention.archive.vault import Vault
from hermes_retention.disk import effects
from hermes_retention.disk.originals import Remover
from hermes_retention.home.home import Home
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.errors import RestoreConflict
from hermes_retention.model.session import Artifact, ArtifactKind, SessionClass
from hermes_retention.policy.lifecycle import Lifecycle, Policy
from hermes_retention.stores.openclaw.files import Waiting
from hermes_retention.stores.openclaw.index import IndexFile
from hermes_retention.stores.openclaw.store import OpenClawStore


@pytest.fixture
def home(tmp_path: Path) -> OpenClawHome:
    """A home with a main session, three old hooks and a fresh one."""
    home = OpenClawHome(tmp_path / "claw")
    home.session("main", age=40 * DAY, session_id="00000000-0000-4000-8000-00000000000a")
    for age in (3, 2, 1):
        home.session("hook", age=age * DAY, skillsSnapshot={"prompt": "ä" * 40})
    home.session("hook", age=MINUTE)
    return home.write()


def run(home: OpenClawHome, policy: Policy | None = None) -> SweepReport:
    return sweep(openclaw_site(home, policy), clock=clock, origin="test")


def hooks(home: OpenClawHome) -> list[str]:
    """The ids of the old ones."""
    return [entry["sessionId"] for key, entry in home.entries["main"].items() if ":hook:" in key][:3]


def archived(home: OpenClawHome) -> set[str]:
    vault = Vault(home.path / "retention" / "archive")
    return {it.session_id for it in vault.artifacts() if it.kind is ArtifactKind.ENTRY}


def test_entry_and_transcript_leave_together(home: OpenClawHome) -> None:
    before = home.read()
    report = run(home)
    assert report.counts.files_archived == 3
    assert [it for it in report.outcomes if it.errors] == []
    left = home.read()
    assert set(before) - set(left) == {home.key_of(own) for own in hooks(home)}
    assert {key: before[key] for key in left} == left
    names = os.listdir(home.directory())
    assert not [name for name in names if name.split(".")[0] in hooks(home)]
    assert sorted(name for name in names if "lock" in name or "tmp" in name) == []


def test_all_comes_back_as_it_was(home: OpenClawHome) -> None:
    files, entries = snapshot_of(home.directory()), home.read()
    del files[b"sessions.json"]
    run(home)
    site = openclaw_site(home)
    report = undo(site, undoable_sweeps(site, None, all_sweeps=False), now=NOW)
    assert (report.sessions, report.failures) == (3, ())
    assert home.read() == entries
    after = snapshot_of(home.directory())
    del after[b"sessions.json"]
    assert after == files
    assert run(home).counts.files_archived == 0  # its time starts anew


def test_kept_entries_keep_every_byte(home: OpenClawHome) -> None:
    text = home.index().read_text().replace('"systemSent": true', '"systemSent" :true , "new": 1.50e+1')
    home.index().write_text(text)
    home.index().chmod(0o640)
    status = home.index().stat()
    main = text[: text.index(',\n  "agent:main:hook')]
    run(home)
    assert home.index().read_text().startswith(main)
    assert (home.index().stat().st_mode, home.index().stat().st_uid) == (status.st_mode, status.st_uid)


def test_owner_of_the_index_stays(home: OpenClawHome) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files to others")
    os.chown(home.index(), 12345, 54321)
    run(home)
    assert (home.index().stat().st_uid, home.index().stat().st_gid) == (12345, 54321)


def test_nothing_is_written_when_nothing_is_due(home: OpenClawHome) -> None:
    run(home)
    status = home.index().stat()
    run(home)
    assert home.index().stat() == status


def test_preview_changes_nothing(home: OpenClawHome) -> None:
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in home.path.rglob("*"))
    assert preview(openclaw_site(home), clock=clock).counts.files_archived == 3
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in home.path.rglob("*")) == before


def test_main_session_stays_whatever_is_set(home: OpenClawHome) -> None:
    lifecycle = Lifecycle(files_after=0, idle_after=60, max_age=60, archive=False)
    run(home, Policy(dict.fromkeys(SessionClass, lifecycle), min_age=60, max_sessions=1, max_disk=1))
    assert list(home.read()) == ["agent:main:main"]
    assert (home.directory() / "00000000-0000-4000-8000-00000000000a.jsonl").exists()


def test_agents_are_kept_apart(home: OpenClawHome) -> None:
    own = hooks(home)[0]
    home.session("direct", age=40 * DAY, agent="coder", session_id=own)
    home.write()
    lifecycles = due_policy().lifecycles | {SessionClass.CHAT: Lifecycle(files_after=60, idle_after=None)}  # type: ignore[operator]  # a dict
    run(home, due_policy(lifecycles=lifecycles))
    assert len(home.read("coder")) == 1
    assert (home.directory("coder") / f"{own}.jsonl").exists()
    assert archived(home) == {f"main/{it}" for it in hooks(home)}


def test_class_without_archive_is_removed_for_good(home: OpenClawHome) -> None:
    lifecycle = Lifecycle(files_after=int(HOUR), idle_after=int(HOUR), archive=False)
    report = run(home, due_policy(lifecycles=dict.fromkeys(SessionClass, lifecycle)))
    assert (report.counts.deleted, len(home.read())) == (3, 2)
    assert archived(home) == set()


# Restoring


def test_key_that_is_taken_stays_with_its_new_session(home: OpenClawHome) -> None:
    own = hooks(home)[0]
    key = home.key_of(own)
    run(home)
    entries = home.read() | {key: {"sessionId": "other", "updatedAt": int(NOW * 1000)}}
    home.index().write_text(json.dumps(entries, indent=2))
    report = restore_sessions(openclaw_site(home), [f"main/{own}"], now=NOW)
    (failure,) = report.failures
    assert isinstance(failure.error, RestoreConflict)
    assert home.read()[key]["sessionId"] == "other"
    assert (home.directory() / f"{own}.jsonl").exists()


def test_what_is_back_already_is_no_conflict(home: OpenClawHome) -> None:
    own = hooks(home)[0]
    run(home)
    site = openclaw_site(home)
    restore_sessions(site, [f"main/{own}"], now=NOW)
    again = restore_sessions(site, [f"main/{own}"], now=NOW)
    assert all(it.already_there for it in again.files)
    assert again.failures == ()


def test_entries_come_back_to_an_index_that_is_gone(home: OpenClawHome) -> None:
    own = hooks(home)[0]
    entry = home.read()[home.key_of(own)]
    run(home)
    home.index().unlink()
    restore_sessions(openclaw_site(home), [f"main/{own}"], now=NOW)
    assert home.read() == {home.key_of(own): entry}


# The host writes meanwhile


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let the host act between the copy and the removal."""
    update = IndexFile.update

    def late(self: IndexFile, *arguments: object) -> object:
        monkeypatch.setattr(IndexFile, "update", update)
        act()
        return update(self, *arguments)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(IndexFile, "update", late)


def test_entry_that_changed_meanwhile_keeps_its_session(
    home: OpenClawHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = hooks(home)[0]

    def touch() -> None:
        entries = home.read()
        entries[home.key_of(own)]["inputTokens"] = 5
        home.index().write_text(json.dumps(entries, indent=2))

    meanwhile(monkeypatch, touch)
    report = run(home)
    (failed,) = [it for it in report.outcomes if it.errors]
    assert failed.step.session_id == f"main/{own}"
    assert "changed since the scan" in (failed.error or "")
    assert home.read()[home.key_of(own)]["inputTokens"] == 5
    assert (home.directory() / f"{own}.jsonl").exists()
    assert len(home.read()) == 3


def test_lock_on_a_transcript_keeps_its_session(home: OpenClawHome, monkeypatch: pytest.MonkeyPatch) -> None:
    own = hooks(home)[1]
    meanwhile(monkeypatch, lambda: home.file(f"{own}.jsonl.lock", '{"pid": 4711}', age=0))
    run(home)
    assert home.key_of(own) in home.read()
    assert (home.directory() / f"{own}.jsonl").exists()


def test_orphan_that_got_an_entry_meanwhile_stays(
    home: OpenClawHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = home.new_id()
    home.transcript(own, age=9 * DAY)

    def adopt() -> None:
        entries = home.read() | {"agent:main:x:y": {"sessionId": own, "updatedAt": int(NOW * 1000)}}
        home.index().write_text(json.dumps(entries, indent=2))

    meanwhile(monkeypatch, adopt)
    run(home)
    assert (home.directory() / f"{own}.jsonl").exists()


def test_lock_that_is_not_let_go_of_costs_this_sweep_only(home: OpenClawHome) -> None:
    lock = home.file("sessions.json.lock", json.dumps({"pid": os.getpid()}), age=0)
    before = home.index().read_bytes()
    report = run(home)
    assert len([it for it in report.outcomes if it.errors]) == 3
    assert home.index().read_bytes() == before
    assert len(list(home.directory().glob("*.jsonl"))) == 5
    lock.unlink()
    assert run(home).counts.files_archived == 3


@pytest.mark.parametrize("pause", [0.0])
def test_no_update_is_lost_beside_a_gateway_that_rewrites_its_index(tmp_path: Path, pause: float) -> None:
    """A thousand rewrites; as many sweeps as fit beside them."""
    home = OpenClawHome(tmp_path / "claw")
    home.session("main", age=MINUTE)
    home.write()
    now = time.time()
    times = 1000
    command = [sys.executable, openclaw_writer.__file__, str(home.directory())]
    writer = subprocess.Popen([*command, str(times), str(pause), str(int((now - DAY) * 1000))])
    store = OpenClawStore(home.path, waiting=Waiting(sleep=lambda _: time.sleep(0.002)))
    site = Home(store, Workspace(store.home), due_policy())
    sweeps = 0
    try:
        while writer.poll() is None:
            sweep(site, clock=time.time, origin="test")
            sweeps += 1
    finally:
        writer.kill()
    assert writer.wait() in (0, -9)
    left = home.read()
    assert left["agent:main:main"]["count"] == times
    ids = {entry["sessionId"] for key, entry in left.items() if ":hook:" in key}
    gone = {it.removeprefix("main/") for it in archived(home)}
    assert len(ids | gone) == times
    assert not ids & gone
    assert sweeps > 1
    assert gone
    assert {path.stem for path in home.directory().glob("*.jsonl")} >= ids


# Crashes


class Died(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("call", ["rename", "unlink", "fsync", "write", "link"])
@pytest.mark.parametrize("number", [1, 2, 3, 5, 8])
def test_sweep_that_dies_is_completed_by_the_next(
    home: OpenClawHome, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    files, entries = snapshot_of(home.directory()), home.read()
    count = 0
    real = getattr(effects, call)

    def die(*arguments: object, **named: object) -> object:
        nonlocal count
        count += 1
        if count >= number:
            raise Died
        return real(*arguments, **named)

    with monkeypatch.context() as patch, contextlib.suppress(Died):  # perhaps it needs fewer calls
        patch.setattr(effects, call, die)
        run(home)
    stale = home.directory() / "sessions.json.lock"
    if stale.exists():  # its holder is dead; the host waits half a minute as well
        os.utime(stale, (NOW - MINUTE, NOW - MINUTE))
        stale.write_text("{}")
        os.utime(stale, (NOW - MINUTE, NOW - MINUTE))
    run(home)
    assert len(home.read()) == 2
    site = openclaw_site(home)
    report = restore_sessions(site, [f"main/{own}" for own in hooks(home)], now=NOW)
    assert report.failures == ()
    assert home.read() == entries
    after = snapshot_of(home.directory())
    assert {name: it for name, it in after.items() if name.endswith(b"l")} == {
        name: it for name, it in files.items() if name.endswith(b"l")
    }


def test_files_that_stay_when_their_entry_has_gone_go_next_time(
    home: OpenClawHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Remover, artifact: Artifact) -> None:
        raise RestoreConflict(artifact.name, "no")

    with monkeypatch.context() as patch:
        patch.setattr(Remover, "remove", refuse)
        run(home)
    assert len(home.read()) == 2
    lifecycles: Mapping[SessionClass, Lifecycle] = due_policy().lifecycles
    assert run(home, due_policy(lifecycles=lifecycles)).counts.files_archived == 3
    assert not [path for path in home.directory().glob("*.jsonl") if path.stem in hooks(home)]


# Leftovers and crowds


def test_leftovers_have_an_age_of_their_own(home: OpenClawHome) -> None:
    own = home.session("direct", age=MINUTE)
    old = [
        home.file(f"{own}.jsonl.reset.2026-11-01T00-00-00.000Z", age=8 * DAY),
        home.file("sessions.json.bak.2", age=8 * DAY),
        home.file("sessions.json.1.abc.tmp", age=8 * DAY),
    ]
    new = [home.file(f"{own}.jsonl.bak.5", age=6 * DAY), home.file("sessions.json.bak.1", age=HOUR)]
    home.write()
    run(home, due_policy(lifecycles=dict.fromkeys(SessionClass, Lifecycle(files_after=int(30 * DAY)))))
    assert [path.exists() for path in old] == [False] * 3
    assert [path.exists() for path in new] == [True] * 2
    vault = Vault(home.path / "retention" / "archive")
    assert {it.name for it in vault.artifacts()} == {path.name for path in old}


def test_orphan_is_archived_even_where_its_class_is_deleted(home: OpenClawHome) -> None:
    own = home.new_id()
    home.transcript(own, age=9 * DAY)
    run(home, due_policy(lifecycles=dict.fromkeys(SessionClass, Lifecycle(files_after=60, archive=False))))
    vault = Vault(home.path / "retention" / "archive")
    assert [it.session_id for it in vault.artifacts()] == [f"main/{own}"]


def test_most_sessions_of_an_agent(home: OpenClawHome) -> None:
    late = dict.fromkeys(SessionClass, Lifecycle(files_after=int(30 * DAY), idle_after=int(HOUR)))
    report = run(home, due_policy(lifecycles=late, max_sessions=3))
    assert report.counts.files_archived == 2
    kept = [own for own in hooks(home) if home.key_of(own) in home.read()]
    assert kept == hooks(home)[2:]
    assert "max_sessions" in next(it for it in report.steps if it.artifacts).reason
    report = run(home, due_policy(lifecycles=late, max_sessions=1))
    assert "max_sessions: agent main keeps 1 more than 1" in " ".join(report.warnings)


# The script of the first report


def test_store_of_the_first_report_keeps_what_is_young(tmp_path: Path) -> None:
    """Its script asked for ``updatedAtMs``, which no entry has, and so deleted all but one session."""
    home = OpenClawHome(tmp_path / "claw")
    home.session("main", age=HOUR)
    young = [home.session("hook", age=minutes * MINUTE) for minutes in range(1, 60, 2)]
    old = [home.session("hook", age=HOUR + minutes * MINUTE) for minutes in range(1, 60, 2)]
    home.write()
    run(home)
    left = {entry["sessionId"] for entry in home.read().values()}
    assert left >= set(young)
    assert not left & set(old)
    assert len(left) == 31
