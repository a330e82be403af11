"""A look at what was: what a process that died left half done, and a few archived sessions read back.

Left are files aside, temporary ones, copies of a database. Whoever changes something in a home calls
``recover`` first, with the lock of the home held. What must not live here: what sweeps left to do, which the
next one finds by itself; the check of the whole archive (``Vault.verify``).
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Iterator

import msgspec

from hermes_retention.archive.partition import Partition
from hermes_retention.archive.vault import Vault
from hermes_retention.disk import originals, writing
from hermes_retention.disk.directories import Directory
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import FIRST_REMOVAL, RebuiltSweep
from hermes_retention.home.workspace import ASIDE, COMPACT, FOLDER
from hermes_retention.model.errors import CompactionRefused, LedgerDamaged, VaultDamaged
from hermes_retention.model.session import ArtifactKind, ClockMemory
from hermes_retention.model.text import printable
from hermes_retention.stores.base import Folder

_COUNTED_AS = {
    ArtifactKind.MESSAGES: "messages_archived",
    ArtifactKind.TOOL_OUTPUT: "tool_output_archived",
    ArtifactKind.RECORD: "records_archived",
}


def recover(home: Home) -> list[str]:
    """Put right what a dead process left half done; a line for each thing that a person must settle."""
    told = [*_recover_ledger(home), *_recover_files(home)]
    try:
        recover_database(home)
    except CompactionRefused as error:
        told.append(str(error))
    return told


def _recover_ledger(home: Home) -> list[str]:
    """A damaged ledger is set aside, and what the vault knows of sweeps is the beginning of a new one."""
    workspace = home.workspace
    try:
        ledger = workspace.ledger_if_any()
        if ledger is None:
            return []
        with ledger:
            ledger.check()
            return []
    except LedgerDamaged as error:
        kept = writing.set_aside(workspace.ledger_path, ("", "-journal"))
        with workspace.ledger() as fresh:
            sweeps = sweeps_in(workspace.vault)
            latest = max((it.started_at for it in sweeps), default=0.0)
            if sweeps:
                fresh.rebuild(sweeps, clock=ClockMemory(last=latest, latest=latest))
                fresh.remember(FIRST_REMOVAL, sweeps[0].id)
        told = (
            f"{error.what}: {error.why}; it is kept as {kept.name}. A new one knows the sweeps "
            "that the archive tells of. Holds are not affected; what was put back lately counts as old again."
        )
        return [told]


def sweeps_in(vault: Vault) -> list[RebuiltSweep]:
    """The sweeps of which the readable part of the vault has copies, oldest first."""
    started: dict[str, float] = {}
    totals: dict[str, Counter[str]] = {}
    for artifact in vault.find([]):
        at = started.setdefault(artifact.sweep, artifact.archived_at)
        started[artifact.sweep] = min(at, artifact.archived_at)
        totals.setdefault(artifact.sweep, Counter())[_COUNTED_AS.get(artifact.kind, "files_archived")] += 1
    order = sorted(started, key=lambda sweep: (started[sweep], sweep))
    return [RebuiltSweep(sweep, started[sweep], dict(totals[sweep])) for sweep in order]


def recover_database(home: Home) -> None:
    """Clear up what a killed compaction left; the lock of the home is held.

    Its copies are as large as the database, so no sweep lets them wait for the next compaction. Raises
    ``CompactionRefused`` when a person must settle which database is the right one.
    """
    try:
        folder = Directory.open(home.path, *COMPACT)
    except FileNotFoundError:
        return
    with folder:
        compactor = home.store.compactor({})
        if compactor is not None:
            compactor.recover(folder)


def _recover_files(home: Home) -> list[str]:
    for below in (FOLDER,), (FOLDER, "archive"):
        with Directory.open(home.path, *below) as own:
            writing.sweep_temporaries(own)
    return [line for folder in home.store.folders() for line in _recover_folder(home, folder)]


def _recover_folder(home: Home, folder: Folder) -> list[str]:
    try:
        files = Directory.open(home.path, *folder.below)
    except FileNotFoundError:
        return []
    with files, Directory.create(home.path, *ASIDE, *folder.aside) as aside:
        writing.sweep_temporaries(files)
        return originals.recover(files, aside)


# -- spot check: an archive that nobody reads may be damaged for years before somebody needs it -------------

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
