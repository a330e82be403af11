"""How work ends before it is done: every error that a person can meet, and being told to stop.

An error names its object, cause, consequence and cure.
What must not live here: tracebacks, transcript text, and decisions about what to do next.
"""

from __future__ import annotations

import contextlib
import enum
import errno
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from hermes_retention.model.text import printable, printable_lines, words

if TYPE_CHECKING:
    import sqlite3  # loaded where it is needed: every start of the program loads this module

Stop: TypeAlias = Callable[[], bool]
"""Whether work should end at its next safe place. Once it says so it says so for ever: what comes later
relies on it that what came before may have been left out."""


def never() -> bool:
    """Work goes on to its end."""
    return False


class ExitCode(enum.IntEnum):
    """What the process tells its caller; documented in ``docs/reference/exit-codes.md``."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    BUSY = 3
    STORE_UNREADABLE = 4
    VAULT_DAMAGED = 5


class RetentionError(Exception):
    """Base of all errors of this project.

    ``what`` is the object, ``why`` the cause, ``consequence`` the state after the failure, ``cure`` what a
    person can do about it. ``str()`` joins them into the one line that people see, and escapes what a
    terminal would obey.
    """

    exit_code = ExitCode.SOME_FAILED

    def __init__(self, what: str, why: str, *, consequence: str = "", cure: str = "") -> None:
        self.what, self.why, self.consequence, self.cure = what, why, consequence, cure
        super().__init__(what, why, consequence, cure)

    def __str__(self) -> str:
        return printable(self._sentence())

    def _sentence(self) -> str:
        text = f"{self.what}: {self.why}"
        if self.consequence:
            text += f"; {self.consequence}"
        return f"{text}. {self.cure}" if self.cure else text


class UsageError(RetentionError):
    """The command line asks for something that does not exist or makes no sense."""

    exit_code = ExitCode.USAGE


class SettingsError(RetentionError):
    """A setting has a wrong name or a wrong value. Nothing was read or changed. One line for each of them."""

    exit_code = ExitCode.USAGE

    def __str__(self) -> str:
        return printable_lines(self._sentence())


class UnsupportedPlatform(RetentionError):
    """The operating system lacks what safe removal needs. Nothing was touched."""

    exit_code = ExitCode.USAGE


class SweepRunning(RetentionError):
    """Another process holds the sweep lock of this home. Nothing was changed."""

    exit_code = ExitCode.BUSY


class StoreUnreadable(RetentionError):
    """Liveness cannot be read, so nothing in the store was removed."""

    exit_code = ExitCode.STORE_UNREADABLE


class VaultDamaged(RetentionError):
    """A partition of the vault cannot be read as what it should be."""

    exit_code = ExitCode.VAULT_DAMAGED


class FrameCorrupt(VaultDamaged):
    """One archived artifact does not read back as what was archived; others are not affected."""


class VaultUnwritable(RetentionError):
    """The vault could not take a batch. Its transaction was rolled back and the files were kept."""


class LedgerUnusable(RetentionError):
    """The ledger cannot be read or written. No session depends on it; what was to be noted is not."""


class LedgerFull(LedgerUnusable):
    """The disk has no room for a note in the ledger."""


class LedgerDamaged(LedgerUnusable):
    """The ledger is no database any more, or not that of a ledger. It was not touched."""


class ArtifactChanged(RetentionError):
    """A file changed or vanished between scan and removal. It was kept."""


class ArtifactVanished(ArtifactChanged):
    """A file is not there any more: somebody else removed it."""


class ArtifactUnreadable(RetentionError):
    """A file could not be read. It was kept."""


class RestoreConflict(RetentionError):
    """Something else already has the name that a restored file needs. Nothing was overwritten."""


class SessionGone(RetentionError):
    """The session of an archived copy is nowhere any more, so the copy has no place to go back to."""


class DatabaseInUse(RetentionError):
    """Somebody has the host's database open, or wrote to it meanwhile. It was not changed."""

    exit_code = ExitCode.BUSY


class CompactionRefused(RetentionError):
    """The host's database cannot be compacted safely here. It was not changed."""


class CompactionFailed(RetentionError):
    """Compacting the host's database broke off. The database is complete under its name."""


_STATE = (
    "nothing leaves the store before its archived copy is verified, and the next sweep completes the rest"
)
_SPACE = "Free some space on the disk, then run it again."
_OWNER = "Run as the user who owns the home."
_CURES = {errno.ENOSPC: _SPACE, errno.EDQUOT: _SPACE, errno.EACCES: _OWNER, errno.EPERM: _OWNER}


def refusal(error: OSError | sqlite3.Error) -> RetentionError:
    """What the system or SQLite refused, where no module had better words for it."""
    import sqlite3

    cure = "With -v you see where it happened."
    if isinstance(error, sqlite3.Error):
        full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
        said = str(error).lower()
        return RetentionError("a database", said, consequence=_STATE, cure=_SPACE if full else cure)
    what = str(error.filename) if error.filename is not None else "the operating system"
    said = words(error)
    return RetentionError(what, said, consequence=_STATE, cure=_CURES.get(error.errno or 0, cure))


@contextlib.contextmanager
def refusals_told() -> Iterator[None]:
    """Raise what the system or SQLite refuses in the block as ``RetentionError``.

    A reader of our output that is gone is no refusal: whoever prints meets it.
    """
    import sqlite3

    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, sqlite3.Error) as error:
        raise refusal(error) from error
