"""Work that hooks have announced and no sweep has seen to yet: a queue in the ledger.

It makes things happen soon; a lost queue loses nothing, because every sweep finds by itself what is due. What
must not live here: what is done about it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import sqlite3
    from contextlib import AbstractContextManager

    Transaction: TypeAlias = Callable[[], AbstractContextManager[sqlite3.Connection]]
    Rows: TypeAlias = Callable[[str], list[tuple[Any, ...]]]


class Occasion(enum.StrEnum):
    """What happened to a session. The values are stable: the ledger holds them."""

    RESET = "reset"
    END = "end"
    CRON = "cron"


_KNOWN: dict[str, Occasion] = {occasion.value: occasion for occasion in Occasion}


@dataclass(frozen=True, slots=True)
class Pending:
    """One line of the queue. Times are Unix seconds."""

    occasion: Occasion | str
    """A ``str`` where a newer version wrote it."""
    session_id: str
    noted_at: float
    due_at: float | None = None
    """When a sweep of its own is worth it; ``None`` leaves it to the next regular one."""


class Queue:
    """The queue in an open ledger. Every method commits before it returns. Raises as the ledger does."""

    def __init__(self, transaction: Transaction, rows: Rows) -> None:
        self._transaction, self._rows = transaction, rows

    def add(self, lines: Iterable[Pending]) -> None:
        """Remember these lines. The same occasion of the same session counts once, with its newest times."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?)",
                [(str(line.occasion), line.session_id, line.noted_at, line.due_at) for line in lines],
            )

    def lines(self) -> list[Pending]:
        """Everything that waits, oldest first. Lines of an occasion that this version does not know too."""
        rows = self._rows(
            "SELECT occasion, session_id, noted_at, due_at FROM pending ORDER BY noted_at, session_id"
        )
        return [Pending(_KNOWN.get(row[0], str(row[0])), *row[1:]) for row in rows]

    def remove(self, lines: Sequence[Pending]) -> None:
        """Forget these lines, but not what was announced again since they were read."""
        if lines:
            with self._transaction() as connection:
                connection.executemany(
                    "DELETE FROM pending WHERE occasion = ? AND session_id = ? AND noted_at = ?",
                    [(str(line.occasion), line.session_id, line.noted_at) for line in lines],
                )

    def postpone(self, lines: Sequence[Pending]) -> None:
        """Set when these lines are due, but for those that were announced again since they were read."""
        if lines:
            with self._transaction() as connection:
                connection.executemany(
                    "UPDATE pending SET due_at = ? WHERE occasion = ? AND session_id = ? AND noted_at = ?",
                    [(line.due_at, str(line.occasion), line.session_id, line.noted_at) for line in lines],
                )

    def next_due(self) -> float | None:
        """When the first line is due (Unix seconds); ``None`` when none asks for a sweep of its own."""
        found = self._rows("SELECT min(due_at) FROM pending")[0][0]
        return None if found is None else float(found)
