"""Names of files: given, exchanged and taken away, one step at a time, so that no crash leaves half of it.

What must not live here: contents of files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from hermes_retention.disk import effects
from hermes_retention.disk.directories import Directory, sync_directory

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
