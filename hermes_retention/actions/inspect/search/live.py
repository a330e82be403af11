"""What is still in the store: messages of the host's database and session files. Nothing is changed.

What must not live here: the vault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

import msgspec

from hermes_retention.actions.inspect.search.found import Hits
from hermes_retention.actions.inspect.search.messages import interesting_part, message_of, messages_in, whole
from hermes_retention.actions.inspect.search.query import Query
from hermes_retention.disk.directories import Directory
from hermes_retention.disk.originals import read_unchanged
from hermes_retention.home.home import Home
from hermes_retention.model.errors import ArtifactVanished, RetentionError
from hermes_retention.model.session import Session
from hermes_retention.stores.base import Folder


class Live(msgspec.Struct):
    """What was found in the store: session id → its hits; and what could not be read, one line each."""

    hits: dict[str, Hits]
    unread: list[str]


def search_store(
    site: Home, query: Query, sessions: Mapping[str, Session], new_hits: Callable[[], Hits]
) -> Live:
    """Look through rows and files of ``sessions``. Raises ``StoreUnreadable`` when rows cannot be read."""
    live = Live({}, [])
    for session_id, fields in site.store.message_texts(query.run):
        if session_id in sessions:
            hits = live.hits.get(session_id) or new_hits()
            if hits.take([message_of(fields)]):
                live.hits[session_id] = hits
    _search_files(site, query, sessions, new_hits, live)
    return live


def _search_files(
    site: Home, query: Query, sessions: Mapping[str, Session], new_hits: Callable[[], Hits], live: Live
) -> None:
    with ExitStack() as opened:
        folders: dict[Folder, Directory | None] = {}
        for session in sessions.values():
            folder = site.store.folder_of(session.id)
            if folder not in folders:
                folders[folder] = _open(site, folder, opened)
            directory = folders[folder]
            hits = live.hits.get(session.id) or new_hits()
            if directory is not None and _search_session(directory, session, query, hits, live.unread):
                live.hits[session.id] = hits


def _open(site: Home, folder: Folder, opened: ExitStack) -> Directory | None:
    """The directory, ``None`` when it does not exist."""
    try:
        return opened.enter_context(Directory.open(site.path, *folder.below))
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
