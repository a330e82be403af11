"""The host's SQLite databases; the only module that opens them.

Each is read in one transaction, so that rows and routes are of one moment; but for a rollback journal, where
a reader keeps others from writing: what takes long is read in short transactions there (``reading_briefly``).
Texts that are not UTF-8 keep their bytes as surrogates, like file names. What the rows mean is said in
``records``, ``routing``, ``cron``; what is written, and in how short transactions, in ``rows.turn_machine``
and ``rows.pacing``.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from hermes_retention.disk import effects
from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.text import storable, words
from hermes_retention.stores.base import DatabaseSpace, SessionMetadata
from hermes_retention.stores.hermes.records import Rows, columns_of, read_sessions

DATABASE = "state.db"
WAL = "wal"
BUSY_SECONDS = 5.0
_IDS_PER_QUERY = 500
_NOTHING = "nothing was removed"
_UNCHANGED = "nothing was changed"
_UNFINISHED = "the transaction at hand was rolled back and the rest was not begun"
_NO_ROOM_BYTES = 1 << 20
"""With less than this free, SQLite may lack the room for the files that it keeps beside a database."""
_CACHE_KIB = 8_192
"""Pages that a writing connection keeps: enough for the inner pages of the search tables."""

RouteRow: TypeAlias = tuple[object, object, object]
"""Scope, route key and entry of a row of ``gateway_routing``."""


def read(path: Path, *, now: float) -> tuple[Rows, list[RouteRow]] | None:
    """Records and routes of one moment; ``None`` when there is no database.

    Raises ``StoreUnreadable`` when it stays locked for five seconds, is damaged, no regular file, or of a
    form that no host writes. The database is not changed.
    """
    with reading_briefly(path) as database:
        if database is None:
            return None
        try:
            database.text_factory = str
            return read_sessions(database, str(path), now=now), routes_of(database, path)
        except sqlite3.OperationalError as error:
            if hasattr(error, "sqlite_errorcode"):
                raise
            # Not SQLite failed but Python, at a text that is not UTF-8: once more, tolerantly and slower.
            database.text_factory = _text
            return read_sessions(database, str(path), now=now), routes_of(database, path)


def read_routes(path: Path) -> list[RouteRow]:
    """The routes of a database; none when it does not exist. Raises as ``read`` does."""
    with reading(path) as database:
        return [] if database is None else routes_of(database, path)


def read_executions(path: Path) -> list[tuple[object, ...]]:
    """Job, status and times (claimed, started, finished) of the runs in ``cron/executions.db`` of host 0.19.

    Empty when there is no such database or table. Raises as ``read`` does.
    """
    with reading(path) as database:
        if database is None:
            return []
        columns = columns_of(database, "executions")
        if not {"job_id", "status", "claimed_at", "started_at", "finished_at"} <= columns:
            return []
        return database.execute(
            "SELECT job_id, status, claimed_at, started_at, finished_at FROM executions"
        ).fetchall()


def read_space(path: Path) -> DatabaseSpace | None:
    """Pages of one moment, those in the write-ahead log included; ``None`` when there is no database.

    Raises as ``read`` does.
    """
    with reading(path) as database:
        if database is None:
            return None
        pages, free_pages, page_bytes = (
            database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return DatabaseSpace(file_bytes=pages * page_bytes, free_bytes=free_pages * page_bytes)


def circumstances(path: Path) -> tuple[str, str] | None:
    """Journal mode; version of SQLite and file system in words. ``None`` when there is no database.

    Raises as ``read`` does.
    """
    with reading(path) as database:
        if database is None:
            return None
        mode = journal_mode(database)
    return mode, f"SQLite {sqlite3.sqlite_version}, file system {_file_system(path)}"


def _file_system(path: Path) -> str:
    """The type of the file system that a file lies on, as the system's list of mounts names it."""
    import psutil  # only who asks for the circumstances comes here

    with contextlib.suppress(OSError, psutil.Error):
        mounts = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
        return next((mounts[above] for above in path.absolute().parents if above in mounts), "unknown")
    return "unknown"


_METADATA = {
    "source": "source",
    "title": "title",
    "model": "model",
    "user_id": "user_id",
    "route_key": "session_key",
    "parent_id": "parent_session_id",
    "started_at": "started_at",
    "ended_at": "ended_at",
    "end_reason": "end_reason",
    "message_count": "message_count",
}
"""Field of ``SessionMetadata`` → column."""
_NUMBERS = frozenset({"started_at", "ended_at"})


def read_metadata(path: Path, session_ids: Sequence[str]) -> dict[str, SessionMetadata]:
    """What a listing shows of these sessions; ids without a row are missing. Raises as ``read`` does."""
    found: dict[str, SessionMetadata] = {}
    with reading(path) as database:
        columns = set() if database is None else columns_of(database, "sessions")
        if database is None or "id" not in columns:
            return found
        fields = [column if column in columns else "NULL" for column in _METADATA.values()]
        wanted = [encoded for session_id in session_ids if (encoded := _encoded(session_id)) is not None]
        for start in range(0, len(wanted), _IDS_PER_QUERY):
            chunk = wanted[start : start + _IDS_PER_QUERY]
            places = ", ".join(["CAST(? AS TEXT)"] * len(chunk))
            query = f"SELECT id, {', '.join(fields)} FROM sessions WHERE id IN ({places})"  # noqa: S608 - constant names
            for session_id, *values in database.execute(query, chunk):
                found[session_id] = _metadata(values)
    return found


def _metadata(values: Sequence[object]) -> SessionMetadata:
    """Values of another type than the host writes are left out, and bytes that are no text are escaped."""
    known: dict[str, object] = {}
    for field, value in zip(_METADATA, values, strict=True):
        if field in _NUMBERS:
            known[field] = float(value) if isinstance(value, float | int) else None
        else:
            kind = int if field == "message_count" else str
            known[field] = value if isinstance(value, kind) else None
        if isinstance(value, str) and known[field] is not None:
            known[field] = storable(value)
    return SessionMetadata(**known)  # type: ignore[arg-type]  # checked against the field's type just above


def _encoded(session_id: str) -> bytes | None:
    try:
        return session_id.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate out of some JSON: no database holds it
        return None


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A read transaction on the database at ``path``, or ``None`` when it does not exist."""
    if not _exists(path):
        yield None
        return
    # mode=ro, and never immutable=1: the host may be writing. All that SQLite leaves behind is an empty log
    # beside a database in WAL mode that nobody had open. Quoted as bytes, since a path may hold any.
    address = f"file://{quote(bytes(path))}?mode=ro"
    with read_errors(path), contextlib.closing(_opened_to_read(path, address)) as database:
        yield database
        _require_untouched(path, database)


@contextlib.contextmanager
def reading_briefly(path: Path) -> Iterator[sqlite3.Connection | None]:
    """The same for whoever reads for long: with a rollback journal no transaction is open.

    There, a reader keeps every writer waiting, our own too. So each statement ends before anything else is
    done, and what has to be of one moment is read within ``moment``.
    """
    with reading(path) as database:
        if database is not None and _readers_block_writers(database):
            database.execute("COMMIT")
        yield database


def _readers_block_writers(database: sqlite3.Connection) -> bool:
    """Whether this is so; the database itself says it, at each opening, for hosts and people change it."""
    return not isinstance(database, _Resting) and journal_mode(database) != WAL


def journal_mode(database: sqlite3.Connection) -> str:
    """The mode that SQLite names. Of all without a write-ahead log a connection sees ``delete``."""
    (mode,) = database.execute("PRAGMA journal_mode").fetchone()
    return str(mode)


@contextlib.contextmanager
def moment(database: sqlite3.Connection) -> Iterator[None]:
    """A read transaction for the block, unless one is open already: what is read is of one moment.

    Everything has to be fetched within it.
    """
    if database.in_transaction:
        yield
        return
    database.execute("BEGIN")
    try:
        yield
    finally:
        if database.in_transaction:
            database.execute("COMMIT")


@contextlib.contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection | None]:
    """The same without a transaction: for whoever looks often, and must hold up no checkpoint in between."""
    if not _exists(path):
        yield None
        return
    address = f"file://{quote(bytes(path))}?mode=ro"
    with (
        read_errors(path),
        contextlib.closing(
            # A thread that dies with its process leaves the closing to whichever thread clears up.
            effects.connect(
                address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        ) as database,
    ):
        database.text_factory = _text
        yield database


class _Resting(sqlite3.Connection):
    """A connection to a database that nobody else has open, which reads it as a file that never changes."""

    seen: os.stat_result | None = None


def _opened_to_read(path: Path, address: str) -> sqlite3.Connection:
    """A connection in a read transaction that has begun.

    A database in WAL mode that nobody has open needs a file beside it even to be read; where a full disk has
    no room for one, and no log is there that would have to be read too, it is read as it lies there.
    """
    try:
        return _begun(effects.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK:
            _roll_back(path)
            return _begun(effects.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None))
        seen = path.lstat()
        if not _is_resting(path) or _has_room(path):
            raise
    database = effects.connect(f"{address}&immutable=1", uri=True, isolation_level=None, factory=_Resting)
    database.seen = seen
    return _begun(database)


def _roll_back(path: Path) -> None:
    """Undo the transaction of a writer that died, a sweep perhaps: its journal makes others unable to read.

    Whoever may write does this when it opens the database, the host too.
    """
    address = f"file://{quote(bytes(path))}?mode=rw"
    with contextlib.closing(effects.connect(address, uri=True, timeout=BUSY_SECONDS)) as database:
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _begun(database: sqlite3.Connection) -> sqlite3.Connection:
    database.text_factory = _text
    try:
        database.execute("BEGIN")
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        database.close()
        raise
    return database


def _has_room(path: Path) -> bool:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize > _NO_ROOM_BYTES


def _is_resting(path: Path) -> bool:
    """Whether nothing beside the database says that somebody works with it, or did not finish."""
    # The index of a log (-shm) says nothing: SQLite has just tried to make one.
    sides = (path.with_name(path.name + suffix) for suffix in ("-wal", "-journal"))
    return not any(side.exists() and side.stat().st_size for side in sides)


def _require_untouched(path: Path, database: sqlite3.Connection) -> None:
    """Raise ``StoreUnreadable`` when a database that was read as it lay there has changed meanwhile."""
    seen = database.seen if isinstance(database, _Resting) else None
    if seen is None:
        return
    now = path.lstat()
    same = (now.st_ino, now.st_size, now.st_mtime_ns) == (seen.st_ino, seen.st_size, seen.st_mtime_ns)
    if not same or not _is_resting(path):
        raise StoreUnreadable(
            str(path),
            "the disk is full, and somebody wrote to it while it was read",
            consequence=_NOTHING,
            cure="Free some space on the disk.",
        )


@contextlib.contextmanager
def writing(path: Path, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection that may write, in autocommit: transactions are up to ``Turns``.

    Foreign keys are enforced, as the host does. Checkpoints are the caller's. Without ``durable`` a loss of
    power during the block may undo the last transactions, never parts of one: what was removed is there
    again then. Raises
    ``StoreUnreadable`` when there is no database, or for any error of SQLite in the block.
    """
    if not _exists(path):
        raise no_database(path)
    address = f"file://{quote(bytes(path))}?mode=rw"
    with (
        write_errors(path),
        contextlib.closing(
            effects.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        ) as database,
    ):
        database.text_factory = _text
        _prepare(database, durable=durable)
        yield database
    _sync_log(path)


@contextlib.contextmanager
def erasing(path: Path) -> Iterator[sqlite3.Connection]:
    """Like ``writing``, and durable; what is removed is overwritten. Raises ``StoreUnreadable``."""
    with writing(path, durable=True) as database:
        database.execute("PRAGMA secure_delete = ON").fetchall()
        yield database


def _sync_log(path: Path) -> None:
    """Make what was committed durable where another process keeps the log alive; else SQLite has done it.

    What is noted of it afterwards would otherwise outlive it. The log itself carries no lock that closing it
    could give up.
    """
    try:
        descriptor = effects.open_file(f"{path}-wal", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # as a rule there is none
        return
    try:
        effects.fsync(descriptor)
    except OSError as error:
        raise StoreUnreadable(
            str(path),
            f"what was changed may not be on the disk yet ({words(error)})",
            consequence="after a loss of power some of it may be there again; nothing is lost",
            cure="Look at the health of the disk.",
        ) from error
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """``StoreUnreadable`` for what SQLite raises in the block, while the database at ``path`` is read."""
    try:
        yield
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


@contextlib.contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """``StoreUnreadable`` for what SQLite raises in the block, while the database at ``path`` is written."""
    try:
        yield
    except sqlite3.Error as error:
        raise _unwritable(path, error) from error


def no_database(path: Path) -> StoreUnreadable:
    """The error for whoever needs the rows of a home that has none."""
    why, cure = "there is no such database", "Name the home with --home DIR or HERMES_HOME."
    return StoreUnreadable(str(path), why, consequence=_UNCHANGED, cure=cure)


def _prepare(database: sqlite3.Connection, *, durable: bool) -> None:
    """All of these hold for this connection only; none is stored in the database."""
    journal = journal_mode(database)
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    # Without a WAL, NORMAL could damage the database where the file system reorders writes.
    database.execute(f"PRAGMA synchronous = {'NORMAL' if journal == WAL and not durable else 'FULL'}")
    database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")


def _unwritable(path: Path, error: sqlite3.Error) -> StoreUnreadable:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    known = {
        sqlite3.SQLITE_BUSY: ("another process holds its lock", "Try again when the host is less busy."),
        sqlite3.SQLITE_READONLY: (
            "it is read-only",
            "Run hermes-retention as the user that the host runs as.",
        ),
        sqlite3.SQLITE_FULL: ("the disk is full", "Free some space on the disk."),
    }
    if code not in known:
        return _unreadable(path, error, consequence=_UNFINISHED)
    why, cure = known[code]
    return StoreUnreadable(str(path), why, consequence=_UNFINISHED, cure=cure)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _exists(path: Path) -> bool:
    """Whether a regular file is there. Anything else than a file or nothing raises ``StoreUnreadable``."""
    what = str(path)
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        cure = "Run hermes-retention as the user that the host runs as."
        raise StoreUnreadable(what, words(error), consequence=_NOTHING, cure=cure) from error
    if stat.S_ISREG(mode):
        return True
    raise StoreUnreadable(
        what,
        "it is a symbolic link or no regular file, and links below the home are not followed",
        consequence=_NOTHING,
        cure="Put the database itself there, or point --home at the home that holds it.",
    )


def _unreadable(path: Path, error: sqlite3.Error, *, consequence: str = _NOTHING) -> StoreUnreadable:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extension of extended codes
    said = str(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        why = f"another process has held its lock for {BUSY_SECONDS:.0f} s"
        cure = "Try again when the host is less busy."
    elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        why = f"it is damaged ({said})"
        cure = "Stop the host, then run `hermes sessions repair` or put a backup in its place."
    elif code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL) and not _has_room(path):
        why = f"the disk is full ({said})"
        cure = "Free some space on the disk."
    else:
        why = f"it cannot be read ({said})"
        cure = "Run hermes-retention as the user that the host runs as; if the host crashed, start it once."
    return StoreUnreadable(str(path), why, consequence=consequence, cure=cure)


def routes_of(database: sqlite3.Connection, path: Path) -> list[RouteRow]:
    """The table of routes, as far as this host has one. ``path`` names the database in errors."""
    columns = columns_of(database, "gateway_routing")
    if not columns:
        return []
    if not {"session_key", "entry_json"} <= columns:
        raise StoreUnreadable(
            str(path),
            "its table gateway_routing has no session_key and entry_json, so nobody knows what is routed",
            consequence=_NOTHING,
            cure="Look for a newer hermes-retention that knows this version of the host.",
        )
    scope = "scope" if "scope" in columns else "''"
    query = f"SELECT {scope}, session_key, entry_json FROM gateway_routing"  # noqa: S608 - constant names
    return database.execute(query).fetchall()
