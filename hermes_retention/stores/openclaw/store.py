"""A home of the OpenClaw family as a ``Store``: for each agent an index and transcripts.

What must not live here: names and formats (``files``, ``entries``, ``keys``, ``index``), and decisions.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from hermes_retention.disk.directories import Directory
from hermes_retention.model.errors import RestoreConflict
from hermes_retention.model.session import Session, SessionClass, Unknown
from hermes_retention.model.text import printable
from hermes_retention.stores.base import (
    EntryRestored,
    Folder,
    InterruptedSession,
    Scan,
    SessionCounter,
    SessionMetadata,
    StartingStore,
    Store,
)
from hermes_retention.stores.files import require_home, unreadable_directory
from hermes_retention.stores.openclaw.entries import read_key
from hermes_retention.stores.openclaw.files import (
    AGENTS,
    LOCK,
    Waiting,
    find_agents,
    folder_of,
    holder_of,
    joined,
    parted,
)
from hermes_retention.stores.openclaw.index import (
    CACHE_MAX_BYTES,
    Changes,
    IndexCache,
    IndexFile,
    SessionIndex,
)
from hermes_retention.stores.openclaw.moving import OpenClawFiles, moving
from hermes_retention.stores.openclaw.scanning import (
    AgentScan,
    ResumeMarks,
    as_ended,
    interrupted_session,
    scan_agent,
)


class OpenClawStore(Store):
    """The session storage of Clawdbot, Moltbot and OpenClaw up to 2026.7."""

    name = "openclaw"

    def __init__(
        self, home: Path, *, cache_max_bytes: int = CACHE_MAX_BYTES, waiting: Waiting | None = None
    ) -> None:
        """``home`` may be a symbolic link; what is below it may not. It need not exist before ``scan``."""
        self._home = Path(os.path.realpath(home))
        self._cache_max_bytes = cache_max_bytes
        self._cache = IndexCache(cache_max_bytes)
        self.waiting = waiting or Waiting()
        self._moving: OpenClawFiles | None = None

    @property
    def home(self) -> Path:
        """The home, resolved."""
        return self._home

    @property
    def files_directory(self) -> Path:
        """Where the directories of all agents lie. It may not exist yet."""
        return self._home / AGENTS

    def folders(self) -> Sequence[Folder]:
        """The directory of each agent."""
        return [folder_of(agent) for agent in find_agents(self._home)[0]]

    def folder_of(self, session_id: str) -> Folder:
        """The directory of the agent that the id speaks of."""
        return folder_of(parted(session_id)[0])

    def scan(self, *, now: float) -> Scan:
        """Read names, sizes, times and indexes; never the contents of transcripts.

        Raises ``StoreUnreadable`` when an index cannot be read: nothing may be removed then, from no agent.
        """
        require_home(self._home, "OPENCLAW_STATE_DIR; by default it is ~/.openclaw")
        sessions: list[Session] = []
        unknown: list[Unknown] = []
        agents, warnings = find_agents(self._home)
        other_bytes = 0
        for agent in agents:
            found = self.scan_agent(agent, now=now)
            sessions += found.sessions
            unknown += found.unknown
            warnings += found.warnings
            other_bytes += found.other_bytes
        sessions.sort(key=lambda session: session.id)
        return Scan(
            sessions=tuple(sessions),
            unknown=tuple(sorted(unknown, key=lambda one: one.name)),
            other_bytes=other_bytes,
            warnings=(*warnings, *self._cache.warnings()),
        )

    def scan_agent(self, agent: str, *, now: float) -> AgentScan:
        """The same for one agent."""
        folder = folder_of(agent)
        try:
            with Directory.open(self._home, *folder.below) as directory:
                return scan_agent(agent, directory, self.open_index(directory), now=now)
        except OSError as error:
            raise unreadable_directory(self._home.joinpath(*folder.below), error) from error

    def open_index(self, directory: Directory) -> IndexFile:
        """The index in an agent's directory, for as long as that is open."""
        return IndexFile(directory, self._cache, self.waiting)

    def metadata(self, session_ids: Sequence[str]) -> dict[str, SessionMetadata]:
        """What the indexes say of these sessions. Raises ``StoreUnreadable`` when one cannot be read."""
        if self._moving is not None:
            return _described(self._moving, session_ids)
        agents = frozenset(find_agents(self._home)[0])
        wanted = [session_id for session_id in session_ids if parted(session_id)[0] in agents]
        if not wanted:
            return {}
        with moving(self._home, (), self._cache, self.waiting) as files:
            return _described(files, wanted)

    @contextmanager
    def moving_files(self, *aside: str) -> Iterator[OpenClawFiles]:
        """Open the artifacts for one sweep; the lock of the home is held."""
        with moving(self._home, aside, self._cache, self.waiting) as files:
            self._moving = files
            try:
                yield files
            finally:
                self._moving = None

    def counter(self) -> SessionCounter:
        """Without a database; a key tells the class all the same."""
        return _KeyReader()

    def before_start(self) -> StartingStore:
        """The same home as a gateway that starts would see it; only while none runs."""
        return StartingOpenClawStore(self._home, cache_max_bytes=self._cache_max_bytes, waiting=self.waiting)

    def put_entries_back(self, entries: Mapping[str, bytes]) -> Mapping[str, EntryRestored]:
        """Put archived entries back under their keys, unless a key is taken by another entry.

        Raises ``StoreUnreadable`` when an index cannot be read, locked or written; entries of agents that
        come later are not put back then.
        """
        by_agent: dict[str, dict[str, SessionIndex]] = {}
        for session_id, content in entries.items():
            by_agent.setdefault(parted(session_id)[0], {})[session_id] = SessionIndex.split(content)
        told: dict[str, EntryRestored] = {}
        for agent, archived in by_agent.items():
            with Directory.create(self._home, *folder_of(agent).below) as directory:
                self.open_index(directory).update(
                    lambda index, archived=archived: _returning(index, archived, told)  # type: ignore[misc]
                )
        return told


class _KeyReader(SessionCounter):
    """What of a session that grows is known without a database."""

    def class_of(self, session_id: str, platform: str, session_key: str) -> SessionClass:
        """The class that its key speaks of, or else what the gateway says."""
        if session_key:
            return read_key(session_key).session_class
        return super().class_of(session_id, platform, session_key)


class StartingOpenClawStore(OpenClawStore, StartingStore):
    """A home whose gateway is down, seen as if it held only what must not be resumed at all."""

    def scan(self, *, now: float) -> Scan:
        """The sessions that ended in error, chats apart, and those whose transcript is broken.

        All of them count as ended. Raises ``StoreUnreadable`` as ever. The transcripts of interrupted
        sessions are read, all others are not.
        """
        found = super().scan(now=now)
        interrupted = {one.candidate.session_id: one for one in self.interrupted(now=now)}
        warnings = list(found.warnings)
        sessions = []
        for session in found.sessions:
            one = interrupted.get(session.id)
            broken = one is not None and one.is_broken
            if broken and one is not None and one.is_main:
                warnings.append(
                    f"{printable(session.id)}: the transcript of a main session is broken; it is kept"
                )
            elif broken or (
                session.failed and session.routes and session.session_class is not SessionClass.CHAT
            ):
                sessions.append(as_ended(session))
        return msgspec.structs.replace(found, sessions=tuple(sessions), warnings=tuple(warnings))

    def interrupted(self, *, now: float) -> list[InterruptedSession]:
        """The sessions that a gateway would go on with, by agent."""
        found: list[InterruptedSession] = []
        for agent in find_agents(self.home)[0]:
            entries = [
                one for one in self.scan_agent(agent, now=now).entries if one.resumable and one.doubt is None
            ]
            with Directory.open(self.home, *folder_of(agent).below) as directory:
                found += [interrupted_session(agent, entry, directory) for entry in entries]
        return found

    def clear_resume_marks(self, session_ids: Iterable[str]) -> list[str]:
        """Take the mark off these sessions that makes a gateway resume them; returns those that had it.

        Everything else in their entries stays as it is, byte for byte. A session whose transcript somebody
        has locked keeps its mark. Raises ``StoreUnreadable`` when an index cannot be read, locked or written.
        """
        wanted: dict[str, set[str]] = {}
        for session_id in session_ids:
            agent, own = parted(session_id)
            wanted.setdefault(agent, set()).add(own)
        cleared: list[str] = []
        for agent, ids in sorted(wanted.items()):
            with Directory.open(self.home, *folder_of(agent).below) as directory:
                now = self.waiting.now()
                free = {own for own in ids if holder_of(directory, f"{own}.jsonl{LOCK}", now=now) is None}
                marks = ResumeMarks(free)
                self.open_index(directory).update(marks.changes_to)
            cleared += [joined(agent, own) for own in sorted(marks.cleared)]
        return cleared


def _described(files: OpenClawFiles, session_ids: Sequence[str]) -> dict[str, SessionMetadata]:
    known = ((session_id, files.metadata(session_id)) for session_id in session_ids)
    return {session_id: metadata for session_id, metadata in known if metadata is not None}


def _returning(
    index: SessionIndex, archived: Mapping[str, SessionIndex], told: dict[str, EntryRestored]
) -> Changes:
    """What has to be added to ``index``; ``told`` is what becomes of each session."""
    added: dict[str, bytes | None] = {}
    for session_id, entries in archived.items():
        values = {key: entries.value(key) for key in entries.members}
        present = {key: index.value(key) for key in values if key in index}
        taken = [key for key, value in present.items() if value != values[key]]
        taken += [key for key in values if key in added]
        if taken:
            told[session_id] = EntryRestored(_taken(taken[0]))
            continue
        missing = {key: value for key, value in values.items() if key not in present}
        added.update(missing)
        told[session_id] = EntryRestored(already_there=not missing)
    return added


def _taken(key: str) -> RestoreConflict:
    return RestoreConflict(
        f"index entry {key}",
        "the host has another session under this key now",
        consequence="the entry was not put back; its files were",
        cure="Look at the archived one with 'hermes-retention archive export'.",
    )
