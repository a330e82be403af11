"""What a scan of an OpenClaw home says: sessions, classes, liveness, and what cannot be judged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from homes import DAY, HOUR, MINUTE, NOW
from openclaw_homes import OpenClawHome

from hermes_retention.home.open import HomeLoader
from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.session import ArtifactKind, Session, SessionClass
from hermes_retention.stores.base import Scan


@pytest.fixture
def home(tmp_path: Path) -> OpenClawHome:
    return OpenClawHome(tmp_path / "claw")


def scan(home: OpenClawHome) -> Scan:
    return home.store().scan(now=NOW)


def session(home: OpenClawHome, session_id: str) -> Session:
    home.write()
    return next(it for it in scan(home).sessions if it.id == session_id)


def busy(found: Session) -> str | None:
    return None if found.record is None else found.record.busy


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("main", SessionClass.CHAT),
        ("hook", SessionClass.HOOK),
        ("cron", SessionClass.CRON),
        ("run", SessionClass.CRON),
        ("subagent", SessionClass.SUBAGENT),
        ("direct", SessionClass.CHAT),
        ("group", SessionClass.CHAT),
        ("dashboard", SessionClass.CHAT),
        ("telegram:group:-1:topic:5", SessionClass.CHAT),
        ("main:thread:9", SessionClass.CHAT),
        ("openai:{id}", SessionClass.API),
        ("hook:{id}:subagent:{id}", SessionClass.SUBAGENT),
        ("something:new", SessionClass.OTHER),
    ],
)
def test_class_is_told_by_the_key(home: OpenClawHome, kind: str, expected: SessionClass) -> None:
    found = session(home, "main/" + home.session(kind, age=HOUR))
    assert found.session_class is expected
    assert [route.leaves_along for route in found.routes] == [kind != "main"]


def test_session_has_its_entry_transcripts_and_what_lies_beside_them(home: OpenClawHome) -> None:
    own = home.session("hook", age=HOUR)
    for suffix in ("-topic-12.jsonl", ".trajectory.jsonl", ".trajectory-path.json"):
        home.transcript(own, age=HOUR, suffix=suffix)
    home.file(f"{own}.checkpoint.{home.new_id()}.jsonl", age=HOUR)
    home.file(f"{own}.jsonl.deleted.2026-11-01T10-00-00.000Z", age=9 * DAY)
    kinds = [it.kind for it in session(home, f"main/{own}").artifacts]
    assert kinds.count(ArtifactKind.ENTRY) == 1
    assert kinds.count(ArtifactKind.TRANSCRIPT) == 2
    assert kinds.count(ArtifactKind.SIDECAR) == 3
    assert kinds.count(ArtifactKind.LEFTOVER) == 1


def test_same_id_of_two_agents_is_two_sessions(home: OpenClawHome) -> None:
    own = home.session("hook", age=HOUR, agent="coder")
    home.session("hook", age=HOUR, agent="main", session_id=own)
    home.write()
    assert [it.id for it in scan(home).sessions] == [f"coder/{own}", f"main/{own}"]


def test_two_keys_of_one_session_are_one_session(home: OpenClawHome) -> None:
    own = home.session("direct", age=DAY)
    home.session("group", age=HOUR, session_id=own)
    found = session(home, f"main/{own}")
    assert len(found.routes) == 2
    assert len([it for it in found.artifacts if it.kind is ArtifactKind.ENTRY]) == 1
    assert found.last_activity == pytest.approx(NOW - HOUR)


def test_leftovers_of_the_index_belong_to_no_session(home: OpenClawHome) -> None:
    home.session("hook", age=HOUR)
    names = ["sessions.json.bak.1", "sessions.json.4711.ab-cd.tmp", "sessions.json.ab-cd.tmp"]
    for name in names:
        home.file(name, age=9 * DAY)
    found = session(home, "main/sessions.json")
    assert sorted(it.name for it in found.artifacts) == sorted(names)
    assert {it.kind for it in found.artifacts} == {ArtifactKind.LEFTOVER}


def test_what_no_host_writes_is_unknown(home: OpenClawHome) -> None:
    home.session("hook", age=HOUR)
    home.file("notes.jsonl", age=DAY)
    home.file("notes.txt.bak.1", age=DAY)
    (home.directory() / "mine").mkdir()
    (home.directory() / "skills-prompts").mkdir()
    home.write()
    assert [it.name for it in scan(home).unknown] == ["mine", "notes.jsonl", "notes.txt.bak.1"]


def test_transcript_without_entry_is_an_orphan(home: OpenClawHome) -> None:
    home.session("hook", age=HOUR)
    own = home.new_id()
    home.transcript(own, age=DAY)
    home.transcript(own, age=DAY, suffix="-topic-3.jsonl")
    found = session(home, f"main/{own}")
    assert (found.record, found.routes, len(found.artifacts)) == (None, (), 2)


# Liveness


@pytest.mark.parametrize(("age", "live"), [(5 * MINUTE, True), (59 * MINUTE, True), (61 * MINUTE, False)])
def test_running_session_is_busy_while_it_shows_activity(
    home: OpenClawHome, age: float, *, live: bool
) -> None:
    found = session(home, "main/" + home.session("hook", age=age, status="running"))
    assert (busy(found) is not None) is live


def test_file_that_grows_is_activity_too(home: OpenClawHome) -> None:
    own = home.session("hook", age=DAY, status="running")
    home.transcript(own, age=MINUTE)
    assert busy(session(home, f"main/{own}")) == "a run that showed activity within the hour"


@pytest.mark.parametrize(("age", "live"), [(0, True), (29 * MINUTE, True), (31 * MINUTE, False)])
def test_transcript_lock_makes_busy_until_it_is_stale(home: OpenClawHome, age: float, *, live: bool) -> None:
    own = home.session("hook", age=DAY)
    home.file(f"{own}.jsonl.lock", json.dumps({"pid": 4711}), age=age)
    assert (busy(session(home, f"main/{own}")) == "its transcript is locked by process 4711") is live


@pytest.mark.parametrize(("status", "failed"), [("done", False), ("failed", True), ("timeout", True)])
def test_status_tells_failure(home: OpenClawHome, status: str, *, failed: bool) -> None:
    assert session(home, "main/" + home.session("hook", age=DAY, status=status)).failed is failed


def test_end_of_a_run_is_no_end_of_a_chat_or_hook(home: OpenClawHome) -> None:
    at = int((NOW - DAY) * 1000)
    for kind, expected in (("run", True), ("subagent", True), ("hook", False), ("direct", False)):
        record = session(home, "main/" + home.session(kind, age=DAY, status="done", endedAt=at)).record
        assert record is not None
        assert (record.ended_at is not None) is expected


def test_last_interaction_counts_as_activity(home: OpenClawHome) -> None:
    own = home.session("hook", age=DAY, lastInteractionAt=int((NOW - HOUR) * 1000))
    assert session(home, f"main/{own}").last_activity == pytest.approx(NOW - HOUR)


# What cannot be judged


@pytest.mark.parametrize(
    ("updated", "why"),
    [
        (..., "it has no updatedAt"),
        (0, "its updatedAt is no time in milliseconds"),
        ("2026-11-20T10:00:00Z", "its updatedAt is no time in milliseconds"),
        (NOW, "its updatedAt is no time in milliseconds"),
        (True, "its updatedAt is no time in milliseconds"),
        (-1, "its updatedAt is no time in milliseconds"),
    ],
    ids=["missing", "zero", "text", "seconds", "true", "negative"],
)
def test_time_that_is_none_keeps_the_session_and_is_told_once(
    home: OpenClawHome, updated: object, why: str
) -> None:
    keys = [home.session("hook", age=40 * DAY, updatedAt=updated) for _ in range(2)]
    home.write()
    found = scan(home)
    assert {busy(it) for it in found.sessions} == {f"unclear entry: {why}"}
    (line,) = found.warnings
    assert "2 session(s) cannot be judged" in line
    assert why in line
    assert home.key_of(keys[0]) in line or home.key_of(keys[1]) in line


def test_time_in_the_future_counts_as_now(home: OpenClawHome) -> None:
    found = session(home, "main/" + home.session("hook", age=-DAY))
    assert busy(found) is None
    assert found.last_activity > NOW


@pytest.mark.parametrize("outside", ["/etc/passwd", "../../x/{id}.jsonl", "/tmp/{id}.jsonl", ""])
def test_session_file_outside_the_directory_is_not_trusted(home: OpenClawHome, outside: str) -> None:
    own = home.new_id()
    home.session("hook", age=DAY, session_id=own, sessionFile=outside.format(id=own))
    found = session(home, f"main/{own}")
    assert busy(found) == "unclear entry: its sessionFile lies outside its directory"


def test_same_directory_under_another_mount_is_the_same(home: OpenClawHome) -> None:
    own = home.new_id()
    inside = f"/home/node/.openclaw/agents/main/sessions/{own}.jsonl"
    home.session("hook", age=DAY, session_id=own, sessionFile=inside)
    assert busy(session(home, f"main/{own}")) is None


def test_transcript_that_is_a_link_keeps_its_session(home: OpenClawHome, tmp_path: Path) -> None:
    own = home.session("hook", age=DAY)
    path = home.directory() / f"{own}.jsonl"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert busy(session(home, f"main/{own}")) == "unclear entry: its transcript is a symbolic link"


def test_transcript_that_two_entries_name_keeps_both(home: OpenClawHome) -> None:
    first = home.session("hook", age=DAY)
    path = str(home.directory() / f"{first}.jsonl")
    second = home.session("hook", age=DAY, sessionFile=path)
    for own in (first, second):
        assert busy(session(home, f"main/{own}")) == "unclear entry: another entry has the same transcript"


@pytest.mark.parametrize("entry", [None, 7, "text", [], {}, {"sessionId": ""}, {"sessionId": 3}])
def test_entry_that_names_no_session_keeps_orphans(home: OpenClawHome, entry: object) -> None:
    own = home.new_id()
    home.transcript(own, age=40 * DAY)
    home.index().write_text(json.dumps({"agent:main:hook:x": entry}))
    found = scan(home)
    assert busy(found.sessions[0]) == "unclear index: an entry that names no session may lead to it"
    (line,) = found.warnings
    assert "agent:main:hook:x" in line


@pytest.mark.parametrize(
    "content", ["", "{", '{"agent:main:main": {"sessionId"', "[]", "null", '{"a": {}, "a": {}}', "{} {}"]
)
def test_index_that_cannot_be_read_stops_everything_with_one_line(home: OpenClawHome, content: str) -> None:
    home.session("hook", age=DAY, agent="other")
    home.write()
    home.transcript(home.new_id(), age=40 * DAY)
    home.index().write_text(content)
    with pytest.raises(
        StoreUnreadable, match=r"main/sessions/sessions\.json: .*nothing was removed"
    ) as refusal:
        scan(home)
    assert "\n" not in str(refusal.value)


def test_index_that_is_a_link_or_a_pipe_is_not_read(home: OpenClawHome, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("{}")
    home.index().symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnreadable):
        scan(home)
    home.index().unlink()
    os.mkfifo(home.index())
    with pytest.raises(StoreUnreadable, match="not a regular file"):
        scan(home)


def test_agent_that_is_a_link_is_left_alone(home: OpenClawHome, tmp_path: Path) -> None:
    home.session("hook", age=DAY)
    home.write()
    (tmp_path / "elsewhere" / "sessions").mkdir(parents=True)
    (home.path / "agents" / "linked").symlink_to(tmp_path / "elsewhere")
    found = scan(home)
    assert [it.id.split("/")[0] for it in found.sessions] == ["main"]
    assert "agents/linked" in found.warnings[0]


# Memory


def test_large_index_is_not_kept_and_told_once(home: OpenClawHome) -> None:
    home.session("hook", age=DAY, padding="x" * 5000)
    home.write()
    store = home.store(cache_max_bytes=4000)
    (line,) = store.scan(now=NOW).warnings
    for part in (str(home.index()), "5.", "4.0 KB", "HERMES_RETENTION_INDEX__CACHE_MAX_BYTES"):
        assert part in line
    assert store.scan(now=NOW).warnings == ()


@pytest.mark.parametrize("limit", [0, 10_000])
def test_index_is_read_anew_when_its_file_changed(home: OpenClawHome, limit: int) -> None:
    home.session("hook", age=DAY)
    home.write()
    store = home.store(cache_max_bytes=limit)
    assert len(store.scan(now=NOW).sessions) == 1
    home.session("hook", age=DAY)
    home.write()
    assert len(store.scan(now=NOW).sessions) == 2
    assert store.scan(now=NOW).warnings == ()


@pytest.mark.parametrize(
    ("platform", "key", "expected"),
    [
        ("telegram", "agent:main:cron:daily", SessionClass.CRON),
        ("", "agent:main:telegram:direct:7", SessionClass.CHAT),
        ("cron", "", SessionClass.CRON),
        ("telegram", "", SessionClass.CHAT),
        ("", "", SessionClass.OTHER),
    ],
)
def test_class_of_a_growing_session_is_told_by_its_key(
    tmp_path: Path, platform: str, key: str, expected: SessionClass
) -> None:
    home = OpenClawHome(tmp_path)
    home.session("hook", age=DAY)
    home.write()
    counter = HomeLoader(tmp_path, environ={}).counter()
    assert counter.class_of("a-session", platform, key) is expected
    assert counter.look("a-session", None, now=NOW) is None
    assert counter.recount("a-session") is None
    counter.close()


def test_home_of_no_known_host_counts_as_the_gateway_of_hermes_would(tmp_path: Path) -> None:
    counter = HomeLoader(tmp_path, environ={}).counter()
    assert counter.class_of("a-session", "telegram", "") is SessionClass.CHAT
    assert counter.look("a-session", None, now=NOW) is None
