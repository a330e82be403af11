"""What a person can ask for: a lifecycle per class of session, the policy that joins them, and its schedule.

A schedule is when each part of a session that is over leaves, by which setting, and in which way: a table of
classes and kinds of being over, made once per decision.

The numbers here are already parsed: durations in seconds, sizes in bytes, ``None`` for ``never`` or ``off``.
Where they come from is the business of ``settings``; what follows from them that of ``decide``.
What must not live here: who is over, and what may delay it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from hermes_retention.model.plan import Action, Liveness, Rule, Tier
from hermes_retention.model.session import SessionClass
from hermes_retention.model.text import format_duration

MIN_AGE_FLOOR = 60
"""Seconds. No setting makes anything younger than this due (invariant 2)."""
TOOL_OUTPUT_FLOOR = 256
"""Bytes. Of shorter tool output nothing would be won: a marker stands in its place."""


class OnReset(enum.StrEnum):
    """What becomes of the files of a session whose route another session took over."""

    ARCHIVE = "archive"
    DELETE = "delete"
    KEEP = "keep"
    """No haste: the lifecycle of the class applies."""


class Lifecycle(msgspec.Struct, frozen=True):
    """How long each part of a session is kept, in seconds from its last activity; ``None`` is for ever."""

    files_after: int | None
    tool_output_after: int | None = None
    messages_after: int | None = None
    record_after: int | None = None
    archive_after: int | None = None
    keep_last: int = 0
    keep_failed: int | None = 0
    """How long a failed session stays as it is at least; ``None`` is for ever."""
    idle_after: int | None = 86400
    """How long nothing happens in a session that nobody ended until it counts as over."""
    max_age: int | None = None
    """How old such a session gets, busy or not, until it counts as over."""
    archive: bool = True
    """``False`` makes the removals of this class final."""
    persist: bool = True
    """``False``: files and messages are due as soon as the session is over."""

    def after(self, tier: Tier) -> int | None:
        """The age at which this part of a session is due."""
        ages = {
            Tier.FILES: self.files_after,
            Tier.TOOL_OUTPUT: self.tool_output_after,
            Tier.MESSAGES: self.messages_after,
            Tier.RECORD: self.record_after,
        }
        return ages[tier]


class Policy(msgspec.Struct, frozen=True):
    """Everything that ``decide`` follows."""

    lifecycles: Mapping[SessionClass, Lifecycle]
    min_age: int = 600
    on_reset: OnReset = OnReset.ARCHIVE
    dumps_after: int | None = 3 * 86400
    """Age at which a request dump is due, also of a live session: a dump is no conversation."""
    leftovers_after: int | None = 7 * 86400
    """Age at which what the host itself set aside is due, also of a live session."""
    max_sessions: int | None = None
    """How many sessions one index may list; beyond it the oldest that are over go early."""
    tool_output_above: int = 1000
    """Bytes. Tool output of at most this size stays until the messages go."""
    max_disk: int | None = None
    low_watermark: float = 0.8
    keep_free: int | None = None
    drill_sample: int = 3
    """How many archived sessions each sweep reads back."""

    @property
    def settle_time(self) -> int:
        """Seconds without activity until anything at all may be due."""
        return max(self.min_age, MIN_AGE_FLOOR)


class Due(msgspec.Struct, frozen=True):
    """When one part leaves."""

    after: int | None
    """Seconds without activity; ``None`` is never."""
    limit: str
    """``after`` in words."""
    rule: Rule
    """What sets ``after``: the age of the part itself, or another rule, such as ``on_reset``."""
    tier: Tier
    action: Action
    own_after: int | None
    """The age of the part itself in seconds, whatever rule counts here. So long it stays once a person put it
    back; ``None`` is for ever."""

    @property
    def own_rule(self) -> Rule:
        """The rule that ``own_after`` belongs to."""
        return _OWN_RULES[self.tier]


_OWN_RULES = {
    Tier.FILES: Rule.FILES_AFTER,
    Tier.TOOL_OUTPUT: Rule.TOOL_OUTPUT_AFTER,
    Tier.MESSAGES: Rule.MESSAGES_AFTER,
    Tier.RECORD: Rule.RECORD_AFTER,
}


class Schedule(msgspec.Struct, frozen=True):
    """When all parts of such sessions leave."""

    files: Due
    tool_output: Due
    messages: Due
    record: Due


Schedules: TypeAlias = Mapping[tuple[SessionClass, Liveness], Schedule]


def schedules(policy: Policy, *, trusted: bool) -> Schedules:
    """The whole table. Where the clock is not ``trusted``, nothing goes for good."""
    return {
        (session_class, liveness): _schedule(policy, lifecycle, liveness, trusted=trusted)
        for session_class, lifecycle in policy.lifecycles.items()
        for liveness in Liveness
    }


def removal(lifecycle: Lifecycle, liveness: Liveness) -> Action:
    """How files of this class go, unless a setting says more."""
    if lifecycle.archive or liveness is Liveness.ORPHAN:
        # Nobody knows whose an orphan is: never deleted outright, whatever the class it looks like says.
        return Action.ARCHIVE
    return Action.DELETE


def _schedule(policy: Policy, of: Lifecycle, liveness: Liveness, *, trusted: bool) -> Schedule:
    def due(tier: Tier, after: int | None, action: Action, rule: Rule, age: int | None) -> Due:
        """``after`` is the age of the setting, ``age`` what counts here."""
        is_final = action is Action.DELETE or (tier is Tier.RECORD and not of.archive)
        stays = None if after is None else max(after, policy.settle_time)
        if not trusted and is_final:
            age, rule = None, Rule.CLOCK
        elif age is None:
            rule = Rule.NEVER
        else:
            age = max(age, policy.settle_time)
        limit = "never" if age is None else format_duration(age)
        return Due(age, limit, rule, tier, action, stays)

    files_rule, files_age, files_action = Rule.FILES_AFTER, of.files_after, removal(of, liveness)
    if liveness is Liveness.SUPERSEDED and policy.on_reset is not OnReset.KEEP:
        files_rule, files_age = Rule.ON_RESET, 0
        files_action = Action.DELETE if policy.on_reset is OnReset.DELETE else files_action
    elif not of.persist and liveness is not Liveness.ORPHAN:
        files_rule, files_age = Rule.PERSIST, 0
    rows_rule, rows_age = (Rule.MESSAGES_AFTER, of.messages_after) if of.persist else (Rule.PERSIST, 0)
    rows_action = Action.ARCHIVE if of.archive else Action.DELETE
    # Without an archive there is nothing that a marker could point to: it goes with the messages then.
    output = of.tool_output_after if of.archive else None
    return Schedule(
        due(Tier.FILES, of.files_after, files_action, files_rule, files_age),
        due(Tier.TOOL_OUTPUT, output, Action.ARCHIVE, Rule.TOOL_OUTPUT_AFTER, output),
        due(Tier.MESSAGES, of.messages_after, rows_action, rows_rule, rows_age),
        # In which way a record goes is said for all that go together, in ``decide``.
        due(Tier.RECORD, of.record_after, Action.ARCHIVE, Rule.RECORD_AFTER, of.record_after),
    )
