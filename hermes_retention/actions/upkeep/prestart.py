"""What is done before a gateway of the OpenClaw family starts: it shall not go on with a stale crowd.

A sweep, then the sessions that ended in error or whose transcript is broken, then the marks of all
interrupted sessions beyond the newest few. Only while the gateway is down. What must not live here: output.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.actions.sweep.sweep import Clock, preview, sweep
from hermes_retention.home.home import Home
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import MIN_AGE_FLOOR, Lifecycle, Policy
from hermes_retention.policy.resume import plan_resume
from hermes_retention.stores.base import InterruptedSession, StartingStore

ORIGIN = "prestart"


class ResumeLimits(msgspec.Struct, frozen=True):
    """Which interrupted sessions of an agent may be gone on with."""

    most: int
    max_age: float | None = None
    """Seconds since their last activity; ``None`` for no limit."""


class PrestartReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, or would be."""

    home: str
    dry_run: bool
    swept: SweepReport
    """What was due by its age."""
    dropped: SweepReport
    """What ended in error, or has a broken transcript."""
    resumed: tuple[str, ...]
    """The sessions that the gateway may go on with, newest first."""
    cleared: tuple[str, ...]
    """Those that lost their mark."""

    @property
    def exit_code(self) -> int:
        """The worse of the two sweeps."""
        return max(self.swept.exit_code, self.dropped.exit_code)


def prestart(home: Home, store: StartingStore, *, limits: ResumeLimits, clock: Clock) -> PrestartReport:
    """Do all of it. Raises as ``sweep`` does; what was done until then stays done.

    ``store`` is that of ``home`` with other eyes.
    """
    swept = sweep(home, clock=clock, origin=ORIGIN)
    dropped = sweep(_narrowed(home, store), clock=clock, origin=ORIGIN)
    with home.workspace.locked():
        resumed, surplus = _chosen(store.interrupted(now=clock()), limits, now=clock())
        cleared = store.clear_resume_marks(surplus) if surplus else []
    return PrestartReport(
        home=str(home.path),
        dry_run=False,
        swept=swept,
        dropped=dropped,
        resumed=resumed,
        cleared=tuple(cleared),
    )


def preview_prestart(
    home: Home, store: StartingStore, *, limits: ResumeLimits, clock: Clock
) -> PrestartReport:
    """What ``prestart`` would do now. Changes nothing."""
    swept = preview(home, clock=clock)
    dropped = preview(_narrowed(home, store), clock=clock)
    gone = {step.session_id for report in (swept, dropped) for step in report.steps if step.artifacts}
    left = [it for it in store.interrupted(now=clock()) if it.candidate.session_id not in gone]
    resumed, surplus = _chosen(left, limits, now=clock())
    return PrestartReport(
        home=str(home.path),
        dry_run=True,
        swept=swept,
        dropped=dropped,
        resumed=resumed,
        cleared=tuple(surplus),
    )


def _narrowed(home: Home, store: StartingStore) -> Home:
    """The same home, of which ``store`` shows only what goes at once, into the archive whatever its class."""
    lifecycle = Lifecycle(files_after=0, idle_after=None, keep_failed=0)
    policy = Policy(dict.fromkeys(SessionClass, lifecycle), min_age=MIN_AGE_FLOOR, leftovers_after=None)
    return home.for_one_run(policy, store=store)


def _chosen(
    interrupted: Iterable[InterruptedSession], limits: ResumeLimits, *, now: float
) -> tuple[tuple[str, ...], list[str]]:
    """What is gone on with, and what is not, agent by agent. A main session always is, and counts."""
    by_agent: defaultdict[str, list[InterruptedSession]] = defaultdict(list)
    for one in interrupted:
        by_agent[one.agent].append(one)
    resumed: list[str] = []
    surplus: list[str] = []
    for _, found in sorted(by_agent.items()):
        main = [it.candidate.session_id for it in found if it.is_main]
        others = [it.candidate for it in found if not it.is_main]
        plan = plan_resume(others, now=now, max_age=limits.max_age, most=max(0, limits.most - len(main)))
        resumed += [*main, *(it.session_id for it in plan.resume)]
        surplus += [it.candidate.session_id for it in plan.left]
    return tuple(resumed), surplus
