"""What lies in a store: sessions, their artifacts, records and routes; and the inventory of a home.

Facts only: whether a session is live, due or wanted is said in ``policy``. Times are Unix seconds, sizes
bytes. The types are msgspec structs outside the garbage collector, because an inventory may hold a million of
them; they never refer back to one another.
"""

from __future__ import annotations

import enum

import msgspec


class SessionClass(enum.StrEnum):
    """What kind of work a session was; each class has a lifecycle of its own."""

    CHAT = "chat"
    CRON = "cron"
    SUBAGENT = "subagent"
    HOOK = "hook"
    API = "api"
    CLI = "cli"
    OTHER = "other"


ONE_SHOT = frozenset({SessionClass.HOOK, SessionClass.CRON})
"""Classes whose route is made for one run and can never be used again."""


class ArtifactKind(enum.StrEnum):
    """Which of the things that a session leaves on disk this one is: a file, or rows of a database."""

    SNAPSHOT = "snapshot"
    TRANSCRIPT = "transcript"
    REQUEST_DUMP = "request_dump"
    SIDECAR = "sidecar"
    """What the host writes beside a transcript, and of no use without it."""
    LEFTOVER = "leftover"
    """What the host itself set aside or left half written; it has an age of its own."""
    ENTRY = "entry"
    """What the host's index says of it, byte for byte, with its keys: no file of its own."""
    MESSAGES = "messages"
    """All its messages, with its record as it was then."""
    TOOL_OUTPUT = "tool_output"
    """The messages whose body gave way to a marker."""
    RECORD = "record"
    """Its record with everything that goes with it but its messages."""


ROW_KINDS = frozenset({ArtifactKind.MESSAGES, ArtifactKind.TOOL_OUTPUT, ArtifactKind.RECORD})
"""What is no file but rows, which go back into the database."""


class Lineage(enum.StrEnum):
    """How a session came out of its parent."""

    NONE = "none"
    COMPRESSION = "compression"
    DELEGATION = "delegation"
    BRANCH = "branch"


class Artifact(msgspec.Struct, frozen=True, gc=False):
    """A file of a session, as the directory listing described it."""

    kind: ArtifactKind
    name: str
    """File name without directory; bytes that are not UTF-8 are kept as surrogates (``os.fsdecode``)."""
    size_bytes: int
    allocated_bytes: int
    mtime_ns: int
    inode: int
    mode: int = 0o600
    """Permission bits."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """The row of a session in the host's database, reduced to what decisions need."""

    source: str
    started_at: float
    ended_at: float | None = None
    end_reason: str | None = None
    last_message_at: float | None = None
    parent_id: str | None = None
    lineage: Lineage = Lineage.NONE
    busy: str | None = None
    """Why the host is still at work on it (``compression lock``, ``hand-off pending`` …), else ``None``."""
    message_count: int = 0
    """As the host counts; it stays when messages go. Good for estimates only: inactive ones are left out."""

    @property
    def has_messages(self) -> bool:
        """Whether rows of messages are left."""
        return self.last_message_at is not None


class Route(msgspec.Struct, frozen=True, gc=False):
    """An index entry: messages with this key go to the session that holds this route."""

    key: str
    updated_at: float | None = None
    expired: bool = False
    """Whether the host itself says that the next message does not go on there."""
    leaves_along: bool = False
    """Whether it goes together with its session once that counts as over: in one entry, as one thing."""


class Session(msgspec.Struct, frozen=True, gc=False):
    """One conversation with everything that the store knows of it."""

    id: str
    session_class: SessionClass
    artifacts: tuple[Artifact, ...] = ()
    record: Record | None = None
    routes: tuple[Route, ...] = ()
    successor: str | None = None
    """Id of the session that took over its route, when the index shows one."""
    group: str | None = None
    """Cron job or route in which ``keep_last`` counts; ``None`` when it belongs to no such series."""
    failed: bool = False
    restored_at: float | None = None
    """When a person last put this session back from the vault."""
    tool_output_done: bool = False
    """Whether a sweep has looked through these very messages for tool output."""
    scope: str | None = None
    """Whose directory it lies in, where a home has several: ``max_sessions`` counts within one."""

    @property
    def last_activity(self) -> float:
        """The newest time that any source gives; 0.0 when nothing is known, and then it is kept."""
        newest = 0.0
        record = self.record
        if record is not None:
            newest = max(record.started_at, record.ended_at or 0.0, record.last_message_at or 0.0)
        # Comparisons and not max(): this runs once for each of perhaps a million sessions.
        for artifact in self.artifacts:
            changed = artifact.mtime_ns / 1e9
            if changed > newest:  # noqa: PLR1730 - see above
                newest = changed
        for route in self.routes:
            if route.updated_at is not None and route.updated_at > newest:
                newest = route.updated_at
        return newest

    @property
    def allocated_bytes(self) -> int:
        """Bytes that the file system gives to its files."""
        return sum(artifact.allocated_bytes for artifact in self.artifacts)


class ArchivedSession(msgspec.Struct, frozen=True, gc=False):
    """A session in the vault, as far as expiry needs it."""

    id: str
    session_class: SessionClass
    archived_at: float
    """When the newest of its artifacts was archived: expiry counts from here."""
    stored_bytes: int
    partition: str


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """A directory entry that no rule speaks of. It is always kept."""

    name: str
    why: str
    allocated_bytes: int = 0


class Usage(msgspec.Struct, frozen=True):
    """What the file system allocates, in bytes."""

    sessions_bytes: int
    vault_bytes: int = 0
    ledger_bytes: int = 0
    database_bytes: int = 0
    """Used pages of the host's database. Those that rows leave are used again: the file stays as large."""
    free_bytes: int | None = None
    """What is left on the home's file system for ordinary users; ``None`` when it cannot be read."""

    @property
    def total_bytes(self) -> int:
        """Everything that counts against the budget."""
        return self.sessions_bytes + self.vault_bytes + self.ledger_bytes + self.database_bytes


class ClockMemory(msgspec.Struct, frozen=True):
    """What earlier sweeps knew of the time, in Unix seconds."""

    last: float
    """What the clock said at the last sweep."""
    latest: float
    """The latest time that it ever said, as long as nobody knows whether that was wrong."""
    doubted_since: float | None = None
    """When it last jumped; ``None`` once it has run evenly since."""


class Inventory(msgspec.Struct, frozen=True):
    """Everything that decisions may depend on, taken at one moment. Sessions are sorted by id."""

    home: str
    sessions: tuple[Session, ...]
    usage: Usage
    archived: tuple[ArchivedSession, ...] = ()
    holds: dict[str, str] = {}
    """Session id → the reason that a person gave."""
    pins: dict[str, str] = {}
    """Session id → in words that a person pinned it in the host: to be kept, with what is linked to it."""
    marks: dict[str, str] = {}
    """Session id → what the host hides it for, in words. That keeps nothing: people shall not wonder."""
    unknown: tuple[Unknown, ...] = ()
    warnings: tuple[str, ...] = ()
    clock: ClockMemory | None = None
    """``None`` when no sweep remembers the time."""
    bytes_per_message: float = 0.0
    """What a message takes in the database on average, search tables included: for estimates."""
