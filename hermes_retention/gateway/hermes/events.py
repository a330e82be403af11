"""From the host's hooks to ours: what each of them means, told to every plugin that listens.

Works on the pump's thread, never on the event loop. The host's traps are known here: ``on_session_end`` is
the end of a turn, and a finalized session is over only for some reasons. What must not live here: what our
plugin does about it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from hermes_retention.gateway.hermes.host import HermesHost
from hermes_retention.gateway.hermes.pump import gateway_of_this_process
from hermes_retention.gateway.model_call import ModelCall
from hermes_retention.gateway.plugin import NAME, RetentionPlugin
from hermes_retention.gateway.worker import WarnOnce
from hermes_retention.model.log import LOG
from hermes_retention.plugins import add_installed_plugins, bare_plugin_manager

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pluggy

    from hermes_retention.gateway.hermes.inbox import Told
    from hermes_retention.policy.resume import ResumePlan

_PROCESS_ENDS = "shutdown"
_MOST_TURNS = 1_000
"""Turns under way whose use is counted; one that never ends must not stay for ever."""


class Bridge:
    """All of us in one process of the host, once something has happened in it."""

    def __init__(
        self,
        home: Path,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
        runner: Callable[[], object | None] = gateway_of_this_process,
    ) -> None:
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
        with self._loading:
            if not self._are_loaded:
                self._are_loaded = True
                add_installed_plugins(self.manager)
        return self.manager

    # -- what hooks tell -----------------------------------------------------------------------------

    def pass_on(self, told: Told) -> None:
        """Tell our plugins what the host has told. Never raises."""
        match told.hook:
            case "post_api_request":
                self._count(told)
            case "on_session_end":
                self._turn_ends(told)
            case "on_session_reset":
                self._session_is_reset(told)
            case "on_session_finalize":
                self._session_is_finalized(told)

    def _count(self, told: Told) -> None:
        call = told.facts.get("untold")
        if isinstance(call, ModelCall):
            self.plugin.caps.model_called(told.session_id, told.platform, call)
        if told.session_id not in self._usage and len(self._usage) >= _MOST_TURNS:
            self._usage.pop(next(iter(self._usage)))
        used = self._usage.setdefault(told.session_id, {})
        for name, value in told.facts.items():
            if isinstance(value, int | float):
                used[name] = used.get(name, 0) + value

    def _turn_ends(self, told: Told) -> None:
        usage = self._usage.pop(told.session_id, {})
        key = str(told.facts.get("session_key", ""))
        self._tell(
            "turn_end", session_id=told.session_id, session_key=key, platform=told.platform, usage=usage
        )
        if told.platform == "cron":
            from hermes_retention.stores.hermes.ids import cron_job

            # No later hook exists: the row has not ended yet, nor is anything delivered. Whoever hears this
            # waits for both.
            job = cron_job(told.session_id) or ""
            succeeded = bool(told.facts.get("succeeded"))
            self._tell("cron_complete", job_id=job, session_id=told.session_id, succeeded=succeeded)

    def _session_is_reset(self, told: Told) -> None:
        old = str(told.facts.get("old_session_id", ""))
        if old and old != told.session_id:  # older hosts do not say; they have finalized the old one before
            self._tell(
                "session_reset",
                session_key=self.host.key_of(told.session_id),
                old_session_id=old,
                new_session_id=told.session_id,
                platform=told.platform,
            )

    def _session_is_finalized(self, told: Told) -> None:
        reason = str(told.facts.get("reason", ""))
        # A process ends, and the session goes on in the next one. Hosts before 0.16 give no reason, but call
        # the platform "gateway" then; on their command line nobody can tell, so nothing is said.
        if reason == _PROCESS_ENDS or told.platform == "gateway" or (not reason and told.platform == "cli"):
            return
        self._tell(
            "session_end", session_id=told.session_id, reason=reason or "finalized", platform=told.platform
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
