"""What becomes of sessions that are over: when their files go, which setting says so, and in which way.

A table of classes and kinds of being over, made once per decision. What must not live here: who is over, and
what may delay a fate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from hermes_retention.model import SessionClass
from hermes_retention.plan import Liveness, Rule, Verdict
from hermes_retention.policy.lifecycle import Lifecycle, OnReset, Policy
from hermes_retention.units import format_duration


class Fate(msgspec.Struct, frozen=True):
    """What becomes of the files of sessions of one class that are over in one way."""

    after: int | None
    """Seconds without activity; ``None`` is never."""
    limit: str
    """``after`` in words."""
    rule: Rule
    verdict: Verdict


Fates: TypeAlias = Mapping[tuple[SessionClass, Liveness], Fate]


def fates(policy: Policy) -> Fates:
    """The whole table."""
    return {
        (session_class, liveness): _fate(policy, lifecycle, liveness)
        for session_class, lifecycle in policy.lifecycles.items()
        for liveness in Liveness
    }


def removal(lifecycle: Lifecycle, liveness: Liveness) -> Verdict:
    """How files of this class go, unless a setting says more."""
    if lifecycle.archive or liveness is Liveness.ORPHAN:
        # Nobody knows whose an orphan is: never deleted outright, whatever the class it looks like says.
        return Verdict.ARCHIVE_FILES
    return Verdict.DELETE_FILES


def _fate(policy: Policy, lifecycle: Lifecycle, liveness: Liveness) -> Fate:
    rule, after, verdict = Rule.FILES_AFTER, lifecycle.files_after, removal(lifecycle, liveness)
    if liveness is Liveness.SUPERSEDED and policy.on_reset is not OnReset.KEEP:
        rule, after = Rule.ON_RESET, 0
        if policy.on_reset is OnReset.DELETE:
            verdict = Verdict.DELETE_FILES
    elif not lifecycle.persist and liveness is not Liveness.ORPHAN:
        rule, after = Rule.PERSIST, 0
    if after is None:
        return Fate(None, "never", Rule.NEVER, verdict)
    after = max(after, policy.settle_time)
    return Fate(after, format_duration(after), rule, verdict)
