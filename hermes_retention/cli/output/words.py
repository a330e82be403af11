"""The rules and verdicts of the policy in words for people. A test compares the lists."""

from __future__ import annotations

from collections.abc import Iterable

from hermes_retention.model.plan import Rule, Step, Tier, Verdict
from hermes_retention.model.session import ArtifactKind
from hermes_retention.model.text import counted

REMOVED_BECAUSE = {
    Rule.FILES_AFTER: "over, and older than FILES_AFTER",
    Rule.ON_RESET: "their chat went on in a new session (ON_RESET)",
    Rule.PERSIST: "runs that are over (CRON__PERSIST=false)",
    Rule.TOOL_OUTPUT_AFTER: "over, and older than TOOL_OUTPUT_AFTER",
    Rule.MESSAGES_AFTER: "over, and older than MESSAGES_AFTER",
    Rule.RECORD_AFTER: "over, and older than RECORD_AFTER, with what belongs to them",
    Rule.DUMPS_AFTER: "only request dumps older than DUMPS_AFTER; the session stays",
    Rule.LEFTOVERS_AFTER: "only what the host set aside, older than LEFTOVERS_AFTER",
    Rule.MAX_SESSIONS: "their agent has more than MAX_SESSIONS",
    Rule.MAX_DISK: "more is stored than MAX_DISK allows",
    Rule.KEEP_FREE: "less is free than KEEP_FREE asks for",
    Rule.ARCHIVE_AFTER: "archived longer ago than ARCHIVE_AFTER",
    Rule.DISCARDED: "removed from the archive by a person",
    Rule.FORGOTTEN: "forgotten for good: a person asked for it",
}
KEPT_BECAUSE = {
    Rule.NOTHING_LEFT: "nothing left to remove",
    Rule.ROUTED: "messages still go to it",
    Rule.TIME_UNKNOWN: "nobody knows when it was active",
    Rule.MIN_AGE: "active within MIN_AGE",
    Rule.RUNNING: "never ended, and active within IDLE_AFTER",
    Rule.BUSY: "the host is at work on it",
    Rule.LINEAGE: "linked to a live session",
    Rule.HELD: "held by a person or a plugin",
    Rule.CLOCK: "would go for good, and the clock is in doubt",
    Rule.KEEP_LAST: "among the newest of its job or chat (KEEP_LAST)",
    Rule.KEEP_FAILED: "failed (KEEP_FAILED)",
    Rule.RESTORED: "put back from the archive; its time starts anew",
    Rule.NEVER: "the age of what they have left is never",
    Rule.FILES_AFTER: "over, but younger than FILES_AFTER",
    Rule.TOOL_OUTPUT_AFTER: "over, but younger than TOOL_OUTPUT_AFTER",
    Rule.MESSAGES_AFTER: "over, but younger than MESSAGES_AFTER",
    Rule.RECORD_AFTER: "over, but younger than RECORD_AFTER",
    Rule.ON_RESET: "just superseded; waits for MIN_AGE",
    Rule.PERSIST: "just over; waits for MIN_AGE",
}
DONE = {
    Verdict.ARCHIVE_FILES: "archived",
    Verdict.ARCHIVE_TOOL_OUTPUT: "archived",
    Verdict.ARCHIVE_MESSAGES: "archived",
    Verdict.ARCHIVE_RECORD: "archived",
    Verdict.DELETE_FILES: "deleted",
    Verdict.DELETE_MESSAGES: "deleted",
    Verdict.DELETE_RECORD: "deleted",
    Verdict.EXPIRE_ARCHIVE: "expired",
    Verdict.KEEP: "kept",
}
TO_DO = {
    Verdict.ARCHIVE_FILES: "to archive",
    Verdict.ARCHIVE_TOOL_OUTPUT: "to archive",
    Verdict.ARCHIVE_MESSAGES: "to archive",
    Verdict.ARCHIVE_RECORD: "to archive",
    Verdict.DELETE_FILES: "to delete",
    Verdict.DELETE_MESSAGES: "to delete",
    Verdict.DELETE_RECORD: "to delete",
    Verdict.EXPIRE_ARCHIVE: "to expire",
    Verdict.KEEP: "to keep",
}
PARTS = {
    Tier.FILES: "files",
    Tier.TOOL_OUTPUT: "tool output",
    Tier.MESSAGES: "messages",
    Tier.RECORD: "record",
}
"""What of a session goes."""
KINDS = {kind: kind.value.replace("_", " ") for kind in ArtifactKind}
"""Artifacts in listings."""


def because(step: Step) -> str:
    """Why steps like this one are kept or removed."""
    words = KEPT_BECAUSE if step.verdict is Verdict.KEEP else REMOVED_BECAUSE
    return words.get(step.rule, step.rule.value)


def files_counted(kinds: Iterable[ArtifactKind]) -> str:
    """``3 files``, ``1 file and 1 index entry``; empty for none of either. Rows must not be among them."""
    entries = files = 0
    for kind in kinds:
        if kind is ArtifactKind.ENTRY:
            entries += 1
        else:
            files += 1
    words = [
        counted(files, "file") if files else "",
        counted(entries, "index entry", "index entries") if entries else "",
    ]
    return " and ".join(filter(None, words))
