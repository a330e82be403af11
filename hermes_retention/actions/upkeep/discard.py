"""Archived sessions that a person no longer wants: removed from the vault for good, and noted in the ledger.

What must not live here: questions to people, and expiry by settings (``policy``).
"""

from __future__ import annotations

from collections.abc import Sequence

from hermes_retention.actions.inspect.lookup import Copies, archived_copies
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import Outcome
from hermes_retention.model.errors import UsageError
from hermes_retention.model.plan import Action, Liveness, Rule, Step
from hermes_retention.model.text import printable

REMOVAL = "archive remove"
"""By whom the ledger says that such a removal was done."""


def discard(site: Home, session_ids: Sequence[str], *, now: float) -> int:
    """Remove every archived copy of these sessions. Returns the stored bytes that they took.

    Raises ``UsageError`` when one of them is held, ``SweepRunning`` when the home is busy, ``VaultDamaged``
    when a partition cannot be read; nothing has been removed then.
    """
    site.workspace.check()
    with site.workspace.locked():
        require_not_held(site, session_ids)
        outcomes = []
        for session_id in session_ids:
            copies, damages = archived_copies(site, session_id)
            if damages:
                raise damages[0]
            outcomes += [Outcome(_step(session_id, one)) for one in copies]
        with site.workspace.ledger() as ledger:
            before = site.usage().total_bytes
            entry = ledger.begin_sweep(started_at=now, origin=REMOVAL)
            site.workspace.vault.remove_sessions(session_ids)
            ledger.note(entry, outcomes)
            after = site.usage().total_bytes
            totals = {"expired": len(outcomes), "bytes_before": before, "bytes_after": after}
            ledger.finish_sweep(entry, finished_at=now, totals=totals)
    return sum(outcome.step.bytes for outcome in outcomes)


def require_not_held(site: Home, session_ids: Sequence[str]) -> None:
    """Raise ``UsageError`` when a person holds one of these sessions."""
    holds = site.workspace.holds.load()
    for session_id in session_ids:
        if session_id in holds:
            reason = printable(holds[session_id].reason)
            raise UsageError(
                f"session {printable(session_id)}",
                f"it is held{f' ({reason})' if reason else ''}",
                consequence="nothing was removed",
                cure="'hermes-retention hold remove' lets go of it.",
            )


def _step(session_id: str, copies: Copies) -> Step:
    return Step(
        session_id=session_id,
        session_class=copies.session_class,
        liveness=Liveness.ARCHIVED,
        action=Action.EXPIRE,
        tier=None,
        rule=Rule.DISCARDED,
        reason="removed by a person with 'archive remove'",
        bytes=copies.stored_bytes,
        partition=copies.partition,
    )
