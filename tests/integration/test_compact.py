"""Compacting: what it keeps, what makes it refuse, and that nothing changes then."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from databases import RARE, facts, thinned_home
from homes import HomeBuilder
from sites import clock, site_of, snapshot_of

from hermes_retention.actions import upkeep
from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.actions.upkeep.compact import CompactReport, compact, preview
from hermes_retention.disk import effects
from hermes_retention.disk.writing import take_place
from hermes_retention.model.errors import (
    CompactionRefused,
    DatabaseInUse,
    RetentionError,
    StoreUnreadable,
    SweepRunning,
)
from hermes_retention.stores.base import CompactStage
from hermes_retention.stores.hermes import compaction, compactor, swap


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    return thinned_home(tmp_path / "home")


@pytest.fixture(autouse=True)
def _no_litestream_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compactor, "SYSTEM_CONFIGURATION", tmp_path / "etc" / "litestream.yml")


def run(home: HomeBuilder, **options: object) -> CompactReport:
    return compact(site_of(home), environ={}, **options)  # type: ignore[arg-type]  # one keyword per option


def database_of(home: HomeBuilder) -> Path:
    return home.path / "state.db"


def leftovers(home: HomeBuilder) -> list[str]:
    folder = home.path / "retention" / "compact"
    return sorted(it.name for it in folder.iterdir()) if folder.exists() else []


@contextlib.contextmanager
def refused(home: HomeBuilder, error: type[RetentionError], *words: str) -> Iterator[None]:
    """The block raises ``error`` with these words, and the home is as it was, byte for byte."""
    before = snapshot_of(home.path)
    with pytest.raises(error) as raised:
        yield
    for word in words:
        assert word in str(raised.value)
    assert raised.value.consequence
    # Reading leaves an empty log behind; it holds nothing.
    changed = {
        name: it for name, it in snapshot_of(home.path).items() if not name.endswith((b"-wal", b"-shm"))
    }
    assert changed == {name: it for name, it in before.items() if not name.endswith((b"-wal", b"-shm"))}
    assert [name for name in leftovers(home) if name != swap.OLD] == []


@contextlib.contextmanager
def other_process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that has run ``code`` and waits, until the context ends."""
    program = f"import fcntl, os, sqlite3, sys\n{code}\nprint('ready', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def on(stage: CompactStage, act: Callable[[], object]) -> Callable[[CompactStage], None]:
    """An observer that does something when a stage is reached."""

    def observer(reached: CompactStage) -> None:
        if reached is stage:
            act()

    return observer


# What it does


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_free_pages_go_and_everything_else_stays(tmp_path: Path, journal: str) -> None:
    home = thinned_home(tmp_path / "home", journal=journal)
    before, size = facts(database_of(home)), database_of(home).stat().st_size
    report = run(home)
    assert facts(database_of(home)) == before
    assert before["journal_mode"] == [(journal,)]
    assert (report.compacted, report.dry_run, report.worthwhile) == (True, False, True)
    assert report.bytes_before >= size
    assert report.bytes_after == database_of(home).stat().st_size < size / 2
    assert 0.25 < report.free_share < 1
    assert leftovers(home) == []
    assert sorted(it.name for it in home.path.iterdir()) == ["retention", "sessions", "state.db"]


def test_host_goes_on_writing_and_searching(home: HomeBuilder) -> None:
    run(home)
    home.insert("messages", {"session_id": "s1", "role": "user", "content": RARE, "timestamp": 1.0})
    assert len(facts(database_of(home))["search"][0]) == 2  # type: ignore[index]  # a list of lists


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_mode_and_owner_stay(home: HomeBuilder, mode: int) -> None:
    database_of(home).chmod(mode)
    if os.geteuid() == 0:
        os.chown(database_of(home), 12345, 54321)
    owner = database_of(home).stat().st_uid, database_of(home).stat().st_gid
    run(home)
    status = database_of(home).stat()
    assert stat.S_IMODE(status.st_mode) == mode
    assert (status.st_uid, status.st_gid) == owner


@pytest.mark.parametrize(
    "pragma", ["application_id = 77", "auto_vacuum = 2", "page_size = 8192", "encoding = 'UTF-16le'"]
)
def test_properties_of_the_file_stay(tmp_path: Path, pragma: str) -> None:
    """Also those that no host sets today."""
    path = tmp_path / "home"
    path.mkdir()
    with closing(sqlite3.connect(path / "state.db", isolation_level=None)) as database:
        database.execute(f"PRAGMA {pragma}")
        database.execute("CREATE TABLE first (id)")
    home = thinned_home(path)
    name = pragma.split(maxsplit=1)[0]
    with compaction.opened(database_of(home)) as database:
        before = compaction.pragma(database, name)
    run(home)
    with compaction.opened(database_of(home)) as database:
        assert compaction.pragma(database, name) == before not in (0, 4096, "UTF-8")


@pytest.mark.parametrize("folder", ["even", "odd__"])
def test_copy_in_utf_16_has_its_whole_name(folder: str, tmp_path: Path) -> None:
    """A path as bytes loses its last one there when their number is odd."""
    path = tmp_path / folder
    path.mkdir()
    with closing(sqlite3.connect(path / "state.db", isolation_level=None)) as database:
        database.execute("PRAGMA encoding = 'UTF-16le'")
        database.execute("CREATE TABLE first (id)")
    with compaction.opened(path / "state.db") as database:
        compaction.copy_into(database, path / "copy.db")
    assert {entry.name for entry in path.iterdir()} == {"state.db", "copy.db"}


def test_index_of_a_build_without_its_tokenizer_is_copied_as_it_is(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = facts(database_of(home))
    monkeypatch.setattr(compaction, "_indexes", lambda _: [])
    assert run(home).compacted
    assert facts(database_of(home)) == before


def test_broken_foreign_keys_of_the_host_stay(home: HomeBuilder) -> None:
    home.execute("CREATE TABLE child (id INTEGER PRIMARY KEY, parent TEXT REFERENCES sessions(id))")
    home.insert("child", {"id": 1, "parent": "gone"})
    assert run(home).compacted
    with closing(sqlite3.connect(database_of(home))) as database:
        assert len(database.execute("PRAGMA foreign_key_check").fetchall()) == 1


def test_stages_are_told_in_order(home: HomeBuilder) -> None:
    seen: list[CompactStage] = []
    run(home, observer=seen.append)
    assert seen == list(CompactStage)


def test_log_of_a_host_that_crashed_is_kept(home: HomeBuilder, tmp_path: Path) -> None:
    """Committed rows that only stand in the log are in the compacted database."""
    with closing(sqlite3.connect(database_of(home))) as database:
        database.execute("INSERT INTO state_meta VALUES ('in', 'the log')")
        database.commit()
        for name in ("state.db", "state.db-wal"):
            shutil.copy(home.path / name, tmp_path / name)
    for name in ("state.db", "state.db-wal"):
        shutil.copy(tmp_path / name, home.path / name)
    assert (home.path / "state.db-wal").stat().st_size > 0
    run(home)
    assert facts(database_of(home))["state_meta"] == [("in", "the log")]


# When there is nothing to do


def test_few_free_pages_are_left_alone(home: HomeBuilder) -> None:
    before = database_of(home).read_bytes()
    report = run(home, above=0.99)
    assert (report.compacted, report.worthwhile, report.above) == (False, False, 0.99)
    assert report.bytes_after == report.bytes_before
    assert 0.25 < report.free_share < 0.99
    assert database_of(home).read_bytes() == before
    assert not (home.path / "retention").exists()


def test_database_without_free_pages_is_left_alone(tmp_path: Path) -> None:
    home = thinned_home(tmp_path / "home").execute("VACUUM")
    report = run(home)
    assert (report.free_share, report.compacted) == (0.0, False)


def test_preview_has_no_effects(home: HomeBuilder) -> None:
    before = database_of(home).read_bytes()
    report = preview(site_of(home), environ={})
    assert (report.dry_run, report.compacted, report.worthwhile) == (True, False, True)
    assert report.bytes_after < report.bytes_before
    assert database_of(home).read_bytes() == before
    assert not (home.path / "retention").exists()
    assert run(home).bytes_after <= report.bytes_after


# What makes it refuse


@pytest.mark.parametrize("call", [compact, preview], ids=lambda call: call.__name__)
def test_process_that_has_the_database_open_is_named(
    home: HomeBuilder, call: Callable[..., CompactReport]
) -> None:
    code = "database = sqlite3.connect(sys.argv[1]); database.execute('SELECT * FROM sessions').fetchall()"
    with (
        other_process(code, database_of(home)) as process,
        refused(home, DatabaseInUse, f"(pid {process.pid})", "python", "Stop the gateway"),
    ):
        call(site_of(home), environ={})
    assert run(home).compacted


def test_process_that_only_opened_the_file_under_another_name_is_seen(
    home: HomeBuilder, tmp_path: Path
) -> None:
    os.link(database_of(home), tmp_path / "elsewhere")
    with (
        other_process("file = open(sys.argv[1])", tmp_path / "elsewhere") as process,
        refused(home, DatabaseInUse, f"(pid {process.pid})"),
    ):
        run(home)


def test_process_that_cannot_be_seen_shows_by_its_lock(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "occupants", lambda _: [])
    code = "database = sqlite3.connect(sys.argv[1]); database.execute('SELECT * FROM sessions').fetchall()"
    with other_process(code, database_of(home)), refused(home, DatabaseInUse, "cannot be seen"):
        run(home)


def test_own_connection_counts_too(home: HomeBuilder) -> None:
    with closing(sqlite3.connect(database_of(home))) as database:
        database.execute("SELECT * FROM sessions").fetchall()
        with refused(home, DatabaseInUse, f"pid {os.getpid()}"):
            run(home)
        database.execute("INSERT INTO state_meta VALUES ('a', 'b')")  # its locks still hold
        database.commit()


def test_running_gateway_is_seen_by_its_lock(home: HomeBuilder) -> None:
    lock = home.path / "gateway.lock"
    code = "file = open(sys.argv[1], 'a+'); fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with other_process(code, lock) as process:
        lock.write_text(json.dumps({"pid": process.pid, "kind": "hermes-gateway"}))
        with refused(home, DatabaseInUse, f"the gateway (pid {process.pid}) runs"):
            run(home)
    assert run(home).compacted


def test_running_gateway_is_seen_by_its_pid_file(home: HomeBuilder) -> None:
    """Where the file system of the home has no locks."""
    with other_process("pass") as process:
        stat_line = Path(f"/proc/{process.pid}/stat").read_text()
        record = {"pid": process.pid, "start_time": int(stat_line.rpartition(")")[2].split()[19])}
        (home.path / "gateway.pid").write_text(json.dumps(record))
        with refused(home, DatabaseInUse, f"the gateway (pid {process.pid}) runs"):
            run(home)
    (home.path / "gateway.pid").write_text(json.dumps(record | {"pid": os.getppid()}))
    assert run(home).compacted


def test_gateway_may_compact_before_it_starts(home: HomeBuilder) -> None:
    """Its own lock does not stand in its way."""
    with (home.path / "gateway.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(json.dumps({"pid": os.getpid()}))
        lock.flush()
        assert run(home).compacted


@pytest.mark.parametrize("trace", ["directory", "table", "configuration", "variable"])
def test_litestream(home: HomeBuilder, tmp_path: Path, trace: str) -> None:
    environ = {"HERMES": str(home.path)}
    content = "dbs:\n  - path: $HERMES/state.db\n    replicas: [{url: s3://bucket/db}]\n"
    if trace == "directory":
        (home.path / ".state.db-litestream").mkdir()
    elif trace == "table":
        home.execute("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
    elif trace == "configuration":
        (tmp_path / "litestream.yml").write_text(content)
    else:
        environ["LITESTREAM_CONFIG"] = str(tmp_path / "mine.yml")
        (tmp_path / "mine.yml").write_text(content)
    with refused(home, CompactionRefused, "itestream"):
        compact(site_of(home), environ=environ)


def test_litestream_of_another_database_does_not_matter(home: HomeBuilder, tmp_path: Path) -> None:
    (tmp_path / "litestream.yml").write_text("dbs: [{path: /data/other.db}, 7, {dir: /data}]")
    (home.path / "litestream.yml").write_text("dbs: [")
    assert run(home).compacted


def test_too_little_room(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep.compact, "free_bytes", lambda _: 10_000_000)
    with refused(home, CompactionRefused, "10.0 MB free", "may need 1"):
        run(home)


def test_room_for_one_copy_leaves_the_indexes_as_they_are(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = preview(site_of(home), environ={}).bytes_after
    monkeypatch.setattr(upkeep.compact, "free_bytes", lambda _: int(used * 1.1) + 16 * 2**20)
    before = facts(database_of(home))
    report = run(home)
    assert (report.compacted, len(report.warnings)) == (True, 1)
    assert facts(database_of(home)) == before


@pytest.mark.parametrize(
    ("stage", "bytes_written"),
    [
        (CompactStage.COPY, 0),
        (CompactStage.COPY, 4096),
        (CompactStage.COPY, 100_000),
        (CompactStage.MERGE, 100_000),
        (CompactStage.VERIFY, 0),
    ],
)
def test_disk_full_in_the_middle(home: HomeBuilder, bytes_written: int, stage: CompactStage) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    fill = on(stage, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_written, hard)))
    with refused(home, CompactionRefused, "SQLite gave up"):
        try:
            run(home, observer=fill)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            signal.signal(signal.SIGXFSZ, handler)
    assert run(home).compacted


def test_missing_database(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home", database=False)
    with refused(home, CompactionRefused, "no such database", "--home"):
        run(home)
    assert not (home.path / "retention").exists()


def test_symbolic_link_below_the_home(home: HomeBuilder, tmp_path: Path) -> None:
    database_of(home).rename(tmp_path / "real.db")
    database_of(home).symlink_to(tmp_path / "real.db")
    with pytest.raises(StoreUnreadable, match="symbolic link"):
        run(home)
    assert database_of(home).is_symlink()


def test_database_of_another_user(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: database_of(home).stat().st_uid + 1)
    with refused(home, CompactionRefused, "belongs to another user"):
        run(home)


def test_read_only_database(home: HomeBuilder) -> None:
    database_of(home).chmod(0o444)
    with refused(home, CompactionRefused, "read-only", "Run it as the user"):
        run(home)


def test_group_that_cannot_be_given(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, mode: int) -> None:
        if mode != 0o600:  # that of our own files
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(effects, "fchmod", refuse)
    with refused(home, CompactionRefused, "operation not permitted"):
        run(home)


@pytest.mark.parametrize("damage", ["header", "table", "index"])
def test_damaged_database(home: HomeBuilder, damage: str) -> None:
    content = bytearray(database_of(home).read_bytes())
    with closing(sqlite3.connect(database_of(home))) as database:
        name = {"header": "", "table": "messages", "index": "idx_messages_session"}[damage]
        row = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    start = 0 if row is None else (row[0] - 1) * 4096
    content[start : start + 2000] = b"\x55" * 2000
    database_of(home).write_bytes(content)
    with refused(home, StoreUnreadable, "damaged", "repair"):
        run(home)


def test_damaged_search_index(home: HomeBuilder) -> None:
    home.execute("UPDATE messages_fts_data SET block = zeroblob(8) WHERE id > 100")
    with refused(home, StoreUnreadable, "damaged"):
        run(home)


def test_sweep_of_another_process(home: HomeBuilder) -> None:
    site = site_of(home)
    with site.workspace.locked(), pytest.raises(SweepRunning):
        compact(site, environ={})


def test_store_without_a_database(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of(home)
    monkeypatch.setattr(type(site.store), "compactor", lambda *_: None)
    with refused(home, CompactionRefused, "not in a database"):
        compact(site, environ={})


# Who comes in between


@pytest.mark.parametrize("stage", [CompactStage.MERGE, CompactStage.VERIFY, CompactStage.SWAP])
@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_row_written_meanwhile_is_never_lost(tmp_path: Path, journal: str, stage: CompactStage) -> None:
    home = thinned_home(tmp_path / "home", journal=journal)
    write = on(stage, lambda: home.execute("INSERT INTO state_meta VALUES ('late', 'row')"))
    with pytest.raises(DatabaseInUse, match="wrote to it"):
        run(home, observer=write)
    assert facts(database_of(home))["state_meta"] == [("late", "row")]
    assert leftovers(home) == []
    assert run(home).compacted
    assert facts(database_of(home))["state_meta"] == [("late", "row")]


def test_process_that_comes_before_the_exchange(home: HomeBuilder) -> None:
    code = "database = sqlite3.connect(sys.argv[1]); database.execute('SELECT * FROM sessions').fetchall()"
    with contextlib.ExitStack() as stack:
        come = on(CompactStage.SWAP, lambda: stack.enter_context(other_process(code, database_of(home))))
        with refused(home, DatabaseInUse, "works with it"):
            run(home, observer=come)


OPENER = """
descriptor = os.open(sys.argv[1], os.O_RDWR)
"""


def test_process_that_opens_the_old_file_at_the_last_moment(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for our lock, so it can be kept from working on a file that has no name any more."""
    before, inode = facts(database_of(home)), database_of(home).stat().st_ino
    opened: list[object] = []
    monkeypatch.setattr(swap, "_PATIENCE", 0.2)
    with contextlib.ExitStack() as stack:

        def open_and_take(*arguments: object) -> None:
            if not opened:
                opened.append(stack.enter_context(other_process(OPENER, database_of(home))))
            take_place(*arguments)  # type: ignore[arg-type]  # handed on

        monkeypatch.setattr(swap, "take_place", open_and_take)
        with refused(home, DatabaseInUse, "at the last moment"):
            run(home)
    assert database_of(home).stat().st_ino == inode
    assert facts(database_of(home)) == before


def test_process_that_gives_up_soon_is_waited_for(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that finds its database locked gives up after a second."""
    before = facts(database_of(home))
    with contextlib.ExitStack() as stack:

        def open_and_take(*arguments: object) -> None:
            process = stack.enter_context(other_process(OPENER, database_of(home)))
            take_place(*arguments)  # type: ignore[arg-type]  # handed on
            process.kill()

        monkeypatch.setattr(swap, "take_place", open_and_take)
        assert run(home).compacted
    assert facts(database_of(home)) == before


def test_nobody_gets_in_during_the_exchange(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def try_to_write() -> None:
        code = (
            "import sqlite3, sys\n"
            "database = sqlite3.connect(sys.argv[1], timeout=0)\n"
            "database.execute(\"INSERT INTO state_meta VALUES ('a', 'b')\")\n"
        )
        command = [sys.executable, "-c", code, str(database_of(home))]
        seen.append(subprocess.run(command, capture_output=True, text=True, check=False).stderr)

    def watched(*arguments: object) -> None:
        try_to_write()
        take_place(*arguments)  # type: ignore[arg-type]  # handed on
        try_to_write()

    monkeypatch.setattr(swap, "take_place", watched)
    assert run(home).compacted
    assert ["database is locked" in it for it in seen] == [True, True]


def test_file_system_without_hard_links(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(effects, "link", refuse)
    with refused(home, CompactionRefused, "second name"):
        run(home)


def test_retention_folder_on_another_file_system(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    fstat = os.fstat
    folder = home.path / "retention" / "compact"

    def elsewhere(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        if folder.exists() and status.st_ino == folder.stat().st_ino:
            return os.stat_result([*status[:2], status.st_dev + 1, *status[3:]])
        return status

    monkeypatch.setattr(os, "fstat", elsewhere)
    with refused(home, CompactionRefused, "another file system"):
        run(home)


@pytest.mark.parametrize("field", ["rows", "matches", "violations", "schema", "pragmas"])
def test_copy_that_differs_is_thrown_away(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    read, calls = compaction.read_contents, []

    def other(database: sqlite3.Connection, like: compaction.Contents | None = None) -> compaction.Contents:
        contents = read(database, like)
        calls.append(contents)
        return contents if like is None else msgspec.structs.replace(contents, **{field: {"x": 1}})

    monkeypatch.setattr(compaction, "read_contents", other)
    with refused(home, CompactionRefused, field, "thrown away"):
        run(home)
    assert calls[0].matches
    assert calls[0].rows["messages"] > 1


def test_database_that_is_unreadable_in_its_place_keeps_the_old_one(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = facts(database_of(home))

    def fail(path: Path) -> None:
        raise StoreUnreadable(str(path), "it is damaged", consequence="nothing was changed")

    monkeypatch.setattr(compaction, "require_in_place", fail)
    monkeypatch.setattr(swap, "require_in_place", fail)
    with pytest.raises(RetentionError, match=r"old\.db"):
        run(home)
    assert leftovers(home) == ["old.db"]
    with pytest.raises(CompactionRefused, match="is kept as"):
        run(home)
    assert leftovers(home) == ["old.db"]
    assert facts(home.path / "retention" / "compact" / "old.db") == before


def test_sweep_clears_up_after_a_compaction_that_died(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home")
    folder = home.path / "retention" / "compact"
    folder.mkdir(parents=True)
    (folder / "new.db").write_bytes(b"half a copy")
    sweep(site_of(home), clock=clock, origin="test")
    assert not folder.exists() or os.listdir(folder) == []
