"""Files of the host: read as the scan saw them, removed once they are archived, put back.

A removal takes the file aside first, looks at it again, and only then unlinks it: whatever the host wrote at
that very moment goes back.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterable

from hermes_retention.disk import effects
from hermes_retention.disk.directories import READ_BYTES, Directory, closing, write_all
from hermes_retention.disk.writing import move_without_overwriting, temporary_name
from hermes_retention.model.errors import (
    ArtifactChanged,
    ArtifactUnreadable,
    ArtifactVanished,
    RestoreConflict,
)
from hermes_retention.model.session import Artifact
from hermes_retention.model.text import words

_KEPT = "it was kept"


def read_unchanged(directory: Directory, artifact: Artifact) -> Generator[bytes]:
    """The content of ``artifact`` in pieces of ``READ_BYTES``.

    Raises ``ArtifactChanged`` when size, time or inode differ from the scan, before or after reading, and
    ``ArtifactUnreadable`` when the system refuses; the pieces so far are worthless then. Changes nothing.
    """
    descriptor = _open_regular(directory, artifact)
    try:
        if not _is_same(os.fstat(descriptor), artifact):
            raise _changed(artifact)
        remaining = artifact.size_bytes
        while remaining > 0:
            piece = effects.read(descriptor, min(READ_BYTES, remaining))
            if not piece:
                raise _changed(artifact)
            remaining -= len(piece)
            yield piece
        if not _is_same(os.fstat(descriptor), artifact):
            raise _changed(artifact)
    except OSError as error:
        raise ArtifactUnreadable(artifact.name, words(error), consequence=_KEPT) from error
    finally:
        os.close(descriptor)


def _open_regular(directory: Directory, artifact: Artifact) -> int:
    # O_NONBLOCK: a FIFO that took the place of the file must not block the sweep.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return effects.open_file(artifact.name, flags, dir_fd=directory.descriptor)
    except FileNotFoundError as error:
        raise ArtifactVanished(artifact.name, "it vanished since the scan", consequence=_KEPT) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ArtifactChanged(artifact.name, "it became a link", consequence=_KEPT) from error
        raise ArtifactUnreadable(artifact.name, words(error), consequence=_KEPT) from error


class Remover:
    """Removes artifacts from ``directory`` by way of ``aside``, an own directory on the same file system."""

    def __init__(self, directory: Directory, aside: Directory) -> None:
        self._directory, self._aside = directory, aside
        self._taken = set(os.listdir(aside.descriptor))

    def remove(self, artifact: Artifact) -> None:
        """Unlink ``artifact`` if it still is the file that was archived.

        Raises ``ArtifactChanged`` or ``ArtifactUnreadable`` otherwise; the file is in its place then. If the
        process dies in between, ``recover`` finds it aside and puts it back.
        """
        name = artifact.name
        source, aside = self._directory.descriptor, self._aside.descriptor
        if name in self._taken:
            raise ArtifactUnreadable(
                name, f"an older file of that name waits in {self._aside.path}", consequence=_KEPT
            )
        try:
            if not _is_same(os.stat(name, dir_fd=source, follow_symlinks=False), artifact):
                raise _changed(artifact)
            try:
                effects.rename(name, name, src_dir_fd=source, dst_dir_fd=aside)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                # The sessions are a file system of their own: unlink at once, with a gap of microseconds.
                effects.unlink(name, dir_fd=source)
                return
            if not _is_same(os.stat(name, dir_fd=aside, follow_symlinks=False), artifact):
                self._taken.add(name)
                if _put_back(self._directory, self._aside, name):
                    self._taken.discard(name)
                raise _changed(artifact)
            effects.unlink(name, dir_fd=aside)
        except FileNotFoundError as error:
            raise ArtifactVanished(name, "it vanished since the scan", consequence=_KEPT) from error
        except OSError as error:
            raise ArtifactUnreadable(name, words(error), consequence=_KEPT) from error


def recover(directory: Directory, aside: Directory) -> list[str]:
    """Put back what a dead process left aside; returns one line for each file that has to stay there.

    A file stays aside when the host has meanwhile written another one under its name: neither is lost.
    """
    left = []
    for name in sorted(os.listdir(aside.descriptor)):
        taken = f"{name}: taken aside by a sweep that died"
        try:
            if _put_back(directory, aside, name):
                continue
        except OSError as error:
            left.append(
                f"{taken}, and it cannot be put back ({words(error)}); it is kept in {aside.path}. "
                f"Move it to {directory.path} yourself."
            )
        else:
            left.append(
                f"{taken}, and the host has written a new file of that name since; the older one is kept in "
                f"{aside.path}. Compare the two, and delete the one that you don't want."
            )
    return left


def place_file(directory: Directory, name: str, pieces: Iterable[bytes], *, mode: int, mtime_ns: int) -> None:
    """Write a new file with these bytes, permission bits and time, synced, appearing under ``name`` at once.

    Raises ``RestoreConflict`` when ``name`` is taken or is no plain file name; nothing is overwritten and no
    half of a file is left under ``name``. ``directory.sync()`` makes the name durable.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise RestoreConflict(name, "it is not a plain file name", consequence="it was not written")
    temporary = temporary_name()
    descriptor = effects.open_file(
        temporary,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600,
        dir_fd=directory.descriptor,
    )
    try:
        with closing(descriptor):
            for piece in pieces:
                write_all(descriptor, piece)
            _give_to_owner(descriptor, directory)
            effects.fchmod(descriptor, stat.S_IMODE(mode) & 0o777)
            effects.utime(descriptor, ns=(mtime_ns, mtime_ns))
            effects.fsync(descriptor)
        move_without_overwriting(directory, temporary, directory, name)
    except FileExistsError as error:
        raise RestoreConflict(
            name,
            f"{directory.path} already has a file of that name",
            consequence="it was not overwritten",
            cure="Restore into another directory with --to DIR.",
        ) from error
    finally:
        if directory.status(temporary) is not None:
            effects.unlink(temporary, dir_fd=directory.descriptor)


def _give_to_owner(descriptor: int, directory: Directory) -> None:
    """What the superuser puts back is for whoever owns the directory: the host could not read it else."""
    if os.geteuid() == 0:
        owner = os.fstat(directory.descriptor)
        effects.fchown(descriptor, owner.st_uid, owner.st_gid)


def _put_back(directory: Directory, aside: Directory, name: str) -> bool:
    """Whether the file aside is in its place again. Never overwrites what the host wrote meanwhile."""
    try:
        move_without_overwriting(aside, name, directory, name)
    except FileExistsError:
        placed, kept = directory.status(name), aside.status(name)
        if placed is None or kept is None or (placed.st_dev, placed.st_ino) != (kept.st_dev, kept.st_ino):
            return False
        effects.unlink(name, dir_fd=aside.descriptor)
    return True


def _is_same(status: os.stat_result, artifact: Artifact) -> bool:
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_ino == artifact.inode
        and status.st_size == artifact.size_bytes
        and status.st_mtime_ns == artifact.mtime_ns
    )


def _changed(artifact: Artifact) -> ArtifactChanged:
    return ArtifactChanged(artifact.name, "it changed since the scan", consequence=_KEPT)
