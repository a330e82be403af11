"""Which sessions belong together: parents, children, and theirs.

Sessions are numbered by their place in the inventory. What must not live here: what follows from belonging
together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from hermes_retention.model import Lineage, Session


class Families(msgspec.Struct, frozen=True):
    """Groups of at least two sessions each, with the places of their members in ascending order."""

    linked: list[list[int]]
    """Linked in any way."""
    continued: list[list[int]]
    """Linked by compression, which goes on with the same conversation under another id."""


def families(sessions: Sequence[Session]) -> Families:
    """Who is linked to whom, also through a parent that is gone. A lineage may go in circles."""
    links = [
        (place, record.parent_id, record.lineage is Lineage.COMPRESSION)
        for place, session in enumerate(sessions)
        if (record := session.record) is not None and record.parent_id
    ]
    if not links:
        return Families([], [])
    parents = {parent for _, parent, _ in links}
    places = {session.id: place for place, session in enumerate(sessions) if session.id in parents}
    return Families(
        linked=_join((place, places.get(parent, parent)) for place, parent, _ in links),
        continued=_join((place, places.get(parent, parent)) for place, parent, same in links if same),
    )


def _join(links: Iterable[tuple[int, int | str]]) -> list[list[int]]:
    """Union-find. A member that is no place is the id of a session that is gone: it only joins others."""
    above: dict[int | str, int | str] = {}

    def root(member: int | str) -> int | str:
        while (parent := above.setdefault(member, member)) != member:
            above[member] = member = above[parent]
        return member

    for child, parent in links:
        above[root(child)] = root(parent)
    groups: dict[int | str, list[int]] = {}
    for place in sorted(member for member in above if isinstance(member, int)):
        groups.setdefault(root(place), []).append(place)
    return [members for members in groups.values() if len(members) > 1]
