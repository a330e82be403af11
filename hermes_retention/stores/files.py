"""The artifacts of a store whose files lie in one directory, while a sweep moves them.

What must not live here: indexes of hosts, and what a file name means.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from hermes_retention.disk.directories import Directory
from hermes_retention.disk.originals import Remover, read_unchanged
from hermes_retention.model.errors import RetentionError
from hermes_retention.model.session import Artifact
from hermes_retention.stores.base import Folder


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
