"""The port to removing data for good from a host's own storage, on a person's demand.

A store need not have it: then its files and the vault are all that can be cleared, and whoever asks is told
so. What must not live here: which sessions, and the vault.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from hermes_retention.stores.base import Store


@runtime_checkable
class ErasableStore(Protocol):
    """A store whose rows and routes can be removed so that nothing of them stays in its files."""

    def erasing(self) -> Store:
        """The same store; what is removed through it is overwritten as well."""

    def in_use_by(self) -> str | None:
        """Who works with the storage now, in words; ``None`` when nobody does, as far as can be told."""

    def drop_routes(self, session_ids: Collection[str]) -> int:
        """Remove every route of this home that leads to one of these sessions, and say how many there were.

        Only while nobody uses the storage: a running host would write them again. Raises ``StoreUnreadable``.
        """

    def wipe(self) -> None:
        """Clear what search tables and logs still hold of removed rows. Raises ``StoreUnreadable``."""

    def named_after(self, session_ids: Collection[str]) -> list[str]:
        """Further things of the host that are named after these sessions; nobody here removes them."""
