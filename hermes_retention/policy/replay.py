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


class _Rest(msgspec.Struct, gc=False):
    """A session of which the store still has something: what it had, less what went."""

    past: Past
    has_messages: bool
    gone: set[str] = msgspec.field(default_factory=set)
    """Names of the files that went."""
    tool_output_done: bool = False
    settled: Session | None = None
    """How it looks from its last activity on, until something goes or its routes end. Nothing else changes
    it, and there may be a thousand days to ask about."""

    def as_of(self, now: float) -> Session:
        """The session as a scan at ``now`` would have found it."""
        if self.settled is not None and now < self.past.routed_until:
            return self.settled
        session, began, last = self.past.session, self.past.began, self.past.session.last_activity
        # Before its last activity it had grown to a part of its size; without a length it has all at once.
        grown = 1.0 if last <= now or last <= began else (now - began) / (last - began)
        found = msgspec.structs.replace(
            session,
            artifacts=tuple(_files(session, self.gone, grown, now)),
            record=_record(self, grown, now),
            routes=_routes(self.past, now),
            tool_output_done=self.tool_output_done,
        )
        if last <= now:
            self.settled = found
        return found

    def lose(self, step: Step) -> None:
        """Take from it what ``step`` takes. A record takes the messages along."""
        self.settled = None
        if step.tier is Tier.FILES:
            self.gone.update(artifact.name for artifact in step.artifacts)
        elif step.tier is Tier.TOOL_OUTPUT:
            self.tool_output_done = True
        else:
            self.has_messages = False


class _World:
    """A home under one policy, as time goes by: at each time what began comes in, then a sweep takes some.

    It stands beside the real effects of a sweep and repeats of them what moves bytes, and nothing else. The
    decisions are those of ``decide``, which sees an inventory as a scan would have made it.
    """

    def __init__(
        self, past: Sequence[Past], policy: Policy | None, scale: Scale, holds: Mapping[str, str]
    ) -> None:
        self._coming = list(reversed(past))
        """What has not begun yet, the next one last."""
        self._policy, self._scale, self._holds = policy, scale, dict(holds)
        self._store: dict[str, _Rest] = {}
        self._bare: int = 0
        """How many records are left of which nothing else is, and that nothing ever takes."""
        self._vault: dict[str, ArchivedSession] = {}
        self._vault_bytes = 0.0

    def at(self, now: float) -> Point:
        """What is there at ``now``, after a sweep."""
        while self._coming and self._coming[-1].began <= now:
            past = self._coming.pop()
            self._store[past.session.id] = _Rest(past, has_messages=past.messages > 0)
        found = {session_id: rest.as_of(now) for session_id, rest in self._store.items()}
        if self._policy is not None:
            self._sweep(found, self._policy, now)
        usage = self._usage(found.values())
        return Point(
            now,
            usage.sessions_bytes,
            usage.database_bytes,
            usage.vault_bytes,
            len(found) + self._bare,
        )

    def _sweep(self, found: dict[str, Session], policy: Policy, now: float) -> None:
        """Decide about what was ``found``, do it, and leave there what is left."""
        inventory = Inventory(
            home="",
            sessions=tuple(found.values()),
            usage=self._usage(found.values()),
            # Copies cost a decision as much as sessions do: only a policy that lets them go gets to see them.
            archived=tuple(self._vault.values()) if _expires(policy) else (),
            holds=self._holds,
            bytes_per_message=self._scale.bytes_per_message,
        )
        touched: set[str] = set()
        for step in decide(inventory, policy, now=now).removals():
            if step.action is Action.EXPIRE:
                self._vault_bytes -= self._vault.pop(step.session_id).stored_bytes
                continue
            self._store[step.session_id].lose(step)
            if step.action is Action.ARCHIVE:
                self._archive(step, now)
            if step.tier is Tier.RECORD:  # the last of a session
                del self._store[step.session_id]
            touched.add(step.session_id)
        for session_id in touched:
            self._look_again(session_id, found, policy, now)

    def _archive(self, step: Step, now: float) -> None:
        # How long tool output is nobody knows before the messages go: until then its copy takes nothing.
        size = 0.0 if step.tier is Tier.TOOL_OUTPUT else step.bytes * self._scale.archived_share
        known = self._vault.get(step.session_id)
        before = 0 if known is None else known.stored_bytes
        stored = round(size + before)
        self._vault_bytes += stored - before
        self._vault[step.session_id] = ArchivedSession(
            step.session_id, step.session_class, now, stored, partition=""
        )

    def _look_again(self, session_id: str, found: dict[str, Session], policy: Policy, now: float) -> None:
        """What is left of a session that lost something."""
        rest = self._store.get(session_id)
        if rest is None:
            del found[session_id]
            return
        found[session_id] = session = rest.as_of(now)
        if _is_bare(session, policy):
            # Never to be decided about again: homes of many years consist of such records.
            del self._store[session_id], found[session_id]
            self._bare += session.record is not None

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
        # ``keep_free`` is asked of a disk that holds nothing but this home.
        return msgspec.structs.replace(usage, free_bytes=max(0, scale.capacity_bytes - usage.total_bytes))


def _is_bare(session: Session, policy: Policy) -> bool:
    """Whether nothing but a record is left, and it stays for good. Of a series it is none of those that are
    kept back: these still have everything, so that it may be forgotten here.
    """
    record = session.record
    if session.artifacts or session.routes or (record is not None and record.has_messages):
        return False
    # Any class that lets records go may take this one along: what belongs together leaves together.
    return record is None or all(one.record_after is None for one in policy.lifecycles.values())


def _files(session: Session, gone: set[str], grown: float, now: float) -> Iterator[Artifact]:
    for artifact in session.artifacts:
        if artifact.name in gone:
            continue
        changed = artifact.mtime_ns / 1e9
        if changed <= now:
            yield artifact
        elif artifact.kind is not ArtifactKind.REQUEST_DUMP:  # those are written once: not there yet
            yield msgspec.structs.replace(
                artifact,
                size_bytes=round(artifact.size_bytes * grown),
                allocated_bytes=round(artifact.allocated_bytes * grown),
                mtime_ns=round(now * 1e9),
            )


def _record(rest: _Rest, grown: float, now: float) -> Record | None:
    past = rest.past
    record = past.session.record
    if record is None:
        return None
    last = None
    if rest.has_messages:
        known = record.last_message_at
        last = min(past.session.last_activity if known is None else known, now)
    has_ended = record.ended_at is not None and record.ended_at <= now
    return msgspec.structs.replace(
        record,
        ended_at=record.ended_at if has_ended else None,
        end_reason=record.end_reason if has_ended else None,
        last_message_at=last,
        message_count=max(1, round(past.messages * grown)) if rest.has_messages else 0,
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
