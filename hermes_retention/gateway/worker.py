"""The one thread that works: hooks hand it lines and jobs and go on at once.

It knows nothing of sessions. What is done, and when, says the ``Work`` that it opens on its own thread, so
that whoever makes a worker loads nothing heavy. Any error costs one warning and the thread lives on, and
others who use the machine come first. What must not live here: what is done.

The thread never has a lower CPU priority: it holds locks that a chat turn may wait for (the interpreter's,
now and then the host's database's), and a thread that gets no processor would hold them for long. For the
same reason its I/O class is the lowest of *best effort* and not *idle*.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

from hermes_retention.home.queue import Pending
from hermes_retention.model.errors import RetentionError, Stop
from hermes_retention.model.log import LOG

STOP_SECONDS = 2.0
"""How long a process waits for its worker when it ends."""
_GATHER_SECONDS = 0.3
"""Lines that come this soon after another share its transaction; and a chat turn has the machine first."""
_RETRY_SECONDS = 60.0
"""When something failed that nobody foresaw."""
_MOST_LINES = 10_000
"""Lines in memory while the queue cannot be written; the oldest give way, and sweeps find what they said."""
_LOWEST = 7
"""Of the eight priorities in the I/O class *best effort*."""
_PAUSE_SECONDS = 0.02
_BUSY_LOAD = 1.5
"""Load per processor from which the machine counts as busy. Our own thread counts too."""

Job: TypeAlias = Callable[[], object]


class Work(Protocol):
    """What a worker does, all of it on the worker's thread but ``keep``, which may also end the process."""

    def keep(self, lines: Sequence[Pending]) -> None:
        """Write these lines to the queue, for good. May raise; they are offered again."""

    def run_due(self) -> float | None:
        """Do what is due, and say how many seconds to sleep; ``None`` is until something comes.

        Returns soon when the worker stops: it asks the ``Stop`` that it was opened with.
        """

    def close(self) -> None:
        """The worker ends: nothing but ``keep`` is called any more."""


class Worker:
    """One daemon thread and what waits for it. Making it starts nothing."""

    def __init__(self, open_work: Callable[[Stop], Work]) -> None:
        self._open_work = open_work
        self._lines: deque[Pending] = deque(maxlen=_MOST_LINES)
        self._jobs: deque[Job] = deque()
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._keeping = threading.Lock()
        self._thread: threading.Thread | None = None
        self._work: Work | None = None
        self._warnings = WarnOnce()

    def submit(self, line: Pending) -> None:
        """Put a line into the queue: in memory at once, on disk within a second, or at ``stop``."""
        self._lines.append(line)
        self.wake()

    def call(self, job: Job) -> None:
        """Run ``job`` on the worker's thread soon. It is not remembered when the process dies."""
        self._jobs.append(job)
        self.wake()

    def wake(self) -> None:
        """Look at once whether something is due. Starts the thread if there is none."""
        self._awake.set()
        if self._thread is None:
            self.start()

    def start(self) -> None:
        """Start the thread; does nothing when it runs, or after ``stop``."""
        with self._starting:
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._run, name="hermes-retention", daemon=True)
                self._thread.start()

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """Let the thread end, write what waits in memory, and say whether all of it was done in time.

        Work under way stops between two of its parts. What is not done is found again by the next process.
        A second call does nothing.
        """
        with self._starting:
            self._stopping.set()
            thread = self._thread
        self._awake.set()
        if thread is None or thread is threading.current_thread():
            return self._keep_lines()
        thread.join(timeout)
        return not thread.is_alive() and self._keep_lines()

    def is_stopping(self) -> bool:
        """Whether work under way should come to an end."""
        # When the main thread is gone the interpreter has begun to end: no new thread can be had any more.
        return self._stopping.is_set() or not threading.main_thread().is_alive()

    def sleep(self, seconds: float) -> None:
        """Sleep on the worker's thread, but not beyond a stop."""
        self._stopping.wait(seconds)

    # -- on the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        with contextlib.suppress(Exception):  # some systems do not offer it
            lower_io_priority()
        while not self._stopping.is_set():
            pause = self._round()
            self._awake.wait(pause)
            self._awake.clear()
            if self._lines or self._jobs:
                self._stopping.wait(_GATHER_SECONDS)
        self._keep_lines()
        if self._work is not None:
            with self._surviving("the end of retention in this process"):
                self._work.close()

    def _round(self) -> float | None:
        is_kept = self._keep_lines()
        self._run_jobs()
        if not is_kept or self._work is None:
            return _RETRY_SECONDS
        with self._surviving("retention in this process", "It is tried again later."):
            return self._work.run_due()
        return _RETRY_SECONDS

    def _run_jobs(self) -> None:
        while self._jobs and not self.is_stopping():
            job = self._jobs.popleft()
            with self._surviving("a task of retention"):
                job()

    def _keep_lines(self) -> bool:
        """Write what waits in memory and say whether nothing is left there. For any thread."""
        with self._keeping, self._surviving("the queue of retention", "Sweeps find what it was to say."):
            if self._work is None and (self._lines or not self.is_stopping()):
                self._work = self._open_work(self.is_stopping)
            if self._lines and self._work is not None:
                self._keep(self._work)
            return True
        return False

    def _keep(self, work: Work) -> None:
        lines: list[Pending] = []
        with contextlib.suppress(IndexError):  # others append meanwhile, so looking and taking are one
            while True:
                lines.append(self._lines.popleft())
        try:
            work.keep(lines)
        except BaseException:
            self._lines.extendleft(reversed(lines))
            raise

    @contextlib.contextmanager
    def _surviving(self, what: str, consequence: str = "") -> Iterator[None]:
        """One warning for any error; none when the process ends, which takes threads and files away."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the thread lives on, whatever happens
            if not self.is_stopping():
                self._warnings.tell(what, error, consequence)
        else:
            self._warnings.is_fine(what)


class WarnOnce:
    """Warnings of a thread that nobody watches: each trouble is told once, until it has passed.

    Only errors of this project are told in their own words: those of others may hold a piece of a
    conversation.
    """

    def __init__(
        self, *, again_after: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """With ``again_after`` a trouble is told once in so many seconds, in whatever words and however often
        it passes in between.
        """
        self._again_after, self._clock = again_after, clock
        self._told: dict[str, tuple[str, float]] = {}

    @contextlib.contextmanager
    def about(self, what: str, consequence: str = "") -> Iterator[None]:
        """Swallow any exception of the block, with one warning."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest goes on
            self.tell(what, error, consequence)
        else:
            self.is_fine(what)

    def is_fine(self, what: str) -> None:
        """Nothing is wrong with it any more: if something is again, that is told again."""
        if self._again_after is None:
            self._told.pop(what, None)

    def tell(self, what: str, error: Exception, consequence: str = "") -> None:
        """Warn about ``error``, unless that is no news."""
        words = error if isinstance(error, RetentionError) else f"it failed ({_name(error)})"
        if self.warn(what, words, consequence):
            LOG.debug("%s: where it failed", what, exc_info=_without_words(error))

    def warn(self, what: str, words: str | RetentionError, consequence: str = "") -> bool:
        """Warn, and say whether that was news."""
        said, now = f"{words} {consequence}", self._clock()
        if what in self._told and not self._is_news(*self._told[what], said, now):
            return False
        self._told[what] = said, now
        LOG.warning("%s: %s%s", what, words, f" {consequence}" if consequence else "")
        return True

    def _is_news(self, before: str, at: float, said: str, now: float) -> bool:
        if self._again_after is None:
            return said != before
        return not 0 <= now - at < self._again_after  # clocks are put back as well


class Yielding:
    """Pauses a little after every few parts of the work while the machine is busy."""

    def __init__(self, wait: Callable[[float], object], *, every: int = 16) -> None:
        """``wait`` sleeps for so many seconds, or less when the work has to end."""
        self._wait, self._every, self._count = wait, every, 0

    def yield_if_busy(self) -> None:
        """Call it after each part."""
        self._count += 1
        if self._count % self._every == 0 and is_busy():
            self._wait(_PAUSE_SECONDS)


def lower_io_priority() -> bool:
    """Let reads and writes of this thread, and of threads that it starts, come after those of others.

    Returns whether the system offers that. Linux only.
    """
    if sys.platform != "linux":
        return False
    import psutil

    thread = psutil.Process(threading.get_native_id())  # threads have priorities of their own
    try:
        thread.ionice(psutil.IOPRIO_CLASS_BE, _LOWEST)
    except (psutil.Error, OSError):
        return False
    return True


def is_busy() -> bool:
    """Whether others are waiting for a processor."""
    try:
        return os.getloadavg()[0] > _BUSY_LOAD * (os.cpu_count() or 1)
    except OSError:  # the system does not tell
        return False


def _name(error: Exception) -> str:
    return type(error).__name__


def _without_words(error: Exception) -> Exception:
    """The same traceback without a message that might quote what it met."""
    if isinstance(error, RetentionError):
        return error
    return RuntimeError(_name(error)).with_traceback(error.__traceback__)
