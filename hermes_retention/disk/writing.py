"""Files written as a whole and synced; names given, exchanged and taken away, one step at a time.

All of a file stands under its name or nothing, and no crash leaves half of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from hermes_retention.disk import effects
from hermes_retention.disk.directories import (
    READ_BYTES,
    Directory,
    closing,
    sync_directory,
    write_pieces,
)
from hermes_retention.model.errors import ArtifactChanged

_TEMPORARY = re.compile(r"\.hermes-retention-[0-9a-f]{16}\.tmp")
"""The names that ``temporary_name`` makes. Nothing else is ours, whatever it begins with."""
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What a file system answers that has no hard links (FAT, some network shares)."""


def sweep_temporaries(directory: Directory) -> None:
    """Remove what a dead process left half written; the vault has the whole of a restore."""
    for name in filter(_TEMPORARY.fullmatch, os.listdir(directory.descriptor)):
        status = directory.status(name)
        if status is not None and stat.S_ISREG(status.st_mode):
            effects.unlink(name, dir_fd=directory.descriptor)


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
    taken = temporary_name()
    try:
        effects.rename(name, taken, src_dir_fd=directory.descriptor, dst_dir_fd=directory.descriptor)
    except FileNotFoundError:
        return True
    status = directory.status(taken)
    if status is not None and status.st_ino != inode:
        with contextlib.suppress(FileExistsError):
            move_without_overwriting(directory, taken, directory, name)
            return False
    with contextlib.suppress(FileNotFoundError):
        effects.unlink(taken, dir_fd=directory.descriptor)
    return True


def remove_own_file(path: Path) -> None:
    """Remove a file that this project made (an empty partition). The directory is synced."""
    effects.unlink(path)
    sync_directory(path.parent)


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


def temporary_name() -> str:
    """A name for something half done, which ``sweep_temporaries`` removes when its maker died."""
    return f".hermes-retention-{secrets.token_hex(8)}.tmp"


def move_without_overwriting(source: Directory, name: str, target: Directory, new_name: str) -> None:
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


PRIVATE = 0o600
"""The mode of files that nobody else may read."""


def replace_public_file(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` with mode 0644, synced, all at once or not at all."""
    _replace(path, content, 0o644)


def replace_private_file(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` with mode 0600, synced, all at once or not at all."""
    _replace(path, content, PRIVATE)


def _replace(path: Path, content: bytes, mode: int) -> None:
    try:
        with Directory.open(path.parent) as directory:
            replace_file(directory, path.name, [content], like=mode)
    except OSError as error:
        error.filename = str(path)  # a person knows this one, not the temporary one beside it
        raise


def rewrite_unchanged(directory: Directory, name: str, content: bytes, *, seen: os.stat_result) -> bool:
    """Give the file ``name`` this content, synced, all at once, if it is still the one that was ``seen``.

    Mode and owner stay. Returns ``False``, and changes nothing, when somebody else has written it since;
    between that look and the renaming lie microseconds, so whoever may write it must be known to be away.
    Raises ``OSError``; the file is as it was then.
    """

    def is_unchanged() -> bool:
        now = directory.status(name)
        return now is not None and _version(now) == _version(seen)

    try:
        replace_file(directory, name, [content], like=seen, may_go_on=is_unchanged)
    except ArtifactChanged:
        return False
    return True


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def replace_file(
    directory: Directory,
    name: str,
    pieces: Iterable[bytes | memoryview],
    *,
    like: os.stat_result | int,
    may_go_on: Callable[[], bool] | None = None,
) -> os.stat_result:
    """Write ``pieces`` in the place of ``name``, synced, all at once or not at all; returns its new status.

    The file has the mode and owner of ``like``, or is ours when that is a mode only. ``may_go_on`` is asked
    right before the exchange: raises ``ArtifactChanged`` when it says no, ``OSError`` for all else; ``name``
    is what it was then.
    """
    temporary = temporary_name()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = effects.open_file(temporary, flags, PRIVATE, dir_fd=directory.descriptor)
    try:
        with closing(descriptor):
            write_pieces(descriptor, pieces)
            _make_like(descriptor, like)
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


def _make_like(descriptor: int, like: os.stat_result | int) -> None:
    if isinstance(like, int):
        effects.fchmod(descriptor, like)  # a umask may have taken even the owner's rights away
        return
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (like.st_uid, like.st_gid):
        effects.fchown(descriptor, like.st_uid, like.st_gid)
    effects.fchmod(descriptor, stat.S_IMODE(like.st_mode))


def make_private_file(path: Path) -> None:
    """Let an empty file be there, mode 0600 whatever the umask; one that is there already stays as it is.

    Raises ``OSError``, also when it is a link or no regular file.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = effects.open_file(path, flags | os.O_CREAT | os.O_EXCL, PRIVATE)
    except FileExistsError:
        with closing(effects.open_file(path, flags)) as found:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise OSError(errno.EINVAL, "not a regular file") from None
    else:
        with closing(descriptor):
            effects.fchmod(descriptor, PRIVATE)


def read_private_file(path: Path) -> bytes:
    """The bytes of a small file of ours. Raises ``OSError``, also when it is a link or no regular file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with closing(effects.open_file(path, flags)) as descriptor:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        pieces = iter(lambda: effects.read(descriptor, READ_BYTES), b"")
        return b"".join(pieces)


def _require(may_go_on: Callable[[], bool] | None, name: str) -> None:
    if may_go_on is None or may_go_on():
        return
    raise ArtifactChanged(name, "somebody wrote it meanwhile", consequence="it was left as it is")
