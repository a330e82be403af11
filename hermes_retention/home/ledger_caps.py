"""What the ledger remembers about caps: counts to go on from, alerts that were given, and stops.

It makes counting cheap and alerts rare across restarts; a lost ledger costs a recount and a second alert.
What must not live here: limits, and what is done at them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from hermes_retention.model.text import storable
from hermes_retention.policy.caps import Alert, Cap, CapFinding, CapStage, CapStop, Reaction
from hermes_retention.stores.base import StoredMessages

if TYPE_CHECKING:
    import sqlite3

_KEEP_COUNTS_SECONDS = 90 * 86400.0
_KEEP_ALERTS_SECONDS = 730 * 86400.0


class Counted(msgspec.Struct, frozen=True):
    """How far the counting of a session has come; ``None`` where nobody has told."""

    stored: StoredMessages
    tokens: float | None = None
    cost_usd: float | None = None


class Remembered(msgspec.Struct, frozen=True):
    """All that is known of a session from earlier processes."""

    counted: Counted | None = None
    told: frozenset[tuple[Cap, CapStage]] = frozenset()
    stops: tuple[CapStop, ...] = ()


Reading: TypeAlias = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
Writing: TypeAlias = "Callable[[], AbstractContextManager[sqlite3.Connection]]"


class CapRecords:
    """These tables in an open ledger. Methods commit before they return, and raise as the ledger does."""

    def __init__(self, rows: Reading, transaction: Writing) -> None:
        self._rows, self._transaction = rows, transaction

    def of(self, session_id: str) -> Remembered:
        """What is remembered of a session; nothing when it was never counted."""
        name = (storable(session_id),)
        counted = self._rows(
            "SELECT messages, bytes, last_id, tokens, cost_usd FROM cap_counts WHERE session_id = ?", name
        )
        told = self._rows("SELECT cap, stage FROM alerts WHERE session_id = ?", name)
        stops = self._rows("SELECT cap, at, until, count FROM stops WHERE session_id = ?", name)
        return Remembered(
            counted=next((Counted(StoredMessages(*row[:3]), *row[3:]) for row in counted), None),
            told=frozenset((Cap(cap), CapStage(stage)) for cap, stage in told if cap in set(Cap)),
            stops=tuple(_stop(row) for row in stops if row[0] in set(Cap)),
        )

    def stopped(self, *, now: float) -> list[str]:
        """Ids of the sessions with a stop that may still hold."""
        rows = self._rows("SELECT DISTINCT session_id FROM stops WHERE until IS NULL OR until > ?", (now,))
        return [row[0] for row in rows]

    def alerts(self, session_id: str | None = None) -> list[Alert]:
        """Alerts about one session, or about all of them; newest first."""
        where, values = ("1", ()) if session_id is None else ("session_id = ?", (storable(session_id),))
        rows = self._rows(
            "SELECT session_id, class, platform, cap, stage, count, upper, action, done, at, text "  # noqa: S608 - two constants
            f"FROM alerts WHERE {where} ORDER BY at DESC, session_id, cap",
            values,
        )
        return [_alert(row) for row in rows if row[3] in set(Cap)]

    def note_counts(self, counts: Mapping[str, Counted], *, now: float) -> None:
        """Remember how far counting has come, and forget what nobody has counted for three months."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO cap_counts VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        storable(session_id),
                        *msgspec.structs.astuple(counted.stored),
                        counted.tokens,
                        counted.cost_usd,
                        now,
                    )
                    for session_id, counted in counts.items()
                ],
            )
            connection.execute("DELETE FROM cap_counts WHERE counted_at < ?", (now - _KEEP_COUNTS_SECONDS,))

    def note(self, alerts: Iterable[Alert], stops: Mapping[str, CapStop]) -> None:
        """Remember alerts and stops; the same of one session and cap replaces the earlier one."""
        with self._transaction() as connection:
            for alert in alerts:
                connection.execute(
                    "INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _row(alert)
                )
                connection.execute("DELETE FROM alerts WHERE at < ?", (alert.at - _KEEP_ALERTS_SECONDS,))
            for session_id, stop in stops.items():
                connection.execute(
                    "INSERT OR REPLACE INTO stops VALUES (?, ?, ?, ?, ?)",
                    (storable(session_id), stop.cap.value, stop.at, stop.until, stop.count),
                )


def _stop(row: tuple[str, float, float | None, float]) -> CapStop:
    return CapStop(Cap(row[0]), *row[1:])


def _row(alert: Alert) -> tuple[object, ...]:
    finding = alert.finding
    return (
        storable(alert.session_id),
        finding.cap.value,
        finding.stage.value,
        alert.session_class,
        storable(alert.platform),
        finding.count,
        finding.limit,
        finding.action.value,
        alert.done.value,
        alert.at,
        alert.text,
    )


def _alert(row: tuple[Any, ...]) -> Alert:
    session_id, session_class, platform, cap, stage, count, limit, action, done, at, text = row
    finding = CapFinding(Cap(cap), CapStage(stage), count, limit, Reaction(action))
    return Alert(session_id, session_class, platform, finding, Reaction(done), at, text)
