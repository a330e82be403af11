"""Which records leave together: a conversation that compression continued, with all that it delegated.

A record that went while its children stay would leave them without the parent that they point to. Sessions
are numbered by their place in the inventory. What must not live here: when a record is due, what keeps one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from operator import attrgetter

import msgspec

from hermes_retention.model.session import Lineage, Session


class RecordUnit(msgspec.Struct, frozen=True):
    """Sessions whose records go together."""

    leader: int
    """The first of those that are due by themselves and bring the others along."""
    members: list[int]
    """All of them, in ascending order."""


def leaving_together(
    sessions: Sequence[Session],
    continued: Sequence[Sequence[int]],
    due: AbstractSet[int],
    *,
    stays: Callable[[int], bool],
) -> list[RecordUnit]:
    """What goes of the records that are due, in the order of the leaders; no session is in two units.

    ``continued`` are the families that compression made, ``due`` the places of the sessions whose records are
    due by themselves, ``stays`` says of any session that something keeps its record. A conversation goes when
    all its parts are due and nothing keeps any of them, or of what they delegated and that in its turn.
    """
    return _Units(sessions, continued).leaving(due, stays)


class _Units:
    """Conversations, each named by the first place in it, and which of them delegated which.

    Every session has one parent at most, so every conversation was delegated by one other at most: going down
    never meets the same one on two ways. A lineage may go in circles all the same.
    """

    def __init__(self, sessions: Sequence[Session], continued: Sequence[Sequence[int]]) -> None:
        self._parts = {family[0]: family for family in continued}
        self._names = {place: family[0] for family in continued for place in family}
        self._delegated: defaultdict[int, list[int]] = defaultdict(list)
        self._delegator: dict[int, int] = {}
        self._read_lineage(sessions)

    def _read_lineage(self, sessions: Sequence[Session]) -> None:
        links = [
            (place, record.parent_id)
            for place, session in enumerate(sessions)
            if (record := session.record) is not None
            and record.parent_id
            and record.lineage is Lineage.DELEGATION
        ]
        parents = {parent for _, parent in links}
        places = {session.id: place for place, session in enumerate(sessions) if session.id in parents}
        for child, parent in links:
            if parent in places:
                above, below = self._name(places[parent]), self._name(child)
                self._delegated[above].append(below)
                self._delegator[below] = above

    def leaving(self, due: AbstractSet[int], stays: Callable[[int], bool]) -> list[RecordUnit]:
        ready = sorted({name for place in due if due >= {*self._members(name := self._name(place))}})
        kept = self._with_all_above(
            name for name in self._below(ready) | {*ready} if any(map(stays, self._members(name)))
        )
        leaders = [name for name in ready if name not in kept]
        brought = self._below(leaders)
        units: list[RecordUnit] = []
        gone: set[int] = set()
        # What goes with another has no unit of its own; those in a circle are all below one another.
        for name in sorted(leaders, key=lambda leader: (leader in brought, leader)):
            if name not in gone:
                unit = self._below([name]) | {name}
                gone |= unit
                units.append(
                    RecordUnit(name, sorted(place for below in unit for place in self._members(below)))
                )
        return sorted(units, key=attrgetter("leader"))

    def _below(self, names: Iterable[int]) -> set[int]:
        """All that these conversations delegated, and what that delegated; themselves in a circle only."""
        found: set[int] = set()
        left = [*names]
        while left:
            below = [name for name in self._delegated.get(left.pop(), ()) if name not in found]
            found.update(below)
            left += below
        return found

    def _with_all_above(self, names: Iterable[int]) -> set[int]:
        found: set[int] = set()
        for name in names:
            above: int | None = name
            while above is not None and above not in found:
                found.add(above)
                above = self._delegator.get(above)
        return found

    def _name(self, place: int) -> int:
        return self._names.get(place, place)

    def _members(self, name: int) -> Sequence[int]:
        return self._parts.get(name, (name,))
