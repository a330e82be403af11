"""What the stores of all hosts have in common: one directory's entries, files while a sweep moves them, and
small documents read whole, as tolerantly as the hosts do.

What must not live here: indexes of hosts, and what the names of any host mean.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from hermes_retention.disk.directories import Directory
from hermes_retention.disk.originals import Remover, read_unchanged
from hermes_retention.model.errors import RetentionError, StoreUnreadable
from hermes_retention.model.session import Artifact, Unknown
from hermes_retention.model.text import words
from hermes_retention.stores.base import Folder

BLOCK = 512
"""The unit of ``st_blocks``, whatever the file system's own blocks are."""


def look_at(
    entries: Iterable[os.DirEntry[str]], unknown: list[Unknown]
) -> Iterator[tuple[str, os.stat_result]]:
    """Names and what ``lstat`` says of them.

    What vanishes meanwhile is left out, and what the system refuses to look at is added to ``unknown``.
    """
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        except OSError as error:
            unknown.append(Unknown(entry.name, f"it cannot be looked at ({words(error)})"))
        else:
            yield entry.name, status


def why_unknown(mode: int) -> str:
    """Why an entry of this mode belongs to no session, for people."""
    if stat.S_ISREG(mode):
        return "no file of a session has a name of this form"
    if stat.S_ISLNK(mode):
        return "a symbolic link, which is not followed"
    return "a directory" if stat.S_ISDIR(mode) else "not a regular file"


def require_home(home: Path, variable: str) -> None:
    """Raise ``StoreUnreadable`` unless ``home`` is a directory; ``variable`` ends the cure."""
    if os.path.isdir(home):
        return
    raise StoreUnreadable(
        str(home),
        "it is not a directory" if os.path.lexists(home) else "there is no such directory",
        consequence="nothing was removed",
        cure=f"Name the home with --home DIR or {variable}.",
    )


def unreadable_directory(path: Path, error: OSError) -> StoreUnreadable:
    """The error for a directory that cannot be listed."""
    return StoreUnreadable(
        str(path),
        f"the directory cannot be read ({words(error)})",
        consequence="nothing was removed",
        cure="Run hermes-retention as the user that the host runs as.",
    )


class FolderFiles:
    """Files of one directory; nothing but these files says that a session is there."""

    def __init__(self, directory: Directory, aside: Directory) -> None:
        self.directory = directory
        self._remover = Remover(directory, aside)

    def read(self, session_id: str, artifact: Artifact) -> Generator[bytes]:
        """Its content in pieces. Raises ``ArtifactChanged`` or ``ArtifactUnreadable``."""
        return read_unchanged(self.directory, artifact)

    def let_go(self, leaving: Mapping[str, Sequence[Artifact]]) -> Mapping[str, RetentionError]:
        """Nothing stands in the way."""
        return {}

    def remove(self, session_id: str, artifact: Artifact) -> None:
        """Remove it, if it still is what was archived. Raises as the port says."""
        self._remover.remove(artifact)


@contextmanager
def folder_files(home: Path, folder: Folder, *aside: str) -> Iterator[FolderFiles]:
    """The files of ``folder`` below ``home``, opened; both directories are made when they are missing."""
    with (
        Directory.create(home, *folder.below) as directory,
        Directory.create(home, *aside, *folder.aside) as waiting,
    ):
        yield FolderFiles(directory, waiting)


def read_document(path: Path) -> bytes | None:
    """The bytes of a regular file; ``None`` when there is none.

    Raises ``OSError`` for anything else, symbolic links among it: they are not followed below a home.
    """
    # O_NONBLOCK: a FIFO of that name must not block the scan.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file")
        return stream.read()


def decode(text: bytes | str) -> object:
    """What the JSON in ``text`` says. Raises ``ValueError`` when it is none.

    What msgspec refuses and the host's own reader accepts (``NaN``, lone surrogates) is read the slow way.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:
        value: object = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:  # the reader's own words quote the text, which is nobody's business
        raise ValueError("it is not valid JSON") from error
    return value


def decoded(value: object) -> object:
    """What the JSON in ``value`` says; ``None`` when it is no text, or none that is JSON."""
    try:
        return decode(value) if isinstance(value, str | bytes) else None
    except ValueError:
        return None


def timestamp(value: object) -> float | None:
    """Unix seconds of an ISO 8601 text; without a zone it is local time, as the host means it."""
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
