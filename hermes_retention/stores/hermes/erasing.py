"""What leaves a Hermes home besides files and rows: dead routes, and for good all that is to be forgotten.

A running gateway has its routes in memory and writes all of them over whatever lies on disk: there only its
own store can drop one. What is forgotten is overwritten as well, rows, routes and old logs alike. What must
not live here: which routes are dead, which sessions go, files of sessions, and the vault.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path

import msgspec

from hermes_retention.disk import writing
from hermes_retention.disk.directories import Directory
from hermes_retention.disk.writing import rewrite_unchanged
from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.text import safe_name, words
from hermes_retention.policy.lifecycle import MIN_AGE_FLOOR
from hermes_retention.stores.files import decoded, read_document, timestamp
from hermes_retention.stores.hermes import config, files, state_db
from hermes_retention.stores.hermes.records import columns_of
from hermes_retention.stores.hermes.rows.fts import SearchTables
from hermes_retention.stores.hermes.rows.pacing import Turns

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
        from hermes_retention.stores.hermes.processes import running_gateway

        return any(running_gateway(home) is not None for home in config.served_together(self._home))

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
        dead = [(rowid, key) for rowid, key, entry in rows if self._is_dead(decoded(entry), routes[key])]
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
            dead = {key for key, session_id in routes.items() if self._is_dead(entries.get(key), session_id)}
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


_SIDES = ("", "-wal", "-shm", "-journal")
_ROUTES_PER_TURN = 200
_BESIDES = ("hook_outputs", "moa-traces", "session-exports", f"{files.DIRECTORY}/saved", "cron/output")
"""Where the host keeps further things, some of them named after a session."""


def in_use_by(home: Path) -> str | None:
    """The gateway, or another process that has the database open; ``None`` when there is neither."""
    from hermes_retention.stores.hermes.processes import occupants, running_gateway

    for one in config.served_together(home):
        gateway = running_gateway(one)
        if gateway is not None:
            return f"{gateway} runs"
    found = occupants(home / f"{state_db.DATABASE}{side}" for side in _SIDES)
    others = [one for one in found if one.pid != os.getpid()]
    return f"{others[0]} has {state_db.DATABASE} open" if others else None


def drop_routes_to(home: Path, session_ids: Collection[str]) -> int:
    """Remove routes to these sessions from the table and from ``sessions.json``; other entries stay as they
    are, byte for byte. Raises ``StoreUnreadable``.
    """
    dropped = {*_drop_rows(home / state_db.DATABASE, session_ids)}
    dropped.update(_drop_entries(home / files.DIRECTORY / files.INDEX, session_ids))
    return len(dropped)


def _drop_rows(path: Path, session_ids: Collection[str]) -> Iterator[str]:
    with state_db.reading(path) as database:
        rows = [] if database is None else state_db.routes_of(database, path)
    doomed = [(scope, key, entry) for scope, key, entry in rows if _leads_to(entry, session_ids)]
    if not doomed:
        return
    with state_db.erasing(path) as database:
        turns = Turns(database)
        for start in range(0, len(doomed), _ROUTES_PER_TURN):
            with turns.turn():
                database.executemany(
                    "DELETE FROM gateway_routing WHERE session_key IS ? AND entry_json IS ?",
                    [(key, entry) for _, key, entry in doomed[start : start + _ROUTES_PER_TURN]],
                )
        turns.finish()
    yield from (str(key) for _, key, _ in doomed)


def _leads_to(entry: object, session_ids: Collection[str]) -> bool:
    try:
        content = json.loads(entry) if isinstance(entry, str) else None
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("session_id") in session_ids


def _drop_entries(path: Path, session_ids: Collection[str]) -> list[str]:
    try:
        content = read_document(path)
        if content is None:
            return []
        entries = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    except (OSError, msgspec.DecodeError) as error:
        why = words(error) if isinstance(error, OSError) else "it is not the JSON that it should be"
        raise StoreUnreadable(
            str(path),
            why,
            consequence="its entries were not removed",
            cure="Mend it, and run it again.",
        ) from error
    doomed = [key for key, entry in entries.items() if _leads_to(bytes(entry).decode(), session_ids)]
    if doomed:
        left = {key: entry for key, entry in entries.items() if key not in doomed}
        writing.replace_private_file(path, msgspec.json.format(msgspec.json.encode(left), indent=2))
    return doomed


def wipe(path: Path) -> None:
    """Merge the search tables, which keep the words of removed rows until then, and cut the log of writes.

    While others read the database, the log is cut as far as they let it be. Raises ``StoreUnreadable``.
    """
    with state_db.reading(path) as there:
        if there is None:
            return
    with state_db.erasing(path) as database:
        turns = Turns(database)
        SearchTables(database).condense(turns)
        turns.finish()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def named_after(home: Path, session_ids: Collection[str]) -> list[str]:
    """Files and directories beside the sessions whose names hold one of these ids."""
    names = {*session_ids, *map(safe_name, session_ids)}
    found = []
    for below in _BESIDES:
        try:
            entries = sorted(os.listdir(home / below))
        except OSError:
            continue
        found += [f"{below}/{entry}" for entry in entries if any(name in entry for name in names)]
    return found
