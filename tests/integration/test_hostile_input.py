"""Whatever lies in a home or archive: errors in words, nothing outside touched, nothing lost, no secret told.

``tox -e torture`` tries many more examples of the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import zstandard
from full_homes import CHATS, FINAL, LIVE, NOW, RECENT, STAYING, FullHome
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from program import run

from hermes_retention.actions.restore.restore import export_sessions, restore_sessions
from hermes_retention.archive.codec import FRAME_BYTES
from hermes_retention.model.errors import FrameCorrupt, RetentionError, StoreUnreadable
from hermes_retention.stores.hermes.files import split_name

EXAMPLES = 2000 if os.environ.get("TORTURE") else 3
few = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""Each example copies a home."""
NAMES = st.one_of(
    st.binary(min_size=1, max_size=255),
    st.text(min_size=1, max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"session_", b"request_dump_", b".sessions_"]).flatmap(
        lambda head: st.binary(max_size=200).map(lambda rest: head + rest + b".json")
    ),
).filter(lambda name: b"/" not in name and b"\0" not in name and name not in {b".", b".."})
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> FullHome:
    return FullHome.make(tmp_path_factory.mktemp("hostile") / "home")


@pytest.fixture(scope="module")
def swept(pattern: FullHome, tmp_path_factory: pytest.TempPathFactory) -> FullHome:
    home = pattern.copy(tmp_path_factory.mktemp("hostile") / "swept")
    home.sweep_without_fault()
    return home


@contextlib.contextmanager
def copy_of(home: FullHome) -> Iterator[FullHome]:
    with tempfile.TemporaryDirectory() as folder:
        yield home.copy(Path(folder) / "home")


# -- what lies in the store ---------------------------------------------------------------------------


@few
@given(names=st.sets(NAMES, max_size=8))
@example(names={b"session_" + b"x" * 242 + b".json", b"\xff\xfe.jsonl", b"session_\n\x1b[2J.json"})
def test_any_file_name(pattern: FullHome, names: set[bytes]) -> None:
    with copy_of(pattern) as home:
        made = set()
        for name in names:
            path = os.fsencode(home.sessions) + b"/" + name
            with contextlib.suppress(FileExistsError), open(path, "xb") as file:
                file.write(b"somebody's")
                made.add(name)
        before = home.contents()
        report = home.sweep()
        assert report.failures == ()
        home.check_nothing_lost(before)
        for name in made:
            if split_name(os.fsdecode(name)) is None:
                assert os.fsdecode(name) in home.files()


@few
@given(content=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
@example(content=b"[" * 100_000)
@example(content=b'{"agent:main:telegram:dm:1": {"session_id": 7}}')
def test_any_index(pattern: FullHome, content: bytes) -> None:
    with copy_of(pattern) as home:
        (home.sessions / "sessions.json").write_bytes(content)
        before = home.contents()
        with contextlib.suppress(StoreUnreadable):
            home.sweep()
        home.check_nothing_lost(before)
        assert f"session_{LIVE}.json" in home.files(), "its record says that it is not over"


COLUMNS = (
    "source",
    "started_at",
    "ended_at",
    "end_reason",
    "parent_session_id",
    "model_config",
    "message_count",
)
VALUES = (
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(max_size=20) | st.text(max_size=20)
)


@few
@given(
    column=st.sampled_from(COLUMNS),
    value=VALUES,
    renamed=st.sampled_from(["", *COLUMNS, "messages", "sessions"]),
)
def test_any_value_and_schema(pattern: FullHome, column: str, value: object, renamed: str) -> None:
    with copy_of(pattern) as home:
        with (
            closing(sqlite3.connect(home.path / "state.db")) as database,
            contextlib.suppress(sqlite3.Error, UnicodeError),
        ):
            database.execute("PRAGMA foreign_keys = OFF")
            database.execute(f"UPDATE sessions SET {column} = ? WHERE id = ?", (value, CHATS[0]))
            if renamed in COLUMNS:
                database.execute(f"ALTER TABLE sessions RENAME COLUMN {renamed} TO other")
            elif renamed:
                database.execute("PRAGMA legacy_alter_table = ON")
                database.execute(f"ALTER TABLE {renamed} RENAME TO other")
            database.commit()
        before = home.files()
        with contextlib.suppress(RetentionError):
            home.sweep()
        left = home.files()
        archived = {(name, content) for name, content, _, _ in home.contents_of_archive().archived_files}
        lost = [n for n, (content, _, _) in before.items() if n not in left and (n, content) not in archived]
        assert [name for name in lost if FINAL not in name] == []


def test_what_is_no_file_is_left_alone(pattern: FullHome, monkeypatch: pytest.MonkeyPatch) -> None:
    with copy_of(pattern) as home:
        for name in (f"session_{CHATS[0]}.json", f"{CHATS[1]}.jsonl", f"session_{CHATS[2]}.json"):
            (home.sessions / name).unlink()
        target = home.path / "precious"
        target.write_text("precious")
        (home.sessions / f"session_{CHATS[0]}.json").symlink_to(target)
        os.mkfifo(home.sessions / f"{CHATS[1]}.jsonl")
        (home.sessions / f"session_{CHATS[2]}.json").mkdir()
        monkeypatch.chdir(home.sessions)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("session_20010101_000000_12345678.json")
        if os.geteuid() == 0:
            with contextlib.suppress(PermissionError):
                os.mknod("session_20010101_000000_87654321.json", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        odd = {
            it.name: it.lstat().st_mode
            for it in home.sessions.iterdir()
            if not it.is_file() or it.is_symlink()
        }
        assert len(odd) >= 4
        assert home.sweep().failures == ()
        assert odd == {it.name: it.lstat().st_mode for it in home.sessions.iterdir() if it.name in odd}
        assert target.read_text() == "precious"


def test_other_name_of_a_file_stays(pattern: FullHome) -> None:
    with copy_of(pattern) as home:
        name = f"session_{CHATS[0]}.json"
        os.link(home.sessions / name, home.path / "mine")
        content = (home.path / "mine").read_bytes()
        home.sweep()
        assert name not in home.files()
        assert (home.path / "mine").read_bytes() == content


@pytest.mark.parametrize("place", ["ledger.db", "holds.json", "sweep.lock"])
@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_own_files_that_are_something_else_are_refused(pattern: FullHome, place: str, kind: str) -> None:
    with copy_of(pattern) as home:
        target, path = home.path / "precious", home.path / "retention" / place
        target.write_text("precious")
        path.unlink(missing_ok=True)
        if kind == "link":
            path.symlink_to(target)
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            path.mkdir()
        before = home.contents()
        with pytest.raises(RetentionError):
            home.sweep()
        assert target.read_text() == "precious"
        assert home.contents() == before


# -- what lies in the archive -------------------------------------------------------------------------


@few
@given(data=st.data())
def test_any_damage_of_a_month(swept: FullHome, data: st.DataObject) -> None:
    with copy_of(swept) as home:
        path = data.draw(st.sampled_from(home.vault.partition_paths()))
        _spoil(path, data)
        before = home.files(), home.rows()
        for _, damages in home.vault.verify():
            assert all("what the zebra said" not in damage.what for damage in damages)
        with contextlib.suppress(RetentionError):
            home.sweep()
        assert (home.files(), home.rows()) == before
        with contextlib.suppress(RetentionError):
            restore_sessions(home.site(), [CHATS[0], RECENT], now=NOW)
        home.database.check()


@few
@given(data=st.data())
def test_any_damage_of_the_ledger(pattern: FullHome, data: st.DataObject) -> None:
    with copy_of(pattern) as home:
        before = home.contents()
        _spoil(home.path / "retention" / "ledger.db", data)
        with contextlib.suppress(RetentionError):
            home.sweep()
        home.check_nothing_lost(before)


def _spoil(path: Path, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        some = data.draw(st.binary(min_size=1, max_size=64))
        content[place : place + len(some)] = some
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])


@few
@given(
    name=st.sampled_from([b"../evil", b"/tmp/evil", b"..", b".", b"", b"a/../../evil", b"a\0b"])
    | st.binary(max_size=300)
)
def test_archived_name_leads_nowhere_else(swept: FullHome, name: bytes) -> None:
    with copy_of(swept) as home:
        path = home.path / "retention" / "archive" / "2001-09.db"
        _change(path, "UPDATE artifacts SET name = ? WHERE kind = 'snapshot'", name)
        for folder in (None, home.path / "export"):
            with contextlib.suppress(RetentionError):
                if folder is None:
                    restore_sessions(home.site(), [STAYING], now=NOW)
                else:
                    export_sessions(home.site(), [STAYING], folder)
        places = {home.sessions, home.path / "export"}
        strangers = [it for it in home.path.rglob("*evil*") if it.parent not in places]
        assert strangers == []
        assert not list(home.path.parent.glob("*evil*"))
        assert not Path("/tmp/evil").exists()


@few
@given(
    session_id=st.sampled_from(["../evil", "/tmp/evil", "..", "a/../../evil"])
    | st.text(min_size=1, max_size=120)
)
def test_archived_session_id_leads_nowhere_else(swept: FullHome, session_id: str) -> None:
    with copy_of(swept) as home:
        path = home.path / "retention" / "archive" / "2001-09.db"
        with contextlib.suppress(UnicodeEncodeError):
            _change(path, "UPDATE sessions SET id = ?", session_id)
        with contextlib.suppress(RetentionError):
            export_sessions(home.site(), [session_id], home.path / "export")
        assert not list(home.path.parent.glob("*evil*"))
        assert {it.parent for it in home.path.rglob("*evil*")} <= {home.path / "export"}


def _change(path: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(sql, values)


def test_frames_that_hold_more_than_they_say_fill_no_disk(swept: FullHome) -> None:
    """Each is a megabyte of nothing in fifty bytes; the artifact claims to be small."""
    bomb = zstandard.ZstdCompressor(write_content_size=True).compress(bytes(FRAME_BYTES))
    with copy_of(swept) as home:
        path = home.path / "retention" / "archive" / "2001-09.db"
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE artifacts SET dictionary_id = NULL")
            for (number,) in database.execute("SELECT id FROM artifacts").fetchall():
                database.executemany(
                    "INSERT OR REPLACE INTO frames VALUES (?, ?, ?, ?)",
                    [(number, seq, FRAME_BYTES, bomb) for seq in range(200)],
                )
        report = restore_sessions(home.site(), [STAYING], now=NOW)
        assert report.failures
        for failure in report.failures:
            assert isinstance(failure.error, FrameCorrupt)
        assert sum(it.stat().st_blocks * 512 for it in home.sessions.iterdir()) < FRAME_BYTES


def test_newer_month_is_refused_and_not_touched(pattern: FullHome, swept: FullHome) -> None:
    with copy_of(pattern) as home:
        path = home.path / "retention" / "archive" / "2001-12.db"
        shutil.copy(swept.path / "retention" / "archive" / "2001-12.db", path)
        _change(path, "UPDATE meta SET value = '2' WHERE key = 'format'")
        content, before = path.read_bytes(), home.contents_of_store()
        report = home.sweep()
        assert any("Install a newer hermes-retention" in str(it.errors) for it in report.failures)
        assert path.read_bytes() == content
        of_that_month = {name: it for name, it in before.files.items() if CHATS[0] in name}
        assert of_that_month.items() <= home.files().items()


def test_archive_of_another_home_is_only_data(pattern: FullHome, tmp_path: Path) -> None:
    other = FullHome.make(tmp_path / "other")
    other.add_snapshot("20010701_000000_abcdef01", b"of the other home")
    other.sweep_without_fault()
    with copy_of(pattern) as home:
        shutil.rmtree(home.path / "retention" / "archive")
        shutil.copytree(other.path / "retention" / "archive", home.path / "retention" / "archive")
        before = home.contents()
        assert home.sweep().failures == ()
        home.check_nothing_lost(before)
        restore_sessions(home.site(), ["20010701_000000_abcdef01"], now=NOW)
        assert home.files()["session_20010701_000000_abcdef01.json"][0] == b"of the other home"


# -- rights -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777], ids=oct)
def test_only_the_owner_may_read_what_is_kept(tmp_path: Path, umask: int) -> None:
    home = FullHome.make(tmp_path / "home")
    shutil.rmtree(home.path / "retention")
    before = os.umask(umask)
    try:
        home.sweep()
    finally:
        os.umask(before)
    for path in (home.path / "retention", *(home.path / "retention").rglob("*")):
        assert stat.S_IMODE(path.lstat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_home_that_anybody_may_write_to_is_told(tmp_path: Path) -> None:
    home = FullHome.make(tmp_path / "home")
    home.sessions.chmod(0o777)
    warnings = home.sweep().warnings
    assert any("every user of this machine may write there" in warning for warning in warnings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser gives files to others")
def test_superuser_puts_files_back_for_the_owner_of_the_home(tmp_path: Path) -> None:
    home = FullHome.make(tmp_path / "home")
    home.sweep_without_fault()
    os.chown(home.sessions, 12345, 54321)
    restore_sessions(home.site(), [CHATS[0]], now=NOW)
    status = (home.sessions / f"session_{CHATS[0]}.json").stat()
    assert (status.st_uid, status.st_gid) == (12345, 54321)


# -- what is told -------------------------------------------------------------------------------------


def test_no_secret_is_told(tmp_path: Path) -> None:
    """Neither on the screen nor in the ledger, whatever goes wrong."""
    home = FullHome.make(tmp_path / "home")
    secrets = ["sk-live-hunter2", "correct horse battery"]
    text = f"my key is {secrets[0]} and {secrets[1]}"
    for number, session_id in enumerate(CHATS):
        home.database.execute(
            "UPDATE messages SET content = ? WHERE session_id = ?", text * (1 + 30 * number), session_id
        )
        (home.sessions / f"session_{session_id}.json").write_text(json.dumps({"messages": [text]}))
        os.utime(home.sessions / f"session_{session_id}.json", (NOW - 300 * 86400,) * 2)
    (home.sessions / f"{CHATS[0]}.jsonl").chmod(0)
    told = []
    for arguments in (
        ("sweep", "--dry-run", "--json", "--all"),
        ("-v", "sweep", "--yes"),
        ("-v", "sweep", "--yes", "--json"),
        ("-v", "status"),
        ("-v", "explain", CHATS[0]),
        ("-v", "archive", "list"),
        ("-v", "archive", "verify"),
        ("-v", "undo", "--all", "--yes"),
    ):
        result = run(home.path, *arguments, now=NOW)
        told.append(result.out + result.err)
        assert "Traceback" not in result.err
    for path in home.vault.partition_paths():
        _change(path, "UPDATE frames SET frame = CAST(? AS TEXT)", text)
        _change(path, "UPDATE sessions SET last_activity = ?, class = ?", text, text)
    home.database.execute("UPDATE sessions SET started_at = ?", text)
    for arguments in (("-v", "sweep", "--yes"), ("-v", "archive", "verify"), ("-v", "restore", CHATS[0])):
        result = run(home.path, *arguments, now=NOW)
        told.append(result.out + result.err)
    told.append((home.path / "retention" / "ledger.db").read_bytes().decode("latin-1"))
    for secret in secrets:
        assert not any(secret in one for one in told)
