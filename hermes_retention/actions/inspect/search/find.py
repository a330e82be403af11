"""A search in what was archived, and with it in what is still in the store.

The partitions of the vault are gone through from the newest month on. In the store, messages of the host's
database and files of sessions are looked through; nothing is changed. What must not live here: output, and
what people type (``cli``).
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import msgspec

from hermes_retention.actions.inspect.search.messages import interesting_part, message_of, messages_in, whole
from hermes_retention.actions.inspect.search.query import FoundSession, Hits, Query
from hermes_retention.archive.entries import ArchivedArtifact, SessionEntry
from hermes_retention.archive.partition import Partition, plain_artifacts
from hermes_retention.archive.vault import Vault, unreadable
from hermes_retention.disk.directories import Directory
from hermes_retention.disk.originals import read_unchanged
from hermes_retention.home.home import Home
from hermes_retention.model.errors import ArtifactVanished, FrameCorrupt, RetentionError, VaultDamaged
from hermes_retention.model.session import ArtifactKind, Session, SessionClass
from hermes_retention.stores.base import Folder, SessionMetadata


class SearchRequest(msgspec.Struct, frozen=True):
    """What to look for, and in which sessions. Times are Unix seconds."""

    query: Query
    limit: int
    classes: frozenset[SessionClass] = frozenset()
    """Empty for all."""
    since: float | None = None
    until: float | None = None
    """The last activity of a session lies between these; the second one does not count."""
    user: str | None = None
    platform: str | None = None
    route: str | None = None
    """Only sessions of this chat, by its key."""
    live: bool = False
    """Whether to look into the store too."""
    excerpts: int = 2
    """At most, for each session."""


class SearchReport(msgspec.Struct, frozen=True):
    """What was found: the newest sessions first, as many as were asked for."""

    sessions: tuple[FoundSession, ...]
    has_more: bool
    """Whether there are further, older ones."""
    damages: tuple[VaultDamaged, ...] = ()
    """What of the archive could not be searched."""
    warnings: tuple[str, ...] = ()
    """What of the store could not be searched."""


class _Place(msgspec.Struct):
    """A session that matches, with what is known of it."""

    session_class: SessionClass
    last_activity: float
    metadata: SessionMetadata


def search(home: Home, request: SearchRequest, *, now: float) -> SearchReport:
    """Look through the vault, newest month first, and stop when there is enough. Reads only.

    What is damaged is left out and told. Raises ``StoreUnreadable`` when ``request.live`` is set and the
    store cannot be read.
    """
    home.workspace.check()
    damages: list[VaultDamaged] = []
    live = _in_store(home, request, now=now) if request.live else _Live()
    places = live.places | {
        session_id: place
        for session_id, place in _in_vault(home, request, damages).items()
        if session_id not in live.places
    }
    order = sorted(places, key=lambda session_id: (-places[session_id].last_activity, session_id))
    hits = {session_id: live.hits.get(session_id) or _hits(request) for session_id in order[: request.limit]}
    archived = take_hits(home.workspace.vault, hits, damages)
    return SearchReport(
        sessions=tuple(
            _found(session_id, places[session_id], one, session_id in archived, session_id in live.stored)
            for session_id, one in hits.items()
            if one.count
        ),
        has_more=len(order) > request.limit,
        damages=_once(damages),
        warnings=tuple(live.warnings),
    )


class _Live(msgspec.Struct):
    """What was found in the store, and which sessions it has; nothing where nobody looked."""

    stored: dict[str, Session] = {}
    places: dict[str, _Place] = {}
    hits: dict[str, Hits] = {}
    warnings: list[str] = []
    """What could not be read, one line each."""


def _in_store(home: Home, request: SearchRequest, *, now: float) -> _Live:
    """Look through rows and files of the wanted sessions. Raises ``StoreUnreadable`` for rows."""
    stored = {session.id: session for session in home.store.scan(now=now).sessions}
    wanted = _wanted_in_store(home, request, stored)
    live = _Live(stored)
    for session_id, fields in home.store.message_texts(request.query.run):
        if session_id in wanted:
            hits = live.hits.get(session_id) or _hits(request)
            if hits.take([message_of(fields)]):
                live.hits[session_id] = hits
    _search_files(home, request, wanted, live)
    live.places = {session_id: wanted[session_id] for session_id in live.hits}
    return live


def _in_vault(home: Home, request: SearchRequest, damages: list[VaultDamaged]) -> dict[str, _Place]:
    """The first sessions that match, one more than asked for."""
    wanted = partial(_is_wanted, request)
    with closing(matching_sessions(home.workspace.vault, request.query, wanted, damages)) as matching:
        some = itertools.islice(matching, request.limit + 1)
        return {entry.id: _Place(entry.session_class, entry.last_activity, entry.metadata) for entry in some}


def _found(session_id: str, place: _Place, hits: Hits, in_archive: bool, in_store: bool) -> FoundSession:  # noqa: FBT001 - two facts
    return FoundSession(
        session_id,
        place.session_class,
        place.last_activity,
        place.metadata,
        hits.count,
        hits.excerpts,
        in_archive=in_archive,
        in_store=in_store,
    )


def _hits(request: SearchRequest) -> Hits:
    return Hits(request.query, most_excerpts=request.excerpts)


def _is_wanted(request: SearchRequest, entry: SessionEntry) -> bool:
    return _fits(request, _Place(entry.session_class, entry.last_activity, entry.metadata))


def _fits(request: SearchRequest, place: _Place) -> bool:
    return (
        (not request.classes or place.session_class in request.classes)
        and (request.since is None or place.last_activity >= request.since)
        and (request.until is None or place.last_activity < request.until)
        and (request.user is None or place.metadata.user_id == request.user)
        and (request.platform is None or place.metadata.source == request.platform)
        and (request.route is None or place.metadata.route_key == request.route)
    )


def _wanted_in_store(home: Home, request: SearchRequest, stored: Mapping[str, Session]) -> dict[str, _Place]:
    known = home.store.metadata(list(stored))
    places = {
        session_id: _Place(
            session.session_class, session.last_activity, known.get(session_id, SessionMetadata())
        )
        for session_id, session in stored.items()
    }
    return {session_id: place for session_id, place in places.items() if _fits(request, place)}


def _once(damages: Iterable[VaultDamaged]) -> tuple[VaultDamaged, ...]:
    return tuple({str(damage): damage for damage in damages}.values())


def _search_files(home: Home, request: SearchRequest, wanted: Iterable[str], live: _Live) -> None:
    with ExitStack() as opened:
        folders: dict[Folder, Directory | None] = {}
        for session_id in wanted:
            folder = home.store.folder_of(session_id)
            if folder not in folders:
                folders[folder] = _open(home, folder, opened)
            directory = folders[folder]
            hits = live.hits.get(session_id) or _hits(request)
            if directory is not None and _search_session(
                directory, live.stored[session_id], request.query, hits, live.warnings
            ):
                live.hits[session_id] = hits


def _open(home: Home, folder: Folder, opened: ExitStack) -> Directory | None:
    """The directory, ``None`` when it does not exist."""
    try:
        return opened.enter_context(Directory.open(home.path, *folder.below))
    except FileNotFoundError:
        return None


def _search_session(
    directory: Directory, session: Session, query: Query, hits: Hits, unread: list[str]
) -> bool:
    matched = False
    for artifact in session.artifacts:
        try:
            raw = whole(read_unchanged(directory, artifact))
        except ArtifactVanished:
            continue  # archived or removed meanwhile
        except RetentionError as error:
            unread.append(f"{error.what}: {error.why}; it was not searched")
            continue
        if query.may_match(interesting_part(artifact.kind, raw)):
            matched |= hits.take(messages_in(artifact.kind, raw))
    return matched


Wanted = Callable[[SessionEntry], bool]


def matching_sessions(
    vault: Vault, query: Query, wanted: Wanted, damages: list[VaultDamaged]
) -> Generator[SessionEntry]:
    """The wanted sessions that hold a match, each once, those of the newest partition first.

    Within a partition the one that was active last comes first. A partition or a copy that cannot be read is
    added to ``damages`` and costs itself only.
    """
    seen: set[str] = set()
    for path in reversed(vault.partition_paths()):
        for entry in _in_partition(path, query, lambda one: one.id not in seen and wanted(one), damages):
            seen.add(entry.id)
            yield entry


def _in_partition(
    path: Path, query: Query, wanted: Wanted, damages: list[VaultDamaged]
) -> Generator[SessionEntry]:
    try:
        with Partition.open(path) as partition:
            entries = {entry.id: entry for entry in partition.sessions() if wanted(entry)}
            artifacts = [one for one in partition.artifacts() if one.session_id in entries]
            artifacts.sort(key=lambda one: (-entries[one.session_id].last_activity, one.session_id, one.id))
            yield from _matching(partition, artifacts, entries, query, damages)
    except VaultDamaged as error:
        damages.append(error)
    except (sqlite3.Error, ValueError) as error:
        damages.append(unreadable(path, error))


def _matching(
    partition: Partition,
    artifacts: list[ArchivedArtifact],
    entries: Mapping[str, SessionEntry],
    query: Query,
    damages: list[VaultDamaged],
) -> Generator[SessionEntry]:
    last_found = ""
    with closing(plain_artifacts(partition, artifacts, damages)) as batches:
        for artifact, plain in batches:
            if artifact.session_id != last_found and _matches(artifact, plain, query):
                last_found = artifact.session_id
                yield entries[last_found]


def _matches(artifact: ArchivedArtifact, plain: bytes, query: Query) -> bool:
    if not query.may_match(interesting_part(artifact.kind, plain)):
        return False
    return any(query.pattern.search(message.text) for message in messages_in(artifact.kind, plain))


def take_hits(vault: Vault, hits: Mapping[str, Hits], damages: list[VaultDamaged]) -> set[str]:
    """Look through every copy of these sessions, in all partitions, each compared with its sha256.

    Returns the sessions of which the vault has something.
    """
    archived: set[str] = set()
    for path in vault.partition_paths():
        try:
            with Partition.open(path) as partition:
                for session_id, found in hits.items():
                    for artifact in sorted(partition.artifacts(session_id=session_id), key=_rows_first):
                        archived.add(session_id)
                        _take(partition, artifact, found, damages)
        except VaultDamaged as error:
            damages.append(error)
        except (sqlite3.Error, ValueError) as error:
            damages.append(unreadable(path, error))
    return archived


def _take(partition: Partition, artifact: ArchivedArtifact, hits: Hits, damages: list[VaultDamaged]) -> None:
    try:
        hits.take(messages_in(artifact.kind, whole(partition.read(artifact))))
    except FrameCorrupt as error:
        damages.append(error)


def _rows_first(artifact: ArchivedArtifact) -> tuple[bool, int]:
    """Rows know the time of each message, files mostly do not."""
    return artifact.kind is not ArtifactKind.MESSAGES, artifact.id
