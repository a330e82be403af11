"""The plugin that answers the hooks of a gateway. It only notes what happened; a thread does the rest.

Light on purpose: making it and calling its hooks loads neither settings nor databases. What must not live
here: work.
"""

from __future__ import annotations

import atexit
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hermes_retention.gateway.cap_watch import CapWatch
from hermes_retention.gateway.worker import STOP_SECONDS, Worker
from hermes_retention.home.queue import Occasion, Pending
from hermes_retention.hookspecs import hookimpl
from hermes_retention.model.log import LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pluggy

    from hermes_retention.gateway.cap_watch import CapWork
    from hermes_retention.gateway.host import HostGateway
    from hermes_retention.gateway.sweep_job import Chore, SweepJob
    from hermes_retention.gateway.worker import Work
    from hermes_retention.model.errors import Stop
    from hermes_retention.plugins import Extensions
    from hermes_retention.policy.caps import Cap, CapAction
    from hermes_retention.policy.resume import ResumeCandidate, ResumePlan

NAME = "hermes-retention"
"""Under which it is registered in a manager."""


class RetentionPlugin:
    """Answers the lifecycle hooks of one gateway process, or of a short process of the same host.

    ``home`` is where hooks queue before, or without, ``gateway_startup``; the environment and the home's
    files hold the settings. ``host`` is what the gateway can do for us. ``plugins`` makes the manager on
    which extension hooks are called: once, on the worker's thread. A plugin serves one home.
    """

    def __init__(  # noqa: PLR0913 - what differs from gateway to gateway
        self,
        *,
        home: Path | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
        host: HostGateway | None = None,
        plugins: Callable[[], pluggy.PluginManager] | None = None,
        chores: Sequence[Chore] = (),
    ) -> None:
        self.home = home
        self.host = host
        self.environ = os.environ if environ is None else environ
        self.clock = clock
        self.worker = Worker(self._open_work)
        self.caps = CapWatch(self._open_caps, clock=clock)
        """Told of each call of the model by a host that can, and asked whether a session may go on."""
        self._plugins = plugins
        self._chores = chores
        self._sweep_job: SweepJob | None = None
        self._is_up = False
        atexit.register(self.worker.stop)
        atexit.register(self.caps.stop)

    @hookimpl
    def gateway_startup(self, home: Path, platforms: Sequence[str]) -> None:
        """Sweep in the background from now on."""
        if self._is_up:
            return
        if self.home is None:
            self.home = Path(home)
        self._is_up = True
        self.worker.call(self._begin)
        self.caps.start()

    @hookimpl
    def gateway_shutdown(self) -> None:
        """Stop what is under way, and write what is only in memory."""
        self.worker.stop(0.0)  # so that both come to their end at the same time
        if not all([self.caps.stop(), self.worker.stop(STOP_SECONDS / 2)]):
            LOG.info("retention did not stop in time; the next process goes on with it")
        atexit.unregister(self.worker.stop)
        atexit.unregister(self.caps.stop)

    @hookimpl
    def session_reset(
        self, session_key: str, old_session_id: str, new_session_id: str, platform: str
    ) -> None:
        """The old session is due at once, after ``MIN_AGE``."""
        self._note(Occasion.RESET, old_session_id)

    @hookimpl
    def session_end(self, session_id: str, reason: str, platform: str) -> None:
        """The age of its class decides."""
        self._note(Occasion.END, session_id)

    @hookimpl
    def turn_end(self, session_id: str, session_key: str, platform: str, usage: Mapping[str, float]) -> None:
        """The session is counted, and its caps are kept."""
        if self.home is not None:
            self.caps.turn_ended(session_id, session_key, platform, usage)

    @hookimpl(trylast=True)
    def session_over_cap(self, session_id: str, cap: Cap | None) -> CapAction | None:
        """What the settings say about a cap that is reached; other plugins are asked first."""
        return self.caps.answer(session_id, cap)

    @hookimpl
    def cron_complete(self, job_id: str, session_id: str, succeeded: bool) -> None:  # noqa: FBT001 - the hook
        """With ``CRON__PERSIST=false`` its files and messages are due at once, after ``MIN_AGE``."""
        self._note(Occasion.CRON, session_id)

    @hookimpl
    def plan_resume(self, candidates: Sequence[ResumeCandidate]) -> ResumePlan | None:
        """The newest ones that are worth it; ``None`` when settings are wrong or sweeps are off."""
        from hermes_retention.home.open import HomeLoader
        from hermes_retention.model.errors import RetentionError
        from hermes_retention.policy import resume
        from hermes_retention.settings.forms import Mode

        if self.home is None:
            return None
        try:
            values = HomeLoader(self.home, environ=self.environ).settings.values
        except RetentionError as error:
            LOG.warning("%s. The gateway itself decides what it resumes.", error)
            return None
        if values.mode is Mode.OFF:
            return None
        return resume.plan_resume(
            candidates, now=self.clock(), max_age=values.resume_max_age, most=values.resume_max
        )

    def _note(self, occasion: Occasion, session_id: str) -> None:
        if self.home is not None and session_id:
            self.worker.submit(Pending(occasion, session_id, self.clock()))

    def _open_caps(self) -> CapWork:
        from hermes_retention.gateway.cap_job import CapJob

        if self.home is None:
            raise LookupError("no home")
        tell = self._extensions().alert
        return CapJob(self.home, environ=self.environ, clock=self.clock, host=self.host, tell=tell)

    # -- on the worker's thread ----------------------------------------------------------------------

    def _open_work(self, stop: Stop) -> Work:
        from hermes_retention.gateway.sweep_job import SweepJob

        if self.home is None:
            raise LookupError("no home")
        self._sweep_job = SweepJob(
            self.home,
            environ=self.environ,
            clock=self.clock,
            stop=stop,
            wait=self.worker.sleep,
            extensions=self._extensions,
            index=self.host,
            chores=self._chores,
        )
        return self._sweep_job

    def _begin(self) -> None:
        if self._sweep_job is not None:
            self._sweep_job.begin()

    def _extensions(self) -> Extensions:
        from hermes_retention.plugins import Extensions, plugin_manager

        return Extensions((self._plugins or plugin_manager)())
