r"""The messages in the bytes of an artifact, whatever kind it is: their texts as a person would read them.

Tolerant, for these are files of many versions of several hosts: what is no JSON is one message of its own.
What must not live here: where the bytes come from, and what is looked for.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from hermes_retention.model.session import ROW_KINDS, ArtifactKind
from hermes_retention.stores.rows import RowFormatError, decode, sections

_STRUCTURED = "\x00json:"
"""Before the content of a row that is a list of parts, as the host writes it."""
_MESSAGES, _REASONING = "messages", ("reasoning", "reasoning_content", "thinking")
_TIMES = ("timestamp", "created_at", "time")
_DEEPEST = 6

Fields: TypeAlias = Mapping[str, Any]
"""A message as its JSON object, or its row by the names of the columns, says it."""


class Message(msgspec.Struct, frozen=True):
    """One message: who wrote it, what it says, and when, as far as that is known (Unix seconds)."""

    role: str
    text: str
    at: float | None = None
    tool: str | None = None
    """The tool whose output it is."""


def interesting_part(kind: ArtifactKind, raw: bytes) -> bytes:
    """``raw`` without what stands before the messages of a snapshot: system prompt and schemas of tools."""
    if kind in (ArtifactKind.SNAPSHOT, ArtifactKind.REQUEST_DUMP):
        at = raw.find(b'"messages"')
        return raw[at:] if at > 0 else raw
    return raw


def messages_in(kind: ArtifactKind, raw: bytes) -> Iterator[Message]:
    """The messages, in the order in which they stand. Of rows, only those of messages."""
    return map(message_of, fields_in(kind, raw))


def fields_in(kind: ArtifactKind, raw: bytes) -> Iterator[Fields]:
    """The same with everything that is known of each message, under the names that it has there."""
    if kind in ROW_KINDS:
        yield from _rows(raw)
    elif kind is ArtifactKind.TRANSCRIPT:
        yield from _lines(raw)
    else:
        yield from _document(raw)


def message_of(fields: Fields) -> Message:
    """A message out of its JSON object, or out of its row."""
    role = fields.get("role")
    tool = fields.get("tool_name") or fields.get("name")
    return Message(
        role if isinstance(role, str) else "",
        "\n".join(_texts(fields)),
        next((float(at) for name in _TIMES if isinstance(at := fields.get(name), int | float)), None),
        tool if isinstance(tool, str) else None,
    )


def _texts(fields: Fields) -> Iterator[str]:
    yield from _content(fields.get("content"))
    for reasoning in dict.fromkeys(text for name in _REASONING if isinstance(text := fields.get(name), str)):
        if reasoning:
            yield reasoning
    yield from _calls(fields.get("tool_calls"))


def _content(content: object, depth: int = 0) -> Iterator[str]:
    if isinstance(content, str):
        if content.startswith(_STRUCTURED):
            with contextlib.suppress(ValueError):
                yield from _content(json.loads(content[len(_STRUCTURED) :]))
                return
        if content:
            yield content
    elif isinstance(content, list) and depth < _DEEPEST:
        for part in content:
            yield from _content(part, depth + 1)
    elif isinstance(content, dict) and depth < _DEEPEST:
        for name in ("text", "content", *_REASONING):
            yield from _content(content.get(name), depth + 1)
        if isinstance(content.get("name"), str):
            yield from _call(content["name"], content.get("arguments", content.get("input")))


def _calls(calls: object) -> Iterator[str]:
    if isinstance(calls, str):
        try:
            calls = json.loads(calls)
        except ValueError:
            yield str(calls)
            return
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function", call) if isinstance(call, dict) else None
        if isinstance(function, dict):
            yield from _call(str(function.get("name", "")), function.get("arguments"))


def _call(name: str, arguments: object) -> Iterator[str]:
    """A call of a tool as ``name: key value, key value``."""
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError):
            arguments = json.loads(arguments)
    words = ", ".join(_flat(arguments))
    yield f"{name}: {words}" if words else name


def _flat(value: object, depth: int = 0) -> Iterator[str]:
    if isinstance(value, dict) and depth < _DEEPEST:
        for name, inner in value.items():
            yield " ".join((str(name), *_flat(inner, depth + 1)))
    elif isinstance(value, list) and depth < _DEEPEST:
        for inner in value:
            yield from _flat(inner, depth + 1)
    elif value is not None:
        yield str(value)


def _rows(raw: bytes) -> Iterator[Fields]:
    try:
        for header, rows in sections(decode((raw,))):
            for row in rows:
                if header.table == _MESSAGES:
                    yield dict(zip(header.columns, row, strict=True))
    except RowFormatError:
        yield _unreadable(raw)


def _lines(raw: bytes) -> Iterator[Fields]:
    for line in raw.split(b"\n"):
        if not line.strip():
            continue
        try:
            value = _decoded(line)
        except ValueError:
            yield _unreadable(line)
            continue
        inner = value.get("message", value) if isinstance(value, dict) else None
        if isinstance(inner, dict) and "role" in inner:
            yield inner


def _document(raw: bytes) -> Iterator[Fields]:
    try:
        value = _decoded(raw)
    except ValueError:
        yield _unreadable(raw)
        return
    yield from _listed(value)


def _listed(value: object, depth: int = 0) -> Iterator[Fields]:
    """The objects in every list that is called ``messages``: a dump has it two levels down."""
    if not isinstance(value, dict) or depth >= _DEEPEST:
        return
    for name, inner in value.items():
        if name == _MESSAGES and isinstance(inner, list):
            yield from (one for one in inner if isinstance(one, dict))
        else:
            yield from _listed(inner, depth + 1)


def _decoded(raw: bytes) -> object:
    """What the JSON says. Raises ``ValueError`` when it is none."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError):
        pass
    try:
        value: object = json.loads(raw)  # knows NaN and lone surrogates
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def _unreadable(raw: bytes) -> Fields:
    return {"role": "", "content": raw.decode("utf-8", "replace")}


def whole(pieces: Iterable[bytes]) -> bytes:
    """The pieces of an artifact as one. Memory: the artifact."""
    return b"".join(pieces)
