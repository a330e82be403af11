"""The words for what a plan does, as the ledger and ``sweep --json`` have them."""

from __future__ import annotations

import enum

from hermes_retention.model.plan import VERDICTS, Action, Rule, Tier


class Verdict(enum.StrEnum):
    """What happens to a session, or to a part of it."""

    KEEP = "keep"
    ARCHIVE_FILES = "archive_files"
    DELETE_FILES = "delete_files"
    ARCHIVE_TOOL_OUTPUT = "archive_tool_output"
    ARCHIVE_MESSAGES = "archive_messages"
    DELETE_MESSAGES = "delete_messages"
    ARCHIVE_RECORD = "archive_record"
    DELETE_RECORD = "delete_record"
    EXPIRE_ARCHIVE = "expire_archive"

    @property
    def axes(self) -> tuple[Action, Tier | None]:
        """The action and the tier of a step with this verdict."""
        return next(axes for axes, word in VERDICTS.items() if word == self.value)


GUARDS = {
    Rule.HELD,
    Rule.PINNED,
    Rule.BUSY,
    Rule.TIME_UNKNOWN,
    Rule.MIN_AGE,
    Rule.ROUTED,
    Rule.RUNNING,
    Rule.LINEAGE,
}
"""The rules that make a session live, written down once more: what the plan says is held against them."""
