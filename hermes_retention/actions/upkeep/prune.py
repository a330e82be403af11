"""Removals that a person asks for: files older than an age of this one run, and archived copies by name.

What must not live here: output, questions to people, the sweep itself, and expiry by settings (``policy``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from hermes_retention.actions.inspect.lookup import Copies, archived_copies
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import Outcome
from hermes_retention.model.errors import UsageError
from hermes_retention.model.plan import Action, Liveness, Rule, Step
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import OnReset, Policy

REMOVAL = "archive remove"
"""By whom the ledger says that such a removal was done."""


def prune_policy(policy: Policy, classes: Collection[SessionClass], *, older_than: int) -> Policy:
    """``policy`` for one run: files of ``classes`` go after ``older_than`` seconds, nothing else does.

    Nothing in the host's database: what leaves it is for the sweeps, with ages that are set in advance.
    What keeps sessions stays in force: guards, holds, ``keep_last``, ``keep_failed``, ``min_age``. So does
    ``archive``: a class without an archive is removed for good.
    """
    lifecycles = {
        kind: msgspec.structs.replace(
            lifecycle,
            files_after=older_than if kind in classes else None,
            tool_output_after=None,
            messages_after=None,
            record_after=None,
            archive_after=None,
            persist=True,
        )
        for kind, lifecycle in policy.lifecycles.items()
    }
    return msgspec.structs.replace(
        policy,
        lifecycles=lifecycles,
        on_reset=OnReset.KEEP,
        dumps_after=None,
        leftovers_after=None,
        max_sessions=None,
        max_disk=None,
        keep_free=None,
    )


def discard(home: Home, session_ids: Sequence[str], *, now: float) -> int:
    """Remove every archived copy of these sessions. Returns the stored bytes that they took.

    Raises ``UsageError`` when one of them is held, ``SweepRunning`` when the home is busy, ``VaultDamaged``
    when a partition cannot be read; nothing has been removed then.
    """
    home.workspace.check()
    with home.workspace.locked():
        require_not_held(home, session_ids)
        outcomes = []
        for session_id in session_ids:
            copies, damages = archived_copies(home, session_id)
            if damages:
                raise damages[0]
            outcomes += [Outcome(_step(session_id, one)) for one in copies]
        with home.workspace.ledger() as ledger:
            before = home.usage().total_bytes
            entry = ledger.begin_sweep(started_at=now, origin=REMOVAL)
            home.workspace.vault.remove_sessions(session_ids)
            ledger.note(entry, outcomes)
            after = home.usage().total_bytes
            totals = {"expired": len(outcomes), "bytes_before": before, "bytes_after": after}
            ledger.finish_sweep(entry, finished_at=now, totals=totals)
    return sum(outcome.step.bytes for outcome in outcomes)


def require_not_held(home: Home, session_ids: Sequence[str]) -> None:
    """Raise ``UsageError`` when a person holds one of these sessions."""
    holds = home.workspace.holds.load()
    for session_id in session_ids:
        if session_id in holds:
            reason = holds[session_id].reason
            raise UsageError(
                f"session {session_id}",
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
