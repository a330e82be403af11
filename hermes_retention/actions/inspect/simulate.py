"""What other settings would have made of this home, and what they will.

Its history is everything that a home ever had, as far as it is known: what lies in the store, and what was
archived. Names, sizes and times only. What was deleted for good, by the host, by expiry or by a class without
an archive, is in neither. This history runs once under today's settings, once under the proposed ones, and
once without any sweep; then it is taken to repeat itself. What must not live here: output, and how a policy
decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from hermes_retention.archive.entries import ArchivedArtifact, SessionEntry
from hermes_retention.archive.partition import Partition
from hermes_retention.home.home import Home
from hermes_retention.model.errors import VaultDamaged
from hermes_retention.model.plan import ARCHIVED_SHARE
from hermes_retention.model.session import ROW_KINDS, Artifact, ArtifactKind, Inventory, Record, Session
from hermes_retention.policy.lifecycle import Policy
from hermes_retention.policy.replay import Past, Point, Scale, replay
from hermes_retention.stores.base import Store

_BLOCK = 4096
"""Bytes; what a file system gives to a file at least."""
_DAY = 86400.0
_SHARE_OF_WORK = 400_000
"""Sessions that are decided about in all sweeps of one run, more or less: some ten seconds."""
_LONGEST_STEP_DAYS = 7


class Archived(msgspec.Struct, frozen=True):
    """What the vault has of one session, over all months."""

    entry: SessionEntry
    artifacts: tuple[ArchivedArtifact, ...]


class History(msgspec.Struct, frozen=True):
    """All sessions, and what things take."""

    inventory: Inventory
    past: tuple[Past, ...]
    archived: dict[str, Archived]
    scale: Scale
    damages: tuple[VaultDamaged, ...] = ()
    """Months that cannot be read: what is in them is missing here."""


def read_history(home: Home, *, now: float) -> History:
    """The history of ``home``. Reads only. Raises ``StoreUnreadable`` when the store cannot be read."""
    inventory = home.take_inventory(now=now)
    damages: list[VaultDamaged] = []
    archived = _archived(home, damages)
    past = [_past(session, archived.get(session.id)) for session in inventory.sessions]
    known = {session.id for session in inventory.sessions}
    past += [
        _past(_session_of(archived[session_id].entry, home.store), archived[session_id])
        for session_id in sorted(archived.keys() - known)
    ]
    return History(inventory, tuple(past), archived, _scale(inventory, archived.values()), tuple(damages))


def _archived(home: Home, damages: list[VaultDamaged]) -> dict[str, Archived]:
    found: dict[str, Archived] = {}
    read = home.workspace.vault.from_readable(damages, lambda it: [_both(it)])
    for entries, artifacts in read:
        by_session: dict[str, list[ArchivedArtifact]] = {}
        for artifact in artifacts:
            by_session.setdefault(artifact.session_id, []).append(artifact)
        for entry in entries:
            before = found.get(entry.id)
            own = (*(() if before is None else before.artifacts), *by_session.get(entry.id, ()))
            newest = (
                entry if before is None or entry.last_activity >= before.entry.last_activity else before.entry
            )
            found[entry.id] = Archived(newest, own)
    return found


def _both(partition: Partition) -> tuple[list[SessionEntry], list[ArchivedArtifact]]:
    return list(partition.sessions()), partition.artifacts()


def _session_of(entry: SessionEntry, store: Store) -> Session:
    """A session of which only the vault has something, as it was."""
    told = entry.metadata
    record = None
    if told.source is not None:
        record = Record(
            source=told.source,
            started_at=told.started_at if told.started_at is not None else entry.last_activity,
            ended_at=told.ended_at,
            end_reason=told.end_reason,
            parent_id=told.parent_id,
            message_count=told.message_count or 0,
        )
    group = store.group_of(entry.id) or told.route_key
    return Session(entry.id, entry.session_class, record=record, group=group)


def _past(session: Session, archived: Archived | None) -> Past:
    files: dict[str, Artifact] = {}
    had_messages = session.record is not None and session.record.has_messages
    for artifact in () if archived is None else archived.artifacts:
        if artifact.kind in ROW_KINDS:
            had_messages = had_messages or artifact.kind is ArtifactKind.MESSAGES
            continue
        known = files.get(artifact.name)
        if known is None or known.mtime_ns < artifact.mtime_ns:
            files[artifact.name] = _file(artifact)
    files.update((artifact.name, artifact) for artifact in session.artifacts)
    record = session.record
    if record is not None and had_messages and not record.has_messages and archived is not None:
        record = msgspec.structs.replace(record, last_message_at=archived.entry.last_activity)
    whole = msgspec.structs.replace(
        session,
        artifacts=tuple(files.values()),
        record=None if record is None else msgspec.structs.replace(record, busy=None),
        restored_at=None,
        tool_output_done=False,
    )
    messages = max(1, record.message_count) if record is not None and had_messages else 0
    in_store = session.record is not None and session.record.has_messages
    return Past(whole, _began(whole), messages, in_store=in_store)


def _file(artifact: ArchivedArtifact) -> Artifact:
    allocated = -(-artifact.size_bytes // _BLOCK) * _BLOCK
    return Artifact(artifact.kind, artifact.name, artifact.size_bytes, allocated, artifact.mtime_ns, 0)


def _began(session: Session) -> float:
    if session.record is not None and session.record.started_at > 0:
        return session.record.started_at
    return min((it.mtime_ns / 1e9 for it in session.artifacts), default=session.last_activity)


def _scale(inventory: Inventory, archived: Iterable[Archived]) -> Scale:
    """Measured where the archive has something to measure by, else as cautious as a plan is."""
    usage = inventory.usage
    copies = [artifact for one in archived for artifact in one.artifacts]
    original = sum(artifact.size_bytes for artifact in copies)
    share = min(usage.vault_bytes / original, 1.0) if original else ARCHIVED_SHARE
    records = [session.record for session in inventory.sessions if session.record is not None]
    left = sum(max(1, it.message_count) for it in records if it.has_messages)
    per_message = _per_message(archived, inventory.bytes_per_message)
    rest = max(0.0, usage.database_bytes - left * per_message)
    free = usage.free_bytes
    return Scale(
        bytes_per_message=per_message,
        bytes_per_record=rest / len(records) if records else 0.0,
        archived_share=share,
        is_measured=original > 0,
        capacity_bytes=None if free is None else free + usage.total_bytes,
    )


def _per_message(archived: Iterable[Archived], in_store: float) -> float:
    """What a message takes in the database. Where few are left there, the records distort that: then their
    archived form tells it, and never more than the store does.
    """
    sizes = counts = 0
    for one in archived:
        own = [it.size_bytes for it in one.artifacts if it.kind is ArtifactKind.MESSAGES]
        if own and one.entry.metadata.message_count:
            sizes += max(own)
            counts += one.entry.metadata.message_count
    told = sizes / counts if counts else 0.0
    return min(told, in_store) if told and in_store else told or in_store


class Course(msgspec.Struct, frozen=True):
    """One policy over time."""

    points: tuple[Point, ...]
    now: float

    @property
    def today(self) -> Point:
        """The last point that is not in the future."""
        return [point for point in self.points if point.at <= self.now][-1]

    @property
    def peak(self) -> Point:
        """The point at which most was stored."""
        return max(self.points, key=lambda point: (point.total_bytes, -point.at))

    def full_at(self, capacity_bytes: int | None) -> float | None:
        """When all of it no longer fits on the disk; ``None`` when it does to the end."""
        if capacity_bytes is None:
            return None
        return next((point.at for point in self.points if point.total_bytes > capacity_bytes), None)


class Simulation(msgspec.Struct, frozen=True):
    """The courses, which have the same times."""

    now: float
    days: int
    step_days: float
    """Days between two sweeps: more than one in very large homes."""
    without: Course
    """If nothing ever removed anything."""
    current: Course
    proposed: Course | None
    """``None`` when nothing was proposed."""
    scale: Scale

    @property
    def capacity_bytes(self) -> int | None:
        """What the disk has for all of this."""
        return self.scale.capacity_bytes


def simulate(
    history: History, current: Policy, proposed: Policy | None, *, days: int, now: float
) -> Simulation:
    """``days`` back, and as many ahead in which the same comes again. Pure: equal arguments, equal answer.

    What comes again are the days that anything is known of, ``days`` at most, as often as there is room.
    """
    step = _step_days(len(history.past), days)
    count = max(1, round(days / step))
    times = [now + number * step * _DAY for number in range(-count, count + 1)]
    known = min((one.began for one in history.past if one.began > 0), default=now)
    window = min(days, max(1, math.ceil((now - known) / _DAY)))
    again = math.ceil(days / window)
    past = list(repeated(history.past, window=window * _DAY, times=again, now=now))

    def course(policy: Policy | None) -> Course:
        inventory = history.inventory
        holds = {**inventory.pins, **inventory.holds}  # what keeps a session for good, whoever said so
        return Course(replay(past, policy, times=times, scale=history.scale, holds=holds), now)

    return Simulation(
        now,
        days,
        step,
        without=course(None),
        current=course(current),
        proposed=None if proposed is None else course(proposed),
        scale=history.scale,
    )


def _step_days(sessions: int, days: int) -> float:
    """A day where that is quick enough; otherwise a divisor of the whole, a week at most."""
    sweeps = max(1, min(days, _SHARE_OF_WORK // max(1, 2 * sessions)))
    sweeps = max(sweeps, -(-days // _LONGEST_STEP_DAYS))
    return days / sweeps


def repeated(past: Sequence[Past], *, window: float, times: int, now: float) -> Iterator[Past]:
    """``past``, and what began in the ``window`` seconds before ``now`` that many ``times`` more after it.

    Each repetition comes ``window`` later than the one before, under ids of its own; a route leads to the
    newest.
    """
    again = {one.session.id for one in past if now - window < one.began <= now}
    named = [again]
    for _ in range(1, times):
        named.append({_renamed(name) for name in named[-1]})
    for one in past:
        if one.session.id not in again:
            yield one
            continue
        session, began = one.session, one.began
        for names in named:
            next_began = began + window
            yield Past(session, began, one.messages, routed_until=min(one.routed_until, next_began))
            session, began = _later(session, window, names), next_began
        yield Past(session, began, one.messages)


def _later(session: Session, seconds: float, again: set[str]) -> Session:
    record = session.record
    if record is not None:
        parent = record.parent_id
        record = msgspec.structs.replace(
            record,
            started_at=record.started_at + seconds,
            ended_at=None if record.ended_at is None else record.ended_at + seconds,
            last_message_at=None if record.last_message_at is None else record.last_message_at + seconds,
            parent_id=_renamed(parent) if parent in again and parent is not None else parent,
            busy=None,
        )
    artifacts = tuple(
        msgspec.structs.replace(
            artifact, name=_renamed(artifact.name), mtime_ns=artifact.mtime_ns + round(seconds * 1e9)
        )
        for artifact in session.artifacts
    )
    routes = tuple(
        msgspec.structs.replace(
            route, updated_at=None if route.updated_at is None else route.updated_at + seconds
        )
        for route in session.routes
    )
    successor = session.successor
    return msgspec.structs.replace(
        session,
        id=_renamed(session.id),
        record=record,
        artifacts=artifacts,
        routes=routes,
        successor=_renamed(successor) if successor in again and successor is not None else successor,
        restored_at=None,
    )


def _renamed(name: str) -> str:
    return f"{name} again"
