"""Routes that leave the host's index while no gateway runs.

A running gateway has its routes in memory and writes all of them over whatever lies on disk: there only its
own store can drop one. What must not live here: which routes are dead.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from hermes_retention.disk.directories import Directory
from hermes_retention.disk.writing import rewrite_unchanged
from hermes_retention.policy.lifecycle import MIN_AGE_FLOOR
from hermes_retention.stores.hermes import config, files, state_db
from hermes_retention.stores.hermes.compact.processes import running_gateway
from hermes_retention.stores.hermes.documents import decode, read_document, timestamp
from hermes_retention.stores.hermes.records import columns_of

_PER_TRANSACTION = 200
"""A few milliseconds: another process of the host may want to write."""


class OfflineRoutes:
    """The index of a home without a gateway. Does nothing while one runs."""

    def __init__(self, home: Path, clock: Callable[[], float]) -> None:
        """``home`` is resolved. ``clock`` gives Unix seconds."""
        self._home, self._clock = home, clock

    def drop_routes(self, routes: Mapping[str, str]) -> list[str]:
        """Forget the routes (key → session id) that still lead there and have been quiet; those forgotten.

        Table first, file second: when the process dies between them the host takes the rest over from the
        file, and the next sweep drops it. Raises ``StoreUnreadable`` and ``OSError``; what was dropped until
        then stays dropped.
        """
        if not routes or self._is_served():
            return []
        dropped = self._drop_from_table(routes)
        with contextlib.suppress(FileNotFoundError):
            dropped |= self._drop_from_index(Directory.open(self._home, files.DIRECTORY), routes)
        other = config.other_sessions_directory(self._home)
        with contextlib.suppress(FileNotFoundError):
            if other is not None:
                dropped |= self._drop_from_index(Directory.open(other), routes)
        return sorted(dropped)

    def _is_served(self) -> bool:
        above = self._home.parent.parent if self._home.parent.name == "profiles" else None
        return any(running_gateway(home) is not None for home in (self._home, above) if home is not None)

    def _drop_from_table(self, routes: Mapping[str, str]) -> set[str]:
        path = self._home / state_db.DATABASE
        dropped: set[str] = set()
        with state_db.reading(path) as database:
            if database is None or not columns_of(database, "gateway_routing"):
                return dropped
        with state_db.writing(path) as database:
            waiting = iter(routes.items())
            while some := dict(islice(waiting, _PER_TRANSACTION)):
                dropped |= self._drop_some(database, some)
        return dropped

    def _drop_some(self, database: sqlite3.Connection, routes: Mapping[str, str]) -> set[str]:
        marks = ", ".join("?" * len(routes))
        database.execute("BEGIN IMMEDIATE")
        rows = database.execute(
            f"SELECT rowid, session_key, entry_json FROM gateway_routing WHERE session_key IN ({marks})",  # noqa: S608 - question marks
            list(routes),
        ).fetchall()
        dead = [(rowid, key) for rowid, key, entry in rows if self._is_dead(_decoded(entry), routes[key])]
        database.executemany("DELETE FROM gateway_routing WHERE rowid = ?", [(rowid,) for rowid, _ in dead])
        database.execute("COMMIT")
        return {key for _, key in dead}

    def _drop_from_index(self, opened: Directory, routes: Mapping[str, str]) -> set[str]:
        with opened as directory:
            seen = directory.status(files.INDEX)
            content = read_document(directory.path / files.INDEX)
            entries = None if content is None else json.loads(content)
            if seen is None or not isinstance(entries, dict):
                return set()
            dead = {key for key, it in routes.items() if self._is_dead(entries.get(key), it)}
            left = {key: entry for key, entry in entries.items() if key not in dead}
            text = json.dumps(left, indent=2)  # as the host itself writes it
            if not dead or self._is_served():
                return set()
            return dead if rewrite_unchanged(directory, files.INDEX, text.encode(), seen=seen) else set()

    def _is_dead(self, entry: object, session_id: str) -> bool:
        """Whether this is still the entry that was judged: the session has not been used again since."""
        if not isinstance(entry, dict) or entry.get("session_id") != session_id:
            return False
        used = timestamp(entry.get("updated_at"))
        return used is not None and self._clock() - used >= MIN_AGE_FLOOR


def _decoded(entry: object) -> object:
    try:
        return decode(entry) if isinstance(entry, str | bytes) else None
    except ValueError:
        return None
