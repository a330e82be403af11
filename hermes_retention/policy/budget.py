"""What goes beyond what is due: ``max_sessions``, ``max_disk`` with its low watermark, and ``keep_free``.

Rows count for ``max_disk`` alone: the host's database uses the room again that they leave, but gives none of
it back. What must not live here: what protects a session.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from hermes_retention.model.plan import Liveness, Rule, Step
from hermes_retention.model.session import Usage
from hermes_retention.model.text import format_size, printable
from hermes_retention.policy.lifecycle import Policy

if TYPE_CHECKING:
    from hermes_retention.policy.case import Case

_SETTLED = (Liveness.SUPERSEDED, Liveness.ENDED)


class Need(msgspec.Struct, frozen=True):
    """What one setting asks for beyond what is due."""

    rule: Rule
    reason: str
    target_bytes: int
    """How much to free."""
    least_bytes: int
    """How much of it must be free for the setting to be kept; the rest is head room until the next sweep."""
    levers: str
    """The settings that keep what could meet it."""


def needs(usage: Usage, policy: Policy, steps: Iterable[Step]) -> list[Need]:
    """What the budget asks for beyond ``steps``, which are due. Often nothing.

    ``max_disk`` comes first: it may take more than files, ``keep_free`` may not.
    """
    gained = freed = 0
    for step in steps:
        gain = step.expected_gain
        gained += gain
        freed += 0 if step.takes_rows else gain
    asked: list[Need] = []
    stored = usage.total_bytes - gained
    if policy.max_disk is not None and stored > policy.max_disk:
        target = stored - int(policy.max_disk * policy.low_watermark)
        levers = "keep_last, keep_failed, files_after or messages_after"
        reason = "more is stored than max_disk allows"
        asked.append(Need(Rule.MAX_DISK, reason, target, stored - policy.max_disk, levers))
    if policy.keep_free is not None and usage.free_bytes is not None:
        missing = policy.keep_free - usage.free_bytes - freed
        if missing > 0:
            reason, levers = (
                "less is free on the disk than keep_free asks for",
                "keep_last, keep_failed or files_after",
            )
            asked.append(Need(Rule.KEEP_FREE, reason, missing, missing, levers))
    return asked


def thin_out(cases: Sequence[Case], most: int | None) -> Iterator[str]:
    """Take files until no index lists more sessions than ``most``; a line for each that still does."""
    if most is None:
        return
    indexes: defaultdict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.session.scope is not None and case.session.routes and not case.loses_all_files:
            indexes[case.session.scope].append(case)
    for scope, listed in sorted(indexes.items()):
        surplus = len(listed) - most
        for case in sorted(listed, key=lambda one: one.activity):
            if surplus > 0 and case.is_waiting(case.schedule.files):
                reason = f"{case.assessment.reason}; its agent has more than max_sessions ({most})"
                case.take(case.take_files((Rule.MAX_SESSIONS, reason)))
                surplus -= 1
        if surplus > 0:
            yield (
                f"max_sessions: agent {printable(scope)} keeps {surplus} more than {most}: all others "
                "are live, held or kept by a setting. Lower idle_after, keep_last or keep_failed, or "
                "raise the limit."
            )


def reclaim(cases: Sequence[Case], asked: Sequence[Need]) -> Iterator[str]:
    """Take files of sessions that wait for their age, then messages, until the needs are met; a line for each
    need that is not.

    The oldest first, superseded and ended sessions before all others. Records are never taken early: they are
    small, and without them a person finds nothing again.
    """
    files = _waiting(cases, _files_wait) if asked else iter(())
    freed = 0
    for need in asked:
        while freed < need.target_bytes and (case := next(files, None)) is not None:
            freed += _gain(case, case.take_files(_because(case, need)))
        missing = need.least_bytes - freed
        wanted = need.target_bytes - freed
        if need.rule is Rule.MAX_DISK and wanted > 0:  # what messages leave free stays in the host's database
            taken = 0
            for case in _waiting(cases, _messages_wait):
                if taken >= wanted:
                    break
                due = case.schedule.messages
                taken += _gain(case, case.take_rows(due.action, due.tier, _because(case, need)))
            missing -= taken
        if missing > 0:
            yield (
                f"{need.rule}: {need.reason}, and about {format_size(missing)} of it cannot be reclaimed: "
                f"all other sessions are live, held or kept by a setting. Lower {need.levers}, "
                "let old archives expire with archive_after, or raise the limit."
            )


def _waiting(cases: Sequence[Case], wanted: Callable[[Case], bool]) -> Iterator[Case]:
    """Those that may go early; the cases come in the order of their ids, which decides between equals."""
    return iter(
        sorted(
            filter(wanted, cases), key=lambda case: (case.assessment.liveness not in _SETTLED, case.activity)
        )
    )


def _files_wait(case: Case) -> bool:
    return not case.loses_all_files and case.is_waiting(case.schedule.files)


def _messages_wait(case: Case) -> bool:
    record = case.session.record
    has_messages = record is not None and record.has_messages
    return has_messages and not case.loses_messages and case.is_waiting(case.schedule.messages)


def _because(case: Case, need: Need) -> tuple[Rule, str]:
    return need.rule, f"{case.assessment.reason}; {need.reason}"


def _gain(case: Case, step: Step) -> int:
    gain = case.gain(step)
    if gain > 0:
        case.take(step)
    return max(0, gain)
