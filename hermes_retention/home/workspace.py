"""``<home>/retention``: where everything that this project writes below a home lies, and the lock over it.

    archive/     the vault, one SQLite file per month
    aside/       files between "archived" and "removed"; empty but while a sweep runs
    compact/     copies of the host's database while it is compacted; empty otherwise
    ledger.db    what the sweeps did
    holds.json   what a person wants kept
    sweep.lock   held by whoever changes anything

What must not live here: the host's own files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import filelock
import msgspec

from hermes_retention.archive.vault import Vault
from hermes_retention.disk import writing
from hermes_retention.disk.directories import Directory, allocated_bytes
from hermes_retention.home.ledger import Ledger
from hermes_retention.model.errors import RetentionError, StoreUnreadable, SweepRunning, refusals_told
from hermes_retention.model.text import words

_Answer = TypeVar("_Answer")
FOLDER = "retention"
ASIDE = (FOLDER, "aside")
"""Where files wait, part by part from the home."""
COMPACT = (FOLDER, "compact")
"""Where copies of the host's database lie while it is compacted."""


class Workspace:
    """The retention folder of one home. Making the object touches nothing."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / FOLDER
        self.vault = Vault(self.root / "archive")
        self.holds = Holds(self.root / "holds.json")
        self.ledger_path = self.root / "ledger.db"
        self._lock_path = self.root / "sweep.lock"

    def check(self) -> None:
        """Raise ``StoreUnreadable`` when the folder, or the vault in it, is a link or no directory."""
        for below in ((FOLDER,), (FOLDER, "archive"), ASIDE):
            try:
                Directory.open(self.home, *below).close()
            except FileNotFoundError:
                return
            except OSError as error:
                raise _unusable(self.home.joinpath(*below), error) from error

    def create(self) -> None:
        """Make the folder and what is in it, mode 0700. Raises ``RetentionError`` when that is impossible."""
        try:
            for part in ("archive", "aside"):
                Directory.create(self.home, FOLDER, part).close()
        except OSError as error:
            raise _unusable(self.root, error) from error

    def ledger(self) -> Ledger:
        """The opened ledger; made when it is missing. ``create`` comes first."""
        return Ledger.open(self.ledger_path)

    def ledger_if_any(self) -> Ledger | None:
        """The opened ledger, or ``None`` when this home has none yet. Makes nothing."""
        return Ledger.open(self.ledger_path) if self.ledger_path.exists() else None

    def ask_ledger(self, question: Callable[[Ledger], _Answer], otherwise: _Answer) -> _Answer:
        """What the ledger says; ``otherwise`` when this home has none yet. Makes nothing."""
        ledger = self.ledger_if_any()
        if ledger is None:
            return otherwise
        with ledger:
            return question(ledger)

    def allocated_bytes(self) -> int:
        """What the file system gives to everything in the folder but the vault."""
        return allocated_bytes(self.root, regular_only=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the one lock of this home. Raises ``SweepRunning`` at once when another process has it.

        The lock goes with the process that holds it: a killed sweep leaves none behind. What the system or
        SQLite refuses in the block is raised as ``RetentionError``.
        """
        self.create()
        lock = self._take_lock()
        try:
            with refusals_told():
                yield
        finally:
            lock.release()

    def is_in_use(self) -> bool | None:
        """Whether somebody changes this home just now; ``None`` where nobody ever has. Makes nothing.

        Raises ``RetentionError`` when the lock is a link, or lies behind one.
        """
        self.check()
        if not os.path.lexists(self._lock_path):
            return None
        try:
            self._take_lock().release()
        except SweepRunning:
            return True
        return False

    def _take_lock(self) -> filelock.BaseFileLock:
        """The one place that opens the lock: some versions of filelock follow a link and empty the target."""
        path = self._lock_path
        try:
            writing.make_private_file(path)  # refuses a link
            lock = filelock.FileLock(path, timeout=0, mode=0o600)
            lock.acquire()
        except filelock.Timeout as error:
            raise SweepRunning(
                str(self.home),
                "another process is sweeping, restoring or changing the archive of this home",
                consequence="nothing was changed",
                cure="Try again when it has finished.",
            ) from error
        except OSError as error:
            raise _unusable(path, error) from error
        return lock


def _unusable(path: Path, error: OSError) -> RetentionError:
    return RetentionError(
        str(path),
        f"it cannot be made or opened ({words(error)})",
        consequence="nothing was changed",
        cure="Run as the user who owns the home, and check that the disk is not full or read-only.",
    )


def free_bytes(home: Path) -> int | None:
    """What ordinary users may still write on the home's file system; ``None`` when it cannot be told."""
    try:
        status = os.statvfs(home)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


# -- holds: in a file of their own, not in the ledger -------------------------------------------------------
#
# The ledger may be damaged and rebuilt, and a hold must survive that; a small JSON file can also be read,
# mended and backed up by hand. A hold file that cannot be read stops every removal.


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
