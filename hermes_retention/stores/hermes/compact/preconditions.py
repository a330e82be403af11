"""What speaks against rewriting the host's database right now. Only looks.

What must not live here: whether it is worth it, and the rewriting.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from hermes_retention.model.errors import CompactionRefused
from hermes_retention.model.text import printable
from hermes_retention.model.units import format_size
from hermes_retention.stores.hermes.compact.compaction import NOTHING, Figures, in_use
from hermes_retention.stores.hermes.compact.processes import running_gateway
from hermes_retention.stores.hermes.compact.replicas import replication_of
from hermes_retention.stores.hermes.compact.swap import require_unused

_SLACK_BYTES = 16 * 2**20


def require_free_way(path: Path, figures: Figures, environ: Mapping[str, str]) -> None:
    """Raise ``CompactionRefused`` or ``DatabaseInUse`` when the database may not be rewritten now."""
    _require_unreplicated(path, figures, environ)
    _require_rights(path)
    gateway = running_gateway(path.parent)
    if gateway is not None:
        raise in_use(path, f"{gateway} runs")
    require_unused(path)


def room_for_copies(path: Path, figures: Figures, free_bytes: int | None) -> int:
    """How many copies fit at a time, one or two. Raises ``CompactionRefused`` when not even one does."""
    once = figures.used_bytes + figures.used_bytes // 20 + _SLACK_BYTES
    if free_bytes is None or free_bytes >= once + figures.used_bytes:
        return 2
    if free_bytes >= once:
        return 1
    raise CompactionRefused(
        printable(str(path)),
        f"the copy may need {format_size(once)} and the file system has {format_size(free_bytes)} free",
        consequence=NOTHING,
        cure="Make room for it first; the copy replaces the database, so the room comes back.",
    )


def _require_unreplicated(path: Path, figures: Figures, environ: Mapping[str, str]) -> None:
    replica = replication_of(path, figures.tables, environ)
    if replica is not None:
        raise CompactionRefused(
            printable(str(path)),
            f"{replica}, and replacing the database below it would damage the replica",
            consequence=NOTHING,
            cure="The host reuses its free pages; or stop Litestream for good and remove its traces.",
        )


def _require_rights(path: Path) -> None:
    status, me = path.lstat(), os.geteuid()
    if me not in (0, status.st_uid):
        why = f"it belongs to another user (id {status.st_uid}, not {me})"
    elif not status.st_mode & stat.S_IWUSR or not os.access(path, os.W_OK):
        why = "it is read-only"
    elif not os.access(path.parent, os.W_OK):
        why = "its directory is read-only"
    else:
        return
    cure = "Run it as the user who owns the home."
    raise CompactionRefused(printable(str(path)), why, consequence=NOTHING, cure=cure)
