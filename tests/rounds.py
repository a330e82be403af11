"""The work of a gateway for tests, with clocks that tests set."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from homes import NOW, HomeBuilder

from hermes_retention.gateway.sweep_job import Chore, SweepJob
from hermes_retention.model.errors import Stop, never
from hermes_retention.plugins import Extensions


@dataclasses.dataclass
class Clocks:
    """The wall clock, which may be set, and the monotonic one."""

    now: float = NOW
    tick: float = 1000.0

    def pass_by(self, seconds: float) -> None:
        """Time goes by on both."""
        self.now += seconds
        self.tick += seconds

    def wall(self) -> float:
        """What ``time.time`` would say."""
        return self.now

    def monotonic(self) -> float:
        """What ``time.monotonic`` would say."""
        return self.tick


def rounds_of(
    home: HomeBuilder | Path,
    clocks: Clocks,
    stop: Stop = never,
    extensions: Callable[[], Extensions] = Extensions,
    chores: Sequence[Chore] = (),
    **settings: str,
) -> SweepJob:
    """The work of a gateway on ``home`` under these settings (``MODE="enforce"``)."""
    return SweepJob(
        home.path if isinstance(home, HomeBuilder) else home,
        environ={f"HERMES_RETENTION_{name}": text for name, text in settings.items()},
        clock=clocks.wall,
        stop=stop,
        wait=lambda _: None,
        extensions=extensions,
        chores=chores,
        monotonic=clocks.monotonic,
    )


def pass_until_next(rounds: SweepJob, clocks: Clocks) -> None:
    """Sleep until the next regular sweep, and let it come."""
    left = rounds.schedule.seconds_left(tick=clocks.tick)
    assert left is not None
    clocks.pass_by(left)
    rounds.run_due()
