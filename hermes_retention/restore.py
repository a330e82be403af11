"""Back from the vault: single sessions, whole sweeps, or into any directory.

The archived copy stays where it is. A session that was put back starts its time anew, so that the next sweep
does not take it away again. What must not live here: output and questions to people.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from hermes_retention.archive.entries import ArchivedArtifact
from hermes_retention.errors import ExitCode, RestoreConflict, RetentionError, UsageError, VaultDamaged
from hermes_retention.fsops import Directory, place_file
from hermes_retention.ledger import SweepRow
from hermes_retention.names import printable
from hermes_retention.site import Site
from hermes_retention.sweep import recover


class Restored(msgspec.Struct, frozen=True):
    """What became of one archived artifact: written, there already, or refused with an error."""

    artifact: ArchivedArtifact
    error: RetentionError | None = None
    already_there: bool = False


class RestoreReport(msgspec.Struct, frozen=True):
    """What was put back, artifact by artifact."""

    directory: str
    results: tuple[Restored, ...]
    damages: tuple[VaultDamaged, ...] = ()
    """The partitions that could not be searched for more."""
    sweeps: tuple[str, ...] = ()

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


def restore_sessions(site: Site, session_ids: Sequence[str], *, now: float) -> RestoreReport:
    """Put the newest archived version of every file of these sessions back into the store.

    Raises ``UsageError`` for an id that the vault does not have; nothing is written then. A file that exists
    with other content is a conflict: it stays as it is.
    """
    with site.workspace.locked():  # looked up under the lock, lest an expiry comes in between
        return _into_store(site, _newest_of_all(site, session_ids), now=now)


def export_sessions(site: Site, session_ids: Sequence[str], directory: Path) -> RestoreReport:
    """Write the files of these sessions into ``directory``, made if missing. The store stays as it is."""
    found = _newest_of_all(site, session_ids)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        target = Directory.open(directory)
    except OSError as error:
        raise UsageError(
            printable(str(directory)),
            f"files cannot be written there ({(error.strerror or 'no reason given').lower()})",
            consequence="nothing was written",
        ) from error
    with target:
        return RestoreReport(str(directory), tuple(_place_all(site, found.artifacts, target)), found.damages)


def undo(site: Site, sweeps: Sequence[SweepRow], *, now: float) -> RestoreReport:
    """Put back everything that these sweeps archived, and mark them as undone unless something failed."""
    with site.workspace.locked():
        damages: list[VaultDamaged] = []
        vault = site.workspace.vault
        artifacts = [artifact for sweep in sweeps for artifact in vault.find(damages, sweep=sweep.id)]
        report = _into_store(site, _Found(_newest(artifacts), _once(damages)), now=now)
        ids = tuple(sweep.id for sweep in sweeps)
        if report.exit_code is ExitCode.DONE:
            with site.workspace.ledger() as ledger:
                ledger.mark_undone(ids, undone_at=now)
    return msgspec.structs.replace(report, sweeps=ids)


def undoable_sweeps(site: Site, wanted: str | None, *, all_sweeps: bool) -> list[SweepRow]:
    """The sweeps that ``undo`` means: that one, every one, or the last that archived something and stands.

    Raises ``UsageError`` when there is no such sweep.
    """
    ledger = site.workspace.ledger_if_any()
    known: list[SweepRow] = []
    if ledger is not None:
        with ledger:
            known = ledger.sweeps()
    if wanted is not None:
        chosen = [sweep for sweep in known if sweep.id == wanted]
        if not chosen:
            raise _no_sweep(f"sweep {printable(wanted)}", "the ledger knows no sweep of that id")
        return chosen
    standing = [sweep for sweep in known if sweep.undone_at is None and _archived_something(site, sweep)]
    if not standing:
        raise _no_sweep(
            printable(str(site.home)), "no sweep of this home archived anything that was not put back"
        )
    return standing if all_sweeps else standing[:1]


class _Found(msgspec.Struct, frozen=True):
    """What is to be put back, and the partitions that could not be searched for more."""

    artifacts: list[ArchivedArtifact]
    damages: tuple[VaultDamaged, ...]


def _newest_of_all(site: Site, session_ids: Sequence[str]) -> _Found:
    """The newest archived version of each file of these sessions.

    Raises ``UsageError`` when the vault has nothing of one of them, ``VaultDamaged`` when it may be in a
    partition that cannot be read.
    """
    damages: list[VaultDamaged] = []
    artifacts: list[ArchivedArtifact] = []
    for session_id in session_ids:
        found = site.workspace.vault.find(damages, session_id=session_id)
        if not found:
            raise damages[0] if damages else _no_copy(session_id)
        artifacts.extend(_newest(found))
    return _Found(artifacts, _once(damages))


def _once(damages: Iterable[VaultDamaged]) -> tuple[VaultDamaged, ...]:
    return tuple({str(damage): damage for damage in damages}.values())


def _no_copy(session_id: str) -> UsageError:
    return UsageError(
        f"session {printable(session_id)}",
        "the vault has no copy of it",
        consequence="nothing was written",
        cure="'hermes-retention archive list' shows what it has.",
    )


def _newest(artifacts: Iterable[ArchivedArtifact]) -> list[ArchivedArtifact]:
    """The last of each session and name; ``artifacts`` come oldest first."""
    return list({(artifact.session_id, artifact.name): artifact for artifact in artifacts}.values())


def _archived_something(site: Site, sweep: SweepRow) -> bool:
    if sweep.state == "done":
        return sweep.totals.get("files_archived", 0) > 0
    return bool(site.workspace.vault.find([], sweep=sweep.id))


def _no_sweep(what: str, why: str) -> UsageError:
    return UsageError(
        what, why, consequence="nothing was put back", cure="'hermes-retention status' lists the last sweeps."
    )


def _into_store(site: Site, found: _Found, *, now: float) -> RestoreReport:
    """Place what was found in the store; the lock of the home is held."""
    site.workspace.check()
    recover(site)
    # Noted first: a process that dies after the first file must not leave it to the next sweep.
    with site.workspace.ledger() as ledger:
        ledger.note_restored(sorted({artifact.session_id for artifact in found.artifacts}), restored_at=now)
    with Directory.create(site.home, *site.store.files_directory.relative_to(site.home).parts) as target:
        return RestoreReport(
            str(target.path), tuple(_place_all(site, found.artifacts, target)), found.damages
        )


def _place_all(site: Site, artifacts: Sequence[ArchivedArtifact], target: Directory) -> Iterable[Restored]:
    with site.workspace.vault.reader() as reader:
        for artifact in artifacts:
            yield _place(target, artifact, reader.read(artifact))
    target.sync()


def _place(target: Directory, artifact: ArchivedArtifact, pieces: Iterator[bytes]) -> Restored:
    try:
        place_file(target, artifact.name, pieces, mode=artifact.mode, mtime_ns=artifact.mtime_ns)
    except RestoreConflict as error:
        same = _has_same_content(target, artifact)
        return Restored(artifact, None if same else error, already_there=same)
    except RetentionError as error:
        return Restored(artifact, error)
    except (OSError, sqlite3.Error) as error:
        return Restored(artifact, _not_written(artifact, error))
    return Restored(artifact)


def _has_same_content(target: Directory, artifact: ArchivedArtifact) -> bool:
    status = target.status(artifact.name)
    if status is None or not stat.S_ISREG(status.st_mode) or status.st_size != artifact.size_bytes:
        return False
    try:
        descriptor = os.open(
            artifact.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target.descriptor
        )
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest() == artifact.sha256


def _not_written(artifact: ArchivedArtifact, error: OSError | sqlite3.Error) -> RetentionError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return RetentionError(
        printable(artifact.name),
        f"it could not be put back ({(reason or type(error).__name__).lower()})",
        consequence="its archived copy is untouched",
    )
