"""Files written as a whole: synced, and under their name all at once or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from hermes_retention.disk import effects
from hermes_retention.disk.directories import (
    READ_BYTES,
    Directory,
    closing,
    write_pieces,
)
from hermes_retention.disk.moving import temporary_name
from hermes_retention.model.errors import ArtifactChanged

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
