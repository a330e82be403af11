"""What becomes of sessions that are over: when each part of them goes, by which setting, and in which way.

A table of classes and kinds of being over, made once per decision. What must not live here: who is over, and
what may delay a fate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from hermes_retention.model import SessionClass
from hermes_retention.plan import Liveness, Rule, Tier, Verdict
from hermes_retention.policy.lifecycle import Lifecycle, OnReset, Policy
from hermes_retention.units import format_duration


class Fate(msgspec.Struct, frozen=True):
    """What becomes of one part of the sessions of one class that are over in one way."""

    after: int | None
    """Seconds without activity; ``None`` is never."""
    limit: str
    """``after`` in words."""
    rule: Rule
    verdict: Verdict
    setting: str
    """The age of this part, as a setting; ``after`` may be another one, such as that of ``on_reset``."""
    restored_after: int | None
    """Seconds for which this part stays once a person put it back; ``None`` is for ever."""


class Fates(msgspec.Struct, frozen=True):
    """What becomes of all parts of such sessions."""

    files: Fate
    tool_output: Fate
    messages: Fate
    record: Fate


FateTable: TypeAlias = Mapping[tuple[SessionClass, Liveness], Fates]


def fates(policy: Policy) -> FateTable:
    """The whole table."""
    return {
        (session_class, liveness): Fates(
            _of_files(policy, lifecycle, liveness),
            _of_tool_output(policy, lifecycle),
            _of_messages(policy, lifecycle),
            _of_record(policy, lifecycle),
        )
        for session_class, lifecycle in policy.lifecycles.items()
        for liveness in Liveness
    }


def held_back(table: FateTable, policy: Policy) -> FateTable:
    """The same table, in which nothing goes for good: that waits until the clock can be believed."""
    return {key: _without_final(these, policy.lifecycles[key[0]]) for key, these in table.items()}


def _without_final(these: Fates, lifecycle: Lifecycle) -> Fates:
    def wait(fate: Fate) -> Fate:
        return msgspec.structs.replace(fate, after=None, limit="never", rule=Rule.CLOCK)

    return Fates(
        wait(these.files) if these.files.verdict is Verdict.DELETE_FILES else these.files,
        these.tool_output,
        wait(these.messages) if these.messages.verdict is Verdict.DELETE_MESSAGES else these.messages,
        these.record if lifecycle.archive else wait(these.record),
    )


def removal(lifecycle: Lifecycle, liveness: Liveness) -> Verdict:
    """How files of this class go, unless a setting says more."""
    if lifecycle.archive or liveness is Liveness.ORPHAN:
        # Nobody knows whose an orphan is: never deleted outright, whatever the class it looks like says.
        return Verdict.ARCHIVE_FILES
    return Verdict.DELETE_FILES


def _of_files(policy: Policy, lifecycle: Lifecycle, liveness: Liveness) -> Fate:
    rule, after, verdict = Rule.FILES_AFTER, lifecycle.files_after, removal(lifecycle, liveness)
    if liveness is Liveness.SUPERSEDED and policy.on_reset is not OnReset.KEEP:
        rule, after = Rule.ON_RESET, 0
        if policy.on_reset is OnReset.DELETE:
            verdict = Verdict.DELETE_FILES
    elif not lifecycle.persist and liveness is not Liveness.ORPHAN:
        rule, after = Rule.PERSIST, 0
    return _fate(policy, Tier.FILES, lifecycle.files_after, (rule, after, verdict))


def _of_tool_output(policy: Policy, lifecycle: Lifecycle) -> Fate:
    # Without an archive there is nothing that a marker could point to: it goes with the messages then.
    after = lifecycle.tool_output_after if lifecycle.archive else None
    because = Rule.TOOL_OUTPUT_AFTER, after, Verdict.ARCHIVE_TOOL_OUTPUT
    return _fate(policy, Tier.TOOL_OUTPUT, after, because)


def _of_messages(policy: Policy, lifecycle: Lifecycle) -> Fate:
    verdict = Verdict.ARCHIVE_MESSAGES if lifecycle.archive else Verdict.DELETE_MESSAGES
    rule, after = Rule.MESSAGES_AFTER, lifecycle.messages_after
    if not lifecycle.persist:
        rule, after = Rule.PERSIST, 0
    return _fate(policy, Tier.MESSAGES, lifecycle.messages_after, (rule, after, verdict))


def _of_record(policy: Policy, lifecycle: Lifecycle) -> Fate:
    after = lifecycle.record_after
    # In which way it goes is said for all that go together, in ``records``.
    return _fate(policy, Tier.RECORD, after, (Rule.RECORD_AFTER, after, Verdict.ARCHIVE_RECORD))


def _fate(policy: Policy, tier: Tier, own_age: int | None, because: tuple[Rule, int | None, Verdict]) -> Fate:
    rule, after, verdict = because
    setting = f"{tier}_after"
    restored_after = None if own_age is None else max(own_age, policy.settle_time)
    if after is None:
        return Fate(None, "never", Rule.NEVER, verdict, setting, restored_after)
    after = max(after, policy.settle_time)
    return Fate(after, format_duration(after), rule, verdict, setting, restored_after)
