"""An archived conversation in a form for people or programs: JSON, lines of JSON, Markdown.

The original files, byte for byte, are written by ``restore.export_sessions``. What must not live here: output
to a terminal, and questions.
"""

from __future__ import annotations

import base64
import enum
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from hermes_retention.actions.inspect.lookup import Copies, archived_copies
from hermes_retention.actions.inspect.search.messages import Fields, fields_in, message_of, whole
from hermes_retention.actions.restore.place import in_order_of_sweeps, open_target
from hermes_retention.archive.entries import ArchivedArtifact, describe
from hermes_retention.archive.vault import VaultReader
from hermes_retention.disk.directories import Directory
from hermes_retention.disk.originals import place_file
from hermes_retention.home.home import Home
from hermes_retention.model.errors import RestoreConflict, RetentionError, UsageError
from hermes_retention.model.session import ArtifactKind
from hermes_retention.model.text import format_time, printable, safe_name, words
from hermes_retention.stores.rows import MARKER, ArchivedRows

_SOURCES = (
    ArtifactKind.MESSAGES,
    ArtifactKind.SNAPSHOT,
    ArtifactKind.TRANSCRIPT,
    ArtifactKind.REQUEST_DUMP,
    ArtifactKind.TOOL_OUTPUT,
)
"""Where a conversation is read from: the first of these that the vault has."""
_ROWS = frozenset({ArtifactKind.MESSAGES, ArtifactKind.TOOL_OUTPUT})
_FENCE = "```"


class Form(enum.StrEnum):
    """How an archived session is written."""

    ORIGINAL = "original"
    JSON = "json"
    JSONL = "jsonl"
    MARKDOWN = "markdown"


_SUFFIX = {Form.JSON: ".json", Form.JSONL: ".jsonl", Form.MARKDOWN: ".md"}


class Exported(msgspec.Struct, frozen=True):
    """What became of one session: the file that was written, or why not."""

    session_id: str
    name: str
    error: RetentionError | None = None


def export_as(home: Home, session_ids: Sequence[str], form: Form, directory: Path) -> list[Exported]:
    """Write each session into a file of its own in ``directory``, made if missing. Nothing is overwritten.

    Raises ``UsageError`` when files cannot be written there at all.
    """
    with open_target(directory) as target:
        exported = [_export(home, session_id, form, target) for session_id in session_ids]
        target.sync()
    return exported


def _export(home: Home, session_id: str, form: Form, target: Directory) -> Exported:
    name = f"{safe_name(session_id)}{_SUFFIX[form]}"
    try:
        copies = _copies(home, session_id)
        mtime_ns = max(0, round(copies[-1].last_activity * 1e9))
        place_file(target, name, written(home, copies, session_id, form), mode=0o600, mtime_ns=mtime_ns)
    except RetentionError as error:
        return Exported(session_id, name, error)
    except OSError as error:
        why = words(error)
        return Exported(session_id, name, RestoreConflict(name, why, consequence="it was not written"))
    return Exported(session_id, name)


def export_text(home: Home, session_id: str, form: Form) -> Iterator[bytes]:
    """The session in that form, piece by piece. Raises ``UsageError``, ``VaultDamaged``."""
    return written(home, _copies(home, session_id), session_id, form)


def _copies(home: Home, session_id: str) -> list[Copies]:
    copies, damages = archived_copies(home, session_id)
    if not copies:
        raise (
            damages[0] if damages else UsageError(f"session {session_id}", "the archive has no copy of it")
        )
    return copies


def written(home: Home, copies: Sequence[Copies], session_id: str, form: Form) -> Iterator[bytes]:
    """What the vault has of a session in that form. Raises ``VaultDamaged`` for a damaged copy."""
    with home.workspace.vault.reader() as reader:
        messages = _messages(home, reader, [artifact for one in copies for artifact in one.artifacts])
        if form is Form.MARKDOWN:
            yield from _markdown(session_id, copies[-1], messages)
        elif form is Form.JSONL:
            yield from (_encoded(message) + b"\n" for message in messages)
        else:
            yield from _json(session_id, copies, messages)


def _messages(home: Home, reader: VaultReader, artifacts: Sequence[ArchivedArtifact]) -> Iterator[Fields]:
    """The messages of the best source, with the output of tools in the place of its markers."""
    kinds = {artifact.kind for artifact in artifacts}
    kind = next((one for one in _SOURCES if one in kinds), None)
    if kind is None:
        return
    if kind not in _ROWS:
        newest = [artifact for artifact in artifacts if artifact.kind is kind][-1]
        yield from fields_in(kind, whole(reader.read(newest)))
        return
    bodies = {
        fields.get("id"): fields.get("content")
        for fields in _rows(home, reader, artifacts, ArtifactKind.TOOL_OUTPUT)
    }
    for fields in _rows(home, reader, artifacts, kind):
        content = fields.get("content")
        if isinstance(content, str) and content.startswith(MARKER) and fields.get("id") in bodies:
            yield {**fields, "content": bodies[fields.get("id")]}
        else:
            yield fields


def _rows(
    home: Home, reader: VaultReader, artifacts: Sequence[ArchivedArtifact], kind: ArtifactKind
) -> Iterator[Fields]:
    same = [artifact for artifact in in_order_of_sweeps(home, artifacts) if artifact.kind is kind]
    versions = [ArchivedRows(kind, partial(reader.read, artifact)) for artifact in same]
    if versions:
        yield from fields_in(kind, whole(home.store.joined_rows(versions)))


def _json(session_id: str, copies: Sequence[Copies], messages: Iterator[Fields]) -> Iterator[bytes]:
    newest = copies[-1]
    head = {
        "format": 1,
        "session_id": session_id,
        "class": newest.session_class.value,
        "last_activity": newest.last_activity,
        **msgspec.structs.asdict(newest.metadata),
        "artifacts": [describe(artifact) for one in copies for artifact in one.artifacts],
    }
    yield _encoded(head)[:-1] + b', "messages": ['
    for number, message in enumerate(messages):
        yield (b",\n" if number else b"\n") + _encoded(message)
    yield b"\n]}\n"


def _markdown(session_id: str, newest: Copies, messages: Iterator[Fields]) -> Iterator[bytes]:
    known = newest.metadata
    facts = [
        ("session", session_id),
        ("class", newest.session_class.value),
        ("source", known.source),
        ("user", known.user_id),
        ("model", known.model),
        ("last activity", format_time(newest.last_activity)),
    ]
    yield _utf8(f"# {printable(known.title or session_id)}\n\n")
    yield _utf8("".join(f"- {name}: {printable(str(value))}\n" for name, value in facts if value))
    for fields in messages:
        message = message_of(fields)
        who = f"{message.role or 'text'} ({message.tool})" if message.tool else message.role or "text"
        when = "" if message.at is None else f", {format_time(message.at)}"
        yield _utf8(f"\n## {printable(who)}{when}\n\n{_shown(message.role, message.text)}\n")


def _shown(role: str, text: str) -> str:
    """What people and the model wrote as it is; what tools and the system wrote as code."""
    if role in ("user", "assistant"):
        return text
    fence = _FENCE
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"


def _encoded(fields: Fields) -> bytes:
    return _utf8(json.dumps(fields, ensure_ascii=False, default=_plain))


def _plain(value: object) -> str:
    """Bytes of a row as base64, as in the archive; nothing else is no JSON there."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # of a stray byte, what JSON too takes for an escape
