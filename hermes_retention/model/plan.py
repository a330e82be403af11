"""What the policy says: verdicts with their reasons, in the order in which they are carried out.

A plan is plain data. It neither knows how it was decided nor how it will be executed.
"""

from __future__ import annotations

import enum
import hashlib

import msgspec

from hermes_retention.model.session import Artifact, Session, SessionClass


class Liveness(enum.StrEnum):
    """Whether somebody may still be using a session."""

    LIVE = "live"
    SUPERSEDED = "superseded"
    ENDED = "ended"
    STALE = "stale"
    ORPHAN = "orphan"
    ARCHIVED = "archived"
    """It is in the vault; nothing of it that a verdict concerns is left in the store."""


class Tier(enum.StrEnum):
    """A part of a session that leaves the store by itself, in the order in which they go."""

    FILES = "files"
    TOOL_OUTPUT = "tool_output"
    MESSAGES = "messages"
    RECORD = "record"


class Verdict(enum.StrEnum):
    """What happens to a session, or to a part of it, in this sweep."""

    KEEP = "keep"
    ARCHIVE_FILES = "archive_files"
    DELETE_FILES = "delete_files"
    ARCHIVE_TOOL_OUTPUT = "archive_tool_output"
    ARCHIVE_MESSAGES = "archive_messages"
    DELETE_MESSAGES = "delete_messages"
    ARCHIVE_RECORD = "archive_record"
    """The record and everything that is left of the session in the database."""
    DELETE_RECORD = "delete_record"
    EXPIRE_ARCHIVE = "expire_archive"

    @property
    def tier(self) -> Tier | None:
        """Which part goes; ``None`` when nothing leaves the store."""
        return _TIERS.get(self)


_TIERS = {
    Verdict.ARCHIVE_FILES: Tier.FILES,
    Verdict.DELETE_FILES: Tier.FILES,
    Verdict.ARCHIVE_TOOL_OUTPUT: Tier.TOOL_OUTPUT,
    Verdict.ARCHIVE_MESSAGES: Tier.MESSAGES,
    Verdict.DELETE_MESSAGES: Tier.MESSAGES,
    Verdict.ARCHIVE_RECORD: Tier.RECORD,
    Verdict.DELETE_RECORD: Tier.RECORD,
}


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
    CLOCK = "clock"
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
    LEFTOVERS_AFTER = "leftovers_after"
    TOOL_OUTPUT_AFTER = "tool_output_after"
    MESSAGES_AFTER = "messages_after"
    RECORD_AFTER = "record_after"
    ARCHIVE_AFTER = "archive_after"
    # Budget: it was not due yet.
    MAX_SESSIONS = "max_sessions"
    MAX_DISK = "max_disk"
    KEEP_FREE = "keep_free"
    # Not the policy's: a person removed an archived copy, or everything.
    DISCARDED = "discarded"
    FORGOTTEN = "forgotten"
    """A person wanted all of a session, or of a user, gone for good."""
    # Nothing to decide.
    NOTHING_LEFT = "nothing_left"


class Step(msgspec.Struct, frozen=True, gc=False):
    """A verdict about one session, with the rule that made it and the reason in words.

    A session has one step for each part of it that goes, or a single one that keeps all of it; expiry of its
    archived copies comes on top.
    """

    session_id: str
    session_class: SessionClass
    liveness: Liveness
    verdict: Verdict
    rule: Rule
    reason: str
    artifacts: tuple[Artifact, ...] = ()
    """The files that the verdict concerns; empty for every other verdict."""
    bytes: int = 0
    """Allocated bytes of these files, of all its files for ``keep``, of the archived copy for expiry; for
    messages and records an estimate of what they take in the database; for tool output 0 until somebody has
    looked."""
    last_activity: float = 0.0
    """Unix time of the session's last activity, at most that of the plan; 0.0 for ``expire_archive``.

    It names the partition that the session goes to.
    """
    partition: str | None = None
    """The partition of the vault that expiry concerns."""
    seen: Session | None = None
    """The session as the scan saw it, for verdicts about rows: whoever carries them out compares."""
    due_by: SessionClass | None = None
    """The class whose setting counts instead of its own: that of the session whose record it goes with."""


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
