"""Short turns at the write lock of a host's database, so that no chat turn waits noticeably.

SQLite's waiting writers look whether the lock is free after 1, 2, 5, 10, 15, 20 and then every 25 ms, and
from a sixth of a second on only every 50 to 100 ms. Between two turns the lock is therefore left free for as
long as it was held while another process writes; and while nobody seems to write, which includes a writer
that cannot get in, for 26 ms after every 100 ms, which no waiting writer can miss. What must not live here:
what is written, and opening databases.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections import deque
from collections.abc import Iterator

from hermes_retention.model.errors import Stop
from hermes_retention.stores.hermes.state_db import WAL, journal_mode

AIM_SECONDS = 0.010
"""How long a turn should hold the lock."""
WAIT_SECONDS = 60.0
"""How long the lock is waited for before giving up."""
_WINDOW_SECONDS = 0.026
_WINDOW_AFTER_SECONDS = 0.100
_WRITING_FOR_SECONDS = 2.0
"""Another process counts as writing for this long after it last did."""
_PAUSE_SECONDS = 0.1
_CHECKPOINT_AFTER_SECONDS = 0.030
"""Held time between checkpoints: the WAL stays below the size at which the host's next commit pays for one.
"""
_RECENT_COMMITS = 16
_MOST_WORK_SECONDS = 0.030
_OTHER_WAIT_MS = 5000
_PATIENCE_SECONDS = 5.0
"""How long whoever can do without waits in all for moments in which nobody else writes."""
_JITTER_SECONDS = (0.0005, 0.004)
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

_clock = time.perf_counter
_sleep = time.sleep


class Turns:
    """Hands out write transactions on one connection. For one thread."""

    def __init__(self, database: sqlite3.Connection, *, wait_seconds: float = WAIT_SECONDS) -> None:
        """``database`` is as ``state_db.writing`` gives it: in autocommit, with ``wal_autocheckpoint=0``."""
        self._database = database
        self._wait_seconds = wait_seconds
        self._version = self._data_version()
        self._foreign_at = self._released_at = float("-inf")
        self._since_window = self._since_checkpoint = 0.0
        self._commits = None if journal_mode(database) == WAL else deque[float](maxlen=_RECENT_COMMITS)
        self.held_seconds = 0.0
        """How long the last turn held the lock."""
        self.work_seconds = 0.0
        """The same as it tells how much fits into a turn: without what any commit costs that syncs a rollback
        journal, since a smaller turn costs that too.
        """
        self.longest_seconds = 0.0

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """A write transaction: committed at the end of the block, rolled back when it raises.

        Raises ``sqlite3.OperationalError`` (``SQLITE_BUSY``) when the lock was not to be had in time; nothing
        has changed then.
        """
        self._leave_free()
        self._begin()
        started = _clock()
        try:
            yield
            ready = _clock()
            self._database.execute("COMMIT")
            if self._commits is not None:
                self._commits.append(_clock() - ready)
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise
        finally:
            self._note(_clock() - started)
        self._checkpoint()

    @property
    def contended(self) -> bool:
        """Whether another process has written, or held the lock, in the last two seconds."""
        version = self._data_version()
        if version != self._version:
            self._version, self._foreign_at = version, _clock()
        return _clock() - self._foreign_at < _WRITING_FOR_SECONDS

    def pause(self) -> float:
        """Let a moment pass in which others may do what they want; returns its seconds."""
        _sleep(_PAUSE_SECONDS)
        return _PAUSE_SECONDS

    def finish(self) -> None:
        """One last checkpoint, so that no commit of the host finds our pages in the WAL."""
        self._since_checkpoint = _CHECKPOINT_AFTER_SECONDS
        self._checkpoint()

    def _leave_free(self) -> None:
        if self.contended:
            # What passed since, with checkpoints and reading, counts: the lock was free.
            _sleep(max(0.0, self._released_at + self.held_seconds - _clock()))
        elif self._since_window >= _WINDOW_AFTER_SECONDS:
            self._since_window = 0.0
            _sleep(_WINDOW_SECONDS)

    def _note(self, held: float) -> None:
        self.held_seconds, self._released_at = held, _clock()
        fixed = min(self._commits or (0.0,))
        # Where syncing takes longer than a turn should, work may take as long: else there is little of it.
        self.work_seconds = (held - fixed) * AIM_SECONDS / max(AIM_SECONDS, min(fixed, _MOST_WORK_SECONDS))
        self.longest_seconds = max(self.longest_seconds, held)
        self._since_window += held
        self._since_checkpoint += held

    def _begin(self) -> None:
        """Poll with jitter: SQLite's own handler polls ever more seldom, and in step with other waiters."""
        deadline = _clock() + self._wait_seconds
        self._database.execute("PRAGMA busy_timeout = 0")
        try:
            while not self._has_begun(deadline):
                self._foreign_at = _clock()
                _sleep(random.uniform(*_JITTER_SECONDS))  # noqa: S311 - spreads polls, keeps no secret
        finally:
            # Reads and commits may have to wait too where the journal is no WAL.
            self._database.execute(f"PRAGMA busy_timeout = {_OTHER_WAIT_MS}")

    def _has_begun(self, deadline: float) -> bool:
        try:
            self._database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or _clock() >= deadline:
                raise
            return False
        return True

    def _checkpoint(self) -> None:
        """Passive and outside transactions: it waits for nobody, nobody for it, and it may do nothing.

        An error says nothing of the transaction before it, which is committed; the next one meets it too.
        """
        if self._since_checkpoint < _CHECKPOINT_AFTER_SECONDS:
            return
        self._since_checkpoint = 0.0
        with contextlib.suppress(sqlite3.Error):
            self._database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _data_version(self) -> int:
        return int(self._database.execute("PRAGMA data_version").fetchone()[0])


class Patience:
    """Waits before each piece of work until nobody else writes; it is over when that took too long in all."""

    def __init__(self, turns: Turns, stop: Stop) -> None:
        self._turns, self._stop = turns, stop
        self._left = _PATIENCE_SECONDS

    def is_over(self) -> bool:
        """Wait, and say whether to go on no longer: it took too long in all, or ``stop`` says so."""
        while self._left > 0.0 and not self._stop() and self._turns.contended:
            self._left -= self._turns.pause()
        return self._left <= 0.0 or self._stop()


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else has the lock, rather than that something is wrong."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY


class Pace:
    """How much work fits into a turn, learnt from what the last one took. Work is told in bytes of rows."""

    def __init__(self, *, start: int = 16_384, least: int = 1_024, most: int = 1_048_576) -> None:
        self._least, self._most = least, most
        self.budget = start

    def learn(self, weight: int, held_seconds: float) -> None:
        """Aim the next turn at ``AIM_SECONDS``; it changes at most by half, since one turn may be an
        exception.
        """
        fitting = weight * AIM_SECONDS / max(held_seconds, 1e-4)
        bounded = min(self.budget * 1.5, max(self.budget * 0.5, fitting))
        self.budget = round(min(self._most, max(self._least, bounded)))
