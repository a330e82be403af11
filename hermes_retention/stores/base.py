"""The port to a host's session storage: what a store can be asked, and what it answers when nobody says more.

What a layout looks like is said in the adapters beside it, what rows are in ``rows``.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

import msgspec

from hermes_retention.disk.directories import Directory
from hermes_retention.model.errors import RetentionError, Stop, StoreUnreadable, never
from hermes_retention.model.session import Artifact, Session, SessionClass, Unknown
from hermes_retention.model.text import counted, format_duration
from hermes_retention.policy.resume import ResumeCandidate
from hermes_retention.stores.rows import ArchivedRows, RowReader, RowRemover, RowRestorer

LiveMessage: TypeAlias = tuple[str, Mapping[str, Any]]
"""Session id, and the columns of the row that say something, by name."""


class Scan(msgspec.Struct, frozen=True):
    """What a store holds at one moment. Sessions are sorted by id, each at most once."""

    sessions: tuple[Session, ...]
    unknown: tuple[Unknown, ...] = ()
    other_bytes: int = 0
    """Allocated bytes of known files that belong to no session (the index, the host's temporary files)."""
    warnings: tuple[str, ...] = ()
    database_bytes: int = 0
    """Used pages of the host's database, in bytes."""
    pins: dict[str, str] = {}
    """Session id → in words that a person wants it kept, where the host lets people say so."""
    marks: dict[str, str] = {}
    """Session id → in words why the host hides it, which keeps nothing."""
    strange_sources: dict[str, int] = {}
    """What nobody knows of where sessions came from → how many; they are of the class ``other``."""


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


class DatabaseSpace(msgspec.Struct, frozen=True):
    """How a host's database fills its file."""

    file_bytes: int
    free_bytes: int
    """Pages inside the file that nothing uses: the host fills them again, the file stays as large."""

    @property
    def free_share(self) -> float:
        """How much of the file is free pages, from 0 to 1."""
        return self.free_bytes / self.file_bytes if self.file_bytes else 0.0

    @property
    def used_bytes(self) -> int:
        """Pages that hold something, in bytes."""
        return self.file_bytes - self.free_bytes


class RouteIndex(Protocol):
    """Where a host keeps which key leads to which session, as far as dead routes can leave it."""

    def drop_routes(self, routes: Mapping[str, str]) -> list[str]:
        """Forget these routes (key → session id) and return the keys of those that are really gone.

        A route that leads elsewhere by now, or was used lately, stays.
        """


class Folder(msgspec.Struct, frozen=True):
    """A directory in which files of sessions lie, and where they wait between "archived" and "removed"."""

    below: tuple[str, ...]
    """Its path below the home, part by part."""
    aside: tuple[str, ...] = ()
    """The same place below the directory ``aside`` of the workspace, part by part."""


class EntryRestored(msgspec.Struct, frozen=True):
    """What became of an index entry on its way back: written, there already, or refused with an error."""

    error: RetentionError | None = None
    already_there: bool = False


class StoreFiles(Protocol):
    """The artifacts of a store while something moves them. Safe to use from several threads."""

    def read(self, session_id: str, artifact: Artifact) -> Generator[bytes]:
        """Its content in pieces of ``disk.directories.READ_BYTES`` at most.

        Raises ``ArtifactChanged`` or ``ArtifactUnreadable``; the pieces so far are worthless then.
        """

    def let_go(self, leaving: Mapping[str, Sequence[Artifact]]) -> Mapping[str, RetentionError]:
        """Take these sessions, by id with the artifacts that leave, off the index of the host.

        Returns the sessions that it still needs, with the reason: nothing of them may be removed.
        """

    def remove(self, session_id: str, artifact: Artifact) -> None:
        """Remove an artifact of a session that was let go, if it still is what was archived.

        Raises ``ArtifactChanged`` or ``ArtifactUnreadable`` otherwise; it is in its place then.
        """


class HostSetting(msgspec.Struct, frozen=True):
    """One of the host's own settings that matters to retention."""

    name: str
    value: str | None
    """As the host's configuration has it; ``None`` when it does not say."""
    default: str
    """What the host does then."""
    why: str
    """What it means for retention, in a few words."""


class HostPrune(msgspec.Struct, frozen=True):
    """What the host deletes by itself, unless it is archived before."""

    why: str
    """How that is known, such as ``sessions.auto_prune is on``."""
    retention_days: float
    """A session that has ended is deleted when it was idle for so long."""
    interval_hours: float
    """Between two rounds lie at least so many hours."""
    conversations: int = 0
    """How many with messages in the store it would delete by the time that was asked about."""
    mark: str | None = None
    """When its last round was, as the host has written it."""

    @property
    def next_at(self) -> float | None:
        """The first moment of the next round, in Unix seconds; ``None`` is as soon as the host looks."""
        try:
            return None if self.mark is None else float(self.mark) + self.interval_hours * 3600
        except ValueError:  # the host takes it for none, too
            return None

    def words(self, *, now: float) -> str:
        """What is about to be lost and when, in a line for people."""
        idle = f"idle for more than {self.retention_days:g} days"
        if not self.conversations:
            return f"{self.why}, and nothing that is not archived was {idle}"
        at = self.next_at
        when = "at any moment" if at is None or at <= now else f"in {format_duration(at - now)} or later"
        number = counted(self.conversations, "conversation")
        return f"{self.why}: it may delete {number} {when}, {idle} and not archived"


class Level(enum.StrEnum):
    """How bad something is."""

    GOOD = "good"
    NOTE = "note"
    """Worth knowing; nothing is wrong."""
    WARNING = "warning"
    """Somebody should look at it."""
    ERROR = "error"
    """Something does not work."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: a stable name, how it is, what was found, and what helps."""

    check: str
    level: Level
    what: str
    cure: str = ""


class StoredMessages(msgspec.Struct, frozen=True):
    """The messages of a session up to one of them; a later look goes on from there."""

    messages: int = 0
    bytes: int = 0
    last_id: int = 0


class SessionSize(msgspec.Struct, frozen=True):
    """What a session has grown to. ``None`` is what this host does not tell."""

    stored: StoredMessages
    files_bytes: int
    last_minute: int
    """Messages whose time is in the minute before the look."""
    tokens: int | None
    cost_usd: float | None


class SessionCounter:
    """Looks at how large single sessions are by now, from one thread. Nothing is written.

    These are the answers where no database tells; then only what a gateway itself says is known.
    """

    def class_of(self, session_id: str, platform: str, session_key: str) -> SessionClass:
        """The class of a session, also of one that has no record yet. Raises ``StoreUnreadable``.

        ``platform`` and ``session_key`` are what the gateway says of it, or empty.
        """
        told = SessionClass.CHAT if platform or session_key else SessionClass.OTHER
        return next((kind for kind in SessionClass if kind.value == platform), told)

    def look(self, session_id: str, since: StoredMessages | None, *, now: float) -> SessionSize | None:
        """How large the session is at ``now`` (Unix seconds), going on from ``since``.

        Without ``since``, or when the last message that it knows is gone, everything is counted anew: a
        person took messages back. ``None`` when nothing tells. Raises ``StoreUnreadable``.
        """
        return None

    def recount(self, session_id: str) -> int | None:
        """How many messages there are exactly; ``None`` when nothing tells. Raises ``StoreUnreadable``."""
        return None

    def close(self) -> None:
        """Let go of whatever is open; the next look opens it again."""
        return


class CompactStage(enum.StrEnum):
    """What is being done to a database, for whoever watches."""

    CHECK = "checking the database"
    COPY = "copying what is used"
    MERGE = "merging the search indexes"
    VERIFY = "comparing the copy with the original"
    SWAP = "putting the copy in its place"


CompactObserver: TypeAlias = Callable[[CompactStage], None]


class Compactor(ABC):
    """Gives free pages of a host's database back to the file system, while no host runs."""

    @property
    @abstractmethod
    def database(self) -> Path:
        """The file that is rewritten. It may not exist."""

    @abstractmethod
    def size_bytes(self) -> int:
        """What it takes, with its log."""

    @abstractmethod
    def examine(self, free_bytes: int | None) -> tuple[str, ...]:
        """Only look: raise what speaks against rewriting it now, or return what a person should know.

        ``free_bytes`` are those of the file system, ``None`` when they are unknown. Raises ``DatabaseInUse``,
        ``CompactionRefused``, ``StoreUnreadable``.
        """

    @abstractmethod
    def rewrite(self, folder: Directory, free_bytes: int | None, observer: CompactObserver) -> None:
        """Write a copy without free pages into ``folder``, compare it, and put it in the database's place.

        The lock of the home is held; ``folder`` is on the same file system, and empty at the end. Raises as
        ``examine``: the database is unchanged then. ``CompactionFailed`` says which file holds which one.
        Killed at any instant, the database is complete under its name, before or after.
        """

    @abstractmethod
    def recover(self, folder: Directory) -> None:
        """Clear up in ``folder`` what a killed ``rewrite`` left; the lock of the home is held.

        Raises ``CompactionRefused`` when a person must settle which database is the right one.
        """


class InterruptedSession(msgspec.Struct, frozen=True):
    """A session that a gateway would go on with when it starts."""

    candidate: ResumeCandidate
    agent: str
    is_main: bool
    is_broken: bool
    """Whether its transcript was read and is broken; one that cannot be read may be sound."""


class Store(ABC):
    """A host's session storage below one home. Implementations only read, but for what their docs name.

    What is not abstract has the answer of a layout without a database and without an index. A layout that has
    more says so in its own method; whoever asks never looks at which store it is.
    """

    name: ClassVar[str]
    """What ``--store`` calls it."""

    # -- files: every layout has them ----------------------------------------------------------------

    @property
    @abstractmethod
    def home(self) -> Path:
        """The home, resolved."""

    @property
    @abstractmethod
    def files_directory(self) -> Path:
        """Where the files of sessions lie, or the directories that hold them. It may not exist yet."""

    @abstractmethod
    def folders(self) -> Sequence[Folder]:
        """Every directory in which files of sessions lie now, or shall lie."""

    @abstractmethod
    def folder_of(self, session_id: str) -> Folder:
        """Where the files of this session lie, or go back to."""

    @abstractmethod
    def moving_files(self, *aside: str) -> AbstractContextManager[StoreFiles]:
        """Open the artifacts for one sweep; the lock of the home is held.

        ``aside`` is where files wait between "archived" and "removed", part by part from the home.
        """

    @abstractmethod
    def scan(self, *, now: float) -> Scan:
        """Read names, sizes, times, rows and routes; never the contents of session files.

        Raises ``StoreUnreadable`` when liveness cannot be read; then nothing may be removed.
        """

    # -- the index -----------------------------------------------------------------------------------

    def metadata(self, session_ids: Sequence[str]) -> dict[str, SessionMetadata]:
        """What is known of these sessions; ids without a record are missing from the answer.

        Without an index nothing is known of any.
        """
        return {}

    def put_entries_back(self, entries: Mapping[str, bytes]) -> Mapping[str, EntryRestored]:
        """Put archived index entries back, by the id of their session, whose files are there already.

        The lock of the home is held. Raises ``StoreUnreadable`` when an index cannot be read or locked.
        Without an index each is refused.
        """
        return dict.fromkeys(entries, EntryRestored(self._has_no("index")))

    def offline_routes(self, clock: Callable[[], float]) -> RouteIndex | None:
        """Where dead routes can leave while no gateway runs; ``None`` when the host has no such thing.

        ``clock`` gives Unix seconds.
        """
        return None

    def group_of(self, session_id: str) -> str | None:
        """The job or series that the form of an id speaks of; ``None`` when ids say nothing of the kind."""
        return None

    # -- rows of a database --------------------------------------------------------------------------

    def database_space(self) -> DatabaseSpace | None:
        """How full the host's database is now; ``None`` when there is none.

        Raises ``StoreUnreadable`` when it cannot be read.
        """
        return None

    def reading_rows(self) -> AbstractContextManager[RowReader]:
        """Read rows of one moment. Keep it short: the host's log of writes grows as long as it is open.

        Raises ``StoreUnreadable``, as all that needs a database does where there is none.
        """
        raise self._has_no("database")

    def removing_rows(self, stop: Stop = never) -> AbstractContextManager[RowRemover]:
        """Change rows, from one thread. Raises ``StoreUnreadable``.

        A stop is heard between two transactions: sessions of which nothing is told were not begun, or lost
        the oldest of their messages, as when the process dies.
        """
        raise self._has_no("database")

    def restoring_rows(self) -> AbstractContextManager[RowRestorer]:
        """For putting archived rows back into the host's database, also while the host runs.

        Raises ``StoreUnreadable`` when there is no database, and for whatever the database refuses within the
        block: its lock, for a minute, or a write. What was told as done is committed then.
        """
        raise self._has_no("database")

    def joined_rows(self, versions: Sequence[ArchivedRows]) -> Iterator[bytes]:
        """Versions of one kind of one session as one: what a restore would put back of them.

        ``versions`` stand in the order in which they were archived. Touches no database. Raises
        ``VaultDamaged``. Without a database, rows in the archive come from another host: the newest version
        stands for all.
        """
        yield from versions[-1].read()

    def message_texts(self, run: str) -> Iterator[LiveMessage]:
        """The messages in the database that may hold ``run``, which is ASCII, in any case.

        All of them when it is empty. Newest first, read in short transactions: what is written meanwhile may
        be missing. Raises ``StoreUnreadable``. Files of sessions are searched by whoever asks.
        """
        return iter(())

    def counter(self) -> SessionCounter:
        """For looking at single sessions while they grow. Opens nothing yet."""
        return SessionCounter()

    def compactor(self, environ: Mapping[str, str]) -> Compactor | None:
        """For making the host's database smaller; ``None`` when it has none, or cares for it itself.

        ``environ`` tells of replication. Opens nothing yet.
        """
        return None

    # -- forgetting ----------------------------------------------------------------------------------

    def erasing(self) -> Store:
        """The same store; rows that are removed through it are overwritten as well."""
        return self

    def in_use_by(self) -> str | None:
        """Who works with the storage now, in words; ``None`` when nobody does, as far as can be told."""
        return "nobody can tell whether the host runs"

    def drop_routes_to(self, session_ids: Collection[str]) -> int:
        """Remove every route of this home that leads to one of these sessions, and say how many there were.

        Only while nobody uses the storage: a running host would write them again. Raises ``StoreUnreadable``.
        """
        return 0

    def wipe(self) -> None:
        """Clear what search tables and logs still hold of removed rows. Raises ``StoreUnreadable``."""
        return

    def named_after(self, session_ids: Collection[str]) -> list[str]:
        """Further things of the host that are named after these sessions; nobody here removes them."""
        return []

    # -- the host ------------------------------------------------------------------------------------

    def host_warnings(self) -> list[str]:
        """Settings of the host that work against retention, each with its cure, one line each."""
        return []

    def host_prune(self, *, until: float) -> HostPrune | None:
        """What the host deletes by itself until then; ``None`` when it deletes nothing.

        Raises ``StoreUnreadable``. Reads only.
        """
        return None

    def host_settings(self) -> Sequence[HostSetting]:
        """Those of the host's own settings that matter; empty when its configuration cannot be read."""
        return ()

    def checkup(self) -> Iterator[Finding]:
        """What can be told of the host: version, configuration, plugin. Reads only, raises nothing."""
        return iter(())

    def before_start(self) -> StartingStore | None:
        """The same home as a gateway that starts would see it; only while none runs.

        ``None`` when there is nothing to see to: a running gateway is told what to go on with.
        """
        return None

    def _has_no(self, what: str) -> StoreUnreadable:
        return StoreUnreadable(
            str(self.home),
            f"this host keeps its sessions in files, and has no {what}",
            consequence="nothing was changed",
        )


class StartingStore(Store):
    """A home whose gateway is down, seen as if it held only what must not be gone on with at all."""

    @abstractmethod
    def interrupted(self, *, now: float) -> Sequence[InterruptedSession]:
        """The sessions that a gateway would go on with. Raises ``StoreUnreadable``."""

    @abstractmethod
    def clear_resume_marks(self, session_ids: Iterable[str]) -> list[str]:
        """Take the mark off these sessions that makes a gateway go on with them; those that had it.

        A session that somebody uses keeps its mark. Raises ``StoreUnreadable`` when an index cannot be read,
        locked or written.
        """


class StoreKind(msgspec.Struct, frozen=True):
    """A layout of homes that a plugin serves: how ``--store`` calls it, how it is recognised and opened."""

    name: str
    """Lower-case letters, digits and ``-``; what ``name`` of its stores says as well."""
    recognises: Callable[[Path], bool]
    """Whether a home has this layout, told by what lies in it; also when every session has left.

    Called with a directory. Opens nothing, changes nothing.
    """
    open: Callable[[Path], Store]
    """The store of a home. Reads nothing that ``scan`` could read. Raises ``StoreUnreadable``."""
