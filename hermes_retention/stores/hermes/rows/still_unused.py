"""What begins to use sessions while their rows leave: routes, compression locks and delegations that are new.

A scan and every reading ask for these too; but rows leave for minutes, and a session that somebody takes up
again in between must keep what it still has. What must not live here: what a session's own rows tell.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from hermes_retention.stores.hermes.records import claims, columns_of

Routes: TypeAlias = Callable[[], Mapping[str, Collection[str]]]
"""Reads session id → the keys that lead to it now."""
_Use: TypeAlias = tuple[str, str, object]
"""Session id, what uses it in words, and which of these it is."""
_State: TypeAlias = tuple[object, ...]


class UseWatch:
    """Tells of uses that were not there when it was made. For the thread of ``database``."""

    def __init__(self, database: sqlite3.Connection, routes: Routes, files: Sequence[Path]) -> None:
        """``files`` are what ``routes`` reads beside ``database``. Raises ``StoreUnreadable``."""
        self._database, self._routes, self._files = database, routes, files
        self._has_routes = bool(columns_of(database, "gateway_routing"))
        self._version, self._marks = self._current_version(), self._current_marks()
        self._known = frozenset(self._uses())
        self._new: dict[str, str] = {}

    def look(self) -> None:
        """Read again what changed: before a transaction, where nobody waits for it, and at its beginning.

        Most of what a host writes are messages: whether anything else changed is asked in a way that costs
        little, since somebody may wait for the lock. Raises ``StoreUnreadable`` when nobody knows what is
        routed.
        """
        version = self._current_version()
        if version == self._version:
            return
        self._version = version
        marks = self._current_marks()
        if marks != self._marks:
            self._new = {session_id: why for session_id, why, _ in {*self._uses()} - self._known}
            self._marks = marks

    def why_live(self, session_id: str) -> str:
        """What had begun to use the session at the last look; empty when nothing had."""
        return self._new.get(session_id, "")

    def _uses(self) -> Iterator[_Use]:
        for session_id, keys in self._routes().items():
            for key in keys:
                yield session_id, "messages go to it again", key
        for session_id, what, which in claims(self._database):
            yield session_id, f"the host is at work on it: {what}", which

    def _current_version(self) -> _State:
        """Differs once anybody wrote, be it only a message."""
        (version,) = self._database.execute("PRAGMA data_version").fetchone()
        return (version, *map(_file_state, self._files))

    def _current_marks(self) -> _State:
        """Differs once a route, a lock or a delegation is another."""
        routes = tuple(self._database.execute("SELECT * FROM gateway_routing")) if self._has_routes else ()
        return (*map(_file_state, self._files), hash(routes), *claims(self._database))


class Unwatched(UseWatch):
    """For databases that nobody else uses."""

    def __init__(self) -> None:
        """Nothing to look at."""
        self._new = {}

    def look(self) -> None:
        """Do nothing."""


def _file_state(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def why_any_is_live(watch: UseWatch, session_ids: Iterable[str]) -> str:
    """What uses one of these sessions; empty when nothing uses any."""
    return next(filter(None, map(watch.why_live, session_ids)), "")
