"""Whether the clock may be believed where nobody could undo what follows from it.

A clock that jumps ahead makes everything old at once. What goes to the archive then comes back; what is
removed for good does not. So that waits for a day whenever the clock says something that does not follow from
what it said before. What must not live here: reading a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import msgspec

from hermes_retention.model.session import ClockMemory
from hermes_retention.model.text import format_duration

FAR_SECONDS = 7 * 86400
"""A silence longer than this, since the last sweep, may as well be a jump."""
BACK_SECONDS = 3600
"""What may be a correction; a clock that goes back further was wrong before, or is now."""
SETTLED_SECONDS = 86400
"""How long a clock must have run evenly until it is believed again."""


class Clock(msgspec.Struct, frozen=True):
    """What is thought of the clock, and what the next sweep has to know of it."""

    doubt: str | None
    """Why final removals wait, in words; ``None`` when they need not."""
    memory: ClockMemory


def check_clock(memory: ClockMemory | None, activity: Iterable[float], *, now: float) -> Clock:
    """Compare ``now`` with what sweeps remember, all in Unix seconds.

    ``activity`` are the times at which something happened in the home: where the silences between them are
    short, the time that passed since the last sweep did pass. Without a memory nothing is doubted: nothing
    can be told from it.
    """
    if memory is None:
        return Clock(None, ClockMemory(last=now, latest=now))
    reason = _jump(memory, activity, now=now)
    if reason is not None:
        return Clock(reason, ClockMemory(last=now, latest=max(memory.latest, now), doubted_since=now))
    since = memory.doubted_since
    if since is not None and now - since < SETTLED_SECONDS:
        reason = f"it jumped {format_duration(max(0.0, now - since))} ago"
        return Clock(reason, ClockMemory(last=now, latest=max(memory.latest, now), doubted_since=since))
    return Clock(None, ClockMemory(last=now, latest=now))


def stamp(memory: ClockMemory | None, *, now: float) -> float:
    """The time under which a copy is archived: never before a time that was known already.

    Under a clock that is behind, copies would otherwise look old as soon as it is right again.
    """
    return now if memory is None else max(now, memory.latest)


def _jump(memory: ClockMemory, activity: Iterable[float], *, now: float) -> str | None:
    passed = now - memory.last
    if passed < -BACK_SECONDS:
        return f"it is {format_duration(-passed)} behind the last sweep"
    if passed <= FAR_SECONDS:
        return None
    times = sorted({memory.last, now, *(time for time in activity if memory.last < time < now)})
    silence = max(later - earlier for earlier, later in pairwise(times))
    if silence <= FAR_SECONDS:
        return None
    return f"it is {format_duration(passed)} ahead of the last sweep, and nothing happened for most of that"
