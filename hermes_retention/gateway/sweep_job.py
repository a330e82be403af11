"""What the worker does for one home: it keeps the queue, and sweeps when something is due.

A gateway sweeps regularly, by a clock that nobody can set, and in between for what is pending.

What must not live here: threads, and what a host can do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from hermes_retention.actions.sweep.mode import NEXT_SWEEP, announce, announcement_words, may_remove
from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.actions.sweep.sweep import preview, sweep
from hermes_retention.gateway.worker import WarnOnce, Yielding
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import Outcome
from hermes_retention.home.open import HomeLoader
from hermes_retention.home.queue import Occasion, Pending
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.errors import Stop, SweepRunning
from hermes_retention.model.log import LOG
from hermes_retention.model.plan import Plan
from hermes_retention.model.session import Inventory
from hermes_retention.model.text import counted, format_duration, format_size
from hermes_retention.plugins import Extensions
from hermes_retention.policy.lifecycle import OnReset, Policy
from hermes_retention.settings.forms import Mode
from hermes_retention.stores.base import RouteIndex

ORIGIN = "gateway"
"""What the ledger calls these sweeps."""
_AFTER_WRONG_SETTINGS = 60.0
"""Seconds. Somebody may be mending them."""
_AFTER_ANOTHER = 60.0
_ANOTHER = "another process is sweeping; it sees to what is due here, too"


_COUNTED = (
    ("files_archived", "files of {} archived"),
    ("tool_output_archived", "tool output of {} archived"),
    ("messages_archived", "messages of {} archived"),
    ("records_archived", "records of {} archived"),
    ("deleted", "{} deleted"),
    ("expired", "copies of {} expired"),
)

_POLL_SECONDS = 60.0
"""How often the queue is looked at for what other processes put into it."""
_BREATHER_SECONDS = 60.0
"""Between two sweeps, so that a busy gateway does not look at its home all the time."""
_SHARE = 20
"""A pause is at least so many times as long as the sweep before it."""


class Swept(msgspec.Struct, frozen=True):
    """A sweep that is over, as chores see it."""

    home: Home
    inventory: Inventory
    """As it was before."""
    plan: Plan
    report: SweepReport


Chore: TypeAlias = Callable[[Swept], object]
"""Something to do on the worker's thread after each sweep. It may raise: that costs one warning."""


class SweepJob:
    """The work of one home. All methods are called on one thread, but for ``keep`` at the end."""

    def __init__(  # noqa: PLR0913 - one home, its clocks, and who else has a say
        self,
        home: Path,
        *,
        environ: Mapping[str, str],
        clock: Callable[[], float],
        stop: Stop,
        wait: Callable[[float], object] = time.sleep,
        extensions: Callable[[], Extensions] = Extensions,
        index: RouteIndex | None = None,
        chores: Sequence[Chore] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` gives Unix seconds; ``wait`` sleeps, but not beyond a stop.

        ``index`` is where dead routes leave the host; without one they stay.
        """
        self._home, self._environ, self._clock, self._stop = home, environ, clock, stop
        self._monotonic, self._wait, self._chores = monotonic, wait, chores
        self._index = index
        self._make_extensions = extensions
        self._extensions: Extensions | None = None
        self.schedule = SweepTimes(tick=monotonic())
        self._warnings = WarnOnce()
        self._announced_tick: float | None = None
        self._is_told = False
        self._look_at_queue()

    # -- the queue -----------------------------------------------------------------------------------

    def keep(self, lines: Sequence[Pending]) -> None:
        """Write these lines to the queue, with the time at which each is due. Raises ``RetentionError``.

        Where sweeps remove nothing (``MODE=off`` and ``observe``), nothing is written.
        """
        settings = self._loader().settings
        if settings.values.mode in (Mode.OFF, Mode.OBSERVE):
            return
        policy = settings.policy()
        workspace = Workspace(self._home)
        workspace.check()
        workspace.create()
        with workspace.ledger() as ledger:
            ledger.queue.add(
                Pending(line.occasion, line.session_id, line.noted_at, due_at(line, policy)) for line in lines
            )
            self.schedule.pending_at(ledger.queue.next_due())

    def _look_at_queue(self) -> None:
        """Also for what other processes have put into it, or dead ones left there."""
        workspace = Workspace(self._home)
        with self._warnings.about(f"the queue of {self._name}"):
            workspace.check()
            workspace.ask_ledger(lambda ledger: self.schedule.pending_at(ledger.queue.next_due()), None)

    # -- sweeps --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """This process is the gateway: sweep regularly from now on. A second call changes nothing."""
        after = _AFTER_WRONG_SETTINGS
        with self._warnings.about(f"settings of {self._name}"):
            after = self._loader().settings.values.startup_delay
        self.schedule.begin(tick=self._monotonic(), after=after)

    def run_due(self) -> float | None:
        """Sweep if it is time, and say how many seconds to sleep. Raises ``RetentionError``."""
        self._look_at_queue()
        if self.schedule.is_time(tick=self._monotonic(), now=self._clock()) and not self._stop():
            self._try_to_sweep()
        return self.schedule.pause(tick=self._monotonic(), now=self._clock())

    def _try_to_sweep(self) -> None:
        """However it goes, the next try comes an interval later, and not at once."""
        began, again_after = self._monotonic(), _AFTER_WRONG_SETTINGS
        try:
            loader = self._loader()
            again_after = float(loader.settings.values.sweep_interval)
            again_after = min(again_after, self._round(loader) or again_after)
        except SweepRunning:
            LOG.debug("%s: %s", self._name, _ANOTHER)
            again_after = _AFTER_ANOTHER
        finally:
            tick = self._monotonic()
            self.schedule.swept(tick=tick, took=tick - began, again_after=again_after)
            self._look_at_queue()
            self._tell_when_next()

    def _round(self, loader: HomeLoader) -> float | None:
        """One sweep, or what takes its place; the seconds after which it wants another, if that is soon."""
        settings = loader.settings
        if settings.values.mode is Mode.OFF or not loader.holds_sessions():
            return None
        home = loader.home
        if settings.values.mode is Mode.OBSERVE:
            tell_observed(preview(home, clock=self._clock), self._name)
            return None
        if not may_remove(home):
            if not self.schedule.is_regular:  # a short process is no place for announcements
                return None
            left = self._seconds_to_first_sweep(home, delay=settings.values.first_sweep_delay)
            if left is None or left > 0:
                return left
        self._sweep(home)
        return None

    def _sweep(self, home: Home) -> None:
        watch = _Watch(Yielding(self._wait))
        report = sweep(
            home, clock=self._clock, origin=ORIGIN, observer=watch, index=self._index, stop=self._stop
        )
        tell_swept(report, self._name, self._warnings)
        if watch.inventory is None or watch.plan is None:
            return
        swept = Swept(home, watch.inventory, watch.plan, report)
        for chore in self._chores:
            if not self._stop():
                with self._warnings.about(f"a task of retention after the sweep of {self._name}"):
                    chore(swept)

    def _seconds_to_first_sweep(self, home: Home, *, delay: float) -> float | None:
        """Announce the first sweep, or see how long it waits still; ``None`` when there is nothing to do.

        Two clocks have to agree that the time is over: one of them may have been set meanwhile.
        """
        watch = _Watch(Yielding(self._wait))
        preview(home, clock=self._clock, observer=watch)
        if watch.plan is None or not watch.plan.removals():
            return None
        home.workspace.check()
        home.workspace.create()
        with home.workspace.ledger() as ledger:
            made = announce(ledger, watch.plan, delay=delay)
        if made.announced_at == watch.plan.now:
            self._announced_tick = self._monotonic()
        left = made.acts_at - self._clock()
        if self._announced_tick is not None:
            left = max(left, self._announced_tick + delay - self._monotonic())
        if left > 0 and not self._is_told:
            self._is_told = True
            prune = home.store.host_prune(until=made.acts_at)
            now = self._clock()
            LOG.warning("%s", announcement_words(watch.plan, made, home=self._name, now=now, prune=prune))
        return left

    # -- what is told --------------------------------------------------------------------------------

    def _tell_when_next(self) -> None:
        """For ``status``. Where nothing was written yet, nothing is."""
        left = self.schedule.seconds_left(tick=self._monotonic())
        if left is None:
            return
        with self._warnings.about(f"the ledger of {self._name}"):
            self._note_next_sweep(str(self._clock() + left))

    def close(self) -> None:
        """This process sweeps no more."""
        if self.schedule.is_regular:
            self._note_next_sweep("")

    def _note_next_sweep(self, at: str) -> None:
        Workspace(self._home).ask_ledger(lambda ledger: ledger.remember(NEXT_SWEEP, at), None)

    # -- parts ---------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return str(self._home)

    def _loader(self) -> HomeLoader:
        """Anew each time: what a person changes holds from the next sweep on."""
        return HomeLoader(self._home, environ=self._environ, extensions=self._asked)

    def _asked(self) -> Extensions:
        """The plugins that are asked, loaded when they are needed first."""
        if self._extensions is None:
            self._extensions = self._make_extensions()
        return self._extensions


def due_at(line: Pending, policy: Policy) -> float | None:
    """When a sweep for this line is worth it, in Unix seconds; ``None`` leaves it to a regular one."""
    if line.occasion is Occasion.RESET and policy.on_reset is not OnReset.KEEP:
        return line.noted_at + policy.settle_time
    if line.occasion is Occasion.CRON and not all(it.persist for it in policy.lifecycles.values()):
        return line.noted_at + policy.settle_time
    return None


def tell_swept(report: SweepReport, home: str, warnings: WarnOnce) -> None:
    """What a sweep of ``home`` did, if it did anything, and what it could not do."""
    if report.outcomes:
        # Rows give pages back within the database: then the archive grows by more than the files shrink.
        freed = f"{format_size(report.bytes_freed)} freed in " if report.bytes_freed > 0 else "in "
        took = format_duration(report.seconds)
        LOG.info("%s: sweep %s: %s; %s%s", home, report.sweep, _done(report), freed, took)
    if report.failures:
        failed = counted(report.counts.failed, "session")
        example = report.failures[0].error
        warnings.warn(f"{home}: a sweep", f"could not do all for {failed}, such as: {example}")
    for number, warning in enumerate(report.warnings, 1):
        warnings.warn(f"{home}: note {number}", warning)


def tell_observed(report: SweepReport, home: str) -> None:
    """What a sweep of ``home`` would have done."""
    LOG.info("%s: nothing was removed, MODE is observe; a sweep would do this: %s", home, _done(report))


def _done(report: SweepReport) -> str:
    done = [
        words.format(counted(number, "session"))
        for name, words in _COUNTED
        if (number := getattr(report.counts, name))
    ]
    return ", ".join(done) or "nothing"


class SweepTimes:
    """When a process sweeps. ``tick`` is a monotonic time, ``now`` Unix seconds, which may jump."""

    def __init__(self, *, tick: float) -> None:
        self._regular_at: float | None = None
        self._rested_at = tick
        self._due_at: float | None = None

    def begin(self, *, tick: float, after: float) -> None:
        """Sweep regularly from ``after`` seconds on. A second call changes nothing."""
        if self._regular_at is None:
            self._regular_at = tick + after

    @property
    def is_regular(self) -> bool:
        """Whether ``begin`` was called."""
        return self._regular_at is not None

    def pending_at(self, due_at: float | None) -> None:
        """When the first line of the queue is due, in Unix seconds; ``None`` when none is."""
        self._due_at = due_at

    def swept(self, *, tick: float, took: float, again_after: float) -> None:
        """A sweep is over, or was tried; ``took`` and ``again_after`` are in seconds."""
        self._rested_at = tick + max(_BREATHER_SECONDS, _SHARE * took)
        if self._regular_at is not None:
            self._regular_at = tick + again_after

    def is_time(self, *, tick: float, now: float) -> bool:
        """Whether to sweep now."""
        if self._regular_at is not None and tick >= self._regular_at:
            return True
        return self._due_at is not None and now >= self._due_at and tick >= self._rested_at

    def seconds_left(self, *, tick: float) -> float | None:
        """Until the next regular sweep; ``None`` when there is none."""
        return None if self._regular_at is None else max(0.0, self._regular_at - tick)

    def pause(self, *, tick: float, now: float) -> float:
        """How long to sleep until it may be time, in seconds; never so long that a jump of ``now`` hurts."""
        waits = [_POLL_SECONDS]
        if self._regular_at is not None:
            waits.append(self._regular_at - tick)
        if self._due_at is not None:
            waits.append(max(self._due_at - now, self._rested_at - tick))
        return max(0.0, min(waits))


class _Watch:
    """Remembers what a sweep saw, and lets others have the machine in between."""

    def __init__(self, yielding: Yielding) -> None:
        self._yielding = yielding
        self.inventory: Inventory | None = None
        self.plan: Plan | None = None

    def planned(self, inventory: Inventory, plan: Plan) -> None:
        """Remember it."""
        self.inventory, self.plan = inventory, plan

    def done(self, outcome: Outcome) -> None:
        """Pause if the machine is busy."""
        self._yielding.yield_if_busy()
