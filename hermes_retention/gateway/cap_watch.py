"""Caps while sessions live: hooks tell what happened, and ask whether a session may go on.

Hooks only add numbers in memory; that is also where a turn is stopped, so that it ends at its next call of
the model. A thread of its own looks into the database, remembers, and acts: the worker's thread may be in a
sweep for minutes, and a session that runs away does not wait. Any error leaves the chat alone and costs one
warning an hour. Loaded by every process of a host, so nothing heavy is imported here. What must not live
here: databases, and what a host can do.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Protocol, TypeAlias

from hermes_retention.gateway.host import ModelCall
from hermes_retention.gateway.session_usage import Tally
from hermes_retention.model.log import LOG
from hermes_retention.policy.caps import Cap, CapAction, CapSettings, Reaction

STOP_SECONDS = 1.0
_REST_SECONDS = 5.0
"""Without anything to do, until the thread writes what it counted and lets go of the database."""
_FLUSH_SECONDS = 30.0
"""The same while there is always something to do."""
_COMPLAIN_SECONDS = 3600.0
_FORGET_SECONDS = 2 * 3600.0


class Rounds(Protocol):
    """What the thread does; made on it, and used by it alone."""

    @property
    def settings(self) -> CapSettings | None:
        """``None`` when there are to be no caps."""

    @property
    def abilities(self) -> Container[Reaction]:
        """What may be done: less than the host could, where people only want to be told."""

    def stopped(self) -> list[str]:
        """Sessions that an earlier process stopped."""

    def learn(self, tally: Tally) -> None:
        """Find out the class of a session, and what is remembered of it."""

    def see(self, tally: Tally, tool_calls: int | None) -> None:
        """Count the session and act; ``tool_calls`` are those of a turn that has ended."""

    def rest(self) -> None:
        """Write what is only in memory, and let go of the database."""


Lock: TypeAlias = threading.Lock
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
        open_rounds: Callable[[Lock], Rounds],
        *,
        clock: Callable[[], float],
        begin: Callable[[Callable[[], None]], threading.Thread | None] = _in_a_thread,
    ) -> None:
        """``begin`` puts what it gets on a thread; with one that does not, ``work_off`` does the work."""
        self._begin = begin
        self._abilities: Container[Reaction] = frozenset()
        self._open_rounds = open_rounds
        self._clock = clock
        self._lock = threading.Lock()
        self._tallies: dict[str, Tally] = {}
        self._events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        self._rounds: Rounds | None = None
        self._settings: CapSettings | None = None
        self._is_off = False
        self._complained_at = float("-inf")
        self._flushed_at = clock()

    # -- told by hooks -----------------------------------------------------------------------------

    def model_called(self, session_id: str, platform: str, call: ModelCall) -> None:
        """The model answered. Never raises."""
        with self._failing_open():
            if self._is_off or not session_id:
                return
            now = self._clock()
            with self._lock:
                tally = self._tally(session_id, platform, now)
                tally.add_call(call, now)
                wants_a_look = self._judge(tally, now)
            if wants_a_look:
                self._events.put((session_id, None))
                self.start()

    def turn_ended(
        self, session_id: str, session_key: str, platform: str, usage: Mapping[str, float]
    ) -> None:
        """A turn is over, with what a gateway counted in it. Never raises."""
        with self._failing_open():
            if self._is_off or not session_id:
                return
            now = self._clock()
            with self._lock:
                tally = self._tally(session_id, platform, now)
                tally.session_key = session_key or tally.session_key
                tool_calls = tally.add_turn(dict(usage or {}), now)
            self._events.put((session_id, tool_calls))
            self.start()

    def answer(self, session_id: str, cap: Cap | None = None) -> CapAction | None:
        """What a gateway is to do about this cap of a session, or about any; ``None`` is nothing."""
        with self._failing_open():
            tally = self._tallies.get(session_id)
            if tally is None or self._settings is None:
                return None
            with self._lock:
                return tally.answer(cap, self._settings.stop_cooldown, self._clock())
        return None

    def _tally(self, session_id: str, platform: str, now: float) -> Tally:
        tally = self._tallies.get(session_id)
        if tally is None:
            tally = self._tallies[session_id] = Tally(session_id)
        tally.platform = platform or tally.platform
        tally.used_at = now
        return tally

    def _judge(self, tally: Tally, now: float) -> bool:
        """Stop the session if a cap says so, and say whether the thread should look at it in this turn."""
        if self._settings is None or tally.caps is None:
            return True
        found = tally.findings(tally.counts(now))
        tally.stop_if_due(found, self._abilities, self._settings.stop_cooldown, now)
        return tally.wants_a_look(found, now)

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
            except queue.Empty:
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
        with self._failing_open():
            if self._rounds is None:
                self._open()
            tally = self._tallies.get(session_id)
            if tally is None or self._rounds is None or self._is_off:
                return
            if tally.caps is None:
                self._rounds.learn(tally)
            self._rounds.see(tally, tool_calls)
        if self._clock() - self._flushed_at > _FLUSH_SECONDS:
            self._rest()

    def _open(self) -> None:
        """Without settings there are no caps in this process: it is said once, and nothing is tried again."""
        try:
            rounds = self._open_rounds(self._lock)
            self._settings, self._abilities = rounds.settings, rounds.abilities
        except Exception as error:  # noqa: BLE001 - settings of people, on a thread that nobody watches
            self._is_off = True
            self._complain(error, "No session is capped until the gateway is started again.")
            return
        if self._settings is None:
            self._is_off = True
            return
        self._rounds = rounds
        with self._failing_open():
            for session_id in rounds.stopped():
                with self._lock:
                    tally = self._tally(session_id, "", self._clock())
                rounds.learn(tally)

    def _rest(self) -> None:
        self._flushed_at = now = self._clock()
        with self._failing_open():
            if self._rounds is not None:
                self._rounds.rest()
        with self._lock:
            for session_id, tally in list(self._tallies.items()):
                if now - tally.used_at > _FORGET_SECONDS and tally.current_stop(now) is None:
                    del self._tallies[session_id]

    @contextlib.contextmanager
    def _failing_open(self) -> Iterator[None]:
        """No error gets out, and no chat waits or ends because of one."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the chat goes on
            self._complain(error, "Chats go on; this session may pass its caps.")

    def _complain(self, error: Exception, consequence: str) -> None:
        from hermes_retention.model.errors import RetentionError

        now = self._clock()
        if 0 <= now - self._complained_at < _COMPLAIN_SECONDS:
            return
        self._complained_at = now
        # Other errors are named only: their texts may hold a piece of a conversation.
        words = error if isinstance(error, RetentionError) else f"it failed ({type(error).__name__})"
        LOG.warning("caps: %s %s", words, consequence)
