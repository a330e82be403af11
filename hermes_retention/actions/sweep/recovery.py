"""What a process that died left half done: files aside, temporary ones, copies of a database.

Whoever changes something in a home calls ``recover`` first, with the lock of the home held. What must not
live here: what sweeps left to do, which the next one finds by itself.
"""

from __future__ import annotations

from collections import Counter

from hermes_retention.archive.vault import Vault
from hermes_retention.disk import originals, writing
from hermes_retention.disk.directories import Directory
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import FIRST_REMOVAL, RebuiltSweep
from hermes_retention.home.workspace import ASIDE, COMPACT, FOLDER
from hermes_retention.model.errors import CompactionRefused, LedgerDamaged
from hermes_retention.model.session import ArtifactKind, ClockMemory
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
