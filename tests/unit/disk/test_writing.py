"""The only module that removes files: what it notices, what it refuses, what lies there after a failure."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from hermes_retention.disk import directories, writing
from hermes_retention.disk.directories import Directory
from hermes_retention.disk.originals import Remover, place_file, read_unchanged, recover
from hermes_retention.model.errors import (
    ArtifactChanged,
    ArtifactUnreadable,
    ArtifactVanished,
    RestoreConflict,
    StoreUnreadable,
    UnsupportedPlatform,
)
from hermes_retention.model.session import Artifact, ArtifactKind

TIME_NS = 1_790_000_000_123_456_789


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "sessions").mkdir()
    with Directory.open(tmp_path, "sessions") as directory:
        yield directory


@pytest.fixture
def aside(tmp_path: Path) -> Iterator[Directory]:
    with Directory.create(tmp_path, "retention", "aside") as directory:
        yield directory


def make(directory: Directory, name: str = "session_a.json", content: bytes = b"{}") -> Artifact:
    path = directory.path / name
    path.write_bytes(content)
    os.utime(path, ns=(TIME_NS, TIME_NS))
    status = path.stat()
    return Artifact(
        ArtifactKind.SNAPSHOT, name, status.st_size, status.st_blocks * 512, status.st_mtime_ns, status.st_ino
    )


# -- reading ----------------------------------------------------------------------------------------


def test_unchanged_file_is_read_whole(files: Directory) -> None:
    artifact = make(files, content=b"x" * (directories.READ_BYTES + 1))
    assert [len(piece) for piece in read_unchanged(files, artifact)] == [directories.READ_BYTES, 1]


def test_file_that_grew_is_changed(files: Directory) -> None:
    artifact = make(files)
    (files.path / artifact.name).write_bytes(b"longer")
    with pytest.raises(ArtifactChanged, match="changed since the scan"):
        list(read_unchanged(files, artifact))


def test_file_that_changes_while_it_is_read_is_changed(files: Directory) -> None:
    artifact = make(files)
    pieces = read_unchanged(files, artifact)
    next(pieces)
    os.utime(files.path / artifact.name)
    with pytest.raises(ArtifactChanged):
        next(pieces)


def test_replaced_file_of_equal_size_and_time_is_changed(files: Directory) -> None:
    artifact = make(files)
    (files.path / artifact.name).rename(files.path / "old")
    make(files)
    with pytest.raises(ArtifactChanged):
        list(read_unchanged(files, artifact))


def test_vanished_file_says_so(files: Directory) -> None:
    artifact = make(files)
    (files.path / artifact.name).unlink()
    with pytest.raises(ArtifactVanished):
        list(read_unchanged(files, artifact))


def test_link_in_place_of_the_file_is_not_followed(files: Directory, tmp_path: Path) -> None:
    artifact = make(files)
    (files.path / artifact.name).rename(tmp_path / "target")
    (files.path / artifact.name).symlink_to(tmp_path / "target")
    with pytest.raises(ArtifactChanged, match="became a link"):
        list(read_unchanged(files, artifact))


def test_fifo_in_place_of_the_file_does_not_block(files: Directory) -> None:
    artifact = make(files)
    (files.path / artifact.name).unlink()
    os.mkfifo(files.path / artifact.name)
    with pytest.raises(ArtifactChanged):
        list(read_unchanged(files, artifact))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_forbidden_file_is_unreadable(files: Directory) -> None:
    artifact = make(files)
    (files.path / artifact.name).chmod(0)
    with pytest.raises(ArtifactUnreadable, match="permission denied"):
        list(read_unchanged(files, artifact))


def test_read_error_of_the_disk_is_unreadable(files: Directory, mocker: MockerFixture) -> None:
    artifact = make(files)
    mocker.patch("hermes_retention.disk.effects.read", side_effect=OSError(errno.EIO, "Input/output error"))
    with pytest.raises(ArtifactUnreadable, match="input/output error"):
        list(read_unchanged(files, artifact))


# -- removing ---------------------------------------------------------------------------------------


def test_archived_file_is_removed_and_nothing_stays_aside(files: Directory, aside: Directory) -> None:
    Remover(files, aside).remove(make(files))
    assert os.listdir(files.path) == os.listdir(aside.path) == []


def test_changed_file_stays(files: Directory, aside: Directory) -> None:
    artifact = make(files)
    (files.path / artifact.name).write_bytes(b"new text")
    with pytest.raises(ArtifactChanged):
        Remover(files, aside).remove(artifact)
    assert (files.path / artifact.name).read_bytes() == b"new text"


def test_write_between_look_and_removal_goes_back(
    files: Directory, aside: Directory, mocker: MockerFixture
) -> None:
    artifact = make(files)
    rename = os.rename

    def host_writes_first(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        (files.path / artifact.name).write_bytes(b"written at the last moment")
        rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    mocker.patch("hermes_retention.disk.effects.rename", host_writes_first)
    with pytest.raises(ArtifactChanged):
        Remover(files, aside).remove(artifact)
    assert (files.path / artifact.name).read_bytes() == b"written at the last moment"
    assert os.listdir(aside.path) == []


def test_file_that_somebody_else_removed_has_vanished(files: Directory, aside: Directory) -> None:
    artifact = make(files)
    (files.path / artifact.name).unlink()
    with pytest.raises(ArtifactVanished):
        Remover(files, aside).remove(artifact)


def test_store_on_a_file_system_of_its_own_is_swept_too(
    files: Directory, aside: Directory, mocker: MockerFixture
) -> None:
    artifact = make(files)
    mocker.patch(
        "hermes_retention.disk.effects.rename", side_effect=OSError(errno.EXDEV, "Invalid cross-device link")
    )
    Remover(files, aside).remove(artifact)
    assert os.listdir(files.path) == []


def test_name_that_waits_aside_is_not_overwritten(files: Directory, aside: Directory) -> None:
    make(aside, content=b"older")
    artifact = make(files, content=b"newer")
    with pytest.raises(ArtifactUnreadable, match="waits in"):
        Remover(files, aside).remove(artifact)
    assert (aside.path / artifact.name).read_bytes() == b"older"


# -- after a crash ----------------------------------------------------------------------------------


def test_file_left_aside_goes_back(files: Directory, aside: Directory) -> None:
    make(aside, content=b"left behind")
    assert recover(files, aside) == []
    assert (files.path / "session_a.json").read_bytes() == b"left behind"
    assert os.listdir(aside.path) == []


def test_crash_between_link_and_unlink_is_finished(files: Directory, aside: Directory) -> None:
    make(files)
    os.link(files.path / "session_a.json", aside.path / "session_a.json")
    assert recover(files, aside) == []
    assert os.listdir(aside.path) == []
    assert os.listdir(files.path) == ["session_a.json"]


def test_neither_file_is_lost_when_the_host_wrote_a_new_one(files: Directory, aside: Directory) -> None:
    make(files, content=b"new")
    make(aside, content=b"old")
    (line,) = recover(files, aside)
    assert "session_a.json" in line
    assert (files.path / "session_a.json").read_bytes() == b"new"
    assert (aside.path / "session_a.json").read_bytes() == b"old"


def test_file_goes_back_without_hard_links(files: Directory, aside: Directory, mocker: MockerFixture) -> None:
    make(aside, content=b"left behind")
    mocker.patch(
        "hermes_retention.disk.effects.link", side_effect=OSError(errno.EPERM, "Operation not permitted")
    )
    assert recover(files, aside) == []
    assert (files.path / "session_a.json").read_bytes() == b"left behind"
    make(aside, content=b"another")
    assert len(recover(files, aside)) == 1
    assert (files.path / "session_a.json").read_bytes() == b"left behind"


def test_half_written_restores_are_swept_and_nothing_else(files: Directory) -> None:
    make(files)
    (files.path / ".hermes-retention-0011223344556677.tmp").write_bytes(b"half")
    others = {".sessions_x.tmp", ".hermes-retention-notes.txt", ".hermes-retention-0123456789abcdef.tmp.bak"}
    for name in others:
        (files.path / name).write_bytes(b"not ours")
    (files.path / ".hermes-retention-0123456789abcdef.tmp").mkdir()
    writing.sweep_temporaries(files)
    assert set(os.listdir(files.path)) == {
        *others, ".hermes-retention-0123456789abcdef.tmp", "session_a.json"
    }  # fmt: skip


def test_file_that_cannot_go_back_stays_aside_and_stops_nothing(
    files: Directory, aside: Directory, mocker: MockerFixture
) -> None:
    make(aside, content=b"left behind")
    mocker.patch(
        "hermes_retention.disk.effects.link", side_effect=OSError(errno.EXDEV, "Invalid cross-device link")
    )
    (line,) = recover(files, aside)
    assert "session_a.json" in line
    assert "invalid cross-device link" in line
    assert (aside.path / "session_a.json").read_bytes() == b"left behind"


def test_what_vanishes_while_it_is_counted_counts_as_nothing(files: Directory, mocker: MockerFixture) -> None:
    artifact = make(files, content=b"x" * 10_000)
    gone = mocker.Mock(**{"stat.side_effect": FileNotFoundError(2, "No such file or directory")})
    entries = mocker.MagicMock()
    entries.__iter__.return_value = iter([gone, *os.scandir(files.path)])
    mocker.patch("hermes_retention.disk.directories.os.scandir", return_value=entries)
    assert directories.allocated_bytes(files.path) == artifact.allocated_bytes


# -- placing ----------------------------------------------------------------------------------------


def test_placed_file_has_bytes_time_and_mode(files: Directory) -> None:
    place_file(files, "a", [b"one", b"two"], mode=0o640, mtime_ns=TIME_NS)
    status = (files.path / "a").stat()
    assert (files.path / "a").read_bytes() == b"onetwo"
    assert (status.st_mtime_ns, stat.S_IMODE(status.st_mode)) == (TIME_NS, 0o640)
    assert os.listdir(files.path) == ["a"]


def test_taken_name_is_not_overwritten(files: Directory) -> None:
    make(files, "a", b"here already")
    with pytest.raises(RestoreConflict, match="--to DIR"):
        place_file(files, "a", [b"other"], mode=0o600, mtime_ns=0)
    assert (files.path / "a").read_bytes() == b"here already"
    assert os.listdir(files.path) == ["a"]


def test_failing_source_leaves_nothing(files: Directory) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ArtifactUnreadable("a", "broken")

    with pytest.raises(ArtifactUnreadable):
        place_file(files, "a", broken(), mode=0o600, mtime_ns=0)
    assert os.listdir(files.path) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../escaped", "/etc/passwd", "a/b", "a\0b"])
def test_name_that_leads_elsewhere_is_refused(files: Directory, name: str) -> None:
    with pytest.raises(RestoreConflict, match="not a plain file name"):
        place_file(files, name, [b"x"], mode=0o600, mtime_ns=0)
    assert os.listdir(files.path) == []


def test_set_id_bits_are_not_restored(files: Directory) -> None:
    place_file(files, "a", [b"x"], mode=0o4755, mtime_ns=0)
    assert stat.S_IMODE((files.path / "a").stat().st_mode) == 0o755


# -- directories, files of our own, platforms -------------------------------------------------------


def test_link_below_the_home_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "sessions").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnreadable, match="symbolic link"):
        Directory.open(tmp_path, "sessions")


def test_home_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real" / "sessions").mkdir(parents=True)
    (tmp_path / "home").symlink_to(tmp_path / "real")
    Directory.open(tmp_path / "home", "sessions").close()


def test_socket_in_place_of_a_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sessions")
        with pytest.raises((StoreUnreadable, OSError)):
            Directory.open(tmp_path, "sessions")


def test_made_directories_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Directory.create(tmp_path, "retention", "archive").close()
    finally:
        os.umask(before)
    for part in ("retention", "retention/archive"):
        assert stat.S_IMODE((tmp_path / part).stat().st_mode) == 0o700


def test_private_file_is_replaced_at_once_or_not_at_all(tmp_path: Path, mocker: MockerFixture) -> None:
    path = tmp_path / "holds.json"
    writing.replace_private_file(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    mocker.patch(
        "hermes_retention.disk.effects.rename", side_effect=OSError(errno.ENOSPC, "No space left on device")
    )
    with pytest.raises(OSError, match="No space"):
        writing.replace_private_file(path, b"two")
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["holds.json"]


def test_other_platforms_are_told_before_anything_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    directories.require_supported_platform()
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UnsupportedPlatform, match="runs on Linux and macOS"):
        directories.require_supported_platform()
