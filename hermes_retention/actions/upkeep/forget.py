"""Forgetting: all that is kept of a session or of a person, out of the store and out of the vault, for good.

Files, rows, routes and archived copies go; what they leave in dictionaries, search tables and logs is
overwritten. A list of what is to go is written down first: if the process dies, the next run goes on with it.
The ledger keeps a receipt without content. What must not live here: output and questions to people.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from hermes_retention.actions.inspect.lookup import require
from hermes_retention.actions.sweep.archive_files import vault_trouble
from hermes_retention.actions.sweep.execute import StoreEffects, execute
from hermes_retention.actions.sweep.recovery import recover
from hermes_retention.archive.entries import SessionEntry
from hermes_retention.archive.partition import Partition
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import BEING_FORGOTTEN, Ledger, Outcome
from hermes_retention.home.workspace import ASIDE
from hermes_retention.model.errors import DatabaseInUse, ExitCode, RetentionError, UsageError, VaultDamaged
from hermes_retention.model.plan import Action, Liveness, Rule, Step, Tier
from hermes_retention.model.session import Inventory, Lineage, Session, SessionClass
from hermes_retention.policy.decide import decide
from hermes_retention.stores.base import SessionMetadata

ORIGIN = "forget"
"""By whom the ledger says that it was done."""
_REASON = "forgotten: a person asked for it"
_JUST_NOW_SECONDS = 60


class Wanted(msgspec.Struct, frozen=True):
    """What is to be forgotten: sessions by their whole ids, or all of a user."""

    sessions: tuple[str, ...] = ()
    user: str | None = None
    platform: str | None = None


class Target(msgspec.Struct, frozen=True):
    """A session that is to be forgotten, and what there is of it."""

    session_id: str
    session_class: SessionClass
    last_activity: float
    why: str
    """Why it is among them, for whoever looks at the list."""
    session: Session | None
    """As the store has it; ``None`` when it has nothing."""
    archived_bytes: int = 0
    live: str | None = None
    """Why somebody may be using it, in words; ``None`` when it is over."""


class Preview(msgspec.Struct, frozen=True):
    """What ``forget`` would remove."""

    targets: tuple[Target, ...]
    in_use_by: str | None
    """Who works with the storage now; then live sessions cannot be forgotten."""
    damages: tuple[VaultDamaged, ...]
    """Partitions of the vault in which there may be more."""
    unfinished: int
    """How many of them an earlier run has left."""

    @property
    def live(self) -> tuple[Target, ...]:
        """Those that cannot be forgotten now."""
        return tuple(one for one in self.targets if one.live is not None) if self.in_use_by else ()


class Receipt(msgspec.Struct, frozen=True):
    """What was forgotten."""

    sweep: str | None
    """Under which id the ledger has it; ``None`` when there was nothing."""
    sessions: int
    files: int
    rows_of: int
    """Sessions whose record and messages left the database."""
    archived: int
    """Sessions whose archived copies are gone."""
    routes: int
    left: tuple[str, ...]
    """Live sessions that were left out."""
    errors: tuple[RetentionError, ...]
    besides: tuple[str, ...]
    """What the host has beside, named after these sessions, and nobody removed."""
    has_free_pages: bool
    """Whether the database has free pages in which earlier removals may have left something."""

    @property
    def exit_code(self) -> ExitCode:
        """0 when all is gone, 5 when a damaged partition may hold more, 1 for anything else that stayed."""
        if any(isinstance(error, VaultDamaged) for error in self.errors):
            return ExitCode.VAULT_DAMAGED
        return ExitCode.SOME_FAILED if self.errors or self.left else ExitCode.DONE


def forget(home: Home, wanted: Wanted, *, skip: Collection[str] = (), now: float) -> Receipt:
    """Remove all that there is of these sessions, and what an earlier run left, but for those in ``skip``.

    Raises ``UsageError`` when one is held or pinned, ``DatabaseInUse`` when one is live while somebody works
    with the storage, ``SweepRunning``, ``StoreUnreadable``; nothing has been removed then. What fails later
    is told in the receipt, and running it again goes on. No copy is kept: nothing can be put back.
    """
    home.workspace.check()
    with home.workspace.locked():
        recover(home)
        inventory = home.take_inventory(now=now)
        seen = look_at(home, inventory, wanted, now=now)
        targets = [target for target in seen.targets if target.session_id not in skip]
        left = tuple(target.session_id for target in seen.targets if target.session_id in skip)
        _require_not_held(inventory, targets)
        _require_not_live(seen, targets)
        if not targets:
            return _nothing_left(home, left, seen.damages)
        with home.workspace.ledger() as ledger:
            ids = [target.session_id for target in targets]
            ledger.remember(
                BEING_FORGOTTEN,
                msgspec.json.encode(sorted({*ids, *ledger.being_forgotten()} - {*left})).decode(),
            )
            sweep = ledger.begin_sweep(started_at=now, origin=ORIGIN)
            run = _Run(home, ledger, sweep, targets, now=now)
            receipt = run.receipt(left, seen.damages)
            ledger.forget_sessions(ids)
            if not receipt.errors:
                ledger.remember(BEING_FORGOTTEN, "[]")
            totals = {
                "forgotten": receipt.sessions,
                "bytes_before": inventory.usage.total_bytes,
                "bytes_after": home.usage().total_bytes,
            }
            ledger.finish_sweep(sweep, finished_at=now, totals=totals)
            return receipt


def _nothing_left(home: Home, left: tuple[str, ...], damages: tuple[VaultDamaged, ...]) -> Receipt:
    """There is nothing to do; what an earlier run noted is done, unless it may lie where nobody can look."""
    if not damages:
        with home.workspace.ledger() as ledger:
            ledger.remember(BEING_FORGOTTEN, "[]")
    return Receipt(None, 0, 0, 0, 0, 0, left, damages, (), has_free_pages=False)


class _Run:
    """One run, with the lock of the home held."""

    def __init__(
        self, home: Home, ledger: Ledger, sweep: str, targets: Sequence[Target], *, now: float
    ) -> None:
        self._site, self._ledger, self._sweep, self._now = home, ledger, sweep, now
        self._targets = targets
        self._errors: list[RetentionError] = []

    def receipt(self, left: tuple[str, ...], damages: Sequence[VaultDamaged]) -> Receipt:
        """Do it: the store first, so that nothing is archived again that the vault has lost."""
        home, targets = self._site, self._targets
        ids = {target.session_id for target in targets}
        self._errors.extend(damages)
        besides = home.store.named_after(ids)
        outcomes = self._clear_store()
        routes = self._clear_routes(ids)
        archived = self._clear_vault(ids)
        failed = {outcome.step.session_id for outcome in outcomes if outcome.errors}
        done = [outcome for outcome in outcomes if not outcome.errors]
        space = home.store.database_space()
        return Receipt(
            sweep=self._sweep,
            sessions=len(ids - failed),
            files=sum(len(one.step.artifacts) for one in done),
            rows_of=sum(one.step.tier is Tier.RECORD for one in done),
            archived=archived,
            routes=routes,
            left=left,
            errors=tuple({str(error): error for error in self._errors}.values()),
            besides=tuple(besides),
            has_free_pages=space is not None and space.free_bytes > 0,
        )

    def _clear_store(self) -> list[Outcome]:
        home = self._site
        store = home.store.erasing()
        steps = [step for target in self._targets for step in _steps(target)]
        with home.store.moving_files(*ASIDE) as files:
            effects = StoreEffects(
                store,
                home.workspace.vault,
                files,
                tool_output_above=0,
                changed_rows=0,
                sweep=self._sweep,
                now=self._now,
                archived_at=self._now,
            )
            outcomes = list(execute(steps, effects))
        self._ledger.note(self._sweep, outcomes)
        self._errors.extend(error for outcome in outcomes for error in outcome.errors)
        return outcomes

    def _clear_routes(self, ids: Collection[str]) -> int:
        store = self._site.store
        try:
            routes = store.drop_routes_to(ids) if store.in_use_by() is None else 0
            store.wipe()
        except RetentionError as error:
            self._errors.append(error)
            return 0
        return routes

    def _clear_vault(self, ids: Collection[str]) -> int:
        """Partition by partition: a damaged one keeps its own sessions only."""
        vault, gone = self._site.workspace.vault, set[str]()
        for path in vault.partition_paths():
            try:
                with Partition.open(path) as partition:
                    there = {entry.id: entry for entry in partition.sessions() if entry.id in ids}
                vault.remove_sessions(ids, partition=path.stem)
            except (RetentionError, sqlite3.Error, OSError) as error:
                self._errors.append(vault_trouble(error))
            else:
                gone.update(there)
                self._ledger.note(self._sweep, [_expired(entry, path.stem) for entry in there.values()])
        return len(gone)


def _steps(target: Target) -> Iterator[Step]:
    session = target.session
    if session is None:
        return
    if session.artifacts:
        yield _step(target, Tier.FILES, session)
    if session.record is not None:
        yield _step(target, Tier.RECORD, session)


def _step(target: Target, tier: Tier, session: Session) -> Step:
    is_files = tier is Tier.FILES
    return Step(
        session_id=target.session_id,
        session_class=target.session_class,
        liveness=Liveness.ENDED if target.live is None else Liveness.LIVE,
        action=Action.DELETE,
        tier=tier,
        rule=Rule.FORGOTTEN,
        reason=_REASON,
        artifacts=session.artifacts if is_files else (),
        bytes=session.allocated_bytes if is_files else 0,
        last_activity=target.last_activity,
        seen=None if is_files else session,
    )


def _expired(entry: SessionEntry, partition: str) -> Outcome:
    step = Step(
        session_id=entry.id,
        session_class=entry.session_class,
        liveness=Liveness.ARCHIVED,
        action=Action.EXPIRE,
        tier=None,
        rule=Rule.FORGOTTEN,
        reason=_REASON,
        partition=partition,
    )
    return Outcome(step)


def _require_not_held(inventory: Inventory, targets: Sequence[Target]) -> None:
    """Neither by a person, here or in the host, nor by a plugin, which may know of a duty to keep."""
    for target in targets:
        pinned = inventory.pins.get(target.session_id)
        if pinned is not None:
            raise UsageError(
                f"session {target.session_id}",
                pinned,
                consequence="nothing was removed",
                cure="'hermes sessions unpin' lets go of it.",
            )
        reason = inventory.holds.get(target.session_id)
        if reason is not None:
            raise UsageError(
                f"session {target.session_id}",
                f"it is held{f' ({reason})' if reason else ''}",
                consequence="nothing was removed",
                cure="'hermes-retention hold remove' lets go of it, unless a plugin holds it.",
            )


def _require_not_live(seen: Preview, targets: Sequence[Target]) -> None:
    live = [target for target in targets if target.live is not None]
    if not live or seen.in_use_by is None:
        return
    first = live[0]
    raise DatabaseInUse(
        f"session {first.session_id}" + (f" and {len(live) - 1} more" if len(live) > 1 else ""),
        f"it is live ({first.live}) and {seen.in_use_by}: a running host holds it in memory and would write "
        "it again",
        consequence="nothing was removed",
        cure="Stop the gateway and run it again, or leave live sessions out with --skip-live.",
    )


# -- what is to be forgotten -----------------------------------------------------------------------------


def preview(home: Home, wanted: Wanted, *, now: float) -> Preview:
    """What would be forgotten. Reads only.

    Raises ``UsageError`` for a session that nobody knows, ``StoreUnreadable`` when the store cannot be read.
    """
    inventory = home.take_inventory(now=now)
    return look_at(home, inventory, wanted, now=now)


def look_at(home: Home, inventory: Inventory, wanted: Wanted, *, now: float) -> Preview:
    """The same, of an inventory that was just taken."""
    stored = {session.id: session for session in inventory.sessions}
    damages: list[VaultDamaged] = []
    archived: dict[str, SessionEntry] = {}
    for entry in home.workspace.vault.from_readable(damages, Partition.sessions):
        archived[entry.id] = entry
    sizes: dict[str, int] = {}
    for one in home.workspace.vault.archived_sessions(damages):
        sizes[one.id] = sizes.get(one.id, 0) + one.stored_bytes
    begun = home.being_forgotten()
    unfinished = [one for one in begun if one in stored or one in archived]
    chosen = dict.fromkeys(unfinished, "an earlier run did not finish it")
    # Whoever says the same once more also names what is gone by now.
    named = tuple(it for it in wanted.sessions if it in stored or it in archived or it not in begun)
    wanted = msgspec.structs.replace(wanted, sessions=named)
    chosen |= _chosen(home, wanted, stored, archived, damages)
    chosen = _with_family(chosen, stored, archived)
    live = _live(inventory, home, now=now)
    recent = any(one in stored and now - stored[one].last_activity < _JUST_NOW_SECONDS for one in chosen)
    just_now = "one of them was written to within the last minute" if recent else None
    in_use_by = home.store.in_use_by() or just_now
    targets = [
        msgspec.structs.replace(
            _target(session_id, why, stored.get(session_id), archived.get(session_id)),
            archived_bytes=sizes.get(session_id, 0),
            live=live.get(session_id),
        )
        for session_id, why in chosen.items()
    ]
    targets.sort(key=lambda target: (-target.last_activity, target.session_id))
    once = {str(damage): damage for damage in damages}
    return Preview(tuple(targets), in_use_by, tuple(once.values()), len(unfinished))


def _target(session_id: str, why: str, session: Session | None, entry: SessionEntry | None) -> Target:
    times = [known.last_activity for known in (session, entry) if known is not None]
    kinds = [known.session_class for known in (session, entry) if known is not None]
    return Target(session_id, kinds[0], max(times), why, session)


def _live(inventory: Inventory, home: Home, *, now: float) -> dict[str, str]:
    """Session id → why somebody may be using it."""
    return {
        step.session_id: step.reason
        for step in decide(inventory, home.policy, now=now).steps
        if step.liveness is Liveness.LIVE
    }


def _chosen(
    home: Home,
    wanted: Wanted,
    stored: Mapping[str, Session],
    archived: Mapping[str, SessionEntry],
    damages: Sequence[VaultDamaged],
) -> dict[str, str]:
    """Session id → why it is meant."""
    known = {*stored, *archived}
    chosen: dict[str, str] = {}
    for one in wanted.sessions:
        try:
            chosen[require(one, known, where="neither the store nor the archive knows it")] = "named"
        except UsageError:
            if damages:
                raise damages[0] from None
            raise
    if wanted.user is not None:
        described = {one: entry.metadata for one, entry in archived.items()}
        described |= home.store.metadata(list(stored))
        for one, metadata in described.items():
            if _is_of(metadata, wanted):
                chosen.setdefault(one, "of this user")
    return chosen


def _is_of(metadata: SessionMetadata, wanted: Wanted) -> bool:
    return metadata.user_id == wanted.user and wanted.platform in (None, metadata.source)


def _with_family(
    chosen: Mapping[str, str], stored: Mapping[str, Session], archived: Mapping[str, SessionEntry]
) -> dict[str, str]:
    """With what compression continued, before and after, and all that was delegated: the same conversation.

    What only the vault has does not say how it came out of its parent; it counts unless it names a user of
    its own, as a branch does.
    """
    above: dict[str, str] = {}
    below: dict[str, list[str]] = {}
    for one, session in stored.items():
        record = session.record
        if record is not None and record.parent_id is not None:
            if record.lineage in (Lineage.COMPRESSION, Lineage.DELEGATION):
                below.setdefault(record.parent_id, []).append(one)
            if record.lineage is Lineage.COMPRESSION:
                above[one] = record.parent_id
    for one, entry in archived.items():
        parent = entry.metadata.parent_id
        if one not in stored and parent is not None and entry.metadata.user_id is None:
            below.setdefault(parent, []).append(one)
    found: dict[str, str] = {}
    waiting = list(chosen.items())
    while waiting:
        one, why = waiting.pop()
        if one in found or (one not in stored and one not in archived):
            continue
        found[one] = why
        linked = [*below.get(one, ()), *([above[one]] if one in above else [])]
        waiting += [(it, f"belongs to {one}") for it in linked if it not in chosen]
    return found
