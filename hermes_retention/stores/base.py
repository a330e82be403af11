"""The port to a host's session storage. What a layout looks like is said in the adapters beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from hermes_retention.model import Session, Unknown


class Scan(msgspec.Struct, frozen=True):
    """What a store holds at one moment. Sessions are sorted by id, each at most once."""

    sessions: tuple[Session, ...]
    unknown: tuple[Unknown, ...] = ()
    other_bytes: int = 0
    """Allocated bytes of known files that belong to no session (the index, the host's temporary files)."""
    warnings: tuple[str, ...] = ()


class SessionMetadata(msgspec.Struct, frozen=True):
    """What a listing of the archive shows of a session. Times are Unix seconds. No message text."""

    source: str | None = None
    title: str | None = None
    model: str | None = None
    user_id: str | None = None
    route_key: str | None = None
    parent_id: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    end_reason: str | None = None
    message_count: int | None = None


class Store(Protocol):
    """A host's session storage below one home. Implementations only read, but for what their docs name."""

    name: str
    """What ``--store`` calls it."""

    @property
    def home(self) -> Path:
        """The home, resolved."""

    @property
    def files_directory(self) -> Path:
        """Where the files of sessions lie. It may not exist yet."""

    def scan(self, *, now: float) -> Scan:
        """Read names, sizes, times, rows and routes; never the contents of session files.

        Raises ``StoreUnreadable`` when liveness cannot be read; then nothing may be removed.
        """

    def metadata(self, session_ids: Sequence[str]) -> dict[str, SessionMetadata]:
        """What is known of these sessions; ids without a record are missing from the answer."""

    def host_warnings(self) -> list[str]:
        """Settings of the host that work against retention, each with its cure, one line each."""
