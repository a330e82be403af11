"""Holds: the sessions that a person wants kept, in a file of their own.

Not in the ledger, because the ledger may be damaged and rebuilt, and a hold must survive that; a small JSON
file can also be read, mended and backed up by hand. A hold file that cannot be read stops every removal.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from hermes_retention.disk import writing
from hermes_retention.model.errors import RetentionError, StoreUnreadable
from hermes_retention.model.text import words


class Hold(msgspec.Struct, frozen=True):
    """Why a session is held, and since when (Unix seconds)."""

    reason: str
    since: float


class Holds:
    """``<home>/retention/holds.json``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, Hold]:
        """Session id → hold. Raises ``StoreUnreadable`` when the file is there but cannot be read."""
        try:
            content = writing.read_private_file(self._path)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unreadable(words(error)) from error
        try:
            return msgspec.json.decode(content, type=dict[str, Hold])
        except msgspec.DecodeError as error:
            raise self._unreadable(f"it is not the JSON that it should be ({error})") from error

    def reasons(self) -> dict[str, str]:
        """Session id → reason, as decisions need it."""
        return {session_id: hold.reason for session_id, hold in self.load().items()}

    def add(self, session_id: str, hold: Hold) -> None:
        """Hold a session, or change the reason. Durable when this returns."""
        self._save({**self.load(), session_id: hold})

    def remove(self, session_id: str) -> bool:
        """Let go of a session; ``False`` when it was not held."""
        holds = self.load()
        if holds.pop(session_id, None) is None:
            return False
        self._save(holds)
        return True

    def _save(self, holds: dict[str, Hold]) -> None:
        content = msgspec.json.format(msgspec.json.encode(holds, order="sorted"), indent=2)
        try:
            writing.replace_private_file(self._path, content + b"\n")
        except OSError as error:
            raise RetentionError(
                str(self._path),
                f"it cannot be written ({words(error)})",
                consequence="all holds are as they were",
                cure="Run as the user who owns the home, and check that the disk is not full or read-only.",
            ) from error

    def _unreadable(self, why: str) -> StoreUnreadable:
        return StoreUnreadable(
            str(self._path),
            why,
            consequence="nobody can tell which sessions are held, so nothing was removed",
            cure="Mend the file, put it back from a backup, or delete it to give up all holds.",
        )
