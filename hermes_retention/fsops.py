"""The only module that removes or replaces files.

Every operation is relative to an opened directory and follows no symbolic link. A removal takes the file
aside first, looks at it again, and only then unlinks it: whatever the host wrote at that very moment goes
back.
What must not live here: decisions, archives, databases.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from hermes_retention import effects
from hermes_retention.errors import (
    ArtifactChanged,
    ArtifactUnreadable,
    ArtifactVanished,
    RestoreConflict,
    StoreUnreadable,
    UnsupportedPlatform,
)
from hermes_retention.model import Artifact
from hermes_retention.names import printable

READ_BYTES = 8 * 2**20
_TEMPORARY = re.compile(r"\.hermes-retention-[0-9a-f]{16}\.tmp")
"""The names that ``_temporary_name`` makes. Nothing else is ours, whatever it begins with."""
_KEPT = "it was kept"
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What a file system answers that has no hard links (FAT, some network shares)."""


def require_supported_platform() -> None:
    """Raise ``UnsupportedPlatform`` where files cannot be removed safely. Nothing has been touched then."""
    needed = (effects.open_file, effects.unlink, effects.rename, os.stat, effects.link)
    if sys.platform in ("linux", "darwin") and all(call in os.supports_dir_fd for call in needed):
        return
    raise UnsupportedPlatform(
        f"this operating system ({sys.platform})",
        "it cannot open and remove files relative to a directory",
        consequence="nothing was touched",
        cure="hermes-retention runs on Linux and macOS.",
    )


class Directory:
    """An opened directory that contains no symbolic link below its trusted base. A context manager."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor

    @classmethod
    def open(cls, base: Path, *below: str) -> Directory:
        """Open ``base/below…``; ``base`` may itself be a link, nothing below it may.

        Raises ``StoreUnreadable`` for a link or anything that is no directory, ``FileNotFoundError`` when it
        does not exist.
        """
        path, descriptor = base, effects.open_file(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in below:
            path = path / part
            with _closing(descriptor):
                descriptor = _open_inner(descriptor, part, path)
        return cls(path, descriptor)

    @classmethod
    def create(cls, base: Path, *below: str) -> Directory:
        """Like ``open``, making what is missing, durably and with mode 0700 whatever the umask."""
        path, descriptor = base, effects.open_file(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in below:
            path = path / part
            with _closing(descriptor):
                try:
                    descriptor = _open_inner(descriptor, part, path)
                except FileNotFoundError:
                    _make_inner(descriptor, part)
                    descriptor = _open_inner(descriptor, part, path)
        return cls(path, descriptor)

    def close(self) -> None:
        """Give the descriptor back. Closing twice is a mistake of the caller."""
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def sync(self) -> None:
        """Make the entries durable."""
        effects.fsync(self.descriptor)

    def status(self, name: str) -> os.stat_result | None:
        """``lstat`` of an entry, ``None`` when there is none."""
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None


def _open_inner(descriptor: int, name: str, path: Path) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return effects.open_file(name, flags, dir_fd=descriptor)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _not_a_directory(path) from error
        raise


def _make_inner(descriptor: int, name: str) -> None:
    """Synced: without its name above, all that is synced in it later would be lost with the power."""
    with contextlib.suppress(FileExistsError):
        effects.mkdir(name, 0o700, dir_fd=descriptor)
        effects.chmod(name, 0o700, dir_fd=descriptor)
    effects.fsync(descriptor)


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
        raise ArtifactUnreadable(printable(artifact.name), _words(error), consequence=_KEPT) from error
    finally:
        os.close(descriptor)


def _open_regular(directory: Directory, artifact: Artifact) -> int:
    # O_NONBLOCK: a FIFO that took the place of the file must not block the sweep.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return effects.open_file(artifact.name, flags, dir_fd=directory.descriptor)
    except FileNotFoundError as error:
        raise ArtifactVanished(
            printable(artifact.name), "it vanished since the scan", consequence=_KEPT
        ) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ArtifactChanged(printable(artifact.name), "it became a link", consequence=_KEPT) from error
        raise ArtifactUnreadable(printable(artifact.name), _words(error), consequence=_KEPT) from error


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
                printable(name), f"an older file of that name waits in {self._aside.path}", consequence=_KEPT
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
            raise ArtifactVanished(
                printable(name), "it vanished since the scan", consequence=_KEPT
            ) from error
        except OSError as error:
            raise ArtifactUnreadable(printable(name), _words(error), consequence=_KEPT) from error


def recover(directory: Directory, aside: Directory) -> list[str]:
    """Put back what a dead process left aside; returns one line for each file that has to stay there.

    A file stays aside when the host has meanwhile written another one under its name: neither is lost.
    """
    left = []
    for name in sorted(os.listdir(aside.descriptor)):
        taken = f"{printable(name)}: taken aside by a sweep that died"
        try:
            if _put_back(directory, aside, name):
                continue
        except OSError as error:
            left.append(
                f"{taken}, and it cannot be put back ({_words(error)}); it is kept in {aside.path}. "
                f"Move it to {directory.path} yourself."
            )
        else:
            left.append(
                f"{taken}, and the host has written a new file of that name since; the older one is kept in "
                f"{aside.path}. Compare the two, and delete the one that you don't want."
            )
    return left


def sweep_temporaries(directory: Directory) -> None:
    """Remove what a dead process left half written; the vault has the whole of a restore."""
    for name in filter(_TEMPORARY.fullmatch, os.listdir(directory.descriptor)):
        status = directory.status(name)
        if status is not None and stat.S_ISREG(status.st_mode):
            effects.unlink(name, dir_fd=directory.descriptor)


def place_file(directory: Directory, name: str, pieces: Iterable[bytes], *, mode: int, mtime_ns: int) -> None:
    """Write a new file with these bytes, permission bits and time, synced, appearing under ``name`` at once.

    Raises ``RestoreConflict`` when ``name`` is taken or is no plain file name; nothing is overwritten and no
    half of a file is left under ``name``. ``directory.sync()`` makes the name durable.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise RestoreConflict(
            printable(name), "it is not a plain file name", consequence="it was not written"
        )
    temporary = _temporary_name()
    descriptor = effects.open_file(
        temporary,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600,
        dir_fd=directory.descriptor,
    )
    try:
        with _closing(descriptor):
            for piece in pieces:
                write_all(descriptor, piece)
            _give_to_owner(descriptor, directory)
            effects.fchmod(descriptor, stat.S_IMODE(mode) & 0o777)
            effects.utime(descriptor, ns=(mtime_ns, mtime_ns))
            effects.fsync(descriptor)
        _move_without_overwriting(directory, temporary, directory, name)
    except FileExistsError as error:
        raise RestoreConflict(
            printable(name),
            f"{directory.path} already has a file of that name",
            consequence="it was not overwritten",
            cure="Restore into another directory with --to DIR.",
        ) from error
    finally:
        if directory.status(temporary) is not None:
            effects.unlink(temporary, dir_fd=directory.descriptor)


def replace_public_file(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` with mode 0644, synced, all at once or not at all."""
    _replace_file(path, content, 0o644)


def _give_to_owner(descriptor: int, directory: Directory) -> None:
    """What the superuser puts back is for whoever owns the directory: the host could not read it else."""
    if os.geteuid() == 0:
        owner = os.fstat(directory.descriptor)
        effects.fchown(descriptor, owner.st_uid, owner.st_gid)


def replace_private_file(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` with mode 0600, synced, all at once or not at all."""
    _replace_file(path, content, 0o600)


def _replace_file(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(_temporary_name())
    descriptor = effects.open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with _closing(descriptor):
            effects.fchmod(descriptor, 0o600)  # a umask may have taken even that away
            write_all(descriptor, content)
            if mode != 0o600:  # noqa: PLR2004 - what it has already
                effects.fchmod(descriptor, mode)
            effects.fsync(descriptor)
        effects.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            effects.unlink(temporary)
        raise
    sync_directory(path.parent)


def rewrite_unchanged(directory: Directory, name: str, content: bytes, *, seen: os.stat_result) -> bool:
    """Give the file ``name`` this content, synced, all at once, if it is still the one that was ``seen``.

    Mode stays, and the owner is who writes. Returns ``False``, and changes nothing, when somebody else has
    written it since; between that look and the renaming lie microseconds, so whoever may write it must be
    known to be away. Raises ``OSError``; the file is as it was then.
    """
    temporary = _temporary_name()
    descriptor = effects.open_file(
        temporary,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600,
        dir_fd=directory.descriptor,
    )
    try:
        with _closing(descriptor):
            write_all(descriptor, content)
            effects.fchmod(descriptor, stat.S_IMODE(seen.st_mode) & 0o777)
            effects.fsync(descriptor)
        now = directory.status(name)
        if now is None or _version(now) != _version(seen):
            return False
        effects.rename(temporary, name, src_dir_fd=directory.descriptor, dst_dir_fd=directory.descriptor)
    finally:
        if directory.status(temporary) is not None:
            effects.unlink(temporary, dir_fd=directory.descriptor)
    directory.sync()
    return True


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def replace_file(
    directory: Directory,
    name: str,
    content: bytes,
    *,
    like: os.stat_result | None,
    may_go_on: Callable[[], bool],
) -> os.stat_result:
    """Write ``content`` in the place of ``name``, synced, all at once or not at all; returns its new status.

    The file has the mode and owner of ``like``, or is private and ours when that is ``None``. ``may_go_on``
    is asked right before the exchange: raises ``ArtifactChanged`` when it says no, ``OSError`` for all else;
    ``name`` is what it was then.
    """
    temporary = _temporary_name()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = effects.open_file(temporary, flags, 0o600, dir_fd=directory.descriptor)
    try:
        with _closing(descriptor):
            write_all(descriptor, content)
            if like is not None:
                own = os.fstat(descriptor)
                if (own.st_uid, own.st_gid) != (like.st_uid, like.st_gid):
                    effects.fchown(descriptor, like.st_uid, like.st_gid)
                effects.fchmod(descriptor, stat.S_IMODE(like.st_mode))
            effects.fsync(descriptor)
            status = os.fstat(descriptor)
        _require(may_go_on, name)
        effects.rename(temporary, name, src_dir_fd=directory.descriptor, dst_dir_fd=directory.descriptor)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            effects.unlink(temporary, dir_fd=directory.descriptor)
        raise
    directory.sync()
    return status


def remove_lock(directory: Directory, name: str, *, inode: int) -> None:
    """Remove a lock file that we made, unless another one has its name by now. Not synced."""
    status = directory.status(name)
    if status is not None and status.st_ino == inode:
        with contextlib.suppress(FileNotFoundError):
            effects.unlink(name, dir_fd=directory.descriptor)


def take_stale_lock(directory: Directory, name: str, *, inode: int) -> bool:
    """Remove a lock file that nobody holds any more, and say whether the way is free.

    Two may find the same lock stale, and the slower one must not take away what the faster one made: the file
    is renamed first, and goes back when it is not the one that was looked at.
    """
    taken = _temporary_name()
    try:
        effects.rename(name, taken, src_dir_fd=directory.descriptor, dst_dir_fd=directory.descriptor)
    except FileNotFoundError:
        return True
    status = directory.status(taken)
    if status is not None and status.st_ino != inode:
        with contextlib.suppress(FileExistsError):
            _move_without_overwriting(directory, taken, directory, name)
            return False
    with contextlib.suppress(FileNotFoundError):
        effects.unlink(taken, dir_fd=directory.descriptor)
    return True


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of ``content``; the system may take it in pieces. Raises ``OSError`` after a part of it."""
    left = memoryview(content)
    while left:
        left = left[effects.write(descriptor, left) :]


@contextlib.contextmanager
def _closing(descriptor: int) -> Generator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def remove_own_file(path: Path) -> None:
    """Remove a file that this project made (an empty partition). The directory is synced."""
    effects.unlink(path)
    sync_directory(path.parent)


def make_private_file(path: Path) -> None:
    """Let an empty file be there, mode 0600 whatever the umask; one that is there already stays as it is.

    Raises ``OSError``, also when it is a link or no regular file.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = effects.open_file(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        with _closing(effects.open_file(path, flags)) as found:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise OSError(errno.EINVAL, "not a regular file") from None
    else:
        with _closing(descriptor):
            effects.fchmod(descriptor, 0o600)


def read_private_file(path: Path) -> bytes:
    """The bytes of a small file of ours. Raises ``OSError``, also when it is a link or no regular file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with _closing(effects.open_file(path, flags)) as descriptor:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        pieces = iter(lambda: effects.read(descriptor, READ_BYTES), b"")
        return b"".join(pieces)


def set_aside(path: Path, suffixes: Iterable[str] = ("",)) -> Path:
    """Rename a file of ours, with those beside it, to the next free name; returns that. Nothing is lost."""
    number = 1
    while (kept := path.with_name(f"{path.stem}-damaged-{number}{path.suffix}")).exists():
        number += 1
    for suffix in suffixes:
        source = path.with_name(path.name + suffix)
        if source.exists():
            effects.rename(source, kept.with_name(kept.name + suffix))
    sync_directory(path.parent)
    return kept


def give_second_name(directory: Directory, name: str, other: Directory, second: str) -> None:
    """Let the file ``name`` be found as ``second`` in ``other`` too, durably.

    Raises ``OSError``, and changes nothing, when ``second`` is taken or the file system has no hard links.
    """
    effects.link(
        name, second, src_dir_fd=directory.descriptor, dst_dir_fd=other.descriptor, follow_symlinks=False
    )
    other.sync()


def take_place(source: Directory, name: str, target: Directory, place: str) -> None:
    """Put the file ``name`` in the place of ``place``, durably.

    At every instant, also after a crash, ``place`` is one of the two files. The one that was there is lost
    unless it has a second name.
    """
    effects.rename(name, place, src_dir_fd=source.descriptor, dst_dir_fd=target.descriptor)
    target.sync()
    source.sync()


def remove_own_entry(directory: Directory, name: str) -> None:
    """Remove a file that this project made in ``directory``, if it is there. The directory is synced."""
    with contextlib.suppress(FileNotFoundError):
        effects.unlink(name, dir_fd=directory.descriptor)
        directory.sync()


def allocated_bytes(directory: Path, *, regular_only: bool = False) -> int:
    """What the file system gives to the entries directly in ``directory``; 0 when there is no such directory.

    What vanishes meanwhile (the host's temporary files, journals of SQLite) counts as nothing.
    """
    try:
        entries = os.scandir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    total = 0
    with entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) or not regular_only:
                    total += status.st_blocks * 512
    return total


def sync_directory(path: Path) -> None:
    """Make the entries of ``path`` durable."""
    descriptor = effects.open_file(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        effects.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary_name() -> str:
    return f".hermes-retention-{secrets.token_hex(8)}.tmp"


def _put_back(directory: Directory, aside: Directory, name: str) -> bool:
    """Whether the file aside is in its place again. Never overwrites what the host wrote meanwhile."""
    try:
        _move_without_overwriting(aside, name, directory, name)
    except FileExistsError:
        placed, kept = directory.status(name), aside.status(name)
        if placed is None or kept is None or (placed.st_dev, placed.st_ino) != (kept.st_dev, kept.st_ino):
            return False
        effects.unlink(name, dir_fd=aside.descriptor)
    return True


def _move_without_overwriting(source: Directory, name: str, target: Directory, new_name: str) -> None:
    """Raises ``FileExistsError`` when ``new_name`` is taken; nothing has moved then."""
    try:
        effects.link(
            name, new_name, src_dir_fd=source.descriptor, dst_dir_fd=target.descriptor, follow_symlinks=False
        )
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if target.status(new_name) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name) from error
        effects.rename(name, new_name, src_dir_fd=source.descriptor, dst_dir_fd=target.descriptor)
    else:
        effects.unlink(name, dir_fd=source.descriptor)


def _is_same(status: os.stat_result, artifact: Artifact) -> bool:
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_ino == artifact.inode
        and status.st_size == artifact.size_bytes
        and status.st_mtime_ns == artifact.mtime_ns
    )


def _changed(artifact: Artifact) -> ArtifactChanged:
    return ArtifactChanged(printable(artifact.name), "it changed since the scan", consequence=_KEPT)


def _require(may_go_on: Callable[[], bool], name: str) -> None:
    if may_go_on():
        return
    raise ArtifactChanged(printable(name), "somebody wrote it meanwhile", consequence="it was left as it is")


def _words(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _not_a_directory(path: Path) -> StoreUnreadable:
    return StoreUnreadable(
        printable(str(path)),
        "it is a symbolic link or not a directory, and links below the home are not followed",
        consequence="nothing was removed",
        cure="Make it a real directory, or mount the other place there.",
    )
