"""Archived artifacts as files in a directory: nothing is overwritten, and no half of a file is left.

What must not live here: which artifacts, and rows of databases.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from hermes_retention.archive.entries import ArchivedArtifact
from hermes_retention.disk import effects
from hermes_retention.disk.directories import Directory
from hermes_retention.disk.originals import place_file
from hermes_retention.model.errors import RestoreConflict, RetentionError, UsageError
from hermes_retention.model.text import words


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
