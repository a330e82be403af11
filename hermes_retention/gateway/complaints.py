"""Warnings of a thread that nobody watches: each trouble is told once, until it has passed.

Only errors of this project are told in their own words: those of others may hold a piece of a conversation.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from hermes_retention.model.errors import RetentionError

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator


class Complaints:
    """What was complained about, by what it is about."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: dict[str, str] = {}

    @contextlib.contextmanager
    def about(self, what: str) -> Iterator[None]:
        """Swallow any exception of the block, with one warning."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest goes on
            self.tell(what, error)
        else:
            self.is_fine(what)

    def is_fine(self, what: str) -> None:
        """Nothing is wrong with it any more: if something is again, that is told again."""
        self._told.pop(what, None)

    def tell(self, what: str, error: Exception, consequence: str = "") -> None:
        """Warn about ``error``, unless that was the last thing that was said about ``what``."""
        words = error if isinstance(error, RetentionError) else f"it failed ({_name(error)})"
        if self.warn(what, words, consequence):
            self._log.debug("%s: where it failed", what, exc_info=_without_words(error))

    def warn(self, what: str, words: str | RetentionError, consequence: str = "") -> bool:
        """Warn, and say whether that was news."""
        said = f"{words} {consequence}"
        if self._told.get(what) == said:
            return False
        self._told[what] = said
        self._log.warning("%s: %s%s", what, words, f" {consequence}" if consequence else "")
        return True


def _name(error: Exception) -> str:
    return type(error).__name__


def _without_words(error: Exception) -> Exception:
    """The same traceback without a message that might quote what it met."""
    if isinstance(error, RetentionError):
        return error
    return RuntimeError(_name(error)).with_traceback(error.__traceback__)
