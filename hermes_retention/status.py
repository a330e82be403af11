"""How a home is doing: its sessions, what is due, the vault, the last sweeps, and what a person should know.

What must not live here: output.
"""

from __future__ import annotations

import msgspec

from hermes_retention.archive.vault import VaultSummary
from hermes_retention.errors import VaultDamaged
from hermes_retention.ledger import FIRST_REMOVAL, Ledger, SweepRow
from hermes_retention.model import SessionClass, Usage
from hermes_retention.pending import Pending
from hermes_retention.plan import Liveness, Plan, Verdict
from hermes_retention.policy.decide import decide
from hermes_retention.site import Site
from hermes_retention.stores.base import DatabaseSpace

ANNOUNCEMENT = "first_sweep"
"""The fact in the ledger that says when a gateway announced the first sweep: an ``Announcement`` as JSON."""
NEXT_SWEEP = "next_sweep"
"""The fact that says when a gateway meant to sweep next, in Unix seconds; empty when it ended."""
_LAST_SWEEPS = 5
_CLOCK_SLACK = 60.0


class Announcement(msgspec.Struct, frozen=True):
    """A first sweep that a gateway announced. Times are Unix seconds."""

    announced_at: float
    acts_at: float
    sessions: int
    """How many would lose something, as of then."""


class Group(msgspec.Struct, frozen=True):
    """The sessions of one class and liveness, each once. ``files`` and ``bytes`` are those in the store."""

    session_class: SessionClass
    liveness: Liveness
    sessions: int
    files: int
    bytes: int


class DueNow(msgspec.Struct, frozen=True):
    """What the next sweep would do to how many sessions. ``bytes`` are those of the steps of the plan."""

    verdict: Verdict
    sessions: int
    bytes: int


class Status(msgspec.Struct, frozen=True):
    """The state of a home. Sizes are bytes that the file system allocates."""

    home: str
    store: str
    swept_before: bool
    """Whether a sweep ever removed anything; until then the first one asks."""
    groups: tuple[Group, ...]
    due: tuple[DueNow, ...]
    unknown: int
    unknown_bytes: int
    usage: Usage
    vault: VaultSummary | None
    """``None`` when a partition cannot be read."""
    vault_damage: VaultDamaged | None
    sweeps: tuple[SweepRow, ...]
    """The last ones, newest first."""
    holds: int
    database: DatabaseSpace | None
    """How full the host's own database is; ``None`` when there is none."""
    warnings: tuple[str, ...]
    pending: tuple[Pending, ...] = ()
    """What hooks announced and no sweep has seen to yet, oldest first."""
    next_sweep_at: float | None = None
    """When a gateway means to sweep next, in Unix seconds, if one runs; ``None`` when none said so."""
    announcement: Announcement | None = None
    """The first sweep that a gateway announced; ``None`` once there was one."""


class _Noted(msgspec.Struct, frozen=True):
    """What the ledger knows."""

    sweeps: tuple[SweepRow, ...] = ()
    swept_before: bool = False
    pending: tuple[Pending, ...] = ()
    next_sweep_at: float | None = None
    announcement: Announcement | None = None


def take_status(site: Site, *, now: float) -> Status:
    """The state of ``site``. Reads only.

    Raises ``StoreUnreadable`` when the store cannot be read, ``RetentionError`` when the ledger cannot.
    """
    inventory = site.take_inventory(now=now)
    plan = decide(inventory, site.policy, now=now)
    files = {session.id: len(session.artifacts) for session in inventory.sessions}
    bytes_of = {session.id: session.allocated_bytes for session in inventory.sessions}
    vault, damage = _vault(site)
    noted = _ledger(site, now=now)
    return Status(
        home=str(site.home),
        store=site.store.name,
        swept_before=noted.swept_before,
        groups=_groups(plan, files, bytes_of),
        due=_due(plan),
        unknown=len(inventory.unknown),
        unknown_bytes=sum(unknown.allocated_bytes for unknown in inventory.unknown),
        usage=inventory.usage,
        vault=vault,
        vault_damage=damage,
        sweeps=noted.sweeps,
        holds=len(inventory.holds),
        database=site.store.database_space(),
        warnings=(*plan.warnings, *site.store.host_warnings()),
        pending=noted.pending,
        next_sweep_at=noted.next_sweep_at,
        announcement=noted.announcement,
    )


def _groups(plan: Plan, files: dict[str, int], bytes_of: dict[str, int]) -> tuple[Group, ...]:
    sums: dict[tuple[SessionClass, Liveness], list[int]] = {}
    counted: set[str] = set()
    for step in plan.steps:
        if step.verdict is Verdict.EXPIRE_ARCHIVE or step.session_id in counted:
            continue  # it concerns the vault, not the store; or one more part of the same session
        counted.add(step.session_id)
        one = sums.setdefault((step.session_class, step.liveness), [0, 0, 0])
        one[0] += 1
        one[1] += files[step.session_id]
        one[2] += bytes_of[step.session_id]
    return tuple(
        Group(kind, liveness, *sums[kind, liveness])
        for kind in SessionClass
        for liveness in Liveness
        if (kind, liveness) in sums
    )


def _due(plan: Plan) -> tuple[DueNow, ...]:
    removals = plan.removals()
    verdicts = [verdict for verdict in Verdict if any(step.verdict is verdict for step in removals)]
    return tuple(
        DueNow(verdict, len({step.session_id for step in steps}), sum(step.bytes for step in steps))
        for verdict in verdicts
        for steps in [[step for step in removals if step.verdict is verdict]]
    )


def _vault(site: Site) -> tuple[VaultSummary | None, VaultDamaged | None]:
    try:
        return site.workspace.vault.summary(), None
    except VaultDamaged as error:
        return None, error


def _ledger(site: Site, *, now: float) -> _Noted:
    ledger = site.workspace.ledger_if_any()
    if ledger is None:
        return _Noted()
    with ledger:
        swept_before = ledger.fact(FIRST_REMOVAL) is not None
        return _Noted(
            tuple(ledger.sweeps()[:_LAST_SWEEPS]),
            swept_before,
            tuple(ledger.queue.lines()),
            _next_sweep(ledger, now=now),
            None if swept_before else announced(ledger, now=now),
        )


def _next_sweep(ledger: Ledger, *, now: float) -> float | None:
    """Only one that lies ahead: of a gateway that was killed the past one stays behind."""
    text = ledger.fact(NEXT_SWEEP)
    try:
        at = float(text or 0)
    except ValueError:
        return None
    return at if at > now else None


def announced(ledger: Ledger, *, now: float) -> Announcement | None:
    """The announcement that stands. One from the future does not: a clock was wrong when it was made."""
    text = ledger.fact(ANNOUNCEMENT)
    if text is None:
        return None
    try:
        found = msgspec.json.decode(text, type=Announcement)
    except msgspec.DecodeError:
        return None
    return found if found.announced_at <= now + _CLOCK_SLACK else None
