"""The plugin's own database of sweeps: what each of them decided, did, what was put back since, and which
sessions were looked through for tool output.

It is a record, not a source of safety: with a lost ledger every session is still in the store or the vault.
Holds live in a file of their own and archived content in the vault. What must not live here: transcript text.
"""

from __future__ import annotations

import errno
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from hermes_retention.disk import effects, writing
from hermes_retention.home.queue import Queue
from hermes_retention.model.errors import LedgerDamaged, LedgerFull, LedgerUnusable, RetentionError
from hermes_retention.model.plan import Step
from hermes_retention.model.session import ClockMemory
from hermes_retention.model.text import words

if TYPE_CHECKING:
    from hermes_retention.home.ledger_caps import CapRecords

FORMAT = 1
DONE, STOPPED = "done", "stopped"
"""How a sweep ended; ``running`` and ``interrupted`` ones did not."""
KEEP_DAYS = 730
"""How long the steps of a sweep stay in the ledger; its totals stay for ever."""
_REPLACE = "Move the file away: a new one is made, and no session depends on the old one."
_OWNER = "Run as the user who owns the home."
_SPACE = "Free some space on the disk."
_CURES = {
    sqlite3.SQLITE_FULL: _SPACE,
    sqlite3.SQLITE_IOERR: _SPACE,
    sqlite3.SQLITE_BUSY: "Try again when the other process has finished.",
    sqlite3.SQLITE_READONLY: _OWNER,
    sqlite3.SQLITE_CANTOPEN: _OWNER,
}
"""What helps where the file itself is as good as ever."""
_KINDS: dict[int, type[LedgerUnusable]] = {
    sqlite3.SQLITE_FULL: LedgerFull,
    sqlite3.SQLITE_CORRUPT: LedgerDamaged,
    sqlite3.SQLITE_NOTADB: LedgerDamaged,
}
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises, and Python where it cannot tell what SQLite said: damaged text stood in its words."""
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sweeps(
    id TEXT PRIMARY KEY, started_at REAL NOT NULL, finished_at REAL, origin TEXT NOT NULL,
    state TEXT NOT NULL, undone_at REAL, totals TEXT);
CREATE TABLE IF NOT EXISTS steps(
    sweep TEXT NOT NULL REFERENCES sweeps(id), session_id TEXT NOT NULL, class TEXT NOT NULL,
    liveness TEXT NOT NULL, verdict TEXT NOT NULL, rule TEXT NOT NULL, reason TEXT NOT NULL,
    bytes INTEGER NOT NULL, error TEXT);
CREATE INDEX IF NOT EXISTS steps_by_sweep ON steps(sweep);
CREATE INDEX IF NOT EXISTS steps_by_session ON steps(session_id);
CREATE TABLE IF NOT EXISTS restored(session_id TEXT PRIMARY KEY, restored_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS looked_through(
    session_id TEXT PRIMARY KEY, last_message_at REAL NOT NULL, above INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pictures(
    day TEXT PRIMARY KEY, taken_at REAL NOT NULL, content TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending(
    occasion TEXT NOT NULL, session_id TEXT NOT NULL, noted_at REAL NOT NULL, due_at REAL,
    PRIMARY KEY(occasion, session_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cap_counts(
    session_id TEXT PRIMARY KEY, messages INTEGER NOT NULL, bytes INTEGER NOT NULL, last_id INTEGER NOT NULL,
    tokens REAL, cost_usd REAL, counted_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alerts(
    session_id TEXT NOT NULL, cap TEXT NOT NULL, stage TEXT NOT NULL, class TEXT NOT NULL,
    platform TEXT NOT NULL, count REAL NOT NULL, upper REAL NOT NULL, action TEXT NOT NULL,
    done TEXT NOT NULL, at REAL NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY(session_id, cap, stage)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stops(
    session_id TEXT NOT NULL, cap TEXT NOT NULL, at REAL NOT NULL, until REAL, count REAL NOT NULL,
    PRIMARY KEY(session_id, cap)) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES('format', '{FORMAT}');
"""
"""Two processes may find the file empty at the same moment: the later one changes nothing.

There is a picture for each day in UTC, the last of that day; numbers only.
"""

TABLES = (
    "sweeps",
    "steps",
    "restored",
    "looked_through",
    "pictures",
    "pending",
    "cap_counts",
    "alerts",
    "stops",
)
"""All of them but ``meta``, without which a file is no ledger."""
FIRST_REMOVAL = "first_removal"
"""The fact that says when this home first lost something to a sweep."""
STORE = "store"
"""The fact that says through which store this home last lost something to a sweep, by its name."""
BEING_FORGOTTEN = "forgetting"
"""The fact that names the sessions that a run has begun to forget, and has not finished: JSON."""
_CLOCK = "clock"


class Outcome(msgspec.Struct, frozen=True):
    """What became of a step: done, or kept (in part) for the errors that prevented it."""

    step: Step
    errors: tuple[RetentionError, ...] = ()
    freed_bytes: int = 0
    idle: bool = False
    """Whether there turned out to be nothing to do."""

    @property
    def error(self) -> str | None:
        """Why something was kept that the plan wanted gone; ``None`` when all of it is gone."""
        return "; ".join(map(str, self.errors)) or None


class LookedThrough(msgspec.Struct, frozen=True):
    """Up to which message a session was looked through for tool output, and for bodies of which size."""

    session_id: str
    last_message_at: float
    above_bytes: int


class RebuiltSweep(msgspec.Struct, frozen=True):
    """A sweep as the vault knows it: by what it archived."""

    id: str
    started_at: float
    totals: dict[str, int]


class SweepRow(msgspec.Struct, frozen=True):
    """A sweep as the ledger remembers it."""

    id: str
    started_at: float
    finished_at: float | None
    origin: str
    state: str
    undone_at: float | None
    totals: dict[str, int]


class StepRow(msgspec.Struct, frozen=True):
    """A step as the ledger remembers it, with the time of its sweep."""

    sweep: str
    started_at: float
    verdict: str
    rule: str
    reason: str
    bytes: int
    error: str | None


class Ledger:
    """``<home>/retention/ledger.db``. A context manager; every method commits before it returns.

    Every method raises ``LedgerUnusable`` when SQLite refuses; what it was to write is not written then.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._connection = path, connection

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Open the ledger, making it (mode 0600) if it is missing.

        Raises ``LedgerUnusable`` when the file is something else or damaged; it is not touched then.
        """
        try:
            writing.make_private_file(path)
            connection = effects.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        except OSError as error:
            cure = {errno.EACCES: _OWNER, errno.ENOSPC: _SPACE}.get(error.errno or 0, _REPLACE)
            kind = LedgerFull if error.errno in _NO_SPACE else LedgerUnusable
            raise _unusable(path, words(error), cure, kind=kind) from error
        except sqlite3.Error as error:
            raise _refused(path, error) from error
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA trusted_schema = OFF")
            if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                effects.chmod(path, 0o600)
                connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
            row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        except _ERRORS as error:
            connection.close()
            raise _refused(path, error) from error
        except OSError as error:
            connection.close()
            raise _unusable(path, words(error), _OWNER) from error
        if row is None:
            connection.close()
            raise _unusable(path, "it has no format", kind=LedgerDamaged)
        if row[0] != str(FORMAT):
            connection.close()
            raise _unusable(path, "it has a format that this version does not know")
        return cls(path, connection)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def queue(self) -> Queue:
        """What hooks announced and no sweep has seen to yet."""
        return Queue(self._transaction, self._rows)

    @property
    def caps(self) -> CapRecords:
        """Counts, alerts and stops of sessions that live."""
        from hermes_retention.home.ledger_caps import CapRecords

        return CapRecords(self._rows, self._transaction)

    # -- sweeps -------------------------------------------------------------------------------------

    def free_id(self, started_at: float) -> str:
        """An id for a sweep that starts now, a UTC time such as ``20261120-155234``, which no other has."""
        stem = sweep_id(started_at)
        taken = {row[0] for row in self._rows("SELECT id FROM sweeps WHERE id LIKE ?", (f"{stem}%",))}
        number, sweep = 1, stem
        while sweep in taken:
            number += 1
            sweep = f"{stem}-{number}"
        return sweep

    def begin_sweep(self, *, started_at: float, origin: str, sweep: str | None = None) -> str:
        """Note that a sweep starts and return its id, a free one unless ``sweep`` gives it."""
        sweep = sweep or self.free_id(started_at)
        with self._transaction() as connection:
            connection.execute(
                "UPDATE sweeps SET state = 'interrupted' WHERE state = 'running'"
            )  # the caller holds the lock: whatever was running died
            connection.execute(
                "INSERT INTO sweeps(id, started_at, origin, state) VALUES (?, ?, ?, 'running')",
                (sweep, started_at, origin),
            )
        return sweep

    def note(self, sweep: str, outcomes: Iterable[Outcome]) -> None:
        """Remember what became of some steps, but for those with nothing to do. One transaction."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        sweep,
                        outcome.step.session_id,
                        outcome.step.session_class.value,
                        outcome.step.liveness.value,
                        outcome.step.verdict,
                        outcome.step.rule,
                        outcome.step.reason,
                        outcome.step.bytes,
                        outcome.error,
                    )
                    for outcome in outcomes
                    if not outcome.idle
                ),
            )

    def finish_sweep(
        self, sweep: str, *, finished_at: float, totals: dict[str, int], state: str = DONE
    ) -> None:
        """Note that a sweep came to its end, or was ``STOPPED``, and forget the steps of very old ones."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE sweeps SET state = ?, finished_at = ?, totals = ? WHERE id = ?",
                (state, finished_at, json.dumps(totals), sweep),
            )
            connection.execute(
                "DELETE FROM steps WHERE sweep IN (SELECT id FROM sweeps WHERE started_at < ?)",
                (finished_at - KEEP_DAYS * 86400,),
            )

    def sweeps(self) -> list[SweepRow]:
        """All sweeps, newest first."""
        rows = self._rows(
            "SELECT id, started_at, finished_at, origin, state, undone_at, totals FROM sweeps "
            "ORDER BY started_at DESC, rowid DESC"
        )
        return [
            SweepRow(sweep, started, finished, origin, state, undone, json.loads(totals) if totals else {})
            for sweep, started, finished, origin, state, undone, totals in rows
        ]

    def order(self) -> dict[str, int]:
        """Sweep id → its place in the order in which they began, whatever the clock said then."""
        return dict(self._rows("SELECT id, rowid FROM sweeps"))

    def history(self, session_id: str) -> list[StepRow]:
        """Everything that sweeps did to a session, oldest first."""
        rows = self._rows(
            "SELECT s.sweep, w.started_at, s.verdict, s.rule, s.reason, s.bytes, s.error FROM steps s "
            "JOIN sweeps w ON w.id = s.sweep WHERE s.session_id = ? ORDER BY w.started_at, s.rowid",
            (session_id,),
        )
        return [StepRow(*row) for row in rows]

    def mark_undone(self, sweeps: Sequence[str], *, undone_at: float) -> None:
        """Note that these sweeps were undone."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE sweeps SET undone_at = ? WHERE id = ?", [(undone_at, sweep) for sweep in sweeps]
            )

    # -- restores and facts -------------------------------------------------------------------------

    def note_restored(self, session_ids: Iterable[str], *, restored_at: float) -> None:
        """Remember that a person put these sessions back, so that the next sweep leaves them alone."""
        notes = [(session_id, restored_at) for session_id in session_ids]
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO restored VALUES (?, ?)", notes)
            connection.executemany(  # what comes back has its tool output again
                "DELETE FROM looked_through WHERE session_id = ?", [note[:1] for note in notes]
            )

    def note_looked_through(self, looked: Iterable[LookedThrough]) -> None:
        """Remember which messages were looked through for tool output, so that it is done once."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO looked_through VALUES (?, ?, ?)", map(msgspec.structs.astuple, looked)
            )

    def looked_through(self) -> dict[str, LookedThrough]:
        """Session id → what of it was looked through."""
        rows = self._rows("SELECT session_id, last_message_at, above FROM looked_through")
        return {row[0]: LookedThrough(*row) for row in rows}

    def forget_sessions(self, session_ids: Iterable[str]) -> None:
        """Drop what is noted of sessions that are gone, but for the steps that say what became of them."""
        ids = [(session_id,) for session_id in session_ids]
        with self._transaction() as connection:
            tables = connection.execute(
                "SELECT t.name FROM sqlite_schema t, pragma_table_info(t.name) c "
                "WHERE t.type = 'table' AND c.name = 'session_id' AND t.name <> 'steps'"
            ).fetchall()
            for (table,) in tables:
                connection.executemany(f"DELETE FROM {table} WHERE session_id = ?", ids)  # noqa: S608 - our own

    def keep_picture(self, content: str, *, taken_at: float) -> None:
        """Remember what the home looks like; a later picture of the same day in UTC takes its place."""
        day = time.strftime("%Y-%m-%d", time.gmtime(taken_at))
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?)", (day, taken_at, content))

    def pictures(self, *, since: float = 0.0) -> list[str]:
        """The pictures taken after ``since``, oldest first."""
        query = "SELECT content FROM pictures WHERE taken_at > ? ORDER BY taken_at"
        return [content for (content,) in self._rows(query, (since,))]

    def newest_picture(self) -> str | None:
        """The last one that was kept."""
        rows = self._rows("SELECT content FROM pictures ORDER BY taken_at DESC LIMIT 1")
        return str(rows[0][0]) if rows else None

    def restored(self) -> dict[str, float]:
        """Session id → when it was last put back."""
        return dict(self._rows("SELECT session_id, restored_at FROM restored"))

    def clock(self) -> ClockMemory | None:
        """What the last sweep knew of the time; ``None`` when none noted it, or the note is no note."""
        noted = self.fact(_CLOCK)
        try:
            return None if noted is None else msgspec.json.decode(noted, type=ClockMemory)
        except msgspec.DecodeError:
            return None

    def remember_clock(self, memory: ClockMemory) -> None:
        """Remember it for the next sweep."""
        self.remember(_CLOCK, msgspec.json.encode(memory).decode())

    def fact(self, key: str) -> str | None:
        """A remembered fact about this home, such as ``first_removal``."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    def remember(self, key: str, value: str) -> None:
        """Remember a fact about this home."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def being_forgotten(self) -> list[str]:
        """The sessions that a run began to forget and did not finish."""
        return msgspec.json.decode(self.fact(BEING_FORGOTTEN) or "[]", type=list[str])

    def check(self) -> None:
        """Raise ``LedgerDamaged`` unless SQLite finds all of it in order, and every table is there."""
        said = self._rows("PRAGMA quick_check(1)")[0][0]
        if said != "ok":
            raise _unusable(self.path, f"it is damaged ({said})", kind=LedgerDamaged)
        for table in TABLES:
            try:
                self._rows(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608 - a constant name
            except LedgerUnusable as error:
                raise _unusable(self.path, error.why, kind=LedgerDamaged) from error

    def rebuild(self, sweeps: Iterable[RebuiltSweep], *, clock: ClockMemory) -> None:
        """Enter what the vault tells of sweeps into a ledger that was just made. One transaction."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO sweeps(id, started_at, finished_at, origin, state, totals) "
                "VALUES (?, ?, ?, 'found in the archive', 'done', ?)",
                [(it.id, it.started_at, it.started_at, json.dumps(it.totals)) for it in sweeps],
            )
            connection.execute(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", (_CLOCK, msgspec.json.encode(clock).decode())
            )

    # -- statements ---------------------------------------------------------------------------------

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except _ERRORS as error:
            raise _refused(self.path, error) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and never left open: that would refuse every transaction after it."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        except _ERRORS as error:
            raise _refused(self.path, error) from error


def sweep_id(started_at: float) -> str:
    """The id of a sweep that starts at this Unix time, unless another one has it."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(started_at))


def _unusable(
    path: Path, why: str, cure: str = _REPLACE, *, kind: type[LedgerUnusable] = LedgerUnusable
) -> LedgerUnusable:
    return kind(
        str(path),
        f"the ledger cannot be used: {why}",
        consequence="it is as it was before; all sessions are in the store or the archive",
        cure=cure,
    )


def _refused(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> LedgerUnusable:
    if isinstance(error, UnicodeDecodeError):
        return _unusable(path, "text in it is damaged", kind=LedgerDamaged)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extension of extended codes
    return _unusable(path, str(error), _CURES.get(code, _REPLACE), kind=_KINDS.get(code, LedgerUnusable))
