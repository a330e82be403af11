"""Names of files, the sessions they belong to, and everything else that may lie in a directory."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
from homes import DAY, NOW, HomeBuilder
from hypothesis import given
from hypothesis import strategies as st

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.session import Artifact, ArtifactKind
from hermes_retention.model.text import safe_name
from hermes_retention.stores.hermes.files import (
    FilesBySession,
    assign_owners,
    is_of_no_session,
    list_directory,
    split_name,
    take,
)

STAMP = "20261101_090000_000001"
PARTS = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=40)


def artifact(name: str) -> Artifact:
    split = split_name(name)
    assert split is not None
    return Artifact(split[0], name, 2, 4096, 0, 1)


def files_of(*names: str) -> FilesBySession:
    files: FilesBySession = {}
    for name in names:
        part = (split_name(name) or (None, ""))[1]
        known = files.get(part, [])
        files[part] = [*(known if isinstance(known, list) else [known]), artifact(name)]
    return files


def owners(names: list[str], known: set[str]) -> dict[str, str]:
    """File name → the session that it is given to."""
    assigned = assign_owners(files_of(*names), known).by_session
    return {it.name: session_id for session_id in list(assigned) for it in take(assigned, session_id)}


@pytest.mark.parametrize(
    ("name", "kind", "part"),
    [
        ("session_a.json", ArtifactKind.SNAPSHOT, "a"),
        ("session_cron_job_20261101_090000.json", ArtifactKind.SNAPSHOT, "cron_job_20261101_090000"),
        ("session_a.b.json", ArtifactKind.SNAPSHOT, "a.b"),
        ("session_two\nlines.json", ArtifactKind.SNAPSHOT, "two\nlines"),
        ("session_\udcff.json", ArtifactKind.SNAPSHOT, "\udcff"),
        ("a.jsonl", ArtifactKind.TRANSCRIPT, "a"),
        ("session_a.jsonl", ArtifactKind.TRANSCRIPT, "session_a"),
        (f"request_dump_a_{STAMP}.json", ArtifactKind.REQUEST_DUMP, "a"),
        (f"request_dump_a_{STAMP}_{STAMP}.json", ArtifactKind.REQUEST_DUMP, f"a_{STAMP}"),
        (f"request_dump_a\n_{STAMP}.json", ArtifactKind.REQUEST_DUMP, "a\n"),
    ],
)
def test_name_is_split_into_kind_and_session(name: str, kind: ArtifactKind, part: str) -> None:
    assert split_name(name) == (kind, part)


@pytest.mark.parametrize(
    "name",
    [
        "session_.json",
        ".jsonl",
        "session_a.json.bak",
        "session_a.json\n",
        "a.json",
        "Session_a.json",
        f"request_dump_{STAMP}.json",
        f"request_dump__{STAMP}.json",
        "request_dump_a.json",
        "request_dump_a_20261101_090000.json",
        "request_dump_a_20261101_090000_00001.json",
        "request_dump_a_20261101_090000_00000².json",
        f"request_dump_a_{STAMP}.json.tmp",
        "sessions.json",
        "",
    ],
)
def test_names_of_another_form_belong_to_nobody(name: str) -> None:
    assert split_name(name) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sessions.json", True),
        (".sessions_k3j2h1.tmp", True),
        (".session_a_k3j2h1.tmp", True),
        (f".request_dump_a_{STAMP}_k3j2h1.tmp", True),
        (".sessions_k3j2h1", False),
        ("sessions.json.bak", False),
        (".tmp", False),
    ],
)
def test_index_and_temporary_files_are_known_but_nobodys(name: str, *, expected: bool) -> None:
    assert is_of_no_session(name) is expected


@given(PARTS)
def test_any_id_comes_back_out_of_its_names(part: str) -> None:
    assert split_name(f"session_{part}.json") == (ArtifactKind.SNAPSHOT, part)
    assert split_name(f"{part}.jsonl") == (ArtifactKind.TRANSCRIPT, part)
    assert split_name(f"request_dump_{part}_{STAMP}.json") == (ArtifactKind.REQUEST_DUMP, part)


@given(PARTS, PARTS)
def test_a_session_does_not_swallow_the_dumps_of_one_with_a_longer_name(short: str, rest: str) -> None:
    long = f"{short}_{rest}"
    names = [f"request_dump_{safe_name(it)}_{STAMP}.json" for it in (short, long)]
    found = owners(names, {short, long})
    if safe_name(short) != safe_name(long):
        assert found == {names[0]: short, names[1]: long}
    else:
        assert found == {}


@given(st.sets(PARTS, min_size=1, max_size=6))
def test_every_file_goes_to_its_session_or_to_nobody(ids: set[str]) -> None:
    by_name: dict[str, set[str]] = {}
    for session_id in ids:
        for part in {session_id, safe_name(session_id)}:  # as the old and as the newer hosts write it
            by_name.setdefault(f"session_{part}.json", set()).add(session_id)
    certain = {name: next(iter(by)) for name, by in by_name.items() if len(by) == 1}
    assert owners(sorted(by_name), ids) == certain


def test_file_that_may_be_of_two_sessions_is_unknown() -> None:
    tricky = "a.b"
    claimed = safe_name(tricky)  # a client may well choose an id of this form
    ownership = assign_owners(files_of(f"session_{claimed}.json", "session_a.b.json"), {tricky, claimed})
    assert [unknown.name for unknown in ownership.unknown] == [f"session_{claimed}.json"]
    assert "it may belong to a.b or" in ownership.unknown[0].why
    assert list(ownership.by_session) == [tricky]


def test_id_with_spaces_around_it_shares_its_file_name() -> None:
    ownership = assign_owners(files_of("session_a.json"), {"a", " a "})
    assert ownership.by_session == {}
    assert len(ownership.unknown) == 1


def test_file_that_nobody_knows_is_an_orphan_named_after_it() -> None:
    names = ["session_some-client-id.json", f"request_dump_some-client-id_{STAMP}.json"]
    assert owners(names, set()) == dict.fromkeys(names, "some-client-id")


def test_transcript_of_an_unknown_id_must_look_like_the_hosts() -> None:
    ownership = assign_owners(files_of("20261101_090000_0a1b2c3d.jsonl", "notes.jsonl"), set())
    assert list(ownership.by_session) == ["20261101_090000_0a1b2c3d"]
    assert [unknown.name for unknown in ownership.unknown] == ["notes.jsonl"]


def test_transcript_of_a_known_id_may_be_named_anything() -> None:
    assert owners(["notes.jsonl"], {"notes"}) == {"notes.jsonl": "notes"}


# The directory


def test_artifact_is_what_lstat_says(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).file("session_a.json", b"x" * 5000, age=3 * DAY)
    path = home.files / "session_a.json"
    path.chmod(0o640)
    status = path.lstat()
    assert take(list_directory(tmp_path).files, "a") == (
        Artifact(
            ArtifactKind.SNAPSHOT,
            "session_a.json",
            5000,
            status.st_blocks * 512,
            int((NOW - 3 * DAY) * 1e9),
            status.st_ino,
            0o640,
        ),
    )


def test_files_of_a_session_are_listed_by_name(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    names = ["a.jsonl", f"request_dump_a_{STAMP}.json", "session_a.json"]
    for name in reversed(names):
        home.file(name)
    assert [it.name for it in take(list_directory(tmp_path).files, "a")] == names


def test_what_is_no_regular_file_is_unknown_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = HomeBuilder(tmp_path)
    home.file("session_target.json")
    (home.files / "session_link.json").symlink_to("session_target.json")
    (home.files / "session_dangling.json").symlink_to("nowhere")
    (home.files / "session_directory.json").mkdir()
    os.mkfifo(home.files / "session_fifo.json")
    with socket.socket(socket.AF_UNIX) as listener:
        with monkeypatch.context() as patch:
            patch.chdir(home.files)  # the path of a socket may have some hundred bytes at most
            listener.bind("session_socket.json")
        listing = list_directory(tmp_path)
    assert {it.name: it.why for it in listing.unknown} == {
        "session_link.json": "a symbolic link, which is not followed",
        "session_dangling.json": "a symbolic link, which is not followed",
        "session_directory.json": "a directory",
        "session_fifo.json": "not a regular file",
        "session_socket.json": "not a regular file",
    }
    assert list(listing.files) == ["target"]


def test_index_that_is_a_directory_is_not_taken_for_the_index(tmp_path: Path) -> None:
    (HomeBuilder(tmp_path).files / "sessions.json").mkdir()
    assert [it.name for it in list_directory(tmp_path).unknown] == ["sessions.json"]


def test_bytes_of_nobodys_files_are_counted(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).file("sessions.json", b"x" * 5000).file(".sessions_abc.tmp", b"x")
    blocks = sum(path.lstat().st_blocks for path in home.files.iterdir())
    assert list_directory(tmp_path).other_bytes == blocks * 512


def test_names_that_are_not_utf8_or_hold_newlines_are_read(tmp_path: Path) -> None:
    names = [b"session_\xff\xfe.json", b"session_two\nlines.json", b"junk\xff"]
    home = HomeBuilder(tmp_path)
    for name in names:
        home.file(name)
    listing = list_directory(tmp_path)
    assert sorted(listing.files) == ["two\nlines", "\udcff\udcfe"]
    assert [it.name for it in listing.unknown] == ["junk\udcff"]


def test_missing_directory_holds_nothing(tmp_path: Path) -> None:
    assert list_directory(tmp_path).files == {}


def test_directory_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = HomeBuilder(tmp_path / "elsewhere").file("session_a.json")
    home = tmp_path / "home"
    home.mkdir()
    (home / "sessions").symlink_to(elsewhere.files)
    with pytest.raises(StoreUnreadable, match=r"sessions: it is a symbolic link.*nothing was removed"):
        list_directory(home)


def test_directory_that_is_a_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("")
    with pytest.raises(StoreUnreadable, match="not a directory"):
        list_directory(tmp_path)


def test_file_that_vanishes_meanwhile_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = HomeBuilder(tmp_path).file("session_a.json").file("session_b.json")
    scandir = os.scandir

    def slow_scandir(descriptor: int) -> os._ScandirIterator[str]:
        entries = scandir(descriptor)
        (home.files / "session_a.json").unlink()
        return entries

    monkeypatch.setattr(os, "scandir", slow_scandir)
    assert "a" not in list_directory(tmp_path).files


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any directory")
def test_directory_without_permission_is_unreadable(tmp_path: Path) -> None:
    files = HomeBuilder(tmp_path).files
    files.chmod(0)
    try:
        with pytest.raises(StoreUnreadable, match=r"permission denied.*Run hermes-retention as the user"):
            list_directory(tmp_path)
    finally:
        files.chmod(stat.S_IRWXU)
