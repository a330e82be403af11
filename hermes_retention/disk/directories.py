"""Opened directories and files. Every other operation takes place in such a directory: no symbolic link is
followed below it.

What must not live here: anything that removes or replaces a file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Self

from hermes_retention.disk import effects
from hermes_retention.model.errors import StoreUnreadable, UnsupportedPlatform

READ_BYTES = 8 * 2**20
"""How much is read at a time at most."""
_TOGETHER_BYTES = 2**20


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of ``content``; the system may take it in pieces. Raises ``OSError`` after a part of it."""
    left = memoryview(content)
    while left:
        left = left[effects.write(descriptor, left) :]


def write_pieces(descriptor: int, pieces: Iterable[bytes | memoryview]) -> None:
    """Write ``pieces`` one behind the other, small ones together. Raises ``OSError`` after a part of them."""
    waiting: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _TOGETHER_BYTES:
            write_all(descriptor, b"".join(waiting))
            waiting, size = [], 0
    write_all(descriptor, b"".join(waiting))


@contextlib.contextmanager
def closing(descriptor: int) -> Generator[int]:
    """Close a descriptor at the end of the block, whatever comes."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


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
            with closing(descriptor):
                descriptor = _open_inner(descriptor, part, path)
        return cls(path, descriptor)

    @classmethod
    def create(cls, base: Path, *below: str) -> Directory:
        """Like ``open``, making what is missing, durably and with mode 0700 whatever the umask."""
        path, descriptor = base, effects.open_file(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in below:
            path = path / part
            with closing(descriptor):
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

    def __exit__(self, *_: object) -> None:
        self.close()

    def sync(self) -> None:
        """Make the entries durable."""
        effects.fsync(self.descriptor)

    def status(self, name: str) -> os.stat_result | None:
        """``lstat`` of an entry, ``None`` when there is none."""
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except (FileNotFoundError, ValueError):  # a name with a null in it is the name of no entry
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
    with closing(effects.open_file(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as descriptor:
        effects.fsync(descriptor)


def _not_a_directory(path: Path) -> StoreUnreadable:
    return StoreUnreadable(
        str(path),
        "it is a symbolic link or not a directory, and links below the home are not followed",
        consequence="nothing was removed",
        cure="Make it a real directory, or mount the other place there.",
    )
