"""What a person can ask for: a lifecycle per class of session, and the policy that joins them.

The numbers here are already parsed: durations in seconds, sizes in bytes, ``None`` for ``never`` or ``off``.
Where they come from is the business of ``settings``; what follows from them that of ``decide``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from hermes_retention.model.plan import Tier
from hermes_retention.model.session import SessionClass

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
