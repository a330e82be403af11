"""Archived sessions: as a table of many, and one with everything that the archive has of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hermes_retention.actions.inspect.lookup import ArchiveEntry, Copies
from hermes_retention.archive.entries import ArchivedArtifact
from hermes_retention.cli.output.page import Column, Fit, Page, Style, Table
from hermes_retention.cli.output.words import KINDS, files_counted
from hermes_retention.model.session import ROW_KINDS
from hermes_retention.model.text import counted, format_size, format_time, minute
from hermes_retention.stores.base import SessionMetadata


def show_entries(page: Page, entries: Sequence[ArchiveEntry]) -> None:
    """One line for each session."""
    if not entries:
        page.line("The archive has no such session.")
        return
    columns = (
        Column("session", fit=Fit.NAME),
        Column("class"),
        Column("last activity"),
        Column("size", right=True),
        Column("stored", right=True),
        Column("title", fit=Fit.WORDS),
    )
    rows = [
        (
            entry.session_id,
            entry.session_class.value,
            minute(entry.last_activity),
            format_size(entry.size_bytes),
            format_size(entry.stored_bytes),
            entry.title or "",
        )
        for entry in entries
    ]
    page.table(Table(columns, rows))
    size, stored = sum(entry.size_bytes for entry in entries), sum(entry.stored_bytes for entry in entries)
    page.line(f"{counted(len(entries), 'session')}, {_stored(size, stored)}")


def entry_object(entry: ArchiveEntry) -> dict[str, Any]:
    """A line of the listing as data."""
    return {
        "session_id": entry.session_id,
        "class": entry.session_class.value,
        "title": entry.title,
        "last_activity": entry.last_activity,
        "size": entry.size_bytes,
        "stored": entry.stored_bytes,
        "partitions": list(entry.partitions),
    }


def show_copies(page: Page, session_id: str, copies: Sequence[Copies]) -> None:
    """A session with what is known of it and every artifact that the archive has."""
    newest = copies[-1]
    page.line(f"{session_id} ({newest.session_class})", Style.TITLE)
    for line in metadata_lines(newest.metadata):
        page.line(f"  {line}")
    page.line(f"  last activity: {format_time(newest.last_activity)}")
    show_artifacts(page, copies)


def show_artifacts(page: Page, copies: Sequence[Copies]) -> None:
    """What is archived of a session, where it is and since when."""
    artifacts = [artifact for one in copies for artifact in one.artifacts]
    columns = (
        Column("what", fit=Fit.NAME),
        Column("size", right=True),
        Column("changed"),
        Column("archived"),
        Column("partition"),
    )
    rows = [
        (
            _what(artifact),
            format_size(artifact.size_bytes),
            minute(artifact.mtime_ns / 1e9),
            minute(artifact.archived_at),
            artifact.partition,
        )
        for artifact in artifacts
    ]
    page.table(Table(columns, rows))
    size, stored = sum(one.size_bytes for one in copies), sum(one.stored_bytes for one in copies)
    page.line(f"  {_contents(artifacts)}, {_stored(size, stored)}")


def _what(artifact: ArchivedArtifact) -> str:
    """A file by its name; rows have none that says anything to a person."""
    return KINDS[artifact.kind] if artifact.kind in ROW_KINDS else artifact.name


def _contents(artifacts: Sequence[ArchivedArtifact]) -> str:
    parts = sum(artifact.kind in ROW_KINDS for artifact in artifacts)
    files = files_counted(artifact.kind for artifact in artifacts if artifact.kind not in ROW_KINDS)
    numbers = [files or "0 files"] if files or not parts else []
    if parts:
        numbers.append(counted(parts, "part of the database", "parts of the database"))
    return " and ".join(numbers)


def _stored(size: int, stored: int) -> str:
    """What sessions take by themselves is little: most of their text lies in a dictionary that they share."""
    return f"{format_size(size)} stored in {format_size(stored)}, shared dictionaries not counted"


def metadata_lines(metadata: SessionMetadata) -> list[str]:
    """What the host's record says, one fact a line; unknown facts are left out."""
    facts: list[tuple[str, object]] = [
        ("title", metadata.title),
        ("source", metadata.source),
        ("model", metadata.model),
        ("user", metadata.user_id),
        ("route", metadata.route_key),
        ("parent", metadata.parent_id),
        ("messages", metadata.message_count),
        ("started", None if metadata.started_at is None else format_time(metadata.started_at)),
        ("ended", _ended(metadata)),
    ]
    return [f"{name}: {value}" for name, value in facts if value not in (None, "")]


def _ended(metadata: SessionMetadata) -> str | None:
    if metadata.ended_at is None:
        return None
    return f"{format_time(metadata.ended_at)} ({metadata.end_reason or 'no reason'})"
