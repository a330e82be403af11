"""The host's own retention: whether it deletes sessions by itself, which, and the mark of when it did last.

It deletes ended sessions that were idle for ``retention_days``, at its start and then about once in
``min_interval_hours``; ``state_meta.last_auto_prune`` holds the time of the last round. Since September 2026
it does so where nobody has said anything. What must not live here: when that mark is moved, and why.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from hermes_retention.stores.base import HostPrune
from hermes_retention.stores.hermes import state_db
from hermes_retention.stores.hermes.records import columns_of

HOST = "hermes-agent"
_DAY = 86400.0
RETENTION_DAYS, INTERVAL_HOURS = 90.0, 24.0
"""What the host takes where nothing is written."""
_SINCE = (2026, 9, 2)
"""From this day on the host prunes by default."""
_MANAGED = "HERMES_MANAGED_DIR"
_MANAGED_BY_DEFAULT = Path("/etc/hermes")
_MARK = "last_auto_prune"


def managed_configuration(environ: Mapping[str, str] | None = None) -> Path | None:
    """The administrator's ``config.yaml``, which wins over the user's; ``None`` where there is none."""
    named = (os.environ if environ is None else environ).get(_MANAGED, "").strip()
    path = (Path(named) if named else _MANAGED_BY_DEFAULT) / "config.yaml"
    return path if path.is_file() else None


def is_on_by_default(home: Path) -> tuple[bool, str]:
    """Whether the host prunes when nothing is written, and how that is known.

    The host beside us says it best, then the columns that the last host gave its database. A database of a
    host that nobody can tell is taken for one that is pruned; without a database there is nothing to prune.
    """
    released, version = release_of_host(), _version_of_host()
    if released is not None:
        return released >= _SINCE, "by default in the host that is installed"
    if version is not None and (version <= (0, 20) or version >= (0, 22)):
        return version >= (0, 22), "by default in the host that is installed"
    with contextlib.suppress(Exception), state_db.reading(home / state_db.DATABASE) as database:
        if database is None or not {"pinned", "auto_archived"} & columns_of(database, "sessions"):
            return False, "by default in the host that made this database"
    return True, "by default in hosts since September 2026, and nobody can tell which host this is"


def release_of_host() -> tuple[int, ...] | None:
    """The day on which the host beside us was released, read off its source: nothing of it is run."""
    try:
        spec = find_spec("hermes_cli")
        source = Path(spec.origin).read_text("utf-8") if spec is not None and spec.origin else ""
    except (ImportError, OSError, ValueError):
        return None
    found = re.search(r"^__release_date__\s*=\s*[\"'](\d{4})\.(\d{1,2})\.(\d{1,2})", source, re.MULTILINE)
    return None if found is None else tuple(map(int, found.groups()))


def _version_of_host() -> tuple[int, ...] | None:
    try:
        return tuple(map(int, re.findall(r"\d+", metadata.version(HOST))[:2]))
    except metadata.PackageNotFoundError:
        return None


def look(home: Path, prune: HostPrune, *, until: float) -> HostPrune:
    """``prune`` with the mark, and how many conversations would be deleted until then.

    Only those count whose messages are still in the database: of the others the vault has them. The answer
    may be too high, as nobody else knows what the host spares. Raises ``StoreUnreadable``.
    """
    with state_db.reading(home / state_db.DATABASE) as database:
        if database is None:
            return prune
        columns = columns_of(database, "sessions")
        if not {"ended_at", "started_at"} <= columns or not columns_of(database, "messages"):
            return prune
        before = until - prune.retention_days * _DAY
        active = "s.started_at"
        if "last_activity_at" in columns:  # older hosts count from the start
            active = (
                "max(s.started_at, coalesce(s.last_activity_at, 0),"
                " coalesce((SELECT max(timestamp) FROM messages m WHERE m.session_id = s.id), 0))"
            )
        query = (
            "SELECT count(*) FROM sessions s WHERE s.ended_at IS NOT NULL AND s.started_at < ?"  # noqa: S608 - constant names
            f" AND {active} < ? AND EXISTS (SELECT 1 FROM messages m WHERE m.session_id = s.id)"
        )
        (number,) = database.execute(query, (before, before)).fetchone()
        return HostPrune(
            prune.why,
            retention_days=prune.retention_days,
            interval_hours=prune.interval_hours,
            conversations=number,
            mark=_mark_in(database),
        )


def _mark_in(database: sqlite3.Connection) -> str | None:
    if not {"key", "value"} <= columns_of(database, "state_meta"):
        return None
    row = database.execute("SELECT value FROM state_meta WHERE key = ?", (_MARK,)).fetchone()
    return None if row is None or row[0] is None else str(row[0])
