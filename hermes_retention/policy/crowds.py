"""``max_sessions``: when an index lists too many sessions, the oldest that are over go before their time.

What must not live here: who is over, and what protects a session.
"""

from __future__ import annotations

from collections import defaultdict

from hermes_retention.names import printable
from hermes_retention.plan import Rule
from hermes_retention.policy.draft import Draft
from hermes_retention.policy.standing import Standing


def thin_out(standing: Standing, draft: Draft) -> list[str]:
    """Change ``draft`` until no index lists more than it may; a line for each that still does."""
    most = standing.policy.max_sessions
    if most is None:
        return []
    return [
        line for scope, places in _listed(standing) if (line := _thin(standing, draft, scope, places, most))
    ]


def _listed(standing: Standing) -> list[tuple[str, list[int]]]:
    """The places of the sessions that each index lists."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for place, session in enumerate(standing.sessions):
        if session.scope is not None and session.routes:
            found[session.scope].append(place)
    return sorted(found.items())


def _thin(standing: Standing, draft: Draft, scope: str, places: list[int], most: int) -> str | None:
    staying = [place for place in places if not draft.loses_all_files(place)]
    surplus = len(staying) - most
    for place in sorted(staying, key=standing.activity.__getitem__):
        if surplus <= 0:
            return None
        if standing.is_waiting(place, standing.fates(place).files):
            reason = f"{standing.assessments[place].reason}; its agent has more than max_sessions ({most})"
            draft.take(place, draft.files_step(place, (Rule.MAX_SESSIONS, reason)))
            surplus -= 1
    if surplus <= 0:
        return None
    return (
        f"max_sessions: agent {printable(scope)} keeps {surplus} more than {most}: all others are live, held "
        "or kept by a setting. Lower idle_after, keep_last or keep_failed, or raise the limit."
    )
