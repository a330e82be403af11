"""A plugin for hermes-retention: serves a host that keeps each conversation in ``chats/<id>.jsonl``.

    pip install examples/jsonl_store
    hermes-retention --home ~/.mybot status

It is found by its entry point (``pyproject.toml``). There is no database and no index, so only the time of a
file tells whether its conversation goes on: nothing leaves before it was left alone for
``HERMES_RETENTION_CHAT__FILES_AFTER``. What is not named as the host names its files is reported and stays.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from hermes_retention.api import (
    Artifact,
    ArtifactKind,
    Directory,
    Folder,
    Scan,
    Session,
    SessionClass,
    Store,
    StoreFiles,
    StoreKind,
    StoreUnreadable,
    Unknown,
    folder_files,
    hookimpl,
)

NAME = "jsonl"
CHATS = Folder(("chats",))
_OF_HOST = re.compile(r"([0-9a-f]{12})\.jsonl")
"""Ids as the host makes them. Any program may leave a ``notes.jsonl`` beside them, which is not ours."""
_BLOCK = 512  # the unit of st_blocks, whatever the file system's own blocks are


class JsonlStore(Store):
    """A directory of transcripts. All that needs a database or an index is answered by ``Store`` itself."""

    name = NAME

    def __init__(self, home: Path) -> None:
        """``home`` may be a symbolic link; ``chats`` in it may not."""
        self._home = Path(os.path.realpath(home))

    @property
    def home(self) -> Path:
        """The home, resolved."""
        return self._home

    @property
    def files_directory(self) -> Path:
        """Where the conversations lie."""
        return self._home.joinpath(*CHATS.below)

    def folders(self) -> Sequence[Folder]:
        """The one directory."""
        return [CHATS]

    def folder_of(self, session_id: str) -> Folder:
        """The same for all."""
        return CHATS

    def moving_files(self, *aside: str) -> AbstractContextManager[StoreFiles]:
        """Open the files for one sweep. Those that changed since the scan stay: ``folder_files`` looks."""
        return folder_files(self._home, CHATS, *aside)

    def scan(self, *, now: float) -> Scan:
        """Look at names, sizes and times. Raises ``StoreUnreadable`` when the directory cannot be read."""
        sessions: list[Session] = []
        unknown: list[Unknown] = []
        try:
            with Directory.open(self._home, *CHATS.below) as directory:
                for name in _names_in(directory):
                    status = directory.status(name)
                    if status is None:
                        continue  # it vanished meanwhile
                    known = _OF_HOST.fullmatch(name)
                    if known is not None and stat.S_ISREG(status.st_mode):
                        sessions.append(_session(known[1], name, status))
                    else:
                        why = "no conversation has a name of this form, or it is no regular file"
                        unknown.append(Unknown(name, why, status.st_blocks * _BLOCK))
        except FileNotFoundError:
            return Scan(())  # a host that is new, or lost everything: there is nothing to remove
        except OSError as error:
            raise StoreUnreadable(
                str(self.files_directory),
                f"the directory cannot be read ({error.strerror})",
                consequence="nothing was removed",
                cure="Run hermes-retention as the user that the host runs as.",
            ) from error
        return Scan(tuple(sessions), tuple(unknown))


def _names_in(directory: Directory) -> list[str]:
    with os.scandir(directory.descriptor) as entries:
        return sorted(entry.name for entry in entries)


def _session(session_id: str, name: str, status: os.stat_result) -> Session:
    """A conversation. Without record and route it counts as over once nothing was written for ``MIN_AGE``."""
    transcript = Artifact(
        ArtifactKind.TRANSCRIPT,
        name,
        status.st_size,
        status.st_blocks * _BLOCK,
        status.st_mtime_ns,
        status.st_ino,
        status.st_mode & 0o7777,
    )
    return Session(session_id, SessionClass.CHAT, (transcript,))


def _recognises(home: Path) -> bool:
    """Whether the host lives here, told by its configuration: other programs have ``chats`` as well."""
    return (home / "mybot.toml").is_file()


@hookimpl
def retention_stores() -> list[StoreKind]:
    """The one layout, whatever the settings say: a hook takes only the arguments that it wants."""
    return [StoreKind(NAME, recognises=_recognises, open=JsonlStore)]
