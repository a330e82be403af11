"""Which session a route key leads to: the table ``gateway_routing`` and its older sibling ``sessions.json``.

Both are believed: what either of them routes to is routed. What must not live here: opening databases, and
what follows from a route.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.session import Record, Route, SessionClass
from hermes_retention.model.text import printable, words
from hermes_retention.stores.files import decode, decoded, read_document, timestamp
from hermes_retention.stores.hermes.files import platform_of

_UNKNOWN_ROUTES = "nobody knows what is routed, so nothing was removed"
_NEVER_ROUTED = frozenset({SessionClass.CRON, SessionClass.CLI, SessionClass.SUBAGENT, SessionClass.API})


class Routing(msgspec.Struct, gc=False):
    """All routes of a home."""

    routes: dict[str, dict[str, float | None]] = {}
    """Session id → the keys that lead to it, each with the time of its last use."""
    current: dict[str, str] = {}
    """Key → the one session that the host itself would take."""
    expired: set[tuple[str, str]] = set()
    """Session id and key of those that the host has finalized: their time was up."""
    doubtful: dict[str, str | None] = {}
    """Keys of entries that name no session → the platform that the key speaks of, if any."""
    platforms: set[str] = set()
    """Names of platforms that keys and entries speak of."""
    warnings: list[str] = []

    def add_index(self, path: Path) -> None:
        """Take over the routes of a ``sessions.json``, if there is one.

        Raises ``StoreUnreadable`` when it is anything but a file with a JSON object. Of a key that is known
        already, the later source is the one that the host takes.
        """
        entries = _read_index(path)
        self._add(str(path), ((key, entry) for key, entry in entries.items() if not key.startswith("_")))

    def add_table(self, database: Path, rows: Iterable[tuple[object, object]]) -> None:
        """Take over keys and entries (JSON texts) of the table ``gateway_routing``."""
        self._add(f"{database}: table gateway_routing", ((key, decoded(entry)) for key, entry in rows))

    def _add(self, where: str, entries: Iterable[tuple[object, object]]) -> None:
        nameless = []
        for name, entry in entries:
            key = name if isinstance(name, str) else ""
            platform = platform_of(key)
            if platform is not None:
                self.platforms.add(platform)
            session_id = entry.get("session_id") if isinstance(entry, dict) else None
            if not isinstance(entry, dict) or not isinstance(session_id, str) or not session_id:
                self.doubtful[key] = platform
                nameless.append(key)
                continue
            if isinstance(entry.get("platform"), str):
                self.platforms.add(entry["platform"])
            self.current[key] = session_id
            keys = self.routes.setdefault(session_id, {})
            is_known = key in keys
            keys[key] = _newest(keys.get(key), timestamp(entry.get("updated_at")))
            self._note_expiry(session_id, key, entry, is_known=is_known)
        if nameless:
            what = f"{printable(where)}: {len(nameless)} entries name no session, such as"
            cure = "Stop the host and remove these entries."
            consequence = "sessions that they may lead to are kept"
            self.warnings.append(f"{what} {printable(min(nameless))}; {consequence}. {cure}")

    def _note_expiry(self, session_id: str, key: str, entry: dict[str, object], *, is_known: bool) -> None:
        """Two sources that disagree leave the route as good as ever."""
        if entry.get("expiry_finalized") is not True:
            self.expired.discard((session_id, key))
        elif not is_known:
            self.expired.add((session_id, key))

    def settle_doubts(self) -> None:
        """Forget doubts about keys that another source answers, as the host does. Call when all are added."""
        self.doubtful = {key: platform for key, platform in self.doubtful.items() if key not in self.current}

    def routes_to(self, session_id: str) -> tuple[Route, ...]:
        """The routes of one session, by key."""
        keys = self.routes.get(session_id)
        if keys is None:
            return ()
        return tuple(Route(key, keys[key], (session_id, key) in self.expired) for key in sorted(keys))

    def possible_route(self, record: Record | None, key: str | None, kind: SessionClass) -> tuple[Route, ...]:
        """A route that may lead to this unrouted session, when there are entries whose session nobody knows.

        What has ended is none of them: the host drops such an entry instead of going on there.
        """
        if record is not None and record.ended_at is not None:
            return ()
        for doubtful, platform in self.doubtful.items():
            if key is not None:
                fits = key == doubtful
            elif record is None:
                fits = kind is not SessionClass.CRON
            else:
                fits = record.source == platform or (platform is None and kind not in _NEVER_ROUTED)
            if fits:
                return (Route(doubtful),)
        return ()


def _newest(known: float | None, other: float | None) -> float | None:
    return other if known is None else known if other is None else max(known, other)


def _read_index(path: Path) -> dict[str, object]:
    what = str(path)
    try:
        content = read_document(path)
    except OSError as error:
        cure = "Make it a regular file that the user who runs hermes-retention may read."
        raise StoreUnreadable(what, words(error), consequence=_UNKNOWN_ROUTES, cure=cure) from error
    if content is None:
        return {}
    cure = "Stop the host, then put a backup in its place or remove it; the host writes a new one."
    try:
        entries = decode(content)
    except ValueError as error:
        raise StoreUnreadable(what, str(error), consequence=_UNKNOWN_ROUTES, cure=cure) from error
    if not isinstance(entries, dict):
        raise StoreUnreadable(what, "it is no JSON object", consequence=_UNKNOWN_ROUTES, cure=cure)
    return entries
