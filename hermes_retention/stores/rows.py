"""The port to rows of a host's database: read for the vault, changed in short turns, and put back.

What must not live here: SQL, and tables of any host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from hermes_retention.model.errors import RetentionError
from hermes_retention.model.session import ArtifactKind, Session

Ticket: TypeAlias = Any
"""What whoever read rows remembers of them, so that exactly these are changed later. Opaque but for
``len()``, which tells how many messages were read.
"""

MARKER = "[hermes-retention: "
"""What every text begins with that stands in a database for tool output in the vault."""


class Reading(msgspec.Struct):
    """Rows of one session on their way to the vault."""

    kind: ArtifactKind
    name: str
    """What the vault calls them; no file of this name exists."""
    mtime_ns: int
    """The newest time that these rows tell."""
    chunks: Iterator[bytes]
    """The rows as lines. Take all of them before anything else is read."""
    ticket: Ticket
    """Complete when ``chunks`` came to their end."""


class RowReader(Protocol):
    """Rows of one moment. Every method raises ``StoreUnreadable`` when the database cannot be read."""

    def changes(self, sessions: Sequence[Session], *, now: float) -> dict[str, str]:
        """The sessions whose record or routes are not what the scan saw, by id, with what is different."""

    def messages(self, session: Session) -> Reading:
        """All its messages and its record."""

    def tool_output(self, session: Session, *, longer_than_bytes: int) -> Reading:
        """The messages of tools whose body is longer than that; perhaps none."""

    def record(self, session: Session) -> Reading:
        """Its record and all that goes with it, but no messages. Its ticket is of no use: see ``unit``."""

    def unit(self, session_id: str) -> tuple[tuple[str, ...], Ticket]:
        """The ids that leave together with this record, in order, and the ticket for ``remove_units``."""


class RowsChanged(msgspec.Struct, frozen=True):
    """What became of the rows of a ticket: how many were changed, and why not all of them."""

    session_id: str
    rows: int
    error: RetentionError | None = None


class RowRemover(Protocol):
    """Changes rows in short transactions. Each outcome is committed when it is told, in any order.

    What is no longer as it was read stays, with an error. Raises ``StoreUnreadable`` when the database cannot
    be written; outcomes that were not told are not begun, or undone by the next start of the host.
    """

    def remove_messages(self, tickets: Sequence[Ticket]) -> Iterator[RowsChanged]:
        """Remove what ``RowReader.messages`` read; records stay."""

    def replace_tool_output(self, tickets: Sequence[Ticket]) -> Iterator[RowsChanged]:
        """Put a marker in the place of each body that ``RowReader.tool_output`` read."""

    def tidy(self, changed_rows: int) -> bool:
        """Let the database use again what was removed, if that is worth it, and say whether that was done.

        ``changed_rows`` is how many rows were changed since it last was.
        """

    def remove_units(self, tickets: Sequence[Ticket]) -> Iterator[RowsChanged]:
        """Remove each unit with all that is left of its sessions, or nothing of it."""


class ArchivedRows(msgspec.Struct, frozen=True):
    """One archived version of some rows of a session."""

    kind: ArtifactKind
    read: Callable[[], Iterable[bytes]]
    """Its bytes from the beginning, each time it is called."""


class SessionRows(msgspec.Struct, frozen=True):
    """All archived versions of one session's rows, in the order in which they were archived."""

    session_id: str
    versions: tuple[ArchivedRows, ...]


class RowsRestored(msgspec.Struct, frozen=True):
    """How many rows were inserted, and what a person should know about it."""

    records: int
    messages: int
    notes: tuple[str, ...] = ()


class RowRestorer(Protocol):
    """Puts archived rows back into the host's database, a few milliseconds at a time."""

    def missing_parent(self, rows: SessionRows) -> str | None:
        """The session that this one's record needs and that the database does not have.

        ``None`` when there is none, and when the record itself is there. Raises ``VaultDamaged``.
        """

    def insert(self, family: Sequence[SessionRows]) -> RowsRestored:
        """Put back records and messages of sessions that need each other, all or none of them.

        What is there already is left as it is. A parent that is neither in the database nor in ``family`` is
        left out, with a note. Raises ``RestoreConflict`` when something else has an id now, ``VaultDamaged``
        when a version cannot be read; nothing is changed then. Cut short, it is completed by doing it again.
        """

    def put_tool_output_back(self, version: ArchivedRows) -> int:
        """Put bodies back where their marker stands and return how many; ``insert`` comes first.

        Raises ``VaultDamaged`` when the version cannot be read, ``SessionGone`` when the database does not
        have the session; nothing is changed then.
        """

    def link_children(self) -> None:
        """Once all are back: what lost a parent with its record is put below it again.

        A child that has another parent by now stays there. Raises ``StoreUnreadable``.
        """
