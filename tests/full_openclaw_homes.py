"""A small OpenClaw home with every kind of entry and file, and the proof that nothing of it is lost.

    home = FullOpenClawHome.make(tmp_path / "home")
    before = home.contents()
    ... something goes wrong ...
    home.check_nothing_lost(before)

What the policy may remove for good is told apart: ``FINAL``, whose class has no archive, and the archived
copy of ``EXPIRING``.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import msgspec
from homes import DAY, HOUR, NOW
from openclaw_homes import OpenClawHome

from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.home.home import Home
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.session import ArtifactKind, ClockMemory, SessionClass
from hermes_retention.policy.lifecycle import Lifecycle, Policy
from hermes_retention.stores.base import StartingStore
from hermes_retention.stores.openclaw.files import Waiting
from hermes_retention.stores.openclaw.index import SessionIndex
from hermes_retention.stores.openclaw.store import OpenClawStore

AGENTS = ("main", "second")
_NAMES = ("main", "hook", "old hook", "run", "newest run", "failed", "resumed", "chat", "final", "expiring")
IDS = {name: f"00000000-0000-4000-8000-{number:012x}" for number, name in enumerate(_NAMES, 1)}
ORPHAN = "00000000-0000-4000-8000-0000000000ff"
FINAL, EXPIRING = IDS["final"], IDS["expiring"]
_EXPIRES = 60 * DAY
_INDEX = "sessions.json"
_KEEP = Lifecycle(files_after=int(DAY), idle_after=int(DAY))
POLICY = Policy(
    {
        **dict.fromkeys(SessionClass, _KEEP),
        SessionClass.CHAT: msgspec.structs.replace(_KEEP, files_after=None, idle_after=None),
        SessionClass.SUBAGENT: msgspec.structs.replace(_KEEP, archive=False),
        SessionClass.API: msgspec.structs.replace(_KEEP, archive_after=int(_EXPIRES)),
    }
)


class OpenClawContents(msgspec.Struct, frozen=True):
    """All that can be read of a home: entries, files, and what the vault gives back of them."""

    entries: frozenset[tuple[str, str, bytes]]
    """Agent, key, and the bytes of the entry."""
    files: dict[str, tuple[bytes, int, int]]
    """Agent and name → bytes, time in nanoseconds, mode. Without the indexes."""
    archived_entries: frozenset[tuple[str, str, bytes]]
    archived_files: frozenset[tuple[str, bytes, int, int]]
    archived: frozenset[tuple[str, str]]
    """Session and name of every copy."""


class FullOpenClawHome:
    """The home at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, path: Path) -> FullOpenClawHome:
        """A new one, with two agents that have the same, and one session archived already."""
        made = OpenClawHome(path)
        for agent in AGENTS:
            made.session("openai:{id}", age=90 * DAY, agent=agent, session_id=EXPIRING)
        made.write()
        home = cls(path)
        home.sweep(now=NOW - 80 * DAY)
        made.entries.clear()
        for agent in AGENTS:
            _fill(made, agent)
        made.write()
        with home.site().workspace.ledger() as ledger:  # as if sweeps had gone on meanwhile
            ledger.remember_clock(ClockMemory(NOW - DAY, NOW - DAY))
        return home

    def copy(self, path: Path) -> FullOpenClawHome:
        """The same home elsewhere, times included."""
        return FullOpenClawHome(Path(shutil.copytree(self.path, path)))

    def site(self) -> Home:
        """The home under care. To it every lock looks a minute older, so that one of the dead is no one's."""
        return Home(OpenClawStore(self.path, waiting=self._waiting()), Workspace(self.path), POLICY)

    def starting_store(self) -> StartingStore:
        return OpenClawStore(self.path, waiting=self._waiting()).before_start()

    def _waiting(self) -> Waiting:
        return Waiting(now=lambda: time.time() + 60, sleep=lambda _: None)

    def sweep(self, *, now: float = NOW) -> SweepReport:
        return sweep(self.site(), clock=lambda: now, origin="test")

    def sweep_without_fault(self) -> SweepReport:
        """A sweep that has to end well."""
        report = self.sweep()
        assert [str(error) for failure in report.failures for error in failure.errors] == []
        assert report.warnings == ()
        return report

    def contents(self) -> OpenClawContents:
        """Everything, read anew. Fails when the vault does not give back what it should."""
        entries, files = set(), {}
        for agent in AGENTS:
            for path in sorted((self.path / "agents" / agent / "sessions").iterdir()):
                if path.name == _INDEX:
                    entries |= _entries(agent, path.read_bytes())
                elif not path.name.endswith(".lock"):  # of whoever died
                    status = path.stat()
                    facts = status.st_mtime_ns, status.st_mode & 0o777
                    files[f"{agent}/{path.name}"] = (path.read_bytes(), *facts)
        archived_entries, archived_files, archived = set(), set(), set()
        vault = Workspace(self.path).vault
        with vault.reader() as reader:
            for artifact in vault.artifacts():
                content = b"".join(reader.read(artifact))
                agent = artifact.session_id.partition("/")[0]
                archived.add((artifact.session_id, artifact.name))
                if artifact.kind is ArtifactKind.ENTRY:
                    archived_entries |= _entries(agent, content)
                else:
                    name = f"{agent}/{artifact.name}"
                    archived_files.add((name, content, artifact.mtime_ns, artifact.mode))
        return OpenClawContents(
            frozenset(entries),
            files,
            frozenset(archived_entries),
            frozenset(archived_files),
            frozenset(archived),
        )

    def check_nothing_lost(self, before: OpenClawContents) -> None:
        """Every entry and file of ``before`` is in the store or the vault, and the vault is sound."""
        self._check_vault()
        now = self.contents()
        lost = before.entries - now.entries - now.archived_entries
        assert not {entry for entry in lost if FINAL.encode() not in entry[2]}, "entries are nowhere"
        for name, it in before.files.items():
            if FINAL not in name:
                assert now.files.get(name) == it or (name, *it) in now.archived_files, f"{name} is nowhere"
        copies = {copy for copy in before.archived - now.archived if EXPIRING not in copy[0]}
        assert not copies, "archived copies are gone"

    def check_same(self, whole: OpenClawContents) -> None:
        """It holds this, and no more."""
        now = self.contents()
        for name in OpenClawContents.__struct_fields__:
            assert getattr(now, name) == getattr(whole, name), f"{name} are others"
        self._check_vault()

    def check_completed(self, whole: OpenClawContents) -> None:
        """The next sweep ends as ``whole`` did; one more changes nothing."""
        self.sweep_without_fault()
        done = self.contents()
        assert done.entries == whole.entries
        assert done.files == whole.files
        assert done.archived >= whole.archived
        assert done.archived_files >= whole.archived_files
        assert done.archived_entries >= whole.archived_entries
        assert not list(self.path.rglob("*.tmp"))
        assert not list((self.path / "agents").rglob("*.lock"))
        assert self.sweep_without_fault().sweep is None
        assert self.contents() == done

    def _check_vault(self) -> None:
        for _, damages in Workspace(self.path).vault.verify():
            assert damages == []


def _entries(agent: str, content: bytes) -> set[tuple[str, str, bytes]]:
    index = SessionIndex.split(content)
    return {(agent, key, index.value(key)) for key in index.members}


def _fill(made: OpenClawHome, agent: str) -> None:
    """Sessions of all classes and months, with sidecars, of which some are due."""
    skills = {"prompt": "what the zebra can do " * 40}
    made.session("main", age=100 * DAY, agent=agent, session_id=IDS["main"])
    made.session("hook", age=30 * DAY, agent=agent, session_id=IDS["hook"], skillsSnapshot=skills)
    made.session("hook", age=70 * DAY, agent=agent, session_id=IDS["old hook"], skillsSnapshot=skills)
    made.session("run", age=40 * DAY, agent=agent, session_id=IDS["run"], status="done")
    made.session("run", age=HOUR, agent=agent, session_id=IDS["newest run"], status="done")
    made.session("hook", age=9 * DAY, agent=agent, session_id=IDS["failed"], status="failed")
    made.session("hook", age=2 * HOUR, agent=agent, session_id=IDS["resumed"], abortedLastRun=True)
    made.session("direct", age=100 * DAY, agent=agent, session_id=IDS["chat"])
    made.session("subagent", age=40 * DAY, agent=agent, session_id=FINAL)
    made.transcript(IDS["hook"], age=30 * DAY, agent=agent, suffix=".trajectory.jsonl")
    made.transcript(IDS["chat"], age=20 * DAY, agent=agent, suffix=".jsonl.reset.2026-10-01T00-00-00.000Z")
    made.transcript(ORPHAN, age=30 * DAY, agent=agent)
    made.file("notes.txt", age=300 * DAY, agent=agent)
    for path in made.directory(agent).iterdir():
        os.chmod(path, 0o640 if "trajectory" in path.name else 0o600)
