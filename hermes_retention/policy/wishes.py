"""What somebody wants to keep although it is over: the newest of a series, and what failed.

Both keep all parts of a session. What a person put back is kept part by part, each for its own age, and so
said in ``decide``. What must not live here: guards, and ages that make something due.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

from hermes_retention.model import Session, SessionClass
from hermes_retention.names import printable
from hermes_retention.plan import Rule
from hermes_retention.policy.guards import age
from hermes_retention.policy.lifecycle import Policy
from hermes_retention.units import format_duration

Because: TypeAlias = tuple[Rule, str]
"""Rule and reason of a verdict."""


class Wishes:
    """The wishes of one policy about one list of sessions, which go by their places in it."""

    def __init__(
        self, sessions: Sequence[Session], policy: Policy, activity: Sequence[float], *, now: float
    ) -> None:
        """``activity`` is the last activity of each session in Unix seconds, as ``now`` is."""
        self._lifecycles = policy.lifecycles
        self._activity = activity
        self._now = now
        self._ranks = _newest_of_series(sessions, policy, activity)

    def keeping(self, place: int, session: Session) -> Because | None:
        """The wish that keeps the session at this place; ``None`` when there is none."""
        rank = self._ranks.get(place)
        if rank is not None:
            wanted = self._lifecycles[session.session_class].keep_last
            series = printable(session.group or "")
            return Rule.KEEP_LAST, f"number {rank} of the newest {wanted} of {series}"
        return self.keeping_failed(place, session) if session.failed else None

    def keeping_failed(self, place: int, session: Session) -> Because | None:
        """The same because it failed, whatever else keeps it."""
        if not session.failed:
            return None
        keep_failed = self._lifecycles[session.session_class].keep_failed
        if keep_failed is None:
            return Rule.KEEP_FAILED, "it failed; failed ones are kept"
        if age(self._activity[place], now=self._now) < keep_failed:
            return Rule.KEEP_FAILED, f"it failed; kept for {format_duration(keep_failed)}"
        return None


def _newest_of_series(
    sessions: Sequence[Session], policy: Policy, activity: Sequence[float]
) -> dict[int, int]:
    """Place of each session that ``keep_last`` keeps → 1 for the newest of its series, 2 for the next."""
    wanted = {name: lifecycle.keep_last for name, lifecycle in policy.lifecycles.items()}
    series: defaultdict[tuple[SessionClass, str], list[int]] = defaultdict(list)
    for place, session in enumerate(sessions):
        if session.group is not None and wanted[session.session_class]:
            series[session.session_class, session.group].append(place)
    ranks: dict[int, int] = {}
    for (session_class, _), members in series.items():
        # Ids of a series tell the time as well: of equally old ones the last id is the newest.
        members.sort(key=activity.__getitem__)
        newest = members[: -wanted[session_class] - 1 : -1]
        ranks.update((place, rank) for rank, place in enumerate(newest, 1))
    return ranks
