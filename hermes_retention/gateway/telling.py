"""What a sweep in a gateway says in the log: one line, and warnings that are not repeated.

Names and numbers only; nothing of a conversation. What must not live here: output for people at a terminal.
"""

from __future__ import annotations

from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.gateway.worker import WarnOnce
from hermes_retention.model.log import LOG
from hermes_retention.model.text import counted
from hermes_retention.model.units import format_duration, format_size

_COUNTED = (
    ("files_archived", "files of {} archived"),
    ("tool_output_archived", "tool output of {} archived"),
    ("messages_archived", "messages of {} archived"),
    ("records_archived", "records of {} archived"),
    ("deleted", "{} deleted"),
    ("expired", "copies of {} expired"),
)


def tell_swept(report: SweepReport, home: str, warnings: WarnOnce) -> None:
    """What a sweep of ``home`` did, if it did anything, and what it could not do."""
    if report.outcomes:
        # Rows give pages back within the database: then the archive grows by more than the files shrink.
        freed = f"{format_size(report.bytes_freed)} freed in " if report.bytes_freed > 0 else "in "
        took = format_duration(report.seconds)
        LOG.info("%s: sweep %s: %s; %s%s", home, report.sweep, _done(report), freed, took)
    if report.failures:
        failed = counted(report.counts.failed, "session")
        example = report.failures[0].error
        warnings.warn(f"{home}: a sweep", f"could not do all for {failed}, such as: {example}")
    for number, warning in enumerate(report.warnings, 1):
        warnings.warn(f"{home}: note {number}", warning)


def tell_observed(report: SweepReport, home: str) -> None:
    """What a sweep of ``home`` would have done."""
    LOG.info("%s: nothing was removed, MODE is observe; a sweep would do this: %s", home, _done(report))


def _done(report: SweepReport) -> str:
    done = [
        words.format(counted(number, "session"))
        for name, words in _COUNTED
        if (number := getattr(report.counts, name))
    ]
    return ", ".join(done) or "nothing"
