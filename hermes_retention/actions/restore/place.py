"""Archived copies back into their places: files into a directory, rows into the host's database.

Nothing is overwritten, and no half of a file is left. A session comes back with those that its record hangs
on, if the database lacks them, or not at all. What must not live here: which sessions were asked for, and
what rows mean (``stores``).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from hermes_retention.archive.entries import ArchivedArtifact
from hermes_retention.archive.vault import VaultReader
from hermes_retention.disk import effects
from hermes_retention.disk.directories import Directory
from hermes_retention.disk.originals import place_file
from hermes_retention.home.home import Home
from hermes_retention.model.errors import RestoreConflict, RetentionError, UsageError, VaultDamaged
from hermes_retention.model.session import ROW_KINDS, ArtifactKind
from hermes_retention.model.text import words
from hermes_retention.stores.rows import ArchivedRows, RowRestorer, RowsRestored, SessionRows


class Restored(msgspec.Struct, frozen=True):
    """What became of one archived artifact: written, there already, or refused with an error."""

    artifact: ArchivedArtifact
    error: RetentionError | None = None
    already_there: bool = False


class Placement(msgspec.Struct, frozen=True):
    """A file to be written: the artifact that it is named after, and its bytes, as often as asked for."""

    artifact: ArchivedArtifact
    read: Callable[[], Iterable[bytes]]


def open_target(directory: Path) -> Directory:
    """The opened ``directory``, made if it is missing.

    Raises ``UsageError`` when files cannot be written there at all; nothing was written then.
    """
    try:
        effects.makedirs(directory, exist_ok=True)
        return Directory.open(directory)
    except OSError as error:
        raise UsageError(
            str(directory),
            f"files cannot be written there ({words(error)})",
            consequence="nothing was written",
        ) from error


def place_all(target: Directory, placements: Iterable[Placement]) -> Iterator[Restored]:
    """Write each file with the mode and time of its artifact; synced once the iterator is at its end."""
    for placement in placements:
        yield _place(target, placement)
    target.sync()


def _place(target: Directory, placement: Placement) -> Restored:
    artifact = placement.artifact
    try:
        place_file(target, artifact.name, placement.read(), mode=artifact.mode, mtime_ns=artifact.mtime_ns)
    except RestoreConflict as error:
        same = _has_same_content(target, placement)
        return Restored(artifact, None if same else error, already_there=same)
    except RetentionError as error:
        return Restored(artifact, error)
    except OSError as error:
        return Restored(artifact, _not_written(artifact, error))
    return Restored(artifact)


def _has_same_content(target: Directory, placement: Placement) -> bool:
    """Compared byte by byte; what cannot be read is not the same."""
    name = placement.artifact.name
    status = target.status(name)
    if status is None or not stat.S_ISREG(status.st_mode):
        return False
    try:
        descriptor = effects.open_file(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target.descriptor
        )
        with os.fdopen(descriptor, "rb") as stream:
            same = all(stream.read(len(piece)) == piece for piece in placement.read())
            return same and not stream.read(1)
    except (OSError, RetentionError):
        return False


def _not_written(artifact: ArchivedArtifact, error: OSError) -> RetentionError:
    return RetentionError(
        artifact.name,
        f"it could not be put back ({words(error)})",
        consequence="its archived copy is untouched",
    )


# -- rows, session by session -------------------------------------------------------------------------------

_READ_IN_ORDER = (ArtifactKind.TOOL_OUTPUT, ArtifactKind.MESSAGES, ArtifactKind.RECORD)
"""A sweep archives all that it archives at one time: of these, the record went last."""


class RowsReport(msgspec.Struct, frozen=True):
    """What became of archived rows: one result for each session and kind, and how many rows were put back."""

    results: tuple[Restored, ...] = ()
    records: int = 0
    messages: int = 0
    tool_output: int = 0
    notes: tuple[str, ...] = ()
    """What a person should know although it is no failure, one line each."""


def put_rows_back(
    home: Home, artifacts: Sequence[ArchivedArtifact], damages: list[VaultDamaged], *, now: float
) -> RowsReport:
    """Put rows back into the host's database; ``artifacts`` has every version of each session's rows.

    A session that fails leaves the others to come back. Without a database that can be written nothing comes
    back. The lock of the home is held; partitions that cannot be searched are added to ``damages``.
    """
    order = _order_of_sweeps(home)
    wanted = _by_session(artifacts, order)
    if not wanted:
        return RowsReport()
    results: list[RowsReport] = []
    done: set[str] = set()
    try:
        with home.store.restoring_rows() as restorer, home.workspace.vault.reader() as reader:
            rows = _Returning(home, restorer, reader, wanted, order, damages, now=now)
            for session_id in wanted:
                if session_id not in done:
                    results.append(rows.put_back(session_id))
                    done |= {result.artifact.session_id for result in results[-1].results}
            restorer.link_children()
    except RetentionError as error:
        left = [session_id for session_id in wanted if session_id not in done]
        results += [_failed(wanted[session_id], error) for session_id in left]
        if not left:
            results.append(RowsReport(notes=(str(error),)))
    return _sum(results)


def joined_placements(
    home: Home, reader: VaultReader, artifacts: Iterable[ArchivedArtifact]
) -> Iterator[Placement]:
    """Rows as files: one for each session and kind, its versions joined, named as the newest."""
    for versions in _by_session(artifacts, _order_of_sweeps(home)).values():
        for newest in _newest_of_kinds(versions):
            same = [_readable(reader, version) for version in versions if version.kind is newest.kind]
            yield Placement(newest, partial(home.store.joined_rows, same))


def in_order_of_sweeps(home: Home, artifacts: Iterable[ArchivedArtifact]) -> list[ArchivedArtifact]:
    """Of ``artifacts`` the rows, each session's in the order in which they were archived."""
    found = _by_session(artifacts, _order_of_sweeps(home))
    return [artifact for versions in found.values() for artifact in versions]


class _Returning:
    """Sessions on their way back into an opened database."""

    def __init__(  # noqa: PLR0913, PLR0917 - from where, to where, and what is known
        self,
        home: Home,
        restorer: RowRestorer,
        reader: VaultReader,
        wanted: dict[str, list[ArchivedArtifact]],
        order: Mapping[str, int],
        damages: list[VaultDamaged],
        *,
        now: float,
    ) -> None:
        self._site, self._restorer, self._reader = home, restorer, reader
        self._wanted, self._artifacts = wanted, dict(wanted)
        self._order, self._damages, self._now = order, damages, now

    def put_back(self, session_id: str) -> RowsReport:
        """One session with what it needs; an error of the vault or a conflict is told, not raised."""
        try:
            family = self._family(session_id)
            self._note_restored(family[1:])
            inserted = self._restorer.insert(family)
        except RetentionError as error:
            return _failed(self._artifacts[session_id], error)
        members = [self._finish(rows, inserted) for rows in family]
        notes = [
            f"session {rows.session_id} came back too: {session_id} hangs on it"
            for rows in family[1:]
            if rows.session_id not in self._wanted
        ]
        return _sum(
            [RowsReport((), inserted.records, inserted.messages, 0, (*notes, *inserted.notes)), *members]
        )

    def _family(self, session_id: str) -> list[SessionRows]:
        """The session, and what its record hangs on as far as only the vault has it."""
        family = [self._rows(session_id)]
        ids = {session_id}
        while (parent := self._restorer.missing_parent(family[-1])) is not None and parent not in ids:
            if not self._has(parent):
                break
            family.append(self._rows(parent))
            ids.add(parent)
        return family

    def _has(self, session_id: str) -> bool:
        """Whether the vault has rows of a session. Raises ``VaultDamaged`` when nobody knows."""
        if session_id not in self._artifacts:
            found = self._site.workspace.vault.find(self._damages, session_id=session_id)
            known = _by_session(found, self._order)
            if not known and self._damages:
                raise self._damages[0]
            self._artifacts |= known
        return session_id in self._artifacts

    def _rows(self, session_id: str) -> SessionRows:
        versions = (_readable(self._reader, artifact) for artifact in self._artifacts[session_id])
        return SessionRows(session_id, tuple(versions))

    def _note_restored(self, also: Sequence[SessionRows]) -> None:
        """Before they are there: the next sweep must leave them alone as well."""
        if also:
            with self._site.workspace.ledger() as ledger:
                ledger.note_restored([rows.session_id for rows in also], restored_at=self._now)

    def _finish(self, rows: SessionRows, inserted: RowsRestored) -> RowsReport:
        """Its results, once its records and messages are there; tool output comes back last."""
        results: list[Restored] = []
        bodies = 0
        for artifact in _newest_of_kinds(self._artifacts[rows.session_id]):
            if artifact.kind is ArtifactKind.TOOL_OUTPUT:
                count, error = self._put_tool_output_back(rows)
                bodies += count
            else:
                count, error = inserted.records, None
                if artifact.kind is ArtifactKind.MESSAGES:
                    count += inserted.messages
            results.append(Restored(artifact, error, already_there=error is None and not count))
        return RowsReport(tuple(results), tool_output=bodies)

    def _put_tool_output_back(self, rows: SessionRows) -> tuple[int, RetentionError | None]:
        """All versions, the oldest first; a bad one does not keep the others back."""
        count, met = 0, None
        for version in rows.versions:
            if version.kind is ArtifactKind.TOOL_OUTPUT:
                try:
                    count += self._restorer.put_tool_output_back(version)
                except RetentionError as error:
                    met = met or error
        return count, met


def _order_of_sweeps(home: Home) -> dict[str, int]:
    """Of the sweeps that the ledger knows. Those of a ledger that was lost came before them."""
    try:
        ledger = home.workspace.ledger_if_any()
    except RetentionError:
        return {}
    if ledger is None:
        return {}
    with ledger:
        return ledger.order()


def _by_session(
    artifacts: Iterable[ArchivedArtifact], order: Mapping[str, int]
) -> dict[str, list[ArchivedArtifact]]:
    """Session id → its archived rows in the order in which they were archived.

    Files are told apart by their own time. Messages cannot be: the host may have taken back the newest ones.
    Nor does the time of archiving tell it where a clock was wrong: ``order`` is that of the sweeps.
    """

    def place(artifact: ArchivedArtifact) -> tuple[object, ...]:
        kind = _READ_IN_ORDER.index(artifact.kind)
        sweep = order.get(artifact.sweep, 0)
        return sweep, artifact.archived_at, kind, artifact.partition, artifact.id

    found: dict[str, list[ArchivedArtifact]] = {}
    for artifact in artifacts:
        if artifact.kind in ROW_KINDS:
            found.setdefault(artifact.session_id, []).append(artifact)
    for versions in found.values():
        versions.sort(key=place)
    return found


def _newest_of_kinds(versions: Iterable[ArchivedArtifact]) -> list[ArchivedArtifact]:
    return list({artifact.kind: artifact for artifact in versions}.values())


def _readable(reader: VaultReader, artifact: ArchivedArtifact) -> ArchivedRows:
    return ArchivedRows(artifact.kind, partial(reader.read, artifact))


def _failed(versions: Sequence[ArchivedArtifact], error: RetentionError) -> RowsReport:
    return RowsReport(tuple(Restored(artifact, error) for artifact in _newest_of_kinds(versions)))


def _sum(reports: Sequence[RowsReport]) -> RowsReport:
    return RowsReport(
        tuple(result for report in reports for result in report.results),
        sum(report.records for report in reports),
        sum(report.messages for report in reports),
        sum(report.tool_output for report in reports),
        tuple(note for report in reports for note in report.notes),
    )
