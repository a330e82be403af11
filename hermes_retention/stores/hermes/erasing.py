"""Removes data of sessions from a Hermes home for good: rows are overwritten, routes and old logs go too.

What must not live here: which sessions, files of sessions, and the vault.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from hermes_retention.disk import writing
from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.text import printable, words
from hermes_retention.stores.hermes import files, state_db
from hermes_retention.stores.hermes.compact.processes import occupants, running_gateway
from hermes_retention.stores.hermes.documents import read_document
from hermes_retention.stores.hermes.ids import safe_name
from hermes_retention.stores.hermes.rows.fts import Indexes
from hermes_retention.stores.hermes.rows.pacing import Turns

_SIDES = ("", "-wal", "-shm", "-journal")
_ROUTES_PER_TURN = 200
_BESIDES = ("hook_outputs", "moa-traces", "session-exports", f"{files.DIRECTORY}/saved", "cron/output")
"""Where the host keeps further things, some of them named after a session."""


def in_use_by(home: Path) -> str | None:
    """The gateway, or another process that has the database open; ``None`` when there is neither."""
    homes = [home, *([home.parent.parent] if home.parent.name == "profiles" else [])]
    for one in homes:
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
            printable(str(path)),
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
        Indexes(database).condense(turns)
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
