"""Back from the vault: single sessions, whole sweeps, or into any directory.

The archived copy stays where it is. A session that was put back starts its time anew, so that the next sweep
does not take it away again. What must not live here: output and questions to people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from hermes_retention.actions.restore.place import (
    Placement,
    Restored,
    RowsReport,
    joined_placements,
    open_target,
    place_all,
    put_rows_back,
)
from hermes_retention.actions.sweep.recovery import recover
from hermes_retention.archive.entries import ArchivedArtifact
from hermes_retention.archive.vault import VaultReader
from hermes_retention.disk.directories import Directory
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import Ledger, SweepRow
from hermes_retention.model.errors import ExitCode, RetentionError, SessionGone, UsageError, VaultDamaged
from hermes_retention.model.session import ROW_KINDS, ArtifactKind
from hermes_retention.stores.base import EntryRestored, Folder

_ARCHIVED = ("files_archived", "tool_output_archived", "messages_archived", "records_archived")
"""What a sweep counts that can be put back."""


class RestoreReport(msgspec.Struct, frozen=True):
    """What was put back, artifact by artifact."""

    directory: str
    """Where the files were written."""
    files: tuple[Restored, ...]
    rows: RowsReport = RowsReport()
    """What went into the host's database."""
    damages: tuple[VaultDamaged, ...] = ()
    """The partitions that could not be searched for more."""
    sweeps: tuple[str, ...] = ()

    @property
    def results(self) -> tuple[Restored, ...]:
        """Files and rows."""
        return (*self.files, *self.rows.results)

    @property
    def sessions(self) -> int:
        """How many sessions have every artifact back."""
        failed = {result.artifact.session_id for result in self.results if result.error is not None}
        return len({result.artifact.session_id for result in self.results} - failed)

    @property
    def failures(self) -> tuple[Restored, ...]:
        """The artifacts that were not put back."""
        return tuple(result for result in self.results if result.error is not None)

    @property
    def exit_code(self) -> ExitCode:
        """0 when all is back, 5 when the vault is damaged, 1 for any other failure."""
        errors = [result.error for result in self.failures]
        if self.damages or any(isinstance(error, VaultDamaged) for error in errors):
            return ExitCode.VAULT_DAMAGED
        return ExitCode.SOME_FAILED if errors else ExitCode.DONE


def restore_sessions(home: Home, session_ids: Sequence[str], *, now: float) -> RestoreReport:
    """Put the newest archived version of every file of these sessions back into the store, and their rows.

    Raises ``UsageError`` for an id that the vault does not have; nothing is written then. A file that exists
    with other content is a conflict, and so is an id in the database that something else has: both stay.
    """
    with home.workspace.locked():  # looked up under the lock, lest an expiry comes in between
        return _into_store(home, _find_all(home, session_ids), now=now)


def export_sessions(home: Home, session_ids: Sequence[str], directory: Path) -> RestoreReport:
    """Write the files of these sessions into ``directory``, made if missing, and their rows as files.

    The store stays as it is.
    """
    found = _find_all(home, session_ids)
    with open_target(directory) as target, home.workspace.vault.reader() as reader:
        placements = [*_placements(reader, found.files), *joined_placements(home, reader, found.rows)]
        return RestoreReport(str(directory), tuple(place_all(target, placements)), damages=found.damages)


def undo(home: Home, sweeps: Sequence[SweepRow], *, now: float) -> RestoreReport:
    """Put back everything that these sweeps archived, and mark them as undone unless doing it again may help.

    A session of which they archived rows gets back all its archived rows.
    """
    with home.workspace.locked():
        damages: list[VaultDamaged] = []
        vault = home.workspace.vault
        artifacts = [artifact for sweep in sweeps for artifact in vault.find(damages, sweep=sweep.id)]
        found = _Found(_newest(artifacts), _all_rows(home, damages, _rows(artifacts)), _once(damages))
        report = _into_store(home, found, now=now)
        ids = tuple(sweep.id for sweep in sweeps)
        if not report.damages and all(isinstance(one.error, SessionGone) for one in report.failures):
            with home.workspace.ledger() as ledger:
                ledger.mark_undone(ids, undone_at=now)
    return msgspec.structs.replace(report, sweeps=ids)


def undoable_sweeps(home: Home, wanted: str | None, *, all_sweeps: bool) -> list[SweepRow]:
    """The sweeps that ``undo`` means: that one, every one, or the last that archived something and stands.

    Raises ``UsageError`` when there is no such sweep.
    """
    known: list[SweepRow] = home.workspace.ask_ledger(Ledger.sweeps, [])
    if wanted is not None:
        chosen = [sweep for sweep in known if sweep.id == wanted]
        if not chosen:
            raise _no_sweep(f"sweep {wanted}", "the ledger knows no sweep of that id")
        return chosen
    standing = [sweep for sweep in known if sweep.undone_at is None and _archived_something(home, sweep)]
    if not standing:
        raise _no_sweep(str(home.path), "no sweep of this home archived anything that was not put back")
    return standing if all_sweeps else standing[:1]


class _Found(msgspec.Struct, frozen=True):
    """What is to be put back, and the partitions that could not be searched for more."""

    files: list[ArchivedArtifact]
    """The newest version of each."""
    rows: list[ArchivedArtifact]
    """Every version."""
    damages: tuple[VaultDamaged, ...]


def _find_all(home: Home, session_ids: Sequence[str]) -> _Found:
    """What the vault has of these sessions.

    Raises ``UsageError`` when it has nothing of one of them, ``VaultDamaged`` when it may be in a partition
    that cannot be read.
    """
    damages: list[VaultDamaged] = []
    files: list[ArchivedArtifact] = []
    rows: list[ArchivedArtifact] = []
    for session_id in session_ids:
        found = home.workspace.vault.find(damages, session_id=session_id)
        if not found:
            raise damages[0] if damages else _no_copy(session_id)
        files.extend(_newest(found))
        rows.extend(_rows(found))
    return _Found(files, rows, _once(damages))


def _all_rows(
    home: Home, damages: list[VaultDamaged], some: Iterable[ArchivedArtifact]
) -> list[ArchivedArtifact]:
    """Every version of the rows of the sessions of which ``some`` are; the vault is read once."""
    wanted = {artifact.session_id for artifact in some}
    if not wanted:
        return []
    return list(
        home.workspace.vault.from_readable(
            damages,
            lambda partition: [row for row in _rows(partition.artifacts()) if row.session_id in wanted],
        )
    )


def _rows(artifacts: Iterable[ArchivedArtifact]) -> list[ArchivedArtifact]:
    return [artifact for artifact in artifacts if artifact.kind in ROW_KINDS]


def _once(damages: Iterable[VaultDamaged]) -> tuple[VaultDamaged, ...]:
    return tuple({str(damage): damage for damage in damages}.values())


def _no_copy(session_id: str) -> UsageError:
    return UsageError(
        f"session {session_id}",
        "the vault has no copy of it",
        consequence="nothing was written",
        cure="'hermes-retention archive list' shows what it has.",
    )


def _newest(artifacts: Iterable[ArchivedArtifact]) -> list[ArchivedArtifact]:
    """The last file of each session and name; ``artifacts`` come oldest first."""
    files = (artifact for artifact in artifacts if artifact.kind not in ROW_KINDS)
    return list({(artifact.session_id, artifact.name): artifact for artifact in files}.values())


def _archived_something(home: Home, sweep: SweepRow) -> bool:
    if sweep.state == "done":
        return any(sweep.totals.get(name, 0) > 0 for name in _ARCHIVED)
    return bool(home.workspace.vault.find([], sweep=sweep.id))


def _no_sweep(what: str, why: str) -> UsageError:
    return UsageError(
        what, why, consequence="nothing was put back", cure="'hermes-retention status' lists the last sweeps."
    )


def _into_store(home: Home, found: _Found, *, now: float) -> RestoreReport:
    """Put what was found back into the store; the lock of the home is held."""
    home.workspace.check()
    recover(home)
    # Noted first: a process that dies after the first file must not leave it to the next sweep.
    with home.workspace.ledger() as ledger:
        ids = {artifact.session_id for artifact in (*found.files, *found.rows)}
        ledger.note_restored(sorted(ids), restored_at=now)
    files = _place_files(home, found.files)
    damages = list(found.damages)
    rows = put_rows_back(home, found.rows, damages, now=now)
    return RestoreReport(str(home.store.files_directory), files, rows, _once(damages))


def _place_files(home: Home, artifacts: Sequence[ArchivedArtifact]) -> tuple[Restored, ...]:
    """Files first: an index entry must never lead to a file that is not there yet."""
    results: list[Restored] = []
    by_folder: dict[Folder, list[ArchivedArtifact]] = {}
    for artifact in artifacts:
        if artifact.kind is not ArtifactKind.ENTRY:
            by_folder.setdefault(home.store.folder_of(artifact.session_id), []).append(artifact)
    with home.workspace.vault.reader() as reader:
        for folder, files in by_folder.items():
            with Directory.create(home.path, *folder.below) as target:
                results += place_all(target, _placements(reader, files))
        results += _entries_back(home, reader, [one for one in artifacts if one.kind is ArtifactKind.ENTRY])
    return tuple(results)


def _entries_back(home: Home, reader: VaultReader, entries: Sequence[ArchivedArtifact]) -> Iterator[Restored]:
    contents: dict[str, bytes] = {}
    for entry in entries:
        try:
            contents[entry.session_id] = b"".join(reader.read(entry))
        except RetentionError as error:
            yield Restored(entry, error)
    try:
        told = home.store.put_entries_back(contents) if contents else {}
    except RetentionError as error:
        told = dict.fromkeys(contents, EntryRestored(error))
    for entry in entries:
        if entry.session_id in contents:
            outcome = told[entry.session_id]
            yield Restored(entry, outcome.error, already_there=outcome.already_there)


def _placements(reader: VaultReader, files: Iterable[ArchivedArtifact]) -> Iterator[Placement]:
    return (Placement(artifact, partial(reader.read, artifact)) for artifact in files)
