"""The one thread that works: hooks hand it lines and jobs and go on at once.

It knows nothing of sessions. What is done, and when, says the ``Work`` that it opens on its own thread, so
that whoever makes a worker loads nothing heavy. Any error costs one warning and the thread lives on. What
must not live here: what is done.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

from hermes_retention.gateway.complaints import Complaints
from hermes_retention.home.queue import Pending
from hermes_retention.model.log import LOG
from hermes_retention.model.stop import Stop

STOP_SECONDS = 2.0
"""How long a process waits for its worker when it ends."""
_GATHER_SECONDS = 0.3
"""Lines that come this soon after another share its transaction; and a chat turn has the machine first."""
_RETRY_SECONDS = 60.0
"""When something failed that nobody foresaw."""
_MOST_LINES = 10_000
"""Lines in memory while the queue cannot be written; the oldest give way, and sweeps find what they said."""


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
        self._complaints = Complaints(LOG)

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
        with contextlib.suppress(Exception):  # a courtesy to others that some systems do not offer
            from hermes_retention.gateway.courtesy import lower_io_priority

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
                self._complaints.tell(what, error, consequence)
        else:
            self._complaints.is_fine(what)
