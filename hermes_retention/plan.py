"""What the policy says: verdicts with their reasons, in the order in which they are carried out.

A plan is plain data. It neither knows how it was decided nor how it will be executed.
"""

from __future__ import annotations

import enum
import hashlib

import msgspec

from hermes_retention.model import Artifact, SessionClass


class Liveness(enum.StrEnum):
    """Whether somebody may still be using a session."""

    LIVE = "live"
    SUPERSEDED = "superseded"
    ENDED = "ended"
    STALE = "stale"
    ORPHAN = "orphan"
    ARCHIVED = "archived"
    """It is in the vault; nothing of it that a verdict concerns is left in the store."""


class Verdict(enum.StrEnum):
    """What happens to a session in this sweep."""

    KEEP = "keep"
    ARCHIVE_FILES = "archive_files"
    DELETE_FILES = "delete_files"
    EXPIRE_ARCHIVE = "expire_archive"


class Rule(enum.StrEnum):
    """What made a verdict. The values are stable: the ledger and people's scripts hold them.

    ``docs/explanation/lifecycle.md`` explains each of them; a test compares the two lists.
    """

    # Guards: the session is live.
    HELD = "held"
    BUSY = "busy"
    TIME_UNKNOWN = "time_unknown"
    MIN_AGE = "min_age"
    ROUTED = "routed"
    RUNNING = "running"
    LINEAGE = "lineage"
    # Wishes: it is over, and somebody wants it kept all the same.
    RESTORED = "restored"
    KEEP_LAST = "keep_last"
    KEEP_FAILED = "keep_failed"
    NEVER = "never"
    # Lifecycle: it is over, and due now or later.
    FILES_AFTER = "files_after"
    ON_RESET = "on_reset"
    PERSIST = "persist"
    DUMPS_AFTER = "dumps_after"
    ARCHIVE_AFTER = "archive_after"
    # Budget: it was not due yet.
    MAX_DISK = "max_disk"
    KEEP_FREE = "keep_free"
    # Not the policy's: a person removed an archived copy.
    DISCARDED = "discarded"
    # Nothing to decide.
    NO_FILES = "no_files"


class Step(msgspec.Struct, frozen=True, gc=False):
    """A verdict about one session, with the rule that made it and the reason in words."""

    session_id: str
    session_class: SessionClass
    liveness: Liveness
    verdict: Verdict
    rule: Rule
    reason: str
    artifacts: tuple[Artifact, ...] = ()
    """The files that the verdict concerns; empty for ``keep`` and ``expire_archive``."""
    bytes: int = 0
    """Allocated bytes of these files, of the whole session for ``keep``, of the archived copy for expiry."""
    last_activity: float = 0.0
    """Unix time of the session's last activity, at most that of the plan; 0.0 for ``expire_archive``.

    It names the partition that the session goes to.
    """
    partition: str | None = None
    """The partition of the vault that expiry concerns."""


class Plan(msgspec.Struct, frozen=True):
    """All verdicts about one home at one time, in order of execution; kept sessions come last."""

    home: str
    now: float
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()

    def removals(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.verdict is not Verdict.KEEP)

    def fingerprint(self) -> str:
        """sha256 of the plan: equal inventory, policy and time give an equal fingerprint."""
        # repr() and not JSON: file names may hold bytes that are not UTF-8, which JSON cannot carry. Piece by
        # piece: the text of a whole plan takes ten times the memory of the plan.
        digest = hashlib.sha256()
        for piece in (self.home, self.now, self.warnings, *self.steps):
            digest.update(f"{piece!r}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
