"""When a gateway sweeps: regularly by a clock that nobody can set, and in between for what is pending.

Pure: times come in. What must not live here: what is done when it is time.
"""

from __future__ import annotations

_POLL_SECONDS = 60.0
"""How often the queue is looked at for what other processes put into it."""
_BREATHER_SECONDS = 60.0
"""Between two sweeps, so that a busy gateway does not look at its home all the time."""
_SHARE = 20
"""A pause is at least so many times as long as the sweep before it."""


class SweepTimes:
    """Sweeps of one process. ``tick`` is a monotonic time, ``now`` Unix seconds, which may jump."""

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
