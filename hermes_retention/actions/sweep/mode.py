"""What sweeps of a home may do, and when the next one comes: one answer for every edge that tells or asks.

Nobody is surprised by a first sweep, and nobody who did nothing is left with a plugin that does nothing: in a
home whose mode nobody has set, a gateway announces it and carries it out a day later, and the command line
asks. What must not live here: sweeping, and when a process wakes up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hermes_retention.home.ledger import FIRST_REMOVAL
from hermes_retention.model.text import counted, format_duration
from hermes_retention.settings.forms import Mode

if TYPE_CHECKING:
    from hermes_retention.home.home import Home
    from hermes_retention.home.ledger import Ledger
    from hermes_retention.model.plan import Plan
    from hermes_retention.stores.base import HostPrune

ANNOUNCEMENT = "first_sweep"
"""The fact in the ledger that says when a gateway announced the first sweep: an ``Announcement`` as JSON."""
NEXT_SWEEP = "next_sweep"
"""The fact that says when a gateway meant to sweep next, in Unix seconds; empty when it ended."""
_CLOCK_SLACK = 60.0


class Announcement(msgspec.Struct, frozen=True):
    """A first sweep that a gateway announced. Times are Unix seconds."""

    announced_at: float
    acts_at: float
    sessions: int
    """How many would lose something, as of then."""


class SweepMode(msgspec.Struct, frozen=True):
    """What sweeps of a home may do, and when the next one comes."""

    setting: Mode | None = None
    """``None`` when nobody has said what they may."""
    swept_before: bool = False
    """Whether a sweep ever removed anything; until then the first one asks."""
    announcement: Announcement | None = None
    """The first sweep that a gateway announced; ``None`` once there was one."""
    next_sweep_at: float | None = None
    """When a gateway means to sweep next, in Unix seconds, if one runs; ``None`` when none said so."""

    def words(self, *, now: float) -> str:
        """What sweeps may do, in a line for people."""
        if self.setting is Mode.OBSERVE:
            return "observe: sweeps only report"
        if self.setting is Mode.OFF:
            return "off: there are no sweeps"
        if self.setting is Mode.ENFORCE:
            return "enforce: sweeps archive and remove"
        if self.swept_before:
            return "not set: sweeps archive and remove, as the first one was agreed to"
        if self.announcement is not None:
            when, number = moment_words(self.announcement.acts_at, now=now), self.announcement.sessions
            return (
                f"not set: a gateway announced the first sweep, {when}, of {counted(number, 'session')}; "
                "HERMES_RETENTION_MODE=observe or off prevents it"
            )
        return "not set: the first sweep that would remove something asks"

    def next_words(self, *, now: float) -> str | None:
        """When a gateway sweeps next; ``None`` when none said so."""
        if self.next_sweep_at is None:
            return None
        return f"sweeps {moment_words(self.next_sweep_at, now=now)}, if it still runs"


def may_remove(home: Home) -> bool:
    """Whether a sweep removes what is due without asking anybody: it is set so, or a first one was agreed to.

    Raises ``RetentionError`` when the ledger has to be asked and cannot be read.
    """
    if home.mode is not None:
        return home.mode is Mode.ENFORCE
    return sweep_mode(home, now=0.0).swept_before


def sweep_mode(home: Home, *, now: float) -> SweepMode:
    """What holds for ``home``. Raises ``RetentionError`` when its ledger cannot be read. Reads only."""
    return home.workspace.ask_ledger(
        lambda ledger: noted_mode(ledger, home.mode, now=now), SweepMode(home.mode)
    )


def noted_mode(ledger: Ledger, setting: Mode | None, *, now: float) -> SweepMode:
    """The same of an opened ledger."""
    swept_before = ledger.fact(FIRST_REMOVAL) is not None
    return SweepMode(
        setting,
        swept_before,
        None if swept_before else _announced(ledger, now=now),
        _next_sweep(ledger, now=now),
    )


def announce(ledger: Ledger, plan: Plan, *, delay: float) -> Announcement:
    """Remember that a first sweep would carry out ``plan``, ``delay`` seconds after this was first said."""
    made = _announced(ledger, now=plan.now)
    if made is None:
        sessions = len({step.session_id for step in plan.removals()})
        made = Announcement(plan.now, plan.now + delay, sessions)
    elif made.acts_at == made.announced_at + delay:
        return made
    else:  # the setting has changed since
        made = msgspec.structs.replace(made, acts_at=made.announced_at + delay)
    ledger.remember(ANNOUNCEMENT, msgspec.json.encode(made).decode())
    return made


def announcement_words(
    plan: Plan, made: Announcement, *, home: str, now: float, prune: HostPrune | None = None
) -> str:
    """The announcement in one paragraph, for a log. ``prune`` is what the host deletes by then."""
    parts: dict[str, set[str]] = {}
    for step in plan.removals():
        what = "archived copies" if step.tier is None else step.tier.words
        parts.setdefault(what, set()).add(step.session_id)
    what = ", ".join(f"{part} of {counted(len(ids), 'session')}" for part, ids in parts.items())
    return (
        f"the first sweep of {home} is due in {format_duration(max(0.0, made.acts_at - now))} and would now "
        f"take {what}. 'hermes-retention sweep --dry-run' shows all of it, 'hermes-retention undo' puts back "
        "what was archived. HERMES_RETENTION_MODE=enforce starts at once, observe only reports, off does "
        "nothing." + ("" if prune is None else f" The host itself prunes: {prune.words(now=now)}.")
    )


def moment_words(at: float, *, now: float) -> str:
    """``now``, or ``in 3 h``."""
    return "now" if at <= now else f"in {format_duration(at - now)}"


def _announced(ledger: Ledger, *, now: float) -> Announcement | None:
    """The announcement that stands. One from the future does not: a clock was wrong when it was made."""
    text = ledger.fact(ANNOUNCEMENT)
    if text is None:
        return None
    try:
        found = msgspec.json.decode(text, type=Announcement)
    except msgspec.DecodeError:
        return None
    return found if found.announced_at <= now + _CLOCK_SLACK else None


def _next_sweep(ledger: Ledger, *, now: float) -> float | None:
    """Only one that lies ahead: of a gateway that was killed the past one stays behind."""
    text = ledger.fact(NEXT_SWEEP)
    try:
        at = float(text or 0)
    except ValueError:
        return None
    return at if at > now else None
