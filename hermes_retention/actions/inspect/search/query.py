r"""What is looked for, and what matched: how many messages of a session, and pieces of the text around some.

A conversation lies in the archive as JSON, and parts of it as JSON within JSON. ``naïve "x"`` may be written
``na\u00efve \"x\"`` there, or with twice as many backslashes. ``may_match`` tells quickly, on the raw bytes,
what is not worth decoding; ``pattern`` decides on decoded text. What must not live here: files, where
messages come from, and how all this is shown.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from hermes_retention.actions.inspect.search.messages import Message
from hermes_retention.model.errors import UsageError
from hermes_retention.model.session import SessionClass
from hermes_retention.stores.base import SessionMetadata

_NESTED = 3
"""How deep JSON lies within JSON: arguments of a tool call, in a column of a row, in a line."""
_SHORTEST_RUN = 2
"""Fewer characters are in every conversation: looking for them would only take time."""
_COMBINED = 2
"""Characters beyond ASCII of which every combination of cases is looked for, each in every encoding."""
_RAW_THE_SAME = re.compile(r"[ !#-.0-;=?-\[\]-~]+")
"""Characters that every writer of JSON leaves as they are, at every depth."""
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{[^}]*\}|.", re.DOTALL)
"""Of a regular expression: an escape, a set of characters, a number of times, or one character."""


class Query(msgspec.Struct, frozen=True):
    """A search. ``pattern`` says what matches in decoded text."""

    pattern: re.Pattern[str]
    folds: bool
    """Whether upper and lower case are the same."""
    run: str
    """Characters that stand in every match, encoded as themselves; empty when there are none."""
    needed: tuple[tuple[bytes, ...], ...]
    """Of each of these, some must be in the raw bytes (in lower case when ``folds``)."""

    def may_match(self, raw: bytes) -> bool:
        """Whether JSON may hold a match. Never ``False`` for one that a usual writer of JSON wrote."""
        plain = raw.lower() if self.folds else raw
        return all(any(one in plain for one in some) for some in self.needed)


def text_query(text: str) -> Query:
    """Look for ``text`` itself, in any case unless it has capitals. Raises ``UsageError`` when empty."""
    _require_some(text)
    folds = text == text.lower()
    pattern = re.compile(re.escape(text), re.IGNORECASE if folds else 0)
    run = _longest(_RAW_THE_SAME.findall(text))
    return Query(pattern, folds, run, tuple(filter(None, _needed(text, run, folds=folds))))


def regex_query(expression: str) -> Query:
    """Look for a regular expression of Python, in any case unless it has capitals. Raises ``UsageError``."""
    _require_some(expression)
    has_capitals = any(map(str.isupper, _ESCAPED.sub("", expression)))
    try:
        pattern = re.compile(expression, 0 if has_capitals else re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            "the regular expression",
            f"it is not valid: {error}",
            consequence="nothing was searched",
            cure="Leave --regex away to look for the text as it is written.",
        ) from error
    folds = bool(pattern.flags & re.IGNORECASE)
    pieces = [] if pattern.flags & re.VERBOSE else _literals(expression)
    run = _longest([part for piece in pieces for part in _RAW_THE_SAME.findall(piece)])
    run = run.lower() if folds else run
    needed = ((run.encode(),),) if len(run) >= _SHORTEST_RUN else ()
    return Query(pattern, folds, run, needed)


def _require_some(text: str) -> None:
    if not text.strip():
        raise UsageError("search", "there is nothing to look for", consequence="nothing was searched")


def _longest(runs: Iterator[str] | Sequence[str]) -> str:
    return max(runs, key=len, default="")


def _needed(text: str, run: str, *, folds: bool) -> Iterator[tuple[bytes, ...]]:
    if len(run) >= _SHORTEST_RUN:
        yield (run.encode(),)
    if run == text:
        return
    foreign = next((one for one in text if not one.isascii()), "")
    if foreign:
        yield tuple(_beginnings(foreign))
    window = _window(text) if folds else text
    yield tuple(
        one.lower() if folds else one
        for some in itertools.product(*(_cases(one) if folds else [one] for one in window))
        for one in _encoded("".join(some))
    )


def _cases(character: str) -> list[str]:
    """Its upper and lower case where ``bytes.lower`` does not know them."""
    if character.isascii():
        return [character]
    return sorted({character, character.lower(), character.upper()})


def _beginnings(character: str) -> Iterator[bytes]:
    """How a character beyond ASCII begins, in any case: what is quickly seen to be nowhere."""
    for one in dict.fromkeys(first for case in _cases(character) for first in case if not first.isascii()):
        yield one.encode("utf-8", "surrogatepass")[:1]
        yield json.dumps(one)[1:5].encode()


def _window(text: str) -> str:
    """The longest piece of ``text`` with few characters of which both cases have to be looked for."""
    cased = [at for at, one in enumerate(text) if len(_cases(one)) > 1]
    edges = [-1, *cased, len(text)]
    if len(cased) <= _COMBINED:
        return text
    pieces = [(edges[at] + 1, edges[at + _COMBINED + 1]) for at in range(len(edges) - _COMBINED - 1)]
    return max((text[start:end] for start, end in pieces), key=len)


def _encoded(text: str) -> list[bytes]:
    """``text`` as writers of JSON write it, at every depth, with characters beyond ASCII escaped or not."""
    found: dict[str, None] = {}
    level = [text]
    for _ in range(_NESTED):
        level = [json.dumps(one, ensure_ascii=escapes)[1:-1] for one in level for escapes in (False, True)]
        found.update(dict.fromkeys(level))
    return [one.encode("utf-8", "surrogatepass") for one in found]


def _literals(expression: str) -> list[str]:
    """Runs of characters that stand in every match. None where there are alternatives outside of groups."""
    runs, depth, rest = [""], 0, expression
    while rest:
        taken = _PART.match(rest)
        part = taken[0] if taken is not None else rest
        rest = rest[len(part) :]
        depth += (part == "(") - (part == ")")
        if part == "|" and not depth:
            return []
        if depth or part == ")" or len(part) > 1 or part in ".^$+*?{":
            if part in ("*", "?") or part[0] == "{":
                runs[-1] = runs[-1][:-1]  # what stands before it need not be there
            runs.append("")
        else:
            runs[-1] += part
    return runs


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
