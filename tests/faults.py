"""Counts everything that changes disks and databases, and lets one of these effects fail or be the last one.

    with Faults() as faults:                       # counts only
        act()
    print(faults.effects)
    with Faults(at=7, manner=Failing(errno.EIO)):  # the seventh effect fails
        act()
    struck_at(7, Dying(), act)                     # a child process ends before the seventh effect

Threads would bring the effects into another order in each run, and clocks their number: while faults are in
place, what runs in a pool runs at once, and turns at a database take no time.
"""

# ruff: noqa: ANN401 - it stands between anybody and any function

from __future__ import annotations

import contextlib
import errno
import os
import re
import sqlite3
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol, Self

import pytest

from hermes_retention.actions.sweep import archive_files, archive_rows, sweep
from hermes_retention.disk import effects
from hermes_retention.model.errors import RetentionError
from hermes_retention.stores.hermes.rows import pacing

SYSTEM = (
    *("open_file", "read", "write", "fsync", "mkdir", "makedirs", "link", "rename", "unlink"),
    *("chmod", "fchmod", "fchown", "utime"),
)
"""The names in ``effects`` that are functions of the operating system."""
_READS = re.compile(
    r"\s*(SELECT|EXPLAIN|WITH|PRAGMA\s+\w+\s*$|PRAGMA\s+\w+_check|PRAGMA\s+busy_timeout)", re.IGNORECASE
)
"""Statements that change nothing."""
_ENDS = frozenset({"COMMIT", "ROLLBACK"})
_DONE, _BROKEN, DIED = 0, 1, 77


class Effect:
    """One effect: what it does, for whoever reads the list."""

    def __init__(self, name: str, about: str) -> None:
        self.name, self.about = name, about
        self.succeeds = True
        """Whether it was done; many ask first whether something is there."""

    @property
    def is_statement(self) -> bool:
        """Whether it concerns a database."""
        return self.name in {"statement", "connect"}

    def __repr__(self) -> str:
        return f"{self.name} {self.about}"


class Manner(Protocol):
    """In which way an effect fails."""

    def fits(self, effect: Effect) -> bool:
        """Whether an effect can fail like that."""

    def strike(self, effect: Effect) -> None:
        """Fail: raise, or end the process."""


class Refusing:
    """The operating system says no with this number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def fits(self, effect: Effect) -> bool:
        return not effect.is_statement

    def strike(self, effect: Effect) -> None:
        raise OSError(self.number, os.strerror(self.number))

    def __repr__(self) -> str:
        return errno.errorcode[self.number]


class Complaining:
    """SQLite says no with this code and these words."""

    def __init__(self, code: int, words: str) -> None:
        self.code, self.words = code, words

    def fits(self, effect: Effect) -> bool:
        return effect.is_statement

    def strike(self, effect: Effect) -> None:
        error = sqlite3.OperationalError(self.words)
        error.sqlite_errorcode = self.code
        raise error

    def __repr__(self) -> str:
        return self.words


class Dying:
    """The process ends at once; nothing that Python would still do is done."""

    def fits(self, effect: Effect) -> bool:
        return True

    def strike(self, effect: Effect) -> None:
        os._exit(DIED)

    def __repr__(self) -> str:
        return "process ends"


REFUSALS = tuple(Refusing(number) for number in (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EINTR))
COMPLAINTS = (
    Complaining(sqlite3.SQLITE_BUSY, "database is locked"),
    Complaining(sqlite3.SQLITE_IOERR, "disk I/O error"),
    Complaining(sqlite3.SQLITE_FULL, "database or disk is full"),
)
MANNERS: tuple[Manner, ...] = (*REFUSALS, *COMPLAINTS, Dying())


class Faults:
    """A context manager. ``at`` counts from 1; without it nothing fails."""

    def __init__(
        self, *, at: int = 0, manner: Manner | None = None, after: bool = False, lasting: bool = False
    ) -> None:
        """``after``: the effect happens, and only then it fails. ``lasting``: so do all later ones."""
        self.effects: list[Effect] = []
        self.struck: Effect | None = None
        self._at, self._manner, self._after, self._lasting = at, manner, after, lasting
        self._lock = threading.RLock()
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        for name in SYSTEM:
            self._patch.setattr(effects, name, self._counted(name, getattr(effects, name)))
        self._patch.setattr(effects, "connect", self._connecting(effects.connect))
        for module in (archive_files, archive_rows):
            self._patch.setattr(module, "ThreadPoolExecutor", AtOnce)
        self._patch.setattr(sweep, "_NOTED_EVERY", float("inf"))
        ticks = iter(range(10**9))
        self._patch.setattr(pacing, "_clock", lambda: next(ticks) * 1e-4)
        self._patch.setattr(pacing, "_sleep", lambda _: None)
        return self

    def __exit__(self, *error: object) -> None:
        self._patch.undo()

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            return self.step(Effect(name, _about(arguments)), lambda: call(*arguments, **options))

        return counted

    def _connecting(self, connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
        faults = self

        class Counted(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
                return faults.statement(sql, lambda: super(Counted, self).execute(sql, *arguments))

            def executemany(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
                return faults.statement(sql, lambda: super(Counted, self).executemany(sql, *arguments))

            def executescript(self, sql: str) -> sqlite3.Cursor:
                return faults.statement(sql, lambda: super(Counted, self).executescript(sql))

        def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
            effect = Effect("connect", _about(arguments))
            made: sqlite3.Connection = self.step(
                effect, lambda: connect(*arguments, factory=Counted, **options)
            )
            return made

        return connected

    def statement(self, sql: str, call: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        """Run a statement; those that only read are no effects."""
        if _READS.match(sql):
            return call()
        cursor: sqlite3.Cursor = self.step(Effect("statement", " ".join(sql.split())[:60]), call)
        return cursor

    def step(self, effect: Effect, call: Callable[[], Any]) -> Any:
        """Let an effect happen, or fail."""
        with self._lock:
            self.effects.append(effect)
            reached = len(self.effects) == self._at
            later = self._lasting and len(self.effects) >= self._at > 0
        strikes = self._manner is not None and self._manner.fits(effect) and (reached or later)
        # What nobody can undo must not be told to have failed: only whoever dies has done it all the same.
        if strikes and self._manner is not None:
            self.struck = self.struck or effect
            if not self._after:
                self._manner.strike(effect)
        try:
            done = call()
        except BaseException:
            effect.succeeds = False
            raise
        if strikes and self._manner is not None and self._after:
            self._manner.strike(effect)
        return done


def _about(arguments: Iterable[object]) -> str:
    first = next(iter(arguments), "")
    if isinstance(first, int | bytes | memoryview):
        return ""
    return re.sub(r"[0-9a-f]{16}", "…", os.path.basename(os.fsdecode(str(first)).partition("?")[0]))


class AtOnce:
    """A pool whose work is done when it is handed in."""

    def __init__(self, *arguments: object, **options: object) -> None:
        pass

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*arguments))
        except BaseException as error:  # noqa: BLE001 - as a pool does: raised where the result is asked for
            future.set_exception(error)
        return future

    def map(self, call: Callable[..., Any], *items: Iterable[Any]) -> Iterator[Any]:
        return iter([call(*arguments) for arguments in zip(*items, strict=False)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def effects_of(act: Callable[[], object]) -> list[Effect]:
    """All effects of doing it, without any fault."""
    with Faults() as faults:
        act()
    return faults.effects


def struck_at(at: int, manner: Manner, act: Callable[[], object], *, after: bool = False) -> bool:
    """Do it in a child process in which that effect fails; whether it came that far.

    As a program that was started for it, the child ends then, and what it held is nobody's. Fails when it
    ended by anything but the fault, or by an error that is not told in words.
    """
    child = os.fork()
    if child == 0:
        code = _BROKEN
        try:
            with Faults(at=at, manner=manner, after=after) as faults, contextlib.suppress(RetentionError):
                act()
            code = _DONE if faults.struck is None else DIED
        except BaseException:  # noqa: BLE001 - a child never returns into the test
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {_DONE, DIED}, f"the child ended with {status} at effect {at}"
    return status == DIED
