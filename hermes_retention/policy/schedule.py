"""When each part of a session that is over leaves, by which setting, and in which way.

A table of classes and kinds of being over, made once per decision. What must not live here: who is over, and
what may delay it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from hermes_retention.model.plan import Action, Liveness, Rule, Tier
from hermes_retention.model.session import SessionClass
from hermes_retention.model.text import format_duration
from hermes_retention.policy.lifecycle import Lifecycle, OnReset, Policy


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
        # In which way a record goes is said for all that go together, in ``records``.
        due(Tier.RECORD, of.record_after, Action.ARCHIVE, Rule.RECORD_AFTER, of.record_after),
    )
