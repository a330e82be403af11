"""What a store answers whose host keeps sessions in files alone: there are no rows to read or change.

What must not live here: files, and layouts of any host.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.stop import Stop, never
from hermes_retention.model.text import printable
from hermes_retention.stores.base import DatabaseSpace, EntryRestored, HostSetting, SessionMetadata
from hermes_retention.stores.rows import ArchivedRows, RowReader, RowRemover, RowRestorer


class FilesOnly(ABC):
    """A store without a database, and without an index unless it says otherwise. For deriving from."""

    @property
    @abstractmethod
    def home(self) -> Path:
        """The home, resolved."""

    def metadata(self, session_ids: Sequence[str]) -> dict[str, SessionMetadata]:
        """Nothing but the files is known of any session."""
        return {}

    def put_entries_back(self, entries: Mapping[str, bytes]) -> Mapping[str, EntryRestored]:
        """Refused for each: there is no index to put them in."""
        refused = EntryRestored(self._has_no("index"))
        return dict.fromkeys(entries, refused)

    def host_warnings(self) -> list[str]:
        """None: nothing of the host's own settings is known to stand in the way."""
        return []

    def host_settings(self) -> Sequence[HostSetting]:
        """None: nothing of the host's own settings is known to stand in the way."""
        return ()

    def database_space(self) -> DatabaseSpace | None:
        """There is no database."""
        return None

    def reading_rows(self) -> AbstractContextManager[RowReader]:
        """Raises ``StoreUnreadable``: there is no database."""
        raise self._has_no("database")

    def removing_rows(self, stop: Stop = never) -> AbstractContextManager[RowRemover]:
        """Raises ``StoreUnreadable``: there is no database."""
        raise self._has_no("database")

    def restoring_rows(self) -> AbstractContextManager[RowRestorer]:
        """Raises ``StoreUnreadable``: there is no database."""
        raise self._has_no("database")

    def joined_rows(self, versions: Sequence[ArchivedRows]) -> Iterator[bytes]:
        """The newest version alone: rows in this archive come from another host."""
        yield from versions[-1].read()

    def _has_no(self, what: str) -> StoreUnreadable:
        return StoreUnreadable(
            printable(str(self.home)),
            f"this host keeps its sessions in files, and has no {what}",
            consequence="nothing was changed",
        )
