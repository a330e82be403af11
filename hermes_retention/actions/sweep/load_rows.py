"""Rows of a store, tier by tier: how they are read and packed for the vault, and in which order they leave.

A tier reads from the port of a store, and names the method of that port that removes what it read. What must
not live here: writing to the vault, transactions, and which sessions are due.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from hermes_retention.archive.codec import FRAME_BYTES
from hermes_retention.archive.entries import Frame, Packed, Packing
from hermes_retention.model.errors import ArtifactChanged, RetentionError
from hermes_retention.model.plan import Step
from hermes_retention.model.session import Lineage, Session
from hermes_retention.stores.rows import Reading, RowReader, RowRemover, RowsChanged, Ticket

_HELD_BYTES = 32 * 2**20
"""Compressed bytes of a session that are kept in memory; a larger one is read again while it is written."""
_ROW_MODE = 0o600
_GO_TOGETHER = (Lineage.COMPRESSION, Lineage.DELEGATION)


class Load(msgspec.Struct):
    """What leaves together: the steps of one session, or of several that are one unit."""

    steps: list[Step]
    packed: list[Packed] = []
    ticket: Ticket = None
    error: RetentionError | None = None
    """Why all of it stays."""
    idle: bool = False
    """Whether there was nothing to pack, so that nothing is to be changed."""

    @property
    def session_id(self) -> str:
        """Under which id its outcome is told."""
        return self.steps[0].session_id


class RowTier(Protocol):
    """What the steps of one tier are about: read, and removed once it is in the vault."""

    def load(self, reader: RowReader, steps: Sequence[Step], packing: Packing | None) -> list[Load]:
        """Every step in one load, in this call or an earlier one. Without ``packing`` nothing is packed.

        What is packed may be read while it is written: ``reader`` stays open until then. Raises
        ``StoreUnreadable``.
        """

    def sample(self, reader: RowReader, step: Step) -> bytes:
        """The beginning of what would be packed."""

    def remove(self, remover: RowRemover, tickets: Sequence[Ticket]) -> Iterator[RowsChanged]:
        """Remove what loads with these tickets have read."""


class MessagesTier:
    """All messages of a session, with its record."""

    def __init__(self, *, now: float) -> None:
        self._now = now

    def load(self, reader: RowReader, steps: Sequence[Step], packing: Packing | None) -> list[Load]:
        """One load for each step."""
        return [
            why_not or _loaded(step, partial(reader.messages, _session(step)), packing)
            for step, why_not in _compared(reader, steps, now=self._now)
        ]

    def sample(self, reader: RowReader, step: Step) -> bytes:
        """Its record, which repeats much of others', and its first messages."""
        return next(reader.messages(_session(step)).chunks, b"")

    def remove(self, remover: RowRemover, tickets: Sequence[Ticket]) -> Iterator[RowsChanged]:
        """The messages; the record stays."""
        return remover.remove_messages(tickets)


class ToolOutputTier:
    """The bodies of a session's tool messages, as far as they are long."""

    def __init__(self, *, longer_than_bytes: int, now: float) -> None:
        self._longer_than, self._now = longer_than_bytes, now

    def load(self, reader: RowReader, steps: Sequence[Step], packing: Packing | None) -> list[Load]:
        """One load for each step; it is idle when there are no such bodies."""
        return [
            why_not or self._load(reader, step, packing)
            for step, why_not in _compared(reader, steps, now=self._now)
        ]

    def sample(self, reader: RowReader, step: Step) -> bytes:
        """Its first long bodies."""
        return next(self._read(reader, step).chunks, b"")

    def remove(self, remover: RowRemover, tickets: Sequence[Ticket]) -> Iterator[RowsChanged]:
        """The bodies; a marker takes the place of each."""
        return remover.replace_tool_output(tickets)

    def _load(self, reader: RowReader, step: Step, packing: Packing | None) -> Load:
        load = _loaded(step, partial(self._read, reader, step), packing)
        if not len(load.ticket):
            load.packed, load.idle = [], True
        # Only now does anybody know how much it is.
        size_bytes = sum(packed.size_bytes for packed in load.packed)
        load.steps = [msgspec.structs.replace(step, bytes=size_bytes)]
        return load

    def _read(self, reader: RowReader, step: Step) -> Reading:
        return reader.tool_output(_session(step), longer_than_bytes=self._longer_than)


class RecordTier:
    """Records, with those that leave together with them. Messages have left before."""

    def __init__(self, steps: Sequence[Step], *, now: float) -> None:
        """``steps`` are all about records; a unit goes only if each of its sessions has one."""
        self._steps: Mapping[str, Step] = {step.session_id: step for step in steps}
        self._leaders = leaders(steps)
        self._told: set[str] = set()
        self._now = now

    def load(self, reader: RowReader, steps: Sequence[Step], packing: Packing | None) -> list[Load]:
        """A load for each unit that one of ``steps`` belongs to and that was not loaded before."""
        loads = []
        for step in steps:
            if step.session_id not in self._told:
                leader = self._leaders[step.session_id]
                load = self._load(reader, step if leader.session_id in self._told else leader, packing)
                self._told.update(one.session_id for one in load.steps)
                loads.append(load)
        return loads

    def sample(self, reader: RowReader, step: Step) -> bytes:
        """Its record."""
        return next(reader.record(_emptied(step)).chunks, b"")

    def remove(self, remover: RowRemover, tickets: Sequence[Ticket]) -> Iterator[RowsChanged]:
        """The units with all that is left of their sessions."""
        return remover.remove_units(tickets)

    def _load(self, reader: RowReader, step: Step, packing: Packing | None) -> Load:
        ids, ticket = reader.unit(step.session_id)
        # The one that was asked for comes first: its id is the ticket's.
        others = (self._steps[one] for one in ids if one in self._steps and one not in self._told)
        steps = [step, *(one for one in others if one is not step)]
        why_not = self._why_not(step, ids) or next(
            iter(reader.changes(list(map(_emptied, steps)), now=self._now).values()), ""
        )
        if not why_not and len(ticket):
            why_not = "it has messages that no scan saw"  # such as some without a time
        if why_not:
            return Load(steps, error=_changed(step, why_not))
        load = Load(steps, ticket=ticket)
        if packing is not None:
            load.packed = [_pack(one, partial(reader.record, _emptied(one)), packing)[0] for one in steps]
        return load

    def _why_not(self, step: Step, ids: Sequence[str]) -> str:
        """Why the unit that ``step`` leads stays; empty when nothing speaks against it."""
        if not ids:
            return "its record is gone"
        staying = next((one for one in ids if one not in self._steps or one in self._told), None)
        if staying is not None:
            return f"it goes only with {staying}"
        if step.due_by is not None:
            return "it goes only with the session that delegated it"
        return ""


def _compared(reader: RowReader, steps: Sequence[Step], *, now: float) -> Iterator[tuple[Step, Load | None]]:
    """Each step, with the load that keeps it all when its session is not what the scan saw."""
    changed = reader.changes(list(map(_session, steps)), now=now)
    for step in steps:
        why = changed.get(step.session_id)
        yield step, None if why is None else Load([step], error=_changed(step, why))


def _loaded(step: Step, read: Callable[[], Reading], packing: Packing | None) -> Load:
    if packing is None:
        reading = read()
        for _ in reading.chunks:
            pass
        return Load([step], ticket=reading.ticket)
    packed, ticket = _pack(step, read, packing)
    return Load([step], [packed], ticket)


def _pack(step: Step, read: Callable[[], Reading], packing: Packing) -> tuple[Packed, Any]:
    """Hash and compress rows. Very large ones are compressed while they are written, from a second reading.

    Both readings are of the same moment, and what was written is read back and compared with the hash.
    """
    reading = read()
    digest, size, held = hashlib.sha256(), 0, 0
    frames: list[Frame] | None = []
    for piece in _pieces(reading.chunks):
        digest.update(piece)
        size += len(piece)
        if frames is not None:
            frames.append(_frame(piece, packing))
            held += len(frames[-1].content)
            if held > _HELD_BYTES:
                frames = None
    again = (_frame(piece, packing) for piece in _pieces(read().chunks)) if frames is None else frames
    packed = Packed(
        session_id=step.session_id,
        kind=reading.kind,
        name=reading.name,
        size_bytes=size,
        mtime_ns=reading.mtime_ns,
        mode=_ROW_MODE,
        sha256=digest.digest(),
        dictionary_id=packing.dictionary_id,
        frames=again,
    )
    return packed, reading.ticket


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """``chunks`` as pieces that fit into a frame."""
    for chunk in chunks:
        for start in range(0, len(chunk), FRAME_BYTES):
            yield chunk[start : start + FRAME_BYTES] if len(chunk) > FRAME_BYTES else chunk


def _frame(piece: bytes, packing: Packing) -> Frame:
    return Frame(len(piece), packing.codec.compress(piece))


def _session(step: Step) -> Session:
    if step.seen is None:
        message = f"step of {step.session_id!r} about rows does not say what the scan saw"
        raise ValueError(message)
    return step.seen


def _emptied(step: Step) -> Session:
    """The session as it is once its messages have left."""
    session = _session(step)
    if session.record is None:
        return session
    record = msgspec.structs.replace(session.record, last_message_at=None)
    return msgspec.structs.replace(session, record=record)


def _changed(step: Step, why: str) -> ArtifactChanged:
    return ArtifactChanged(
        f"session {step.session_id}",
        why,
        consequence="its rows were kept",
        cure="The next sweep looks at it again.",
    )


# -- in which order records leave: what points to another record goes before it, or together with it --------
#
# Otherwise removing the one would change the other, which would then stay: it is no longer what was read.


def leaders(steps: Sequence[Step]) -> dict[str, Step]:
    """Session id → the step with whose unit its record goes, often its own.

    It is the uppermost one to which compression and delegation lead from step to step; in a circle, one of
    them.
    """
    own = {step.session_id: step for step in steps}
    found: dict[str, Step] = {}
    for step in steps:
        way: list[str] = []
        met: set[str] = set()
        above = step
        while above.session_id not in met and above.session_id not in found:
            way.append(above.session_id)
            met.add(above.session_id)
            above = own.get(_parent(above, _GO_TOGETHER), above)
        found.update(dict.fromkeys(way, found.get(above.session_id, above)))
    return found


def children_first(steps: Sequence[Step]) -> list[list[Step]]:
    """``steps`` in turns: a record leaves in an earlier turn than the one it points to, or in the same unit.

    No unit is in two turns. Most steps are in the first; there are as many as generations that leave.
    """
    led_by = {session_id: leader.session_id for session_id, leader in leaders(steps).items()}
    above: dict[str, str] = {}
    for step in steps:
        parent = led_by.get(_parent(step, tuple(Lineage)))
        if led_by[step.session_id] == step.session_id and parent not in (None, step.session_id):
            above[step.session_id] = str(parent)
    generation = _generations(set(led_by.values()), above)
    turns: defaultdict[int, list[Step]] = defaultdict(list)
    for step in steps:
        turns[generation[led_by[step.session_id]]].append(step)
    return [turns[number] for number in sorted(turns)]


def _generations(names: set[str], above: dict[str, str]) -> dict[str, int]:
    """How many generations are below each; what is in a circle has none that comes before."""
    found = dict.fromkeys(names, 0)
    waiting = Counter(above.values())
    ready = [name for name in names if not waiting[name]]
    while ready:
        name = ready.pop()
        parent = above.get(name)
        if parent is not None:
            found[parent] = max(found[parent], found[name] + 1)
            waiting[parent] -= 1
            if not waiting[parent]:
                ready.append(parent)
    return found


def _parent(step: Step, lineages: Sequence[Lineage]) -> str:
    """The id of its parent if it is one of that kind; empty when it has none."""
    record = step.seen.record if step.seen is not None else None
    if record is None or record.parent_id is None or record.lineage not in lineages:
        return ""
    return record.parent_id
