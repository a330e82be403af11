"""What follows from the host's hooks: the thread that takes them up, and what each of them means to us.

Every process of a host loads this module, so what costs time is imported where it is needed. What the
callbacks leave in their inbox is passed on here, on a thread of its own: the worker behind it may be in a
sweep for minutes, and plugins of others and the caps hear of it all the same. What must not live here: what
our plugin does about it.
"""

from __future__ import annotations

import atexit
import enum
import sys
import threading
import time
from typing import TYPE_CHECKING

from hermes_retention.gateway.host import ModelCall
from hermes_retention.model.log import LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pluggy

    from hermes_retention.gateway.cap_watch import CapWatch
    from hermes_retention.gateway.hermes.callbacks import HookCall, Inbox
    from hermes_retention.policy.resume import ResumePlan
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
_PROCESS_ENDS = "shutdown"
_MOST_TURNS = 1_000
"""Turns under way whose use is counted; one that never ends must not stay for ever."""


def gateway_of_this_process() -> object | None:
    """The host's gateway object, from its construction on; ``None`` in every other process."""
    module = sys.modules.get("gateway.run")
    reference = getattr(module, "_gateway_runner_ref", None)
    return None if reference is None else reference()


class Phase(enum.IntEnum):
    """How far the gateway of a process has come. It only goes forward, and reaching one is told once."""

    NO_GATEWAY = 0
    STARTING = 1
    """The host has made its gateway, which connects to its platforms now."""
    RESUMING = 2
    """About to go on with what was interrupted."""
    UP = 3
    ENDED = 4


class HookThread:
    """One daemon thread that takes what hooks have told out of the inbox, and sees how the gateway fares.

    Making it starts nothing. The host has no hook that says when a gateway starts. Its module ``gateway.run``
    keeps a reference to the running gateway, which nothing but a gateway sets; it is looked at from outside,
    and nothing of the host is replaced.
    """

    def __init__(self, inbox: Inbox, open_translator: Callable[[], HookTranslator]) -> None:
        self._inbox, self._open_translator = inbox, open_translator
        self._starting = threading.Lock()
        self._turn = threading.Lock()
        self._opening = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ends = False
        self._translator: HookTranslator | None = None
        self._phase = Phase.NO_GATEWAY
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
        if self._translator is not None:
            self._translator.close()

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
        return None if self._translator is None else self._translator.plugin.caps

    def look(self) -> None:
        """Look whether a gateway starts, is up or ends in this process, and pass that on once."""
        runner = gateway_of_this_process()
        is_running = bool(getattr(runner, "_running", False))
        # Hosts since 0.18 hold messages back while they restore what was interrupted; older ones only wait a
        # second before they resume it.
        is_restoring = bool(getattr(runner, "_startup_restore_in_progress", False))
        if runner is not None:
            self._reach(Phase.STARTING)
        if is_restoring or is_running:
            self._reach(Phase.RESUMING)
        if is_running:
            self._reach(Phase.UP)
        elif self._phase is Phase.UP:
            self._reach(Phase.ENDED)

    def _reach(self, phase: Phase) -> None:
        if phase <= self._phase:
            return
        self._phase = phase  # before it is told: whatever fails there is not told again
        translator = self._opened()
        match phase:
            case Phase.STARTING:
                translator.gateway_starts()
            case Phase.RESUMING:
                translator.plan_resume()
            case Phase.UP:
                translator.gateway_is_up()
            case Phase.ENDED:
                translator.gateway_ends()

    def _run(self) -> None:
        while not self._ends:
            self._inbox.wait(self._pause())
            try:
                self.look()
                self.pass_on()
            except Exception as error:  # noqa: BLE001 - the thread lives on, whatever the host has become
                LOG.debug("watching the gateway failed (%s)", type(error).__name__)

    def _pause(self) -> float:
        if self._phase >= Phase.UP:
            return _RUNNING
        if time.monotonic() > self._watchful_until:
            return _LATER
        return _CLOSELY if "gateway.run" in sys.modules else _AT_FIRST

    def _opened(self) -> HookTranslator:
        with self._opening:
            if self._translator is None:
                self._translator = self._open_translator()
            return self._translator


class HookTranslator:
    """From the host's hooks to ours: what each of them means, told to every plugin that listens.

    All of us in one process of the host, once something has happened in it. Works on the ``HookThread``,
    never on the event loop. The host's traps are known here: ``on_session_end`` is the end of a turn, and a
    finalized session is over only for some reasons.
    """

    def __init__(
        self,
        home: Path,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
        runner: Callable[[], object | None] = gateway_of_this_process,
    ) -> None:
        # Not at the top: most processes of a host never come to this.
        from hermes_retention.gateway.hermes.host import HermesHost
        from hermes_retention.gateway.plugin import NAME, RetentionPlugin
        from hermes_retention.gateway.worker import WarnOnce
        from hermes_retention.plugins import bare_plugin_manager

        self.home = home
        self.host = HermesHost(home, runner, clock)
        self.plugin = RetentionPlugin(
            home=home, environ=environ, clock=clock, host=self.host, plugins=self.all_plugins
        )
        self.manager = bare_plugin_manager()
        self.manager.register(self.plugin, name=NAME)
        self._loading = threading.Lock()
        self._are_loaded = False
        self._warnings = WarnOnce()
        self._usage: dict[str, dict[str, float]] = {}

    def all_plugins(self) -> pluggy.PluginManager:
        """The manager with those that other packages bring, who are looked for once. For any thread."""
        from hermes_retention.plugins import add_installed_plugins

        with self._loading:
            if not self._are_loaded:
                self._are_loaded = True
                add_installed_plugins(self.manager)
        return self.manager

    # -- what hooks tell -----------------------------------------------------------------------------

    def pass_on(self, call: HookCall) -> None:
        """Tell our plugins what the host has call. Never raises."""
        match call.hook:
            case "post_api_request":
                self._count(call)
            case "on_session_end":
                self._turn_ends(call)
            case "on_session_reset":
                self._session_is_reset(call)
            case "on_session_finalize":
                self._session_is_finalized(call)

    def _count(self, call: HookCall) -> None:
        untold = call.facts.get("untold")
        if isinstance(untold, ModelCall):
            self.plugin.caps.model_called(call.session_id, call.platform, untold)
        if call.session_id not in self._usage and len(self._usage) >= _MOST_TURNS:
            self._usage.pop(next(iter(self._usage)))
        used = self._usage.setdefault(call.session_id, {})
        for name, value in call.facts.items():
            if isinstance(value, int | float):
                used[name] = used.get(name, 0) + value

    def _turn_ends(self, call: HookCall) -> None:
        usage = self._usage.pop(call.session_id, {})
        key = str(call.facts.get("session_key", ""))
        self._tell(
            "turn_end", session_id=call.session_id, session_key=key, platform=call.platform, usage=usage
        )
        if call.platform == "cron":
            from hermes_retention.stores.hermes.files import cron_job

            # No later hook exists: the row has not ended yet, nor is anything delivered. Whoever hears this
            # waits for both.
            job = cron_job(call.session_id) or ""
            succeeded = bool(call.facts.get("succeeded"))
            self._tell("cron_complete", job_id=job, session_id=call.session_id, succeeded=succeeded)

    def _session_is_reset(self, call: HookCall) -> None:
        old = str(call.facts.get("old_session_id", ""))
        if old and old != call.session_id:  # older hosts do not say; they have finalized the old one before
            self._tell(
                "session_reset",
                session_key=self.host.key_of(call.session_id),
                old_session_id=old,
                new_session_id=call.session_id,
                platform=call.platform,
            )

    def _session_is_finalized(self, call: HookCall) -> None:
        reason = str(call.facts.get("reason", ""))
        # A process ends, and the session goes on in the next one. Hosts before 0.16 give no reason, but call
        # the platform "gateway" then; on their command line nobody can tell, so nothing is said.
        if reason == _PROCESS_ENDS or call.platform == "gateway" or (not reason and call.platform == "cli"):
            return
        self._tell(
            "session_end", session_id=call.session_id, reason=reason or "finalized", platform=call.platform
        )

    # -- what becomes of the gateway -----------------------------------------------------------------

    def gateway_starts(self) -> None:
        """Load now what it will take soon, while the host connects to its platforms."""
        import hermes_retention.settings.load  # noqa: F401 - most of the time that planning would take

        self.all_plugins()

    def plan_resume(self) -> None:
        """Take the mark off interrupted sessions that are not worth to be gone on with."""
        try:
            candidates = self.host.resume_candidates()
            if not candidates:
                return
            plan: ResumePlan | None = self.manager.hook.plan_resume(candidates=candidates)
            if plan is not None:
                self._carry_out(plan)
        except Exception as error:  # noqa: BLE001 - the host then resumes what it wants
            self._warnings.tell("which sessions to resume", error, "The host decides.")

    def gateway_is_up(self) -> None:
        """From now on there are sweeps in the background."""
        self._tell("gateway_startup", home=self.home, platforms=self.host.platforms())

    def gateway_ends(self) -> None:
        """The process is about to end."""
        self._tell("gateway_shutdown")

    def close(self) -> None:
        """Write what is only in memory."""
        self.plugin.caps.stop()
        self.plugin.worker.stop()

    def _carry_out(self, plan: ResumePlan) -> None:
        reasons = {left.candidate.session_id: left.reason for left in plan.left}
        for session_id in self.host.clear_resume_marks(list(reasons)):
            LOG.info("session %s is not resumed: %s", session_id, reasons[session_id])

    def _tell(self, hook: str, **facts: object) -> None:
        try:
            getattr(self.manager.hook, hook)(**facts)
        except Exception as error:  # noqa: BLE001 - somebody else's plugin
            self._warnings.tell(f"a plugin at {hook}", error)
        else:
            self._warnings.is_fine(f"a plugin at {hook}")
