"""One home with everything that a use case needs of it: its store, workspace, policy; and its inventory.

What must not live here: output, and the clock (it is passed in).
"""

from __future__ import annotations

import itertools
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hermes_retention.disk.directories import allocated_bytes
from hermes_retention.home.ledger import Ledger, LookedThrough
from hermes_retention.home.workspace import Workspace, free_bytes
from hermes_retention.model.errors import VaultDamaged
from hermes_retention.model.session import ArchivedSession, ClockMemory, Inventory, Session, Usage
from hermes_retention.model.text import printable
from hermes_retention.plugins import Extensions
from hermes_retention.policy.lifecycle import Policy
from hermes_retention.settings.forms import Mode
from hermes_retention.stores.base import Scan, Store


class _History(msgspec.Struct, frozen=True):
    """What the ledger knows."""

    restored: dict[str, float]
    looked: dict[str, LookedThrough]
    clock: ClockMemory | None


class Home(msgspec.Struct, frozen=True):
    """A home under this project's care."""

    store: Store
    workspace: Workspace
    policy: Policy
    extensions: Extensions = Extensions()
    """What plugins of other packages say about its sessions."""
    mode: Mode | None = None
    """What sweeps may do; ``None`` when nobody has said so."""
    metrics_file: Path | None = None
    """Where each sweep writes how the home is doing; ``None`` for nowhere."""
    regular: Home | None = None
    """The home itself, where this is a view of it for one run."""

    @property
    def path(self) -> Path:
        """The resolved home."""
        return self.store.home

    def for_one_run(self, policy: Policy, *, store: Store | None = None) -> Home:
        """The same home under another policy, or seen through another store, for a single run.

        What follows a run still tells of the home itself, which is ``regular`` there.
        """
        return msgspec.structs.replace(
            self, policy=policy, store=self.store if store is None else store, regular=self.regular or self
        )

    def take_inventory(self, *, now: float) -> Inventory:
        """Everything that a decision may depend on. Reads only.

        Raises ``StoreUnreadable`` when liveness or holds cannot be read. Copies in a partition that cannot be
        read do not expire.
        """
        self.workspace.check()
        scan = self.store.scan(now=now)
        expires = any(lifecycle.archive_after is not None for lifecycle in self.policy.lifecycles.values())
        damages: list[VaultDamaged] = []
        archived = self.workspace.vault.archived_sessions(damages) if expires else ()
        history = self._history()
        return Inventory(
            home=str(self.path),
            sessions=self._with_history(scan, history),
            usage=self._usage(_scanned_bytes(scan), scan.database_bytes),
            archived=archived,
            holds=self._holds(scan.sessions, archived),
            pins=scan.pins,
            marks=scan.marks,
            unknown=scan.unknown,
            warnings=(*scan.warnings, *map(str, damages), *self._open_to_all()),
            clock=history.clock,
            bytes_per_message=_bytes_per_message(scan),
        )

    def _holds(self, sessions: Sequence[Session], archived: Sequence[ArchivedSession]) -> dict[str, str]:
        """What a person holds, and what plugins do; a person's own words come first."""
        known = {session.id for session in sessions}
        others = (Session(it.id, it.session_class) for it in archived if it.id not in known)
        said = self.extensions.holds(itertools.chain(sessions, others))
        return {**said, **self.workspace.holds.reasons()}

    def _open_to_all(self) -> list[str]:
        """A line when anybody on this machine may put files into the home, or take them away."""
        folders = (self.path.joinpath(*folder.below) for folder in self.store.folders())
        places = (self.path, *folders, self.workspace.root)
        found = [path for path in dict.fromkeys(places) if _is_open_to_all(path)]
        if not found:
            return []
        names = ", ".join(printable(str(path)) for path in found)
        return [f"{names}: every user of this machine may write there. 'chmod o-w' takes that right away."]

    def usage(self, *, sessions_bytes: int | None = None) -> Usage:
        """What the file system allocates now, and what is in use of the host's database.

        The files of sessions are measured one by one, unless ``sessions_bytes`` says what they take.
        """
        space = self.store.database_space()
        if sessions_bytes is None:
            folders = (self.path.joinpath(*folder.below) for folder in self.store.folders())
            sessions_bytes = sum(map(allocated_bytes, folders))
        return self._usage(sessions_bytes, 0 if space is None else space.used_bytes)

    def _usage(self, sessions_bytes: int, database_bytes: int) -> Usage:
        return Usage(
            sessions_bytes=sessions_bytes,
            vault_bytes=self.workspace.vault.allocated_bytes(),
            ledger_bytes=self.workspace.allocated_bytes(),
            database_bytes=database_bytes,
            free_bytes=free_bytes(self.path),
        )

    def being_forgotten(self) -> list[str]:
        """The sessions that a run began to forget and did not finish."""
        return self.workspace.ask_ledger(Ledger.being_forgotten, [])

    def _history(self) -> _History:
        return self.workspace.ask_ledger(
            lambda ledger: _History(ledger.restored(), ledger.looked_through(), ledger.clock()),
            _History({}, {}, None),
        )

    def _with_history(self, scan: Scan, history: _History) -> tuple[Session, ...]:
        """The sessions, with what the ledger knows of them."""
        restored, looked = history.restored, history.looked
        if not restored and not looked:
            return scan.sessions
        above = self.policy.tool_output_above
        return tuple(
            msgspec.structs.replace(
                session,
                restored_at=restored.get(session.id),
                tool_output_done=_is_looked_through(session, looked.get(session.id), above),
            )
            if session.id in restored or session.id in looked
            else session
            for session in scan.sessions
        )


def _is_open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return False


def _is_looked_through(session: Session, looked: LookedThrough | None, above: int) -> bool:
    """Whether nothing was added since, and no smaller bodies are wanted now."""
    if looked is None or session.record is None:
        return False
    return looked.last_message_at == session.record.last_message_at and looked.above_bytes <= above


def _bytes_per_message(scan: Scan) -> float:
    """What a message takes in the database on average, with its part of everything else there."""
    records = (session.record for session in scan.sessions)
    messages = sum(max(1, it.message_count) for it in records if it is not None and it.has_messages)
    return scan.database_bytes / messages if messages else 0.0


def _scanned_bytes(scan: Scan) -> int:
    """Allocated bytes of all that a scan saw; the same as listing the directory once more."""
    artifacts = sum(artifact.allocated_bytes for session in scan.sessions for artifact in session.artifacts)
    return artifacts + sum(unknown.allocated_bytes for unknown in scan.unknown) + scan.other_bytes
