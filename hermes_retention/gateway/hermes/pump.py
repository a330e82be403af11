"""The thread that takes what hooks have told out of the inbox, and finds out what this process is.

The host has no hook that says when a gateway starts. Its module ``gateway.run`` keeps a reference to the
running gateway, which nothing but a gateway sets; it is looked at from outside, and nothing of the host is
replaced. What must not live here: what follows from anything, and imports that cost time.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from typing import TYPE_CHECKING

from hermes_retention.model.log import LOG

if TYPE_CHECKING:
    from collections.abc import Callable

    from hermes_retention.gateway.cap_watch import CapWatch
    from hermes_retention.gateway.hermes.events import Bridge
    from hermes_retention.gateway.hermes.inbox import Inbox
    from hermes_retention.stores.base import RouteIndex

_WATCHFUL_SECONDS = 120.0
"""How long a process is watched closely: a gateway shows itself within seconds."""
_CLOSELY = 0.05
"""Between two looks while a gateway starts: a second passes between its start and what it resumes."""
_AT_FIRST = 0.2
_LATER = 2.0
_RUNNING = 0.5
"""Between two looks at whether the gateway ends."""
_LAST_WORDS_SECONDS = 1.0


def gateway_of_this_process() -> object | None:
    """The host's gateway object, from its construction on; ``None`` in every other process."""
    module = sys.modules.get("gateway.run")
    reference = getattr(module, "_gateway_runner_ref", None)
    return None if reference is None else reference()


class Pump:
    """One daemon thread. Making it starts nothing."""

    def __init__(self, inbox: Inbox, open_bridge: Callable[[], Bridge]) -> None:
        self._inbox, self._open_bridge = inbox, open_bridge
        self._starting = threading.Lock()
        self._turn = threading.Lock()
        self._opening = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ends = False
        self._bridge: Bridge | None = None
        self._is_prepared = self._has_planned = self._is_up = self._is_gone = False
        self._watchful_until = 0.0

    def start(self) -> None:
        """Start the thread; does nothing when it runs already."""
        with self._starting:
            if self._thread is None:
                self._watchful_until = time.monotonic() + _WATCHFUL_SECONDS
                self._thread = threading.Thread(target=self._run, name="hermes-retention-hooks", daemon=True)
                self._thread.start()
                atexit.register(self.finish)

    def finish(self) -> None:
        """Pass on what is left, and give it the time to be written. For the end of the process."""
        self._ends = True
        self._inbox.wake()
        if self._thread is not None:
            self._thread.join(_LAST_WORDS_SECONDS)
        self.pass_on()
        if self._bridge is not None:
            self._bridge.close()

    def pass_on(self) -> None:
        """Pass on what is in the inbox now, on this thread; leave it when another thread is stuck at it."""
        if not self._turn.acquire(timeout=_LAST_WORDS_SECONDS):
            return
        try:
            for told in self._inbox.take():
                self._opened().pass_on(told)
        finally:
            self._turn.release()

    def gateway_index(self) -> RouteIndex | None:
        """The host's own index; ``None`` when this process is no gateway."""
        return None if gateway_of_this_process() is None else self._opened().host

    def caps(self) -> CapWatch | None:
        """The caps of this process; ``None`` until something has been passed on. For any thread, at once."""
        return None if self._bridge is None else self._bridge.plugin.caps

    def look(self) -> None:
        """Look whether a gateway starts, is up or ends in this process, and pass that on once."""
        runner = gateway_of_this_process()
        is_running = bool(getattr(runner, "_running", False))
        # Hosts since 0.18 hold messages back while they restore what was interrupted; older ones only wait a
        # second before they resume it.
        is_restoring = bool(getattr(runner, "_startup_restore_in_progress", False))
        if runner is not None and not self._is_prepared:
            self._is_prepared = True
            self._opened().gateway_starts()
        if (is_restoring or is_running) and not self._has_planned:
            self._has_planned = True
            self._opened().plan_resume()
        if is_running and not self._is_up:
            self._is_up = True
            self._opened().gateway_is_up()
        elif self._is_up and not is_running and not self._is_gone:
            self._is_gone = True
            self._opened().gateway_ends()

    def _run(self) -> None:
        while not self._ends:
            self._inbox.wait(self._pause())
            try:
                self.look()
                self.pass_on()
            except Exception as error:  # noqa: BLE001 - the thread lives on, whatever the host has become
                LOG.debug("watching the gateway failed (%s)", type(error).__name__)

    def _pause(self) -> float:
        if self._is_up:
            return _RUNNING
        if time.monotonic() > self._watchful_until:
            return _LATER
        return _CLOSELY if "gateway.run" in sys.modules else _AT_FIRST

    def _opened(self) -> Bridge:
        with self._opening:
            if self._bridge is None:
                self._bridge = self._open_bridge()
            return self._bridge
