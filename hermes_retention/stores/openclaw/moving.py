"""The artifacts of a home's sessions while a sweep moves them: files of several agents, and index entries.

An entry leaves first, under the host's lock and only with the bytes that were archived; then the files do.
Between the two a session is an orphan, which the next sweep finishes. What must not live here: decisions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

from hermes_retention.disk.directories import Directory
from hermes_retention.disk.originals import Remover, read_unchanged
from hermes_retention.model.errors import ArtifactChanged, RetentionError
from hermes_retention.model.session import Artifact, ArtifactKind
from hermes_retention.stores.base import SessionMetadata
from hermes_retention.stores.openclaw.entries import metadata_of, session_id_in
from hermes_retention.stores.openclaw.files import (
    LOCK,
    Waiting,
    folder_of,
    holder_of,
    joined,
    parted,
    transcripts,
)
from hermes_retention.stores.openclaw.index import (
    Changes,
    EntrySpan,
    IndexCache,
    IndexFile,
    SessionIndex,
    Snapshot,
)
from hermes_retention.stores.openclaw.scanning import fingerprint

_KEPT = "the session was kept"
OpenAside: TypeAlias = Callable[[], Directory]


class _AgentMover:
    """One agent's directory, opened, with its index as it was last seen. For several threads."""

    def __init__(self, directory: Directory, index_file: IndexFile, open_aside: OpenAside) -> None:
        self.directory, self._index_file, self._open_aside = directory, index_file, open_aside
        self._aside: Directory | None = None
        self._remover: Remover | None = None
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._keys: tuple[Mapping[str, EntrySpan], dict[str, list[str]]] = ({}, {})
        """Members of an index, and its keys by session. Not the index itself, which may be large."""

    def close(self) -> None:
        self.directory.close()
        if self._aside is not None:
            self._aside.close()

    def remove(self, artifact: Artifact) -> None:
        with self._lock:
            if self._remover is None:
                self._aside = self._open_aside()
                self._remover = Remover(self.directory, self._aside)
        self._remover.remove(artifact)

    def entry_of(self, session_id: str) -> bytes | None:
        """The entries of a session as the index had them when it was last seen."""
        with self._lock:
            index = self._seen().index
            keys = self._keys_in(index).get(session_id)
            return None if keys is None else index.excerpt(keys)

    def entry_value(self, session_id: str) -> tuple[str, bytes] | None:
        """The first key of a session, with its entry."""
        with self._lock:
            index = self._seen().index
            keys = self._keys_in(index).get(session_id)
            return None if not keys else (keys[0], index.value(keys[0]))

    def take_off(self, leaving: Mapping[str, Sequence[Artifact]], *, now: float) -> dict[str, RetentionError]:
        """Remove the entries of these sessions from the index; returns those that must stay, and why."""
        needed: dict[str, RetentionError] = {}

        def changes_to(index: SessionIndex) -> Changes:
            # Asked anew when somebody else had the lock in between: only what holds now counts.
            needed.clear()
            keys, gone = self._keys_in(index), dict[str, None]()
            for session_id, artifacts in leaving.items():
                known = keys.get(session_id, ())
                error = self._why_it_stays(session_id, artifacts, index, known, now=now)
                if error is not None:
                    needed[session_id] = error
                elif any(artifact.kind is ArtifactKind.ENTRY for artifact in artifacts):
                    gone.update(dict.fromkeys(known))
            return gone

        with self._lock:
            self._seen()
            # One rewrite for all of them. The old snapshot is given away first: an index may have hundreds of
            # megabytes, and two of them need not be in memory at a time.
            self._snapshot = self._index_file.update(changes_to, self._handed_over())
            self._carry_over(leaving.keys() - needed.keys())
        return needed

    def _seen(self) -> Snapshot:
        if self._snapshot is None:
            self._snapshot = self._index_file.load()
        return self._snapshot

    def _handed_over(self) -> Snapshot | None:
        """What was seen last, for somebody who puts another one in its place."""
        handed, self._snapshot = self._snapshot, None
        return handed

    def _keys_in(self, index: SessionIndex) -> dict[str, list[str]]:
        """Session id → its keys, read once for each index."""
        if self._keys[0] is not index.members:
            found: dict[str, list[str]] = {}
            for key in index.members:
                session_id = session_id_in(index.value(key))
                if session_id is not None:
                    found.setdefault(session_id, []).append(key)
            self._keys = index.members, found
        return self._keys[1]

    def _carry_over(self, gone: Collection[str]) -> None:
        """What we took off ourselves need not be read again."""
        members = self._seen().index.members
        if self._keys[0] is members:
            return
        known = self._keys[1].items()
        left = {own: keys for own, keys in known if own not in gone or keys[0] in members}
        self._keys = members, left

    def _why_it_stays(
        self,
        session_id: str,
        artifacts: Sequence[Artifact],
        index: SessionIndex,
        keys: Sequence[str],
        *,
        now: float,
    ) -> RetentionError | None:
        entry = next((artifact for artifact in artifacts if artifact.kind is ArtifactKind.ENTRY), None)
        # The archive has the bytes that the scan saw. Whatever the host wrote since is in no copy.
        if entry is not None and (not keys or fingerprint(index.excerpt(keys)) != entry.inode):
            why = "its entry changed since the scan" if keys else "its entry is gone since the scan"
            return ArtifactChanged(f"session {session_id}", why, consequence=_KEPT)
        # It was an orphan when it was archived; by now the host has taken its files up again.
        has_files = any(artifact.kind is not ArtifactKind.LEFTOVER for artifact in artifacts)
        if entry is None and keys and has_files:
            why = "the index leads to it now"
            return ArtifactChanged(f"session {session_id}", why, consequence=_KEPT)
        # A transcript that somebody has locked is about to be written to, though nothing changed yet.
        for name in transcripts(artifacts):
            held = holder_of(self.directory, name + LOCK, now=now)
            if held is not None:
                return ArtifactChanged(f"session {session_id}", held, consequence=_KEPT)
        return None


class OpenClawFiles:
    """The port ``StoreFiles`` for homes of this family."""

    def __init__(self, home: Path, aside: tuple[str, ...], cache: IndexCache, waiting: Waiting) -> None:
        self._home, self._aside, self._cache, self._waiting = home, aside, cache, waiting
        self._agents: dict[str, _AgentMover] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give all descriptors back."""
        for agent in self._agents.values():
            agent.close()

    def read(self, session_id: str, artifact: Artifact) -> Generator[bytes]:
        """Its content in pieces. Raises ``ArtifactChanged`` or ``ArtifactUnreadable``."""
        agent, own = self._of(session_id)
        if artifact.kind is not ArtifactKind.ENTRY:
            yield from read_unchanged(agent.directory, artifact)
            return
        content = agent.entry_of(own)
        if content is None or fingerprint(content) != artifact.inode:
            raise ArtifactChanged(
                f"index entry of {session_id}", "it changed since the scan", consequence=_KEPT
            )
        yield content

    def let_go(self, leaving: Mapping[str, Sequence[Artifact]]) -> Mapping[str, RetentionError]:
        """Take the entries of these sessions off the index, agent by agent. Returns what must stay."""
        by_agent: dict[str, dict[str, Sequence[Artifact]]] = {}
        for session_id, artifacts in leaving.items():
            agent, own = parted(session_id)
            by_agent.setdefault(agent, {})[own] = artifacts
        needed: dict[str, RetentionError] = {}
        for agent, sessions in by_agent.items():
            try:
                told = self._agent(agent).take_off(sessions, now=self._waiting.now())
            except RetentionError as error:
                told = dict.fromkeys(sessions, error.with_traceback(None))
            needed.update((joined(agent, own), error) for own, error in told.items())
        return needed

    def remove(self, session_id: str, artifact: Artifact) -> None:
        """Remove a file, if it still is what was archived; an entry went before. Raises as the port says."""
        if artifact.kind is not ArtifactKind.ENTRY:
            self._of(session_id)[0].remove(artifact)

    def metadata(self, session_id: str) -> SessionMetadata | None:
        """What the index says of a session; ``None`` when it knows none."""
        agent, own = self._of(session_id)
        found = agent.entry_value(own)
        return None if found is None else metadata_of(*found)

    def _of(self, session_id: str) -> tuple[_AgentMover, str]:
        agent, own = parted(session_id)
        return self._agent(agent), own

    def _agent(self, name: str) -> _AgentMover:
        with self._lock:
            if name not in self._agents:
                folder = folder_of(name)
                directory = Directory.create(self._home, *folder.below)
                index_file = IndexFile(directory, self._cache, self._waiting)
                open_aside = partial(Directory.create, self._home, *self._aside, *folder.aside)
                self._agents[name] = _AgentMover(directory, index_file, open_aside)
            return self._agents[name]


@contextmanager
def moving(
    home: Path, aside: tuple[str, ...], cache: IndexCache, waiting: Waiting
) -> Iterator[OpenClawFiles]:
    """The artifacts of all agents, each directory opened when it is needed first."""
    files = OpenClawFiles(home, aside, cache, waiting)
    try:
        yield files
    finally:
        files.close()
