"""The whole scan: what files, rows and routes say together of each session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from homes import DAY, HOUR, NOW, HomeBuilder, name_of

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.session import ArtifactKind, Session, SessionClass
from hermes_retention.model.text import safe_name
from hermes_retention.stores.base import Store
from hermes_retention.stores.hermes.store import HermesStore

CHAT, LATER = "20261101_090000_0a1b2c3d", "20261102_090000_4e5f6a7b"
KEY = "agent:main:telegram:dm:1"


def by_id(home: HomeBuilder) -> dict[str, Session]:
    return {session.id: session for session in home.store().scan(now=NOW).sessions}


def test_it_is_a_store(tmp_path: Path) -> None:
    store: Store = HermesStore(tmp_path)
    assert (store.name, store.home, store.files_directory) == ("hermes", tmp_path, tmp_path / "sessions")


def test_empty_home_holds_nothing(tmp_path: Path) -> None:
    scan = HermesStore(tmp_path).scan(now=NOW)
    assert (scan.sessions, scan.unknown, scan.other_bytes, scan.warnings) == ((), (), 0, ())


def test_sessions_come_sorted_by_id_with_all_their_files(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("b").session("a", files=("snapshot", "transcript", "request_dump"))
    home.file("session_c.json")
    scan = home.store().scan(now=NOW)
    assert [session.id for session in scan.sessions] == ["a", "b", "c"]
    assert [artifact.kind for artifact in scan.sessions[0].artifacts] == [
        ArtifactKind.TRANSCRIPT,
        ArtifactKind.REQUEST_DUMP,
        ArtifactKind.SNAPSHOT,
    ]


def test_two_scans_of_the_same_home_are_equal(tmp_path: Path) -> None:
    home = (
        HomeBuilder(tmp_path).session("b", key=KEY).session("a").route(KEY, "a").file("junk").file("morejunk")
    )
    assert home.store().scan(now=NOW) == home.store().scan(now=NOW)


@pytest.mark.parametrize("session_id", ["client/one", "über uns", "../../etc", "x" * 200, "_a_", "a\nb"])
def test_file_with_the_safe_name_belongs_to_the_record(tmp_path: Path, session_id: str) -> None:
    home = HomeBuilder(tmp_path).session(session_id, source="api_server", files=())
    home.file(name_of("snapshot", safe_name(session_id))).file(name_of("request_dump", safe_name(session_id)))
    (session,) = home.store().scan(now=NOW).sessions
    assert session.id == session_id
    assert len(session.artifacts) == 2


@pytest.mark.parametrize("session_id", ["a.b", "_a_", "a\nb", "a b"])
def test_file_with_the_id_itself_belongs_to_the_record(tmp_path: Path, session_id: str) -> None:
    home = HomeBuilder(tmp_path, host="0.13").session(
        session_id, files=("snapshot", "transcript", "request_dump")
    )
    assert len(by_id(home)[session_id].artifacts) == 3


def test_file_of_a_routed_session_without_row_is_no_orphan(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, database=False).index({KEY: {"session_id": "client.one"}})
    home.file(name_of("snapshot", safe_name("client.one"))).file("client.one.jsonl")
    (session,) = home.store().scan(now=NOW).sessions
    assert session.id == "client.one"
    assert session.routes != ()
    assert len(session.artifacts) == 2


@pytest.mark.parametrize(
    ("session_id", "kind", "group"),
    [
        (CHAT, SessionClass.CHAT, None),
        ("20261101_090000_0a1b2c", SessionClass.CLI, None),
        ("cron_my_job_20261101_090000", SessionClass.CRON, "my_job"),
        ("api-0123456789abcdef", SessionClass.API, None),
        ("whatever", SessionClass.OTHER, None),
    ],
)
def test_orphan_is_judged_by_its_id(
    tmp_path: Path, session_id: str, kind: SessionClass, group: str | None
) -> None:
    (session,) = HomeBuilder(tmp_path).file(name_of("snapshot", session_id)).store().scan(now=NOW).sessions
    assert (session.record, session.routes) == (None, ())
    assert (session.session_class, session.group, session.failed) == (kind, group, False)


def test_unknown_entries_are_listed_by_name_with_a_reason(tmp_path: Path) -> None:
    home = (
        HomeBuilder(tmp_path).session("a.b", files=()).session(safe_name("a.b")).file("zzz").file("aaa.txt")
    )
    (home.files / "saved").mkdir()
    scan = home.store().scan(now=NOW)
    assert [unknown.name for unknown in scan.unknown] == [
        "aaa.txt",
        "saved",
        f"session_{safe_name('a.b')}.json",
        "zzz",
    ]
    assert all(unknown.why for unknown in scan.unknown)
    assert scan.unknown[0].allocated_bytes == (home.files / "aaa.txt").lstat().st_blocks * 512


# Successor


def test_session_whose_key_leads_elsewhere_has_a_successor(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session(CHAT, key=KEY).session(LATER, key=KEY, ended=None).route(KEY, LATER)
    sessions = by_id(home)
    assert (sessions[CHAT].successor, sessions[LATER].successor) == (LATER, None)


def test_session_whose_key_leads_nowhere_has_none(tmp_path: Path) -> None:
    assert by_id(HomeBuilder(tmp_path).session(CHAT, key=KEY))[CHAT].successor is None


def test_old_host_does_not_say_whose_successor_it_is(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, host="0.13").session(CHAT).session(LATER, ended=None).route(KEY, LATER)
    assert by_id(home)[CHAT].successor is None


# The series in which keep_last counts


def test_series_of_a_cron_run_is_its_job(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("cron_my_job_20261101_090000", source="cron", user_id="u")
    assert by_id(home)["cron_my_job_20261101_090000"].group == "my_job"


def test_series_of_a_chat_is_its_key(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a", key=KEY, user_id="u").route("agent:main:telegram:dm:2", "a")
    assert by_id(home)["a"].group == KEY


def test_series_of_a_routed_chat_of_an_old_host_is_the_key_of_its_route(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, host="0.13").session("a", user_id="u").route(KEY, "a")
    assert by_id(home)["a"].group == KEY


def test_series_is_else_that_of_the_user(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, host="0.13").session("a", user_id="u").session("b").session("c", user_id="")
    sessions = by_id(home)
    assert [sessions[name].group for name in "abc"] == ["telegram:u", None, None]


def test_series_of_a_hook_is_its_sender_since_its_key_is_used_once(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    for delivery in ("17", "18"):
        key = f"agent:main:webhook:webhook:webhook:deploy:{delivery}:webhook:deploy"
        home.session(delivery, source="webhook", key=key, user_id="webhook:deploy").route(key, delivery)
    assert {session.group for session in by_id(home).values()} == {"webhook:webhook:deploy"}


# Homes that are not as they should be


def test_missing_database_is_a_warning_when_there_are_files(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, database=False).file(name_of("snapshot", CHAT))
    (warning,) = home.store().scan(now=NOW).warnings
    assert warning.startswith(
        f"{tmp_path}/state.db does not exist: sessions are known by files and routes alone"
    )
    assert by_id(home)[CHAT].record is None


def test_database_without_sessions_is_a_warning_when_there_are_files(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path, omit=["sessions", "messages"]).file(name_of("snapshot", CHAT))
    (warning,) = home.store().scan(now=NOW).warnings
    assert "state.db has no table of sessions" in warning


def test_home_may_be_a_link(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "disk").session("a")
    (tmp_path / "link").symlink_to(home.path)
    store = HermesStore(tmp_path / "link")
    assert store.home == home.path
    assert [session.id for session in store.scan(now=NOW).sessions] == ["a"]


def test_missing_home_says_how_to_name_another(tmp_path: Path) -> None:
    with pytest.raises(
        StoreUnreadable, match=r"there is no such directory; nothing was removed\. Name the home"
    ):
        HermesStore(tmp_path / "nowhere").scan(now=NOW)


def test_home_that_is_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(StoreUnreadable, match="it is not a directory"):
        HermesStore(tmp_path / "home").scan(now=NOW)


def test_home_that_leads_in_a_circle_says_so(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StoreUnreadable, match="nothing was removed"):
        HermesStore(tmp_path / "a").scan(now=NOW)


def test_home_with_any_name_is_read_and_named_on_one_line(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / os.fsdecode(b"two\nlines \xff")).session("a")
    assert [session.id for session in home.store().scan(now=NOW).sessions] == ["a"]
    home.file("sessions.json", b"damaged")
    with pytest.raises(StoreUnreadable) as caught:
        home.store().scan(now=NOW)
    assert str(caught.value).isprintable()


def test_scan_opens_no_file_of_a_session(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a", age=HOUR)
    path = home.files / name_of("snapshot", "a")
    os.utime(path, ns=(0, path.stat().st_mtime_ns))
    home.store().scan(now=NOW)
    path.chmod(0)
    assert [len(session.artifacts) for session in home.store().scan(now=NOW).sessions] == [1]
    assert path.stat().st_atime_ns == 0


def test_metadata_is_that_of_the_database(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a", title="Greetings", age=DAY)
    assert home.store().metadata(["a"])["a"].title == "Greetings"
