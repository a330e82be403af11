"""Which sessions are to be forgotten: those that were named, those of a user, and what belongs to them.

Reads only. What must not live here: removing anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from hermes_retention.actions.inspect.lookup import require
from hermes_retention.archive.entries import SessionEntry
from hermes_retention.archive.partition import Partition
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import Ledger
from hermes_retention.model.errors import UsageError, VaultDamaged
from hermes_retention.model.plan import Liveness
from hermes_retention.model.session import Inventory, Lineage, Session, SessionClass
from hermes_retention.model.text import printable
from hermes_retention.policy.decide import decide
from hermes_retention.stores.base import SessionMetadata

PENDING = "forgetting"
"""The fact in the ledger that names what a run has begun to remove, and has not finished."""
_JUST_NOW_SECONDS = 60


class Wanted(msgspec.Struct, frozen=True):
    """What is to be forgotten: sessions by their whole ids, or all of a user."""

    sessions: tuple[str, ...] = ()
    user: str | None = None
    platform: str | None = None


class Target(msgspec.Struct, frozen=True):
    """A session that is to be forgotten, and what there is of it."""

    session_id: str
    session_class: SessionClass
    last_activity: float
    why: str
    """Why it is among them, for whoever looks at the list."""
    session: Session | None
    """As the store has it; ``None`` when it has nothing."""
    archived_bytes: int = 0
    live: str | None = None
    """Why somebody may be using it, in words; ``None`` when it is over."""


class Preview(msgspec.Struct, frozen=True):
    """What ``forget`` would remove."""

    targets: tuple[Target, ...]
    in_use_by: str | None
    """Who works with the storage now; then live sessions cannot be forgotten."""
    damages: tuple[VaultDamaged, ...]
    """Partitions of the vault in which there may be more."""
    unfinished: int
    """How many of them an earlier run has left."""

    @property
    def live(self) -> tuple[Target, ...]:
        """Those that cannot be forgotten now."""
        return tuple(one for one in self.targets if one.live is not None) if self.in_use_by else ()


def preview(site: Home, wanted: Wanted, *, now: float) -> Preview:
    """What would be forgotten. Reads only.

    Raises ``UsageError`` for a session that nobody knows, ``StoreUnreadable`` when the store cannot be read.
    """
    inventory = site.take_inventory(now=now)
    return look_at(site, inventory, wanted, now=now)


def pending(site: Home) -> list[str]:
    """The sessions that a run began to forget and did not finish."""
    ledger = site.workspace.ledger_if_any()
    if ledger is None:
        return []
    with ledger:
        return pending_in(ledger)


def pending_in(ledger: Ledger) -> list[str]:
    """The same, as an opened ledger has it."""
    return msgspec.json.decode(ledger.fact(PENDING) or "[]", type=list[str])


def look_at(site: Home, inventory: Inventory, wanted: Wanted, *, now: float) -> Preview:
    """The same, of an inventory that was just taken."""
    stored = {session.id: session for session in inventory.sessions}
    damages: list[VaultDamaged] = []
    archived: dict[str, SessionEntry] = {}
    for entry in site.workspace.vault.from_readable(damages, Partition.sessions):
        archived[entry.id] = entry
    sizes: dict[str, int] = {}
    for one in site.workspace.vault.archived_sessions(damages):
        sizes[one.id] = sizes.get(one.id, 0) + one.stored_bytes
    begun = pending(site)
    unfinished = [one for one in begun if one in stored or one in archived]
    chosen = dict.fromkeys(unfinished, "an earlier run did not finish it")
    # Whoever says the same once more also names what is gone by now.
    named = tuple(it for it in wanted.sessions if it in stored or it in archived or it not in begun)
    wanted = msgspec.structs.replace(wanted, sessions=named)
    chosen |= _chosen(site, wanted, stored, archived, damages)
    chosen = _with_family(chosen, stored, archived)
    live = _live(inventory, site, now=now)
    recent = any(one in stored and now - stored[one].last_activity < _JUST_NOW_SECONDS for one in chosen)
    just_now = "one of them was written to within the last minute" if recent else None
    in_use_by = site.store.in_use_by() or just_now
    targets = [
        msgspec.structs.replace(
            _target(session_id, why, stored.get(session_id), archived.get(session_id)),
            archived_bytes=sizes.get(session_id, 0),
            live=live.get(session_id),
        )
        for session_id, why in chosen.items()
    ]
    targets.sort(key=lambda target: (-target.last_activity, target.session_id))
    once = {str(damage): damage for damage in damages}
    return Preview(tuple(targets), in_use_by, tuple(once.values()), len(unfinished))


def _target(session_id: str, why: str, session: Session | None, entry: SessionEntry | None) -> Target:
    times = [known.last_activity for known in (session, entry) if known is not None]
    kinds = [known.session_class for known in (session, entry) if known is not None]
    return Target(session_id, kinds[0], max(times), why, session)


def _live(inventory: Inventory, site: Home, *, now: float) -> dict[str, str]:
    """Session id → why somebody may be using it."""
    return {
        step.session_id: step.reason
        for step in decide(inventory, site.policy, now=now).steps
        if step.liveness is Liveness.LIVE
    }


def _chosen(
    site: Home,
    wanted: Wanted,
    stored: Mapping[str, Session],
    archived: Mapping[str, SessionEntry],
    damages: Sequence[VaultDamaged],
) -> dict[str, str]:
    """Session id → why it is meant."""
    known = {*stored, *archived}
    chosen: dict[str, str] = {}
    for one in wanted.sessions:
        try:
            chosen[require(one, known, where="neither the store nor the archive knows it")] = "named"
        except UsageError:
            if damages:
                raise damages[0] from None
            raise
    if wanted.user is not None:
        described = {one: entry.metadata for one, entry in archived.items()}
        described |= site.store.metadata(list(stored))
        for one, metadata in described.items():
            if _is_of(metadata, wanted):
                chosen.setdefault(one, "of this user")
    return chosen


def _is_of(metadata: SessionMetadata, wanted: Wanted) -> bool:
    return metadata.user_id == wanted.user and wanted.platform in (None, metadata.source)


def _with_family(
    chosen: Mapping[str, str], stored: Mapping[str, Session], archived: Mapping[str, SessionEntry]
) -> dict[str, str]:
    """With what compression continued, before and after, and all that was delegated: the same conversation.

    What only the vault has does not say how it came out of its parent; it counts unless it names a user of
    its own, as a branch does.
    """
    above: dict[str, str] = {}
    below: dict[str, list[str]] = {}
    for one, session in stored.items():
        record = session.record
        if record is not None and record.parent_id is not None:
            if record.lineage in (Lineage.COMPRESSION, Lineage.DELEGATION):
                below.setdefault(record.parent_id, []).append(one)
            if record.lineage is Lineage.COMPRESSION:
                above[one] = record.parent_id
    for one, entry in archived.items():
        parent = entry.metadata.parent_id
        if one not in stored and parent is not None and entry.metadata.user_id is None:
            below.setdefault(parent, []).append(one)
    found: dict[str, str] = {}
    waiting = list(chosen.items())
    while waiting:
        one, why = waiting.pop()
        if one in found or (one not in stored and one not in archived):
            continue
        found[one] = why
        linked = [*below.get(one, ()), *([above[one]] if one in above else [])]
        waiting += [(it, f"belongs to {printable(one)}") for it in linked if it not in chosen]
    return found
