"""The restore drill: a few archived sessions, chosen at random, are read back whole at each sweep.

An archive that nobody reads may be damaged for years before somebody needs it. What must not live here:
repairs, and the check of everything (``Vault.verify``).
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator

import msgspec

from hermes_retention.archive.partition import Partition
from hermes_retention.archive.vault import Vault
from hermes_retention.model.errors import VaultDamaged
from hermes_retention.model.text import printable

LAST_DRILL = "last_drill"
"""The fact in the ledger that holds the last drill."""


class Drill(msgspec.Struct, frozen=True):
    """What a drill found."""

    at: float
    """Unix seconds."""
    sessions: int
    bytes: int
    """What they have in plain."""
    damages: tuple[str, ...] = ()
    """One line for each thing that did not read back as what was archived."""


def drill(vault: Vault, number: int, *, chance: random.Random, now: float) -> Drill | None:
    """Read ``number`` archived sessions back and compare them with their checksums; ``None`` without any.

    Every session is as likely as any other. Changes nothing, and never raises for what it finds.
    """
    damaged: list[VaultDamaged] = []
    counts = dict(vault.from_readable(damaged, lambda it: [(it.name, it.count_sessions())]))
    total = sum(counts.values())
    if not number or not (total or damaged):
        return None
    chosen = sorted(chance.sample(range(total), min(number, total)))
    found = list(_read_back(vault, counts, chosen))
    return Drill(
        now,
        len(found),
        sum(size for size, _ in found),
        (*map(str, damaged), *(line for _, lines in found for line in lines)),
    )


def noted_drill(text: str | None) -> Drill | None:
    """The drill that a fact of the ledger tells of; ``None`` too when nobody understands it."""
    try:
        return None if text is None else msgspec.json.decode(text, type=Drill)
    except msgspec.DecodeError:
        return None


def _read_back(vault: Vault, counts: dict[str, int], chosen: list[int]) -> Iterator[tuple[int, list[str]]]:
    first = 0
    for name, count in counts.items():
        places = [place - first for place in chosen if first <= place < first + count]
        first += count
        for place in places:
            yield _session(vault, name, place)


def _session(vault: Vault, name: str, place: int) -> tuple[int, list[str]]:
    """Plain bytes of one session and what is wrong with it."""
    size, lines = 0, list[str]()
    try:
        with Partition.open(vault.root / f"{name}.db") as partition:
            session_id = partition.session_at(place)
            lines += map(str, partition.broken_seals({session_id}))
            for artifact in partition.artifacts(session_id=session_id):
                try:
                    size += sum(map(len, partition.read(artifact)))
                except VaultDamaged as error:
                    lines.append(str(error))
    except VaultDamaged as error:
        lines.append(str(error))
    except (sqlite3.Error, ValueError, TypeError) as error:
        lines.append(f"{name}.db: it cannot be read ({printable(str(error))})")
    return size, lines
