"""What a search found in a session: how many messages, and pieces of the text around the first few.

What must not live here: where messages come from, and how all this is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from hermes_retention.actions.inspect.search.messages import Message
from hermes_retention.actions.inspect.search.query import Query
from hermes_retention.model.session import SessionClass
from hermes_retention.stores.base import SessionMetadata

_BEFORE, _AFTER = 60, 120
"""Characters of context."""
_LONGEST_MATCH = 200
_BLANKS = re.compile(r"\s+")
_SAID = frozenset({"user", "assistant"})
"""Whose messages people look for first."""


class Excerpt(msgspec.Struct, frozen=True):
    """A match with some of the text around it, blanks and line ends made one blank."""

    role: str
    tool: str | None
    at: float | None
    """Unix seconds of the message, where that is known."""
    before: str
    match: str
    after: str


class FoundSession(msgspec.Struct, frozen=True):
    """A session in which something was found."""

    session_id: str
    session_class: SessionClass
    last_activity: float
    metadata: SessionMetadata
    hits: int
    """How many different messages match."""
    excerpts: tuple[Excerpt, ...]
    in_archive: bool
    in_store: bool


class Hits:
    """Counts the messages of one session that match, each once, wherever copies of it lie."""

    def __init__(self, query: Query, *, most_excerpts: int) -> None:
        self._query, self._most_excerpts = query, most_excerpts
        self._known: set[int] = set()
        self._said: list[Excerpt] = []
        self._others: list[Excerpt] = []

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._known)

    @property
    def excerpts(self) -> tuple[Excerpt, ...]:
        """Of the first messages that match; what tools and the system wrote comes last."""
        return tuple((self._said + self._others)[: self._most_excerpts])

    def take(self, messages: Iterable[Message]) -> bool:
        """Look through ``messages``; whether any of them matches, a known one or a new one."""
        matched = False
        for message in messages:
            match = self._query.pattern.search(message.text)
            if match is None:
                continue
            matched = True
            key = hash((message.role, message.text))
            if key not in self._known:
                self._known.add(key)
                some = self._said if message.role in _SAID else self._others
                if len(some) < self._most_excerpts:
                    some.append(excerpt(message, match))
        return matched


def excerpt(message: Message, match: re.Match[str]) -> Excerpt:
    """The match in one line, cut where it is long."""
    start, end = match.span()
    before = _one_line(message.text[max(0, start - 2 * _BEFORE) : start])
    after = _one_line(message.text[end : end + 2 * _AFTER])
    return Excerpt(
        role=message.role,
        tool=message.tool,
        at=message.at,
        before=f"…{before[-_BEFORE:]}" if start > _BEFORE or len(before) > _BEFORE else before,
        match=_one_line(match[0])[:_LONGEST_MATCH],
        after=f"{after[:_AFTER]}…" if len(message.text) - end > _AFTER else after,
    )


def _one_line(text: str) -> str:
    return _BLANKS.sub(" ", text)
