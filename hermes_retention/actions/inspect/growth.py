"""How fast a home grows, and when its disk is full at that rate. Nothing is told that was not measured.

What sweeps and pictures of the home measured gives what is gained net of all that was removed; the dates of
files and messages give what was written. What must not live here: reading a home, and output.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from hermes_retention.actions.inspect.stats import WINDOW_DAYS, Picture
from hermes_retention.home.ledger import SweepRow
from hermes_retention.model.session import Usage

_DAY = 86400.0
_LEAST = _DAY
"""Seconds between two measurements from which on a rate is told."""


class Growth(msgspec.Struct, frozen=True):
    """Bytes per day over the last 30 days, and what follows from that. ``None`` where nothing tells it."""

    written_per_day: float | None
    """What was written, archived or not. What was deleted since is not in it."""
    written_days: int
    """Days that this is the mean of: since the oldest of what was written, 30 at most."""
    net_per_day: float | None
    """By how much everything together grew: what was written less what sweeps and the host removed."""
    net_days: float
    """Days between the first measurement and now."""
    disk_full_at: float | None
    """Unix time at which nothing is free on the disk if it goes on like that; ``None`` when it never is."""

    @property
    def per_day(self) -> float | None:
        """The rate that ``disk_full_at`` follows from: net, or what was written where no sweep measured."""
        return self.written_per_day if self.net_per_day is None else self.net_per_day


def measure_growth(
    sweeps: Iterable[SweepRow],
    pictures: Iterable[Picture],
    written: Sequence[int],
    usage: Usage,
    *,
    now: float,
) -> Growth:
    """The growth of a home that takes ``usage`` now. ``written`` are bytes by day, the newest day first."""
    written_days = max((day for day, size in enumerate(written, 1) if size), default=0)
    written_per_day = sum(written) / written_days if written_days else None
    sweeps = list(sweeps)
    # What the very first sweep took away says nothing about the days to come: measuring starts behind it.
    oldest = max(now - WINDOW_DAYS * _DAY, _end_of_first(sweeps))
    measured = [(at, size) for at, size in measurements(sweeps, pictures) if oldest <= at <= now - _LEAST]
    net_per_day, net_days = None, 0.0
    if measured:
        at, size = min(measured)
        net_days = (now - at) / _DAY
        net_per_day = (usage.total_bytes - size) / net_days
    rate = written_per_day if net_per_day is None else net_per_day
    full_at = None
    if usage.free_bytes is not None and rate is not None and rate > 0:
        full_at = now + usage.free_bytes / rate * _DAY
    return Growth(written_per_day, written_days, net_per_day, net_days, full_at)


def measurements(sweeps: Iterable[SweepRow], pictures: Iterable[Picture]) -> list[tuple[float, int]]:
    """When everything together took how many bytes, in the order of time."""
    found = {picture.taken_at: picture.usage.total_bytes for picture in pictures}
    for sweep in sweeps:
        totals = sweep.totals
        if {"bytes_before", "bytes_after"} <= totals.keys():
            found[sweep.started_at] = totals["bytes_before"]
            if sweep.finished_at is not None and sweep.finished_at > sweep.started_at:
                found[sweep.finished_at] = totals["bytes_after"]
    return sorted(found.items())


def _end_of_first(sweeps: Iterable[SweepRow]) -> float:
    ends = (sweep.finished_at for sweep in sweeps if sweep.finished_at is not None)
    return min(ends, default=0.0)
