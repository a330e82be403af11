"""The port to what messages in a host's database say, for searching them. Nothing is changed through it.

A store need not have it: then only its files are searched. What must not live here: what matches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

LiveMessage: TypeAlias = tuple[str, Mapping[str, Any]]
"""Session id, and the columns of the row that say something, by name."""


@runtime_checkable
class MessageTexts(Protocol):
    """A store whose messages lie in a database."""

    def message_texts(self, run: str) -> Iterator[LiveMessage]:
        """The messages that may hold ``run``, which is ASCII, in any case; all of them when it is empty.

        Newest first, read in short transactions: what is written meanwhile may be missing. Raises
        ``StoreUnreadable``.
        """
