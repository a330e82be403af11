"""Plan to effects. What happens was decided before; here is only in which order, and by whom.

A dry run uses ``NoEffects``, which does nothing and says that it is done. What must not live here: reasons,
output, the ledger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Protocol

from hermes_retention.archive.vault import Vault
from hermes_retention.archiving import Archiver, removed_by, vault_trouble
from hermes_retention.errors import RetentionError
from hermes_retention.fsops import Directory, Remover
from hermes_retention.ledger import Outcome
from hermes_retention.plan import Step, Verdict
from hermes_retention.stores.base import Store


class Effects(Protocol):
    """What can be done with the steps of a plan. Each method yields one outcome for each step."""

    def archive(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Move the artifacts of these steps into the vault."""

    def delete(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Remove the artifacts of these steps for good."""

    def expire(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Remove archived copies for good."""


class NoEffects:
    """The effects of a dry run: none."""

    def archive(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Every step is done, as far as anybody can tell without doing it."""
        for step in steps:
            yield Outcome(step, freed_bytes=step.bytes)

    delete = archive
    expire = archive


def execute(steps: Sequence[Step], effects: Effects) -> Iterator[Outcome]:
    """Carry out ``steps``: first what frees space without needing any, then what is archived.

    Yields an outcome for each step but the kept ones. A failure concerns its own step only.
    """
    chosen: dict[Verdict, list[Step]] = {verdict: [] for verdict in Verdict}
    for step in steps:
        chosen[step.verdict].append(step)
    yield from effects.expire(chosen[Verdict.EXPIRE_ARCHIVE])
    yield from effects.delete(chosen[Verdict.DELETE_FILES])
    yield from effects.archive(chosen[Verdict.ARCHIVE_FILES])


class StoreEffects:
    """Effects on a real store and vault. Use it only while the lock of the home is held."""

    def __init__(  # noqa: PLR0913 - the parts of a home that effects touch
        self, store: Store, vault: Vault, files: Directory, aside: Directory, *, sweep: str, now: float
    ) -> None:
        self._vault = vault
        self._remover = Remover(files, aside)
        self._archiver = Archiver(vault, files, self._remover, store.metadata, sweep=sweep, now=now)

    def archive(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Archive, commit, read back, and only then remove."""
        yield from self._archiver.archive(steps)

    def delete(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Remove files whose class asks for it (``archive=false``, or ``on_reset=delete``)."""
        for step in steps:
            yield removed_by(self._remover, step, step.artifacts)

    def expire(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Remove archived copies, a partition at a time."""
        for partition, group in groupby(steps, key=lambda step: step.partition):
            members = list(group)
            try:
                self._vault.remove_sessions([step.session_id for step in members], partition=partition)
            except (RetentionError, sqlite3.Error, OSError) as error:
                yield from (Outcome(step, (vault_trouble(error),)) for step in members)
            else:
                yield from (Outcome(step, freed_bytes=step.bytes) for step in members)
