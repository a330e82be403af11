"""What the archive has of a session: files by name, rows by what they are."""

from __future__ import annotations

import io
import re

import pytest

from hermes_retention.actions.inspect.lookup import Copies
from hermes_retention.archive.entries import ArchivedArtifact
from hermes_retention.cli.commands.archive import show_artifacts
from hermes_retention.cli.output.page import PlainPage
from hermes_retention.model.session import ArtifactKind, SessionClass
from hermes_retention.stores.base import SessionMetadata


def artifact(kind: ArtifactKind, name: str) -> ArchivedArtifact:
    return ArchivedArtifact(1, "a", kind, name, 4096, 0, 0o600, b"", None, 0.0, "20261120-110000", "2026-10")


SNAPSHOT = artifact(ArtifactKind.SNAPSHOT, "session_a.json")
TOOL_OUTPUT = artifact(ArtifactKind.TOOL_OUTPUT, "rows")
MESSAGES = artifact(ArtifactKind.MESSAGES, "rows")


def shown(*artifacts: ArchivedArtifact, width: int | None = None) -> str:
    stream = io.StringIO()
    copies = Copies("2026-10", SessionClass.CHAT, 0.0, SessionMetadata(), artifacts, 100)
    show_artifacts(PlainPage(stream, width), [copies])
    return stream.getvalue()


def test_rows_are_named_by_their_kind() -> None:
    text = shown(SNAPSHOT, TOOL_OUTPUT, MESSAGES)
    assert re.findall(r"^  (\S.*?)  +4\.1 KB", text, re.MULTILINE) == [
        "session_a.json",
        "tool output",
        "messages",
    ]


@pytest.mark.parametrize(
    ("artifacts", "words"),
    [
        ((SNAPSHOT, TOOL_OUTPUT, MESSAGES), "1 file and 2 parts of the database, "),
        ((SNAPSHOT,), "1 file, "),
        ((MESSAGES,), "1 part of the database, "),
        ((), "0 files, "),
    ],
)
def test_files_and_rows_are_counted_apart(artifacts: tuple[ArchivedArtifact, ...], words: str) -> None:
    assert shown(*artifacts).splitlines()[-1].startswith(f"  {words}")


def test_table_fits_a_terminal_of_80_columns() -> None:
    assert max(map(len, shown(SNAPSHOT, TOOL_OUTPUT, width=80).splitlines()[:-1])) <= 80
