"""What the policy says: steps with their reasons, in the order in which they are carried out.

A plan is plain data. It neither knows how it was decided nor how it will be executed.
"""

from __future__ import annotations

import enum
import hashlib
from typing import NamedTuple

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
    """It is in the vault; nothing of it that a step concerns is left in the store."""


class Tier(enum.StrEnum):
    """A part of a session that leaves the store by itself, in the order in which they go."""

    FILES = "files"
    TOOL_OUTPUT = "tool_output"
    MESSAGES = "messages"
    RECORD = "record"
    """The record and everything that is left of the session in the database."""

    @property
    def words(self) -> str:
        """The part, for people."""
        return self.value.replace("_", " ")


class Action(enum.StrEnum):
    """What happens to a session, to a part of it, or to an archived copy, in this sweep."""

    KEEP = "keep"
    ARCHIVE = "archive"
    DELETE = "delete"
    EXPIRE = "expire"
    """An archived copy is dropped."""


VERDICTS: dict[tuple[Action, Tier | None], str] = {
    (Action.KEEP, None): "keep",
    (Action.ARCHIVE, Tier.FILES): "archive_files",
    (Action.DELETE, Tier.FILES): "delete_files",
    (Action.ARCHIVE, Tier.TOOL_OUTPUT): "archive_tool_output",
    (Action.ARCHIVE, Tier.MESSAGES): "archive_messages",
    (Action.DELETE, Tier.MESSAGES): "delete_messages",
    (Action.ARCHIVE, Tier.RECORD): "archive_record",
    (Action.DELETE, Tier.RECORD): "delete_record",
    (Action.EXPIRE, None): "expire_archive",
}
"""Every action on every tier that there is, as the ledger, JSON and metrics call it. The words are stable."""


class Setting(NamedTuple):
    """The setting behind a rule."""

    name: str
    of_class: bool = True
    """Whether each class of sessions has its own."""

    def path(self, session_class: SessionClass) -> tuple[str, ...]:
        """Where it stands among the settings, for sessions of this class."""
        return (session_class.value, self.name) if self.of_class else (self.name,)


class Rule(enum.StrEnum):
    """What made a step. The values are stable: the ledger and people's scripts hold them.

    ``docs/explanation/lifecycle.md`` explains each of them; a test compares the two lists.
    """

    # Guards: the session is live.
    HELD = "held"
    PINNED = "pinned"
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

    @property
    def setting(self) -> Setting | None:
        """The setting behind it; ``None`` when there is none."""
        return _SETTINGS.get(self)


_SETTINGS = {
    Rule.MIN_AGE: Setting("min_age", of_class=False),
    Rule.RUNNING: Setting("idle_after"),
    Rule.KEEP_LAST: Setting("keep_last"),
    Rule.KEEP_FAILED: Setting("keep_failed"),
    Rule.FILES_AFTER: Setting("files_after"),
    Rule.ON_RESET: Setting("on_reset", of_class=False),
    Rule.PERSIST: Setting("persist"),
    Rule.DUMPS_AFTER: Setting("dumps_after", of_class=False),
    Rule.LEFTOVERS_AFTER: Setting("leftovers_after", of_class=False),
    Rule.TOOL_OUTPUT_AFTER: Setting("tool_output_after"),
    Rule.MESSAGES_AFTER: Setting("messages_after"),
    Rule.RECORD_AFTER: Setting("record_after"),
    Rule.ARCHIVE_AFTER: Setting("archive_after"),
    Rule.MAX_SESSIONS: Setting("max_sessions", of_class=False),
    Rule.MAX_DISK: Setting("max_disk", of_class=False),
    Rule.KEEP_FREE: Setting("keep_free", of_class=False),
}
GUARDS = frozenset(
    {
        Rule.HELD,
        Rule.PINNED,
        Rule.BUSY,
        Rule.TIME_UNKNOWN,
        Rule.MIN_AGE,
        Rule.ROUTED,
        Rule.RUNNING,
        Rule.LINEAGE,
    }
)
"""What makes a session live."""
KEEPING = GUARDS | {
    Rule.CLOCK,
    Rule.RESTORED,
    Rule.KEEP_LAST,
    Rule.KEEP_FAILED,
    Rule.NEVER,
    Rule.NOTHING_LEFT,
}
"""What keeps a session; every other rule lets a part of it go."""
ARCHIVED_SHARE = 0.2
"""Of what a file takes, the part that its archived copy is assumed to take. Measured copies take 1/30;
the plan must not promise more than a vault without a shared dictionary can keep (1/4 to 1/3 of real files,
which the file system rounds up to whole blocks)."""


class Step(msgspec.Struct, frozen=True, gc=False):
    """What happens to one session, with the rule that made it and the reason in words.

    A session has one step for each part of it that goes, or a single one that keeps all of it; expiry of its
    archived copies comes on top.
    """

    session_id: str
    session_class: SessionClass
    liveness: Liveness
    action: Action
    tier: Tier | None
    """The part that leaves the store; ``None`` when none does."""
    rule: Rule
    reason: str
    artifacts: tuple[Artifact, ...] = ()
    """The files that leave; empty for every other step."""
    bytes: int = 0
    """Allocated bytes of these files, of all its files for ``keep``, of the archived copy for expiry; for
    messages and records an estimate of what they take in the database; for tool output 0 until somebody has
    looked."""
    last_activity: float = 0.0
    """Unix time of the session's last activity, at most that of the plan; 0.0 for expiry.

    It names the partition that the session goes to.
    """
    partition: str | None = None
    """The partition of the vault that expiry concerns."""
    seen: Session | None = None
    """The session as the scan saw it, for steps about rows: whoever carries them out compares."""
    due_by: SessionClass | None = None
    """The class whose setting counts instead of its own: that of the session whose record it goes with."""

    @property
    def verdict(self) -> str:
        """Action and tier in one word: ``keep``, ``archive_files``, ``expire_archive``."""
        return VERDICTS[self.action, self.tier]

    @property
    def takes_rows(self) -> bool:
        """Whether rows leave the host's database."""
        return self.tier is not None and self.tier is not Tier.FILES

    @property
    def expected_gain(self) -> int:
        """Bytes by which it is expected to lessen what counts against ``max_disk``.

        What it gives back to the file system is the same for files and archived copies, and nothing for rows.
        Their archived copies take a little there: that is not counted. It would be a share of an estimate,
        and no session shall lose its files early for that; the next sweep sees what is free.
        """
        if self.action is Action.KEEP or self.tier is Tier.TOOL_OUTPUT:
            return 0
        return int(self.bytes * (1 - ARCHIVED_SHARE)) if self.action is Action.ARCHIVE else self.bytes


class Plan(msgspec.Struct, frozen=True):
    """All that happens to one home at one time, in order of execution; kept sessions come last."""

    home: str
    now: float
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()

    def removals(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.action is not Action.KEEP)

    def fingerprint(self) -> str:
        """sha256 of the plan: equal inventory, policy and time give an equal fingerprint."""
        # repr() and not JSON: file names may hold bytes that are not UTF-8, which JSON cannot carry. Piece by
        # piece: the text of a whole plan takes ten times the memory of the plan.
        digest = hashlib.sha256()
        for piece in (self.home, self.now, self.warnings, *self.steps):
            digest.update(f"{piece!r}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
