"""A small home with every kind of artifact, and the proof that nothing of it is lost.

    home = FullHome.make(tmp_path / "home")
    before = home.contents()
    ... something goes wrong ...
    home.check_nothing_lost(before)

What the policy may remove for good is told apart: the files and rows of ``FINAL`` and copies of ``EXPIRING``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import msgspec
from host_databases import HostDatabase

from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.archive.entries import ArchivedArtifact
from hermes_retention.archive.vault import Vault
from hermes_retention.home.home import Home
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.session import ROW_KINDS, ClockMemory, SessionClass
from hermes_retention.policy.lifecycle import Lifecycle, Policy
from hermes_retention.stores.hermes.store import HermesStore
from hermes_retention.stores.rows import MARKER, decode, sections

DAY = 86400
NOW = 1e9 + 400 * DAY
LONG = "what the zebra said " * 100
DELEGATED = '{"_delegate_from": "20010901_000000_aaaaaaa1"}'
STAMP = "20010901_090000_000001"
CHATS = [f"20010901_000000_aaaaaaa{number}" for number in range(6)]
LIVE, CRON = "20021001_000000_bbbbbbb0", "cron_job_20020801_000000"
FINAL = "20010901_000000_cccccccc"
"""A webhook's session; its class has no archive."""
RECENT = "20020901_000000_ffffff"
"""Of this one only files and tool output go."""
ORPHAN = "20010801_000000_dddddddd"
EXPIRING, STAYING = "api-0123456789abcdef", "20010601_000000_eeeeee"
"""Both are archived already and share a month; the copy of the first is due to expire."""
ALONE = "api-fedcba9876543210"
"""Its copy is due too, and nothing else is in its month."""

_KEEP = Lifecycle(files_after=DAY, tool_output_after=DAY, messages_after=60 * DAY, record_after=90 * DAY)
_replace = msgspec.structs.replace
POLICY = Policy(
    {
        **dict.fromkeys(SessionClass, _KEEP),
        SessionClass.HOOK: _replace(_KEEP, archive=False),
        SessionClass.API: _replace(_KEEP, archive_after=60 * DAY),
        SessionClass.CRON: _replace(_KEEP, persist=False, messages_after=None, record_after=None),
    }
)

Facts = dict[str, set[tuple[object, ...]]]


class Contents(msgspec.Struct, frozen=True):
    """All that can be read of a home: files, rows, and what the vault gives back."""

    files: dict[str, tuple[bytes, int, int]]
    """Name → bytes, time in nanoseconds, mode."""
    rows: Facts
    archived_files: frozenset[tuple[str, bytes, int, int]]
    archived_rows: Facts
    archived: frozenset[tuple[str, str, str]]
    """Session, kind and name of every copy."""


class FullHome:
    """The home at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sessions = path / "sessions"

    @classmethod
    def make(cls, path: Path, *, journal: str = "wal") -> FullHome:
        """A new one, in which two sessions are archived already."""
        path.mkdir()
        home = cls(path)
        home.sessions.mkdir()
        database = HostDatabase(path / "state.db", journal=journal)
        for session_id, source, age in (
            (EXPIRING, "api_server", 390),
            (STAYING, "cli", 390),
            (ALONE, "api_server", 340),
        ):
            home.add(database, session_id, source, age=age * DAY)
        home.sweep(now=NOW - 200 * DAY)
        _add_chats(home, database)
        home.add(database, RECENT, "cli", age=20 * DAY)
        home.add(database, FINAL, "webhook", age=200 * DAY)
        home.add(database, CRON, "cron", age=150 * DAY)
        home.add(database, LIVE, "telegram", age=100.0, ended=False)
        home._file(f"request_dump_{LIVE}_{STAMP}.json", age=20 * DAY)
        home._file(f"session_{ORPHAN}.json", age=20 * DAY)
        home._file("notes.txt", age=300 * DAY)
        with home.site().workspace.ledger() as ledger:  # as if sweeps had gone on meanwhile
            ledger.remember_clock(ClockMemory(NOW - DAY, NOW - DAY))
        home._file(
            "sessions.json",
            age=10.0,
            content=b'{"agent:main:telegram:dm:1": {"session_id": "%s"}}' % LIVE.encode(),
        )
        return home

    def add(
        self,
        database: HostDatabase,
        session_id: str,
        source: str,
        *,
        age: float,
        ended: bool = True,
        more: Mapping[str, object] | None = None,
    ) -> None:
        """A session with all kinds of files and rows."""
        last = NOW - age
        end = {"ended_at": last, "end_reason": "done"} if ended else {}
        texts = [f"{session_id} asks", f"{session_id} {LONG}", "thanks", LONG]
        database.session(session_id, texts, source=source, started_at=last - 60, **{**end, **(more or {})})
        database.execute("UPDATE messages SET timestamp = ? WHERE session_id = ?", last, session_id)
        database.insert("session_model_usage", {"session_id": session_id, "model": "m"})
        for name in (
            f"session_{session_id}.json",
            f"{session_id}.jsonl",
            f"request_dump_{session_id}_{STAMP}.json",
        ):
            self._file(name, age=age)

    def _file(self, name: str, *, age: float, content: bytes = b"") -> None:
        path = self.sessions / name
        path.write_bytes(content or f'{{"of": "{name}", "text": "{LONG}"}}\n'.encode())
        os.utime(path, (NOW - age, NOW - age))
        path.chmod(0o640 if name.endswith("jsonl") else 0o600)

    def add_snapshot(self, session_id: str, content: bytes) -> None:
        """A snapshot of a session that nobody knows."""
        self._file(f"session_{session_id}.json", age=100 * DAY, content=content)

    def copy(self, path: Path) -> FullHome:
        """The same home elsewhere, times included."""
        return FullHome(Path(shutil.copytree(self.path, path)))

    def copy_into(self, path: Path) -> FullHome:
        """The same at ``path``, which lies within this one."""
        path.mkdir()
        for name in ("sessions", "retention"):
            shutil.copytree(self.path / name, path / name)
        shutil.copy2(self.path / "state.db", path / "state.db")
        return FullHome(path)

    def site(self, policy: Policy = POLICY) -> Home:
        return Home(HermesStore(self.path), Workspace(self.path), policy)

    def sweep(self, *, now: float = NOW, policy: Policy = POLICY) -> SweepReport:
        return sweep(self.site(policy), clock=lambda: now, origin="test")

    def sweep_without_fault(self) -> SweepReport:
        """A sweep that has to end well."""
        report = self.sweep()
        assert [str(error) for failure in report.failures for error in failure.errors] == []
        assert report.warnings == ()
        return report

    @property
    def database(self) -> HostDatabase:
        made = object.__new__(HostDatabase)
        made.path = self.path / "state.db"
        return made

    @property
    def vault(self) -> Vault:
        return Workspace(self.path).vault

    def rows(self) -> Facts:
        """Rows of the host's database by table."""
        tables = ("sessions", "messages", "session_model_usage")
        return {table: {*self.database.execute(f"SELECT * FROM {table}")} for table in tables}

    def files(self) -> dict[str, tuple[bytes, int, int]]:
        found = {}
        for path in sorted(self.sessions.iterdir()):
            status = path.stat()
            found[path.name] = (path.read_bytes(), status.st_mtime_ns, status.st_mode & 0o777)
        return found

    def contents(self) -> Contents:
        """Everything, read anew. Fails when the vault does not give back what it should."""
        found = self.contents_of_archive()
        return msgspec.structs.replace(found, files=self.files(), rows=self.rows())

    def contents_of_store(self) -> Contents:
        """Only what the host has."""
        return Contents(self.files(), self.rows(), frozenset(), {}, frozenset())

    def contents_of_archive(self) -> Contents:
        """Only what the vault has."""
        files: set[tuple[str, bytes, int, int]] = set()
        rows: Facts = {"sessions": set(), "messages": set(), "session_model_usage": set()}
        archived = set()
        with closing(_Reading(self.vault)) as reading:
            for artifact, content in reading.all():
                archived.add((artifact.session_id, artifact.kind.value, artifact.name))
                if artifact.kind in ROW_KINDS:
                    for header, some in sections(decode(iter([content]))):
                        rows.setdefault(header.table, set()).update(some)
                else:
                    files.add((artifact.name, content, artifact.mtime_ns, artifact.mode))
        return Contents({}, {}, frozenset(files), rows, frozenset(archived))

    def check_nothing_lost(
        self, before: Contents, *, gone: Collection[str] = (EXPIRING, ALONE), written: Collection[str] = ()
    ) -> None:
        """Every file and row of ``before`` is in the store or the vault, and all databases are sound.

        Only the copies of ``gone`` may have left the vault; files ``written`` by a host may be others.
        """
        self.check_databases()
        now = self.contents()
        for name, (content, time, mode) in before.files.items():
            if FINAL not in name and name not in written:
                assert (
                    now.files.get(name) == (content, time, mode)
                    or (name, content, time, mode) in now.archived_files
                ), f"{name} is nowhere"
        for table, rows in before.rows.items():
            missing = {it for it in rows - now.rows[table] - now.archived_rows[table] if _is_wanted(it)}
            # A child whose parent has left is below nobody for now.
            assert table == "sessions" or not missing, f"rows of {table} are nowhere"
            assert {row[0] for row in missing} <= {row[0] for row in now.rows[table]}
        lost = {one for one in before.archived - now.archived if one[0] not in gone}
        assert not lost, "archived copies are gone"

    def check_same(self, whole: Contents, *, but: Collection[str] = ()) -> None:
        """It holds this; files in ``but`` may differ, and rows may have been archived in other versions."""
        now = self.contents()
        for name in ("files", "rows", "archived", "archived_files"):
            found, wanted = getattr(now, name), getattr(whole, name)
            if name == "files":
                found = {it: content for it, content in found.items() if it not in but}
                wanted = {it: content for it, content in wanted.items() if it not in but}
            assert found == wanted, f"{name} are others"

    def check_databases(self) -> None:
        """SQLite, FTS5 and the vault itself find nothing wrong."""
        self.database.check()
        for _, damages in self.vault.verify():
            assert damages == []

    def check_completed(self, whole: Contents) -> None:
        """The next sweep ends as ``whole`` did; one more changes nothing."""
        self.sweep_without_fault()
        done = self.contents()
        assert done.files == whole.files
        assert done.rows == whole.rows
        # More than that where a removal for good was lost with the power, but not that of its record: what is
        # there again is an orphan, and those are archived.
        assert done.archived >= whole.archived
        assert done.archived_files >= whole.archived_files
        assert os.listdir(self.path / "retention" / "aside") == []
        assert not list(self.path.rglob("*.tmp"))
        assert self.sweep_without_fault().sweep is None
        assert self.contents() == done


def _is_wanted(row: tuple[object, ...]) -> bool:
    """Whether a row may not vanish: markers do, when what they stand for comes back."""
    return FINAL not in row and not any(isinstance(it, str) and it.startswith(MARKER) for it in row)


def _add_chats(home: FullHome, database: HostDatabase) -> None:
    """Of several months; what compression continued, what was delegated, a branch."""
    lineage: dict[int, dict[str, object]] = {
        2: {"end_reason": "compression"},
        3: {"parent_session_id": CHATS[2]},
        4: {"parent_session_id": CHATS[1]},
        5: {"parent_session_id": CHATS[1], "model_config": DELEGATED},
    }
    for number, session_id in enumerate(CHATS):
        # The oldest lose their records, the next their messages, the newest their tool output.
        age = (300 - 55 * number) * DAY if number not in {2, 3} else (200 - number) * DAY
        home.add(database, session_id, "telegram", age=age, more=lineage.get(number))


class _Reading:
    """Every copy of a vault with its bytes."""

    def __init__(self, vault: Vault) -> None:
        self._vault, self._reader = vault, vault.reader()

    def all(self) -> Iterator[tuple[ArchivedArtifact, bytes]]:
        for artifact in self._vault.artifacts():
            yield artifact, b"".join(self._reader.read(artifact))

    def close(self) -> None:
        self._reader.__exit__(None, None, None)
