"""What the budget takes early: files of sessions that wait for their age, then messages.

The oldest first, superseded and ended sessions before all others. What must not live here: how much is
needed, and what protects a session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hermes_retention.plan import Liveness, Rule, Step
from hermes_retention.policy.budget import Need
from hermes_retention.policy.draft import Draft
from hermes_retention.policy.standing import Standing, has_messages
from hermes_retention.policy.wishes import Because
from hermes_retention.units import format_size


def reclaim(standing: Standing, draft: Draft, asked: Sequence[Need]) -> list[str]:
    """Change ``draft`` until the needs are met; a line for each need that is not.

    Records are never taken early: they are small, and without them a person finds nothing again.
    """
    if not asked:
        return []
    return _Reclaim(standing, draft).meet(asked)


class _Reclaim:
    def __init__(self, standing: Standing, draft: Draft) -> None:
        self._standing = standing
        self._draft = draft

    def meet(self, asked: Sequence[Need]) -> list[str]:
        files = iter(self._in_order(self._files_wait))
        warnings: list[str] = []
        freed = 0
        for need in asked:
            while freed < need.target_bytes and (place := next(files, None)) is not None:
                freed += self._take(place, self._draft.files_step(place, self._because(place, need)))
            missing = need.least_bytes - freed
            if need.rule is Rule.MAX_DISK:  # what messages leave free stays in the host's database
                missing -= self._take_messages(need, need.target_bytes - freed)
            if missing > 0:
                warnings.append(_unmet(need, missing))
        return warnings

    def _take_messages(self, need: Need, wanted_bytes: int) -> int:
        freed = 0
        for place in self._in_order(self._messages_wait) if wanted_bytes > 0 else ():
            if freed >= wanted_bytes:
                break
            verdict = self._standing.fates(place).messages.verdict
            because = self._because(place, need)
            freed += self._take(place, self._draft.rows_step(place, verdict, because))
        return freed

    def _take(self, place: int, step: Step) -> int:
        gain = self._draft.gain(place, step)
        if gain <= 0:
            return 0
        self._draft.take(place, step)
        return gain

    def _files_wait(self, place: int) -> bool:
        if self._draft.loses_all_files(place):
            return False
        return self._standing.is_waiting(place, self._standing.fates(place).files)

    def _messages_wait(self, place: int) -> bool:
        if not has_messages(self._standing.sessions[place]) or self._draft.loses_messages(place):
            return False
        return self._standing.is_waiting(place, self._standing.fates(place).messages)

    def _because(self, place: int, need: Need) -> Because:
        return need.rule, f"{self._standing.assessments[place].reason}; {need.reason}"

    def _in_order(self, is_wanted: Callable[[int], bool]) -> list[int]:
        return sorted(filter(is_wanted, range(len(self._standing.sessions))), key=self._order)

    def _order(self, place: int) -> tuple[bool, float, int]:
        """Superseded and ended sessions first; of those the oldest first."""
        settled = self._standing.assessments[place].liveness in (Liveness.SUPERSEDED, Liveness.ENDED)
        return not settled, self._standing.activity[place], place


def _unmet(need: Need, missing_bytes: int) -> str:
    return (
        f"{need.rule}: {need.reason}, and about {format_size(missing_bytes)} of it cannot be reclaimed: all "
        f"other sessions are live, held or kept by a setting. Lower {need.levers}, "
        "let old archives expire with archive_after, or raise the limit."
    )
