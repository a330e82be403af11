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


class Step(msgspec.Struct, frozen=True, gc=False):
    """A verdict about one session, with the rule that made it and the reason in words."""

    session_id: str
    session_class: SessionClass
    liveness: Liveness
    verdict: Verdict
    rule: str
    reason: str
    artifacts: tuple[Artifact, ...] = ()
    """The files that the verdict concerns; empty for ``keep`` and ``expire_archive``."""
    bytes: int = 0
    """Allocated bytes of these files, of the whole session for ``keep``, of the archived copy for expiry."""
    last_activity: float = 0.0
    """Unix time of the session's last activity; names the partition that it goes to."""
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
        # repr() and not JSON: file names may hold bytes that are not UTF-8, which JSON cannot carry.
        return hashlib.sha256(repr(self).encode("utf-8", "surrogatepass")).hexdigest()
