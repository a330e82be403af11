"""All that is known of one session: where it lies, what the policy says and why, what happened to it, and how
it stands with its caps.

What must not live here: output, and rules.
"""

from __future__ import annotations

import msgspec

from hermes_retention.actions.inspect.lookup import Copies, archived_copies, resolve, vault_ids
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import StepRow
from hermes_retention.home.workspace import Hold
from hermes_retention.model.errors import UsageError, VaultDamaged
from hermes_retention.model.plan import Rule, Step, Tier
from hermes_retention.model.session import ArchivedSession, Session, SessionClass
from hermes_retention.policy.caps import Alert, Cap, CapSettings, nearest
from hermes_retention.policy.explain import KEEP_ALL, Coming, Outlook, look_ahead, reasons_for
from hermes_retention.policy.lifecycle import Lifecycle
from hermes_retention.policy.liveness import Answer
from hermes_retention.settings.fields import variable
from hermes_retention.stores.base import SessionMetadata


class Explanation(msgspec.Struct, frozen=True):
    """What is known of a session. Times are Unix seconds."""

    session_id: str
    session_class: SessionClass | None
    now: float
    session: Session | None
    """As the store has it; ``None`` when it is only archived, or gone."""
    metadata: SessionMetadata
    steps: tuple[Step, ...]
    """What the next sweep would do with it, budget included; empty when nothing of it is in the store."""
    outlook: Outlook
    answers: tuple[Answer, ...]
    """What every rule says of it; empty when nothing of it is in the store."""
    lifecycle: Lifecycle | None
    """The settings of its class."""
    copies: tuple[Copies, ...]
    hold: Hold | None
    history: tuple[StepRow, ...]
    damages: tuple[VaultDamaged, ...]


def explain(home: Home, wanted: str, *, now: float) -> Explanation:
    """All about the session that ``wanted`` means, an id or the beginning of one.

    Raises ``UsageError`` when neither store nor vault nor ledger knows it, ``StoreUnreadable`` when the store
    cannot be read. Reads only.
    """
    inventory = home.take_inventory(now=now)
    sessions = {session.id: session for session in inventory.sessions}
    session_id = _known_id(home, wanted, {*sessions, *vault_ids(home).ids})
    session = sessions.get(session_id)
    copies, damages = archived_copies(home, session_id)
    kind = session.session_class if session is not None else copies[-1].session_class if copies else None
    archived = [_archived(session_id, one) for one in copies]
    reasons = reasons_for(inventory, home.policy, session_id, now=now)
    return Explanation(
        session_id=session_id,
        session_class=kind,
        now=now,
        session=session,
        metadata=_metadata(home, session_id, copies),
        steps=() if reasons is None else reasons.steps,
        outlook=look_ahead(inventory, home.policy, session_id, copies=archived, now=now),
        answers=() if reasons is None else reasons.answers,
        lifecycle=None if kind is None else home.policy.lifecycles[kind],
        copies=tuple(copies),
        hold=home.workspace.holds.load().get(session_id),
        history=_history(home, session_id),
        damages=tuple(damages),
    )


def setting_of(step: Step) -> str | None:
    """The environment variable of the setting behind a step's rule; ``None`` when no setting is."""
    setting = step.rule.setting
    return None if setting is None else variable(setting.path(step.due_by or step.session_class))


def setting_behind(coming: Coming) -> str | None:
    """The setting that a part of a session waits for: of what keeps it until then, or of what takes it."""
    before, step = coming.before, coming.step
    if before is None or step.rule in (Rule.DUMPS_AFTER, Rule.LEFTOVERS_AFTER):
        return setting_of(step)
    if before.rule is Rule.RESTORED and step.tier is not None:
        # Put back, it waits for the age of this part, whatever takes it otherwise.
        return age_setting(step.due_by or step.session_class, step.tier)
    return (setting_of(before) if before.rule in KEEP_ALL else None) or setting_of(step)


def age_setting(session_class: SessionClass, tier: Tier) -> str:
    """The environment variable of the age at which a part of sessions of this class is due."""
    return variable((session_class.value, f"{tier}_after"))


def never_due(explanation: Explanation) -> tuple[Tier, ...]:
    """The parts of the session that are in the store and stay there by themselves.

    Tool output is none of them: where it does not go by itself, it goes with the messages.
    """
    session, outlook = explanation.session, explanation.outlook
    if session is None:
        return ()
    record = session.record
    parts = (
        (Tier.FILES, bool(session.artifacts), outlook.files),
        (Tier.MESSAGES, record is not None and record.has_messages, outlook.messages),
        (Tier.RECORD, record is not None, outlook.record),
    )
    return tuple(tier for tier, is_there, coming in parts if is_there and coming is None)


def _known_id(home: Home, wanted: str, known: set[str]) -> str:
    try:
        return resolve(wanted, known, where="neither the store nor the archive knows it")
    except UsageError:
        if _history(home, wanted):
            return wanted
        raise


def _metadata(home: Home, session_id: str, copies: list[Copies]) -> SessionMetadata:
    known = home.store.metadata([session_id]).get(session_id)
    if known is not None:
        return known
    return copies[-1].metadata if copies else SessionMetadata()


def _archived(session_id: str, copies: Copies) -> ArchivedSession:
    return ArchivedSession(
        session_id,
        copies.session_class,
        max(artifact.archived_at for artifact in copies.artifacts),
        copies.stored_bytes,
        copies.partition,
    )


def _history(home: Home, session_id: str) -> tuple[StepRow, ...]:
    return home.workspace.ask_ledger(lambda ledger: tuple(ledger.history(session_id)), ())


class CapStanding(msgspec.Struct, frozen=True):
    """Alerts are newest first."""

    alerts: tuple[Alert, ...] = ()
    cap: Cap | None = None
    """The one that is used up most; ``None`` when nothing can be counted."""
    count: float = 0.0
    limit: float = 0.0


def stand_with_caps(
    home: Home, session_id: str, session_class: SessionClass | None, caps: CapSettings, *, now: float
) -> CapStanding:
    """How a session stands now. Reads only; raises ``StoreUnreadable`` and ``LedgerUnusable``."""
    alerts = alerts_of(home, session_id)
    if session_class is None:
        return CapStanding(alerts)
    limits = caps.classes[session_class.value]
    counts = _counts(home, session_id, now=now)
    closest = nearest(counts, limits)
    if closest is None:
        return CapStanding(alerts)
    cap = closest[0]
    return CapStanding(alerts, cap, counts[cap], limits.limits[cap].at)


def alerts_of(home: Home, session_id: str | None = None) -> tuple[Alert, ...]:
    """Those of one session, or of all; none without a ledger."""
    return home.workspace.ask_ledger(lambda ledger: tuple(ledger.caps.alerts(session_id)), ())


def _counts(home: Home, session_id: str, *, now: float) -> dict[Cap, float]:
    """What the host's database tells; nothing of a session that has left it."""
    counter = home.store.counter()
    try:
        size = counter.look(session_id, None, now=now)
    finally:
        counter.close()
    if size is None or not size.stored.messages:
        return {}
    counts: dict[Cap, float] = {
        Cap.MESSAGES: size.stored.messages,
        Cap.BYTES: size.stored.bytes + size.files_bytes,
    }
    if size.tokens is not None:
        counts[Cap.TOKENS] = size.tokens
    if size.cost_usd is not None:
        counts[Cap.COST_USD] = size.cost_usd
    return counts
