"""Caps while sessions live: hooks tell what happened, and ask whether a session may go on.

Hooks only add numbers in memory; that is also where a turn is stopped, so that it ends at its next call of
the model. A thread of its own looks into the database, remembers, and acts: the worker's thread may be in a
sweep for minutes, and a session that runs away does not wait. Any error leaves the chat alone and costs one
warning an hour. Loaded wherever the plugin is, so nothing heavy is imported here. What must not live
here: databases, and what a host can do.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Container, Mapping
from typing import Protocol, TypeAlias

from hermes_retention.gateway.host import ModelCall
from hermes_retention.gateway.session_usage import SessionUsage
from hermes_retention.gateway.worker import WarnOnce
from hermes_retention.policy.caps import Cap, CapAction, CapSettings, Reaction

STOP_SECONDS = 1.0
_REST_SECONDS = 5.0
"""Without anything to do, until the thread writes what it counted and lets go of the database."""
_FLUSH_SECONDS = 30.0
"""The same while there is always something to do."""
_WARN_SECONDS = 3600.0
_FORGET_SECONDS = 2 * 3600.0
_CAPS = "caps"
"""What warnings are about."""
_FAILED = "Chats go on; this session may pass its caps."


class CapWork(Protocol):
    """What the thread does; made on it, and used by it alone."""

    @property
    def settings(self) -> CapSettings | None:
        """``None`` when there are to be no caps."""

    @property
    def abilities(self) -> Container[Reaction]:
        """What may be done: less than the host could, where people only want to be told."""

    def stopped(self) -> list[str]:
        """Sessions that an earlier process stopped."""

    def learn(self, usage: SessionUsage) -> None:
        """Find out the class of a session, and what is remembered of it."""

    def look(self, usage: SessionUsage, tool_calls: int | None) -> None:
        """Count the session and act; ``tool_calls`` are those of a turn that has ended."""

    def flush(self) -> None:
        """Write what is only in memory, and let go of the database."""


_Event: TypeAlias = tuple[str, int | None]
"""Session id, and how many calls of tools its turn had, if it ended."""


def _in_a_thread(run: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=run, name="hermes-retention-caps", daemon=True)
    thread.start()
    return thread


class CapWatch:
    """All living sessions of a process. Making it starts nothing; every method is for any thread."""

    def __init__(
        self,
        open_work: Callable[[], CapWork],
        *,
        clock: Callable[[], float],
        begin: Callable[[Callable[[], None]], threading.Thread | None] = _in_a_thread,
    ) -> None:
        """``begin`` puts what it gets on a thread; with one that does not, ``work_off`` does the work."""
        self._open_work, self._clock, self._begin = open_work, clock, begin
        self._warnings = WarnOnce(again_after=_WARN_SECONDS, clock=clock)
        self._lock = threading.Lock()
        """Of the table of sessions and of starting; each session has a lock of its own."""
        self._sessions: dict[str, SessionUsage] = {}
        self._events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        # Known once the thread has read the settings.
        self._work: CapWork | None = None
        self._settings: CapSettings | None = None
        self._abilities: Container[Reaction] = frozenset()
        self._is_off = False
        self._flushed_at = clock()

    # -- told by hooks -----------------------------------------------------------------------------

    def model_called(self, session_id: str, platform: str, call: ModelCall) -> None:
        """The model answered. Never raises."""
        with self._warnings.about(_CAPS, _FAILED):
            if self._is_off or not session_id:
                return
            now = self._clock()
            usage = self._usage_of(session_id, platform, now)
            usage.model_called(call, now)
            if self._must_look(usage, now):
                self._events.put((session_id, None))
                self.start()

    def turn_ended(
        self, session_id: str, session_key: str, platform: str, usage: Mapping[str, float]
    ) -> None:
        """A turn is over, with what a gateway counted in it. Never raises."""
        with self._warnings.about(_CAPS, _FAILED):
            if self._is_off or not session_id:
                return
            now = self._clock()
            session = self._usage_of(session_id, platform, now)
            tool_calls = session.turn_ended(session_key, usage or {}, now)
            self._events.put((session_id, tool_calls))
            self.start()

    def answer(self, session_id: str, cap: Cap | None = None) -> CapAction | None:
        """What a gateway is to do about this cap of a session, or about any; ``None`` is nothing."""
        with self._warnings.about(_CAPS, _FAILED):
            usage = self._sessions.get(session_id)
            if usage is None or self._settings is None:
                return None
            return usage.answer(cap, self._settings.stop_cooldown, self._clock())
        return None

    def _usage_of(self, session_id: str, platform: str, now: float) -> SessionUsage:
        with self._lock:
            usage = self._sessions.get(session_id)
            if usage is None:
                usage = self._sessions[session_id] = SessionUsage(session_id)
            usage.used(platform, now)  # under this lock, so that it is not forgotten in this moment
            return usage

    def _must_look(self, usage: SessionUsage, now: float) -> bool:
        """Stop the session if a cap says so, and say whether the thread should look at it in this turn."""
        if self._settings is None or usage.limits is None:  # the thread finds them out first
            return True
        return usage.judge(self._abilities, self._settings.stop_cooldown, now)

    # -- the thread --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, if there is none: it reads the settings first, and says what is wrong there."""
        if self._thread is None and not self._is_off:
            self._launch()

    def _launch(self) -> None:
        with self._lock:
            if self._thread is None and not self._is_stopping:
                self._thread = self._begin(self._run)

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """Do what waits, write what was counted, and say whether that was possible in time.

        What is told after that waits for the next call of this, which does it on its own thread.
        """
        with self._lock:
            self._is_stopping = True
            thread = self._thread
        if thread is None or not thread.is_alive():
            self.work_off()
            self._rest()
            return True
        self._events.put(None)
        thread.join(timeout)
        return not thread.is_alive()

    def work_off(self) -> None:
        """Do what waits, on this thread. For the thread, and for whoever has none."""
        while not self._is_off:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            if event is not None:
                self._handle(event)

    def _run(self) -> None:
        self._open()
        has_worked = False
        while not self._is_off:
            try:
                event = self._events.get(timeout=_REST_SECONDS if has_worked else None)
            except queue.Empty:  # nothing more comes: others may want the database
                self._rest()
                has_worked = False
                continue
            if event is None:
                break
            self._handle(event)
            has_worked = True
        self._rest()

    def _handle(self, event: _Event) -> None:
        session_id, tool_calls = event
        with self._warnings.about(_CAPS, _FAILED):
            if self._work is None:  # without a thread nobody has opened it yet
                self._open()
            usage = self._sessions.get(session_id)
            if usage is None or self._work is None or self._is_off:
                return
            if usage.limits is None:
                self._work.learn(usage)
            self._work.look(usage, tool_calls)
        # Also where it failed: whatever was counted before is written now and then.
        if self._clock() - self._flushed_at > _FLUSH_SECONDS:
            self._rest()

    def _open(self) -> None:
        """Without settings there are no caps in this process: it is said once, and nothing is tried again."""
        try:
            work = self._open_work()
            self._settings, self._abilities = work.settings, work.abilities
        except Exception as error:  # noqa: BLE001 - settings of people, on a thread that nobody watches
            self._is_off = True
            self._warnings.tell(_CAPS, error, "No session is capped until the gateway is started again.")
            return
        if self._settings is None:
            self._is_off = True
            return
        self._work = work
        with self._warnings.about(_CAPS, _FAILED):
            # A session that an earlier process stopped answers with its notice before its first turn here.
            for session_id in work.stopped():
                work.learn(self._usage_of(session_id, "", self._clock()))

    def _rest(self) -> None:
        self._flushed_at = now = self._clock()
        with self._warnings.about(_CAPS, _FAILED):
            if self._work is not None:
                self._work.flush()
        with self._lock:
            for session_id, usage in list(self._sessions.items()):
                if usage.can_be_forgotten(now, unused_for=_FORGET_SECONDS):
                    del self._sessions[session_id]
