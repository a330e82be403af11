"""What would have lain where if a policy had always been in force, and what will: the same ``decide``, asked
again for one day after the other.

The past is known by what is left of it, in the store and in the vault, with its dates. A session is taken to
have grown evenly from its beginning to its last activity. What must not live here: where the past comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from hermes_retention.model.plan import Action, Step, Tier
from hermes_retention.model.session import (
    ArchivedSession,
    Artifact,
    ArtifactKind,
    Inventory,
    Record,
    Route,
    Session,
    SessionClass,
    Usage,
)
from hermes_retention.policy.decide import decide
from hermes_retention.policy.lifecycle import Policy
from hermes_retention.policy.liveness import SUPERSEDING_REASONS

_DAY = 86400.0
_FOR_EVER = float("inf")


class Past(msgspec.Struct, frozen=True, gc=False):
    """A session with everything that it ever had, as far as that is known."""

    session: Session
    began: float
    messages: int
    """How many there were."""
    in_store: bool = True
    """Whether its messages are in the store now, if there are any."""
    routed_until: float = _FOR_EVER
    """Until when its routes lead to it."""


class Scale(msgspec.Struct, frozen=True):
    """What things take."""

    bytes_per_message: float
    bytes_per_record: float
    archived_share: float
    """Of what files and rows take, the part that their archived copies take."""
    is_measured: bool
    """Whether that is what the archive of this home shows, and no guess."""
    capacity_bytes: int | None
    """What the disk has for all of this; ``None`` when nobody knows."""


class Point(msgspec.Struct, frozen=True):
    """What lay where at one time, after the sweep of then. Sizes in bytes."""

    at: float
    files_bytes: int
    database_bytes: int
    archive_bytes: int
    sessions: int
    """Sessions of which the store had anything."""

    @property
    def total_bytes(self) -> int:
        """Everything that counts against the budget."""
        return self.files_bytes + self.database_bytes + self.archive_bytes


def replay(
    past: Iterable[Past],
    policy: Policy | None,
    *,
    times: Sequence[float],
    scale: Scale,
    holds: Mapping[str, str],
) -> tuple[Point, ...]:
    """One sweep under ``policy`` at each of ``times``, which ascend; ``None`` removes nothing, ever.

    Nothing was removed before the first of them. Pure: equal arguments give equal points.
    """
    world = _World(sorted(past, key=lambda one: (one.began, one.session.id)), policy, scale, holds)
    return tuple(world.at(time) for time in times)


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
        msgspec.structs.replace(it, name=_renamed(it.name), mtime_ns=it.mtime_ns + round(seconds * 1e9))
        for it in session.artifacts
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


class _Kept(msgspec.Struct, gc=False):
    """What the store still has of a session."""

    past: Past
    gone: set[str]
    """Names of the files that went."""
    has_messages: bool
    tool_output_done: bool = False
    settled: Session | None = None
    """As it is from its last activity on, until something goes."""


class _World:
    """A home under one policy, as time goes by."""

    def __init__(
        self, past: Sequence[Past], policy: Policy | None, scale: Scale, holds: Mapping[str, str]
    ) -> None:
        self._coming = list(reversed(past))
        self._policy, self._scale, self._holds = policy, scale, dict(holds)
        self._store: dict[str, _Kept] = {}
        self._bare: int = 0
        """Records of which nothing else is left and that nothing ever takes."""
        self._vault: dict[str, ArchivedSession] = {}
        self._vault_bytes = 0.0

    def at(self, now: float) -> Point:
        """What is there at ``now``, after a sweep."""
        while self._coming and self._coming[-1].began <= now:
            past = self._coming.pop()
            self._store[past.session.id] = _Kept(past, set(), has_messages=past.messages > 0)
        sessions = {one_id: self._as_of(kept, now) for one_id, kept in self._store.items()}
        if self._policy is not None:
            self._sweep(sessions, self._policy, now)
        usage = self._usage(sessions.values())
        return Point(
            now,
            usage.sessions_bytes,
            usage.database_bytes,
            usage.vault_bytes,
            len(sessions) + self._bare,
        )

    def _sweep(self, sessions: dict[str, Session], policy: Policy, now: float) -> None:
        inventory = Inventory(
            home="",
            sessions=tuple(sessions.values()),
            usage=self._usage(sessions.values()),
            archived=tuple(self._vault.values()) if _expires(policy) else (),
            holds=self._holds,
            bytes_per_message=self._scale.bytes_per_message,
        )
        touched = set()
        for step in decide(inventory, policy, now=now).removals():
            if step.action is Action.EXPIRE:
                self._vault_bytes -= self._vault.pop(step.session_id).stored_bytes
                continue
            self._carry_out(step, sessions[step.session_id], now)
            touched.add(step.session_id)
        for session_id in touched:
            kept = self._store.get(session_id)
            if kept is None:
                del sessions[session_id]
                continue
            kept.settled = None
            sessions[session_id] = session = self._as_of(kept, now)
            if self._is_bare(session, policy):
                del self._store[session_id], sessions[session_id]
                self._bare += session.record is not None

    def _is_bare(self, session: Session, policy: Policy) -> bool:
        """Nothing but a record that stays for good. Of a series, it is none of those that are kept back:
        these still have everything, so that it may be forgotten here.
        """
        if (
            session.artifacts
            or session.routes
            or (session.record is not None and session.record.has_messages)
        ):
            return False
        return session.record is None or all(it.record_after is None for it in policy.lifecycles.values())

    def _carry_out(self, step: Step, session: Session, now: float) -> None:
        kept = self._store[step.session_id]
        tier = step.tier
        size = float(step.bytes)
        if tier is Tier.FILES:
            kept.gone.update(artifact.name for artifact in step.artifacts)
            size *= self._scale.archived_share
        elif tier is Tier.TOOL_OUTPUT:
            kept.tool_output_done = True
            size = 0.0  # how long it is nobody knows before the messages go
        else:
            kept.has_messages = False
            size *= self._scale.archived_share
        if tier is Tier.RECORD:
            del self._store[step.session_id]
        if step.action is Action.DELETE:
            return
        known = self._vault.get(step.session_id)
        stored = size + (known.stored_bytes if known is not None else 0)
        self._vault_bytes += round(stored) - (known.stored_bytes if known is not None else 0)
        self._vault[step.session_id] = ArchivedSession(
            step.session_id, session.session_class, now, round(stored), ""
        )

    def _usage(self, sessions: Iterable[Session]) -> Usage:
        files = messages = records = 0
        for session in sessions:
            for artifact in session.artifacts:
                files += artifact.allocated_bytes
            record = session.record
            if record is not None:
                records += 1
                messages += record.message_count if record.has_messages else 0
        scale = self._scale
        rows = messages * scale.bytes_per_message + (records + self._bare) * scale.bytes_per_record
        usage = Usage(files, vault_bytes=round(self._vault_bytes), database_bytes=round(rows))
        if scale.capacity_bytes is None:
            return usage
        return msgspec.structs.replace(usage, free_bytes=max(0, scale.capacity_bytes - usage.total_bytes))

    def _as_of(self, kept: _Kept, now: float) -> Session:
        if kept.settled is not None and now < kept.past.routed_until:
            return kept.settled
        past = kept.past
        session, last = past.session, past.session.last_activity
        grown = 1.0 if last <= now or last <= past.began else (now - past.began) / (last - past.began)
        found = msgspec.structs.replace(
            session,
            artifacts=tuple(_files(session, kept.gone, grown, now)),
            record=_record(past, kept, grown, now),
            routes=_routes(past, now),
            tool_output_done=kept.tool_output_done,
        )
        if last <= now:
            kept.settled = found
        return found


def _files(session: Session, gone: set[str], grown: float, now: float) -> Iterator[Artifact]:
    for artifact in session.artifacts:
        if artifact.name in gone:
            continue
        changed = artifact.mtime_ns / 1e9
        if changed <= now:
            yield artifact
        elif artifact.kind is not ArtifactKind.REQUEST_DUMP:  # those are written once
            yield msgspec.structs.replace(
                artifact,
                size_bytes=round(artifact.size_bytes * grown),
                allocated_bytes=round(artifact.allocated_bytes * grown),
                mtime_ns=round(now * 1e9),
            )


def _record(past: Past, kept: _Kept, grown: float, now: float) -> Record | None:
    record = past.session.record
    if record is None:
        return None
    last = None
    if kept.has_messages:
        known = record.last_message_at
        last = min(past.session.last_activity if known is None else known, now)
    has_ended = record.ended_at is not None and record.ended_at <= now
    return msgspec.structs.replace(
        record,
        ended_at=record.ended_at if has_ended else None,
        end_reason=record.end_reason if has_ended else None,
        last_message_at=last,
        message_count=max(1, round(past.messages * grown)) if kept.has_messages else 0,
    )


def _routes(past: Past, now: float) -> tuple[Route, ...]:
    session, record = past.session, past.session.record
    if session.routes:
        return session.routes if now < past.routed_until else ()
    # A chat that another one took over had its route until then.
    was_routed = (
        session.session_class is SessionClass.CHAT
        and record is not None
        and record.ended_at is not None
        and record.ended_at > now
        and record.end_reason in SUPERSEDING_REASONS
    )
    return (Route(f"once {session.id}"),) if was_routed else ()


def _expires(policy: Policy) -> bool:
    return any(lifecycle.archive_after is not None for lifecycle in policy.lifecycles.values())
