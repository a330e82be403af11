"""One home with everything that a use case needs of it: its store, workspace, policy; and its inventory.

What must not live here: output, and the clock (it is passed in).
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from hermes_retention.errors import VaultDamaged
from hermes_retention.fsops import allocated_bytes
from hermes_retention.model import Inventory, Session, Usage
from hermes_retention.policy.lifecycle import Policy
from hermes_retention.stores.base import Scan, Store
from hermes_retention.workspace import Workspace, free_bytes


class Site(msgspec.Struct, frozen=True):
    """A home under this project's care."""

    store: Store
    workspace: Workspace
    policy: Policy

    @property
    def home(self) -> Path:
        """The resolved home."""
        return self.store.home

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
        return Inventory(
            home=str(self.home),
            sessions=self._with_restores(scan),
            usage=self._usage(_scanned_bytes(scan)),
            archived=archived,
            holds=self.workspace.holds.reasons(),
            unknown=scan.unknown,
            warnings=(*scan.warnings, *map(str, damages)),
        )

    def usage(self) -> Usage:
        """What the file system allocates now."""
        return self._usage(allocated_bytes(self.store.files_directory))

    def _usage(self, sessions_bytes: int) -> Usage:
        return Usage(
            sessions_bytes=sessions_bytes,
            vault_bytes=self.workspace.vault.allocated_bytes(),
            ledger_bytes=self.workspace.allocated_bytes(),
            free_bytes=free_bytes(self.home),
        )

    def _with_restores(self, scan: Scan) -> tuple[Session, ...]:
        ledger = self.workspace.ledger_if_any()
        if ledger is None:
            return scan.sessions
        with ledger:
            restored = ledger.restored()
        if not restored:
            return scan.sessions
        return tuple(
            msgspec.structs.replace(session, restored_at=restored[session.id])
            if session.id in restored
            else session
            for session in scan.sessions
        )


def _scanned_bytes(scan: Scan) -> int:
    """Allocated bytes of all that a scan saw; the same as listing the directory once more."""
    artifacts = sum(artifact.allocated_bytes for session in scan.sessions for artifact in session.artifacts)
    return artifacts + sum(unknown.allocated_bytes for unknown in scan.unknown) + scan.other_bytes
