"""Which interrupted sessions a gateway should go on with when it starts. Pure: no clock, no disk, no logging.

A gateway that resumes whatever it left open answers questions of last week and blocks the ones of today.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

MAX_CONCURRENT = 2
TIMEOUT_SECONDS = 60.0
LANE = "background"


@dataclass(frozen=True, slots=True)
class ResumeCandidate:
    """A session that was at work when its gateway stopped."""

    session_id: str
    session_key: str
    last_activity: float
    """Unix seconds; 0.0 when nobody knows."""
    ended_in_error: bool = False
    readable: bool = True
    """Whether its transcript can be read."""


@dataclass(frozen=True, slots=True)
class Left:
    """A session that is not gone on with, and why, in words for a log."""

    candidate: ResumeCandidate
    reason: str


@dataclass(frozen=True, slots=True)
class ResumePlan:
    """What to go on with, and how: so many at a time, each with a time limit, behind live messages."""

    resume: tuple[ResumeCandidate, ...]
    """Newest first."""
    left: tuple[Left, ...] = ()
    """They stay as they are; the next message in their chat goes on with them."""
    max_concurrent: int = MAX_CONCURRENT
    timeout_seconds: float = TIMEOUT_SECONDS
    """For each of them."""
    lane: str = LANE
    """Live messages never wait for what runs in this lane."""


def plan_resume(
    candidates: Iterable[ResumeCandidate], *, now: float, max_age: float | None, most: int
) -> ResumePlan:
    """The newest ``most`` candidates that are no older than ``max_age`` and worth it.

    ``now`` is in Unix seconds, ``max_age`` in seconds; ``None`` is no limit. A time in the future counts as
    now: a clock was wrong once. Of equally old ones the last id is the newest. A session that is named twice
    counts once, with its newest time.
    """
    resume: list[ResumeCandidate] = []
    left: list[Left] = []
    seen: set[str] = set()
    newest_first = sorted(candidates, key=attrgetter("last_activity", "session_id"), reverse=True)
    for candidate in newest_first:
        if candidate.session_id in seen:
            continue
        seen.add(candidate.session_id)
        reason = _why_not(candidate, now=now, max_age=max_age)
        if not reason and len(resume) >= most:
            reason = f"{most} newer ones are gone on with"
        if reason:
            left.append(Left(candidate, reason))
        else:
            resume.append(candidate)
    return ResumePlan(tuple(resume), tuple(left))


def _why_not(candidate: ResumeCandidate, *, now: float, max_age: float | None) -> str:
    if candidate.ended_in_error:
        return "it ended in an error"
    if not candidate.readable:
        return "its transcript cannot be read"
    if candidate.last_activity <= 0:
        return "nobody knows how old it is"
    if max_age is not None and now - candidate.last_activity > max_age:
        return f"it is older than {max_age:g} s"
    return ""
