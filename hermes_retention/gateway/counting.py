"""Counts of living sessions: what the host's database tells, and what hooks told besides.

Used by the thread of the caps alone. What must not live here: limits, and what follows from them.
"""

from __future__ import annotations

from threading import Lock

import msgspec

from hermes_retention.gateway.session_usage import Tally
from hermes_retention.home.ledger_caps import Counted
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.caps import Cap
from hermes_retention.stores.base import SessionCounter, SessionSize, StoredMessages

_MOST_IN_MEMORY = 1_000
"""Sessions of which it is remembered how far they were counted; of others the ledger knows."""


class Counting:
    """The counts of one home, in memory and in the ledger. ``lock`` is that of the tallies."""

    def __init__(self, workspace: Workspace, counter: SessionCounter, lock: Lock) -> None:
        self._workspace, self._lock = workspace, lock
        self._counter = counter
        self._counted: dict[str, Counted] = {}
        self._unwritten: set[str] = set()

    def class_of(self, tally: Tally) -> SessionClass:
        """The class of a session, as the host's database or else its hooks tell it."""
        return self._counter.class_of(tally.session_id, tally.platform, tally.session_key)

    def count(self, tally: Tally, *, now: float) -> None:
        """Bring ``tally.stored`` up to date, and take off it what hooks had told before that."""
        before = self._before(tally.session_id)
        with self._lock:
            told = (tally.messages, tally.tokens, tally.cost_usd)
            tally.looked_at = now
        size = self._counter.look(tally.session_id, None if before is None else before.stored, now=now)
        counted = _with_told(before or Counted(StoredMessages()), size, told)
        self._counted[tally.session_id] = counted
        if counted != before:
            self._unwritten.add(tally.session_id)
        with self._lock:
            # Only what was told before the look: more may have come in meanwhile.
            tally.messages -= told[0]
            tally.tokens -= told[1]
            tally.cost_usd -= told[2]
            tally.stored = _counts(counted, size)

    def was_wrong(self, tally: Tally) -> bool:
        """Whether an exact count of messages says something else; the next ``count`` begins anew then."""
        exact = self._counter.recount(tally.session_id)
        counted = self._counted[tally.session_id]
        if exact is None or exact == counted.stored.messages:
            return False
        self._counted[tally.session_id] = msgspec.structs.replace(counted, stored=StoredMessages())
        return True

    def write(self, *, now: float) -> None:
        """Write what changed to the ledger, and let go of the host's database."""
        self._counter.close()
        if self._unwritten:
            self._workspace.check()
            self._workspace.create()
            with self._workspace.ledger() as ledger:
                ledger.caps.note_counts({name: self._counted[name] for name in self._unwritten}, now=now)
        self._unwritten.clear()
        if len(self._counted) > _MOST_IN_MEMORY:
            self._counted.clear()

    def _before(self, session_id: str) -> Counted | None:
        if session_id in self._counted:
            return self._counted[session_id]
        ledger = self._workspace.ledger_if_any()
        if ledger is None:
            return None
        with ledger:
            return ledger.caps.of(session_id).counted


def _with_told(before: Counted, size: SessionSize | None, told: tuple[float, float, float]) -> Counted:
    """What is known after a look: the host's own account, or what hooks told where that is more."""
    messages, tokens, cost_usd = told
    if size is None:
        stored = msgspec.structs.replace(before.stored, messages=before.stored.messages + int(messages))
        return Counted(stored, _larger(before.tokens, tokens, None), _larger(before.cost_usd, cost_usd, None))
    return Counted(
        size.stored,
        _larger(before.tokens, tokens, size.tokens),
        _larger(before.cost_usd, cost_usd, size.cost_usd),
    )


def _larger(before: float | None, told: float, account: float | None) -> float | None:
    """Hosts write their account a little later than they tell hooks, and some keep none."""
    heard = (before or 0) + told
    return max(heard, account or 0) if heard or account is not None else None


def _counts(counted: Counted, size: SessionSize | None) -> dict[Cap, float]:
    stored = counted.stored
    known: dict[Cap, float | None] = {
        Cap.MESSAGES: stored.messages if size is not None or stored.messages else None,
        Cap.BYTES: None if size is None else stored.bytes + size.files_bytes,
        Cap.TOKENS: counted.tokens,
        Cap.COST_USD: counted.cost_usd,
        Cap.MESSAGES_PER_MINUTE: None if size is None else size.last_minute,
    }
    return {cap: count for cap, count in known.items() if count is not None}
