"""The rules and actions of the policy in words for people. A test compares the lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hermes_retention.model.plan import Action, Rule, Step
from hermes_retention.model.session import ArtifactKind
from hermes_retention.model.text import counted


class RuleWords(NamedTuple):
    """Why a rule keeps sessions, and why it takes something of them; empty where it never does."""

    kept: str = ""
    removed: str = ""


RULES = {
    Rule.HELD: RuleWords("held by a person or a plugin"),
    Rule.PINNED: RuleWords("pinned in the host by a person"),
    Rule.BUSY: RuleWords("the host is at work on it"),
    Rule.TIME_UNKNOWN: RuleWords("nobody knows when it was active"),
    Rule.MIN_AGE: RuleWords("active within MIN_AGE"),
    Rule.ROUTED: RuleWords("messages still go to it"),
    Rule.RUNNING: RuleWords("never ended, and active within IDLE_AFTER"),
    Rule.LINEAGE: RuleWords("linked to a live session"),
    Rule.CLOCK: RuleWords("would go for good, and the clock is in doubt"),
    Rule.RESTORED: RuleWords("put back from the archive; its time starts anew"),
    Rule.KEEP_LAST: RuleWords("among the newest of its job or chat (KEEP_LAST)"),
    Rule.KEEP_FAILED: RuleWords("failed (KEEP_FAILED)"),
    Rule.NEVER: RuleWords("the age of what they have left is never"),
    Rule.FILES_AFTER: RuleWords("over, but younger than FILES_AFTER", "over, and older than FILES_AFTER"),
    Rule.ON_RESET: RuleWords(
        "just superseded; waits for MIN_AGE", "their chat went on in a new session (ON_RESET)"
    ),
    Rule.PERSIST: RuleWords("just over; waits for MIN_AGE", "runs that are over (CRON__PERSIST=false)"),
    Rule.DUMPS_AFTER: RuleWords(removed="only request dumps older than DUMPS_AFTER; the session stays"),
    Rule.LEFTOVERS_AFTER: RuleWords(removed="only what the host set aside, older than LEFTOVERS_AFTER"),
    Rule.TOOL_OUTPUT_AFTER: RuleWords(
        "over, but younger than TOOL_OUTPUT_AFTER", "over, and older than TOOL_OUTPUT_AFTER"
    ),
    Rule.MESSAGES_AFTER: RuleWords(
        "over, but younger than MESSAGES_AFTER", "over, and older than MESSAGES_AFTER"
    ),
    Rule.RECORD_AFTER: RuleWords(
        "over, but younger than RECORD_AFTER", "over, and older than RECORD_AFTER, with what belongs to them"
    ),
    Rule.ARCHIVE_AFTER: RuleWords(removed="archived longer ago than ARCHIVE_AFTER"),
    Rule.MAX_SESSIONS: RuleWords(removed="their agent has more than MAX_SESSIONS"),
    Rule.MAX_DISK: RuleWords(removed="more is stored than MAX_DISK allows"),
    Rule.KEEP_FREE: RuleWords(removed="less is free than KEEP_FREE asks for"),
    Rule.DISCARDED: RuleWords(removed="removed from the archive by a person"),
    Rule.FORGOTTEN: RuleWords(removed="forgotten for good: a person asked for it"),
    Rule.NOTHING_LEFT: RuleWords("nothing left to remove"),
}
DONE = {
    Action.KEEP: "kept",
    Action.ARCHIVE: "archived",
    Action.DELETE: "deleted",
    Action.EXPIRE: "expired",
}
TO_DO = {action: f"to {action}" for action in Action}
KINDS = {kind: kind.value.replace("_", " ") for kind in ArtifactKind}
"""Artifacts in listings."""

OBSERVING = "nothing was removed: HERMES_RETENTION_MODE is observe, so sweeps only report"
SWITCHED_OFF = "nothing was done: HERMES_RETENTION_MODE is off, so there are no sweeps"
UNASKED = (
    "nothing was removed: the first sweep of a home needs a person's word, and there is no terminal to ask "
    "on. Look at this report, then run it with --yes once, or set HERMES_RETENTION_MODE=enforce"
)
DRY_RUN_ASKED = "nothing was removed: this is a dry run"


def sentence(words: str) -> str:
    """``words`` with a capital letter and a full stop."""
    return f"{words[0].upper()}{words[1:]}."


def because(step: Step) -> str:
    """Why steps like this one are kept or removed."""
    words = RULES[step.rule]
    return (words.kept if step.action is Action.KEEP else words.removed) or step.rule.value


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
