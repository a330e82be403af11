"""What a gateway of the OpenClaw family finds when it starts after ``prestart``."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from homes import DAY, HOUR, MINUTE, NOW
from openclaw_homes import OpenClawHome, openclaw_site
from sites import clock

from hermes_retention.actions.restore.restore import undo, undoable_sweeps
from hermes_retention.actions.upkeep.prestart import PrestartReport, ResumeLimits, prestart, preview_prestart
from hermes_retention.disk import effects
from hermes_retention.policy.lifecycle import Policy
from hermes_retention.settings.fields import OPENCLAW_DEFAULTS
from hermes_retention.settings.load import load_settings
from hermes_retention.stores.openclaw.files import Waiting
from hermes_retention.stores.openclaw.store import OpenClawStore


@pytest.fixture
def home(tmp_path: Path) -> OpenClawHome:
    return OpenClawHome(tmp_path / "claw")


def usual_policy(**environ: str) -> Policy:
    named = {f"HERMES_RETENTION_{name}": value for name, value in environ.items()}
    return load_settings(Path("/nonexistent"), named, defaults=OPENCLAW_DEFAULTS).policy()


def run(
    home: OpenClawHome,
    *,
    resume_max: int = 10,
    max_age: float | None = None,
    policy: Policy | None = None,
    dry: bool = False,
) -> PrestartReport:
    site = openclaw_site(home.write() if home.entries else home, policy or usual_policy())
    store = OpenClawStore(home.path, waiting=Waiting(now=lambda: NOW, sleep=lambda _: None)).before_start()
    home.entries = {}
    return (preview_prestart if dry else prestart)(
        site, store, limits=ResumeLimits(resume_max, max_age), clock=clock
    )


def left(home: OpenClawHome) -> set[str]:
    return {entry["sessionId"] for entry in home.read().values()}


def test_what_ended_in_error_leaves_at_once_but_no_chat(home: OpenClawHome) -> None:
    gone = [home.session(kind, age=20 * MINUTE, status="failed") for kind in ("hook", "run", "subagent")]
    kept = [
        home.session("direct", age=20 * MINUTE, status="failed"),
        home.session("main", age=20 * MINUTE, status="failed"),
        home.session("hook", age=20 * MINUTE, status="done"),
    ]
    report = run(home)
    assert report.dropped.counts.files_archived == 3
    assert left(home) == set(kept)
    assert not [own for own in gone if (home.directory() / f"{own}.jsonl").exists()]


def test_bindings_expire_by_their_ages(home: OpenClawHome) -> None:
    old = home.session("direct", age=25 * HOUR)
    new = home.session("group", age=23 * HOUR)
    assert run(home).swept.counts.files_archived == 0
    report = run(home, policy=usual_policy(CHAT__IDLE_AFTER="24h", CHAT__MAX_AGE="120h"))
    assert report.swept.counts.files_archived == 1
    assert left(home) == {new}
    assert not (home.directory() / f"{old}.jsonl").exists()


def test_binding_expires_at_its_age_however_busy(home: OpenClawHome) -> None:
    started = int((NOW - 121 * HOUR) * 1000)
    home.session("direct", age=HOUR, sessionStartedAt=started)
    report = run(home, policy=usual_policy(CHAT__IDLE_AFTER="24h", CHAT__MAX_AGE="120h"))
    assert report.swept.counts.files_archived == 1


def test_newest_few_of_each_agent_keep_their_mark(home: OpenClawHome) -> None:
    marked = {}
    for agent in ("main", "coder"):
        marked[agent] = [
            home.session("direct", age=n * MINUTE, agent=agent, status="running", abortedLastRun=True, n=n)
            for n in range(11, 16)
        ]
    report = run(home, resume_max=2)
    assert report.resumed == tuple(
        f"{agent}/{own}" for agent in ("coder", "main") for own in marked[agent][:2]
    )
    for agent, ids in marked.items():
        entries = {entry["sessionId"]: entry for entry in home.read(agent).values()}
        assert [entries[own]["abortedLastRun"] for own in ids] == [True, True, False, False, False]
        assert [entries[own]["status"] for own in ids] == ["running"] * 2 + ["killed"] * 3
        assert [entries[own]["n"] for own in ids] == [*range(11, 16)]


def test_what_was_interrupted_long_ago_loses_its_mark(home: OpenClawHome) -> None:
    new = home.session("direct", age=50 * MINUTE, abortedLastRun=True)
    old = home.session("direct", age=70 * MINUTE, abortedLastRun=True)
    report = run(home, max_age=HOUR)
    assert (report.resumed, report.cleared) == ((f"main/{new}",), (f"main/{old}",))


def test_main_session_is_resumed_whatever_its_age_and_counts(home: OpenClawHome) -> None:
    main = home.session("main", age=9 * DAY, abortedLastRun=True)
    chats = [home.session("direct", age=n * HOUR, abortedLastRun=True) for n in (1, 2)]
    report = run(home, resume_max=2)
    assert report.resumed == (f"main/{main}", f"main/{chats[0]}")
    assert report.cleared == (f"main/{chats[1]}",)
    assert run(home, resume_max=0).resumed == (f"main/{main}",)


def test_entries_that_keep_their_mark_keep_every_byte(home: OpenClawHome) -> None:
    home.session("direct", age=HOUR, abortedLastRun=True)
    home.session("direct", age=2 * HOUR, status="running")
    home.write()
    text = home.index().read_text().replace('"model": "claude"', '"model" :  "claude", "x": 1.0e3')
    home.entries = {}
    home.index().write_text(text)
    run(home, resume_max=1)
    assert home.index().read_text() == text.replace('"status": "running"', '"status": "killed"')


@pytest.mark.parametrize(
    ("content", "readable"),
    [
        ('{"type":"session","id":"x"}\n{"type":"message"}\n', True),
        ('{"type":"session","id":"x"}\n{"type":"mess', True),
        ("", False),
        ('{"type":"message"}\n', False),
        ('{"type":"session","id":"x"}\n{"type":"mess\n{"type":"message"}\n', False),
        ("\0\0\0\0", False),
        ("[]\n", False),
    ],
)
def test_broken_transcript_is_set_aside(home: OpenClawHome, content: str, *, readable: bool) -> None:
    own = home.session("direct", age=HOUR, abortedLastRun=True)
    path = home.file(f"{own}.jsonl", content, age=HOUR)
    report = run(home)
    assert (left(home) == {own}) is readable
    assert path.exists() is readable
    assert report.dropped.counts.files_archived == (0 if readable else 1)
    if not readable:
        site = openclaw_site(home)
        undo(site, undoable_sweeps(site, None, all_sweeps=False), now=NOW)
        assert path.read_text() == content
        assert left(home) == {own}


def test_transcript_that_cannot_be_read_may_be_sound_and_stays(
    home: OpenClawHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = home.session("direct", age=HOUR, abortedLastRun=True)
    name, open_file = f"{own}.jsonl", effects.open_file

    def refused(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return open_file(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(effects, "open_file", refused)
    report = run(home)
    assert left(home) == {own}
    assert (home.directory() / name).exists()
    assert report.dropped.counts.files_archived == 0
    assert report.cleared == (f"main/{own}",)  # it is gone on with when somebody asks


def test_broken_transcript_of_the_main_session_is_only_told(home: OpenClawHome) -> None:
    own = home.session("main", age=HOUR, abortedLastRun=True)
    home.file(f"{own}.jsonl", "", age=HOUR)
    report = run(home)
    assert left(home) == {own}
    assert "the transcript of a main session is broken; it is kept" in " ".join(report.dropped.warnings)


def test_locked_transcript_keeps_its_mark(home: OpenClawHome) -> None:
    own = home.session("direct", age=HOUR, abortedLastRun=True)
    home.file(f"{own}.jsonl.lock", json.dumps({"pid": 4711}), age=MINUTE)
    assert run(home, resume_max=0).cleared == ()
    assert next(iter(home.read().values()))["abortedLastRun"] is True


def test_preview_says_the_same_and_changes_nothing(home: OpenClawHome) -> None:
    home.session("hook", age=20 * MINUTE, status="failed")
    for hours in (1, 2, 3):
        home.session("direct", age=hours * HOUR, abortedLastRun=True)
    home.write()
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in home.path.rglob("*"))
    seen = run(home.write(), resume_max=1, dry=True)
    assert sorted(str(path) for path in home.path.rglob("*")) == [name for name, _ in before]
    done = run(home, resume_max=1)
    assert (seen.resumed, sorted(seen.cleared)) == (done.resumed, sorted(done.cleared))
    assert seen.dropped.counts.files_archived == done.dropped.counts.files_archived == 1
