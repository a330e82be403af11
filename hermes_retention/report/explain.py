"""All about one session, for people and as data."""

from __future__ import annotations

from typing import Any

import msgspec

from hermes_retention.archive.entries import describe
from hermes_retention.explain import Explanation, setting_behind, setting_of
from hermes_retention.ledger import StepRow
from hermes_retention.model import Session
from hermes_retention.names import printable
from hermes_retention.plan import Step, Verdict
from hermes_retention.policy.outlook import Coming
from hermes_retention.report.archive import metadata_lines, show_files
from hermes_retention.report.page import Column, Fit, Page, Style, Table
from hermes_retention.report.words import TO_DO, because, counted, minute
from hermes_retention.units import format_duration, format_size, format_time


def show_explanation(page: Page, explanation: Explanation) -> None:
    """The whole screen."""
    kind = explanation.session_class or "no longer in store or archive"
    page.line(f"{printable(explanation.session_id)} ({kind})", Style.TITLE)
    for line in metadata_lines(explanation.metadata):
        page.line(f"  {line}")
    for name, text in _facts(explanation):
        page.line(f"  {name}: {text}")
    if explanation.session is not None and explanation.session.artifacts:
        page.line()
        page.table(_files(explanation.session))
    if explanation.copies:
        page.line()
        show_files(page, explanation.copies)
    if explanation.history:
        page.line()
        page.table(_history(explanation.history))


def _facts(explanation: Explanation) -> list[tuple[str, str]]:
    session, step = explanation.session, explanation.step
    facts = [("store", _in_store(session)), ("archive", _in_archive(explanation))]
    if session is not None and session.restored_at is not None:
        facts.append(("put back", format_time(session.restored_at)))
    if explanation.hold is not None:
        since, reason = format_time(explanation.hold.since), printable(explanation.hold.reason)
        facts.append(("held", f"since {since}{f': {reason}' if reason else ''}"))
    if step is not None:
        facts.append(("liveness", str(step.liveness)))
        facts.append(("next sweep", f"{_verdict(step)} [{step.rule}]: {step.reason}"))
        facts.extend(_due(explanation))
    if explanation.copies:
        facts.append(("archived copy expires", _expiry(explanation.outlook.expiry, explanation.now)))
    return facts


def _in_store(session: Session | None) -> str:
    if session is None:
        return "nothing"
    record = "record in state.db" if session.record is not None else "no record"
    routes = ", ".join(printable(route.key) for route in session.routes)
    size = format_size(session.allocated_bytes)
    files = f"{counted(len(session.artifacts), 'file')}, {size}" if session.artifacts else "no files"
    return f"{files}; {record}; {f'routed from {routes}' if routes else 'no route leads to it'}"


def _in_archive(explanation: Explanation) -> str:
    if not explanation.copies:
        return "no copy" if not explanation.damages else "no copy in what can be read of it"
    return "copies in " + ", ".join(one.partition for one in explanation.copies)


def _verdict(step: Step) -> str:
    return "keep" if step.verdict is Verdict.KEEP else TO_DO[step.verdict].removeprefix("to ")


def _due(explanation: Explanation) -> list[tuple[str, str]]:
    outlook = explanation.outlook
    facts = []
    if outlook.dumps is not None:
        facts.append(("request dumps due", _due_words(outlook.dumps, explanation.now)))
    if outlook.files is not None:
        facts.append(("due", _due_words(outlook.files, explanation.now)))
    elif outlook.kept_by is not None:
        facts.append(
            ("due", f"never by itself: {because(outlook.kept_by)}{_setting(setting_of(outlook.kept_by))}")
        )
    return facts


def _due_words(coming: Coming, now: float) -> str:
    if coming.at <= now:
        return f"now{_setting(setting_behind(coming))}"
    return f"{_when(coming.at, now)} if nothing happens until then{_setting(setting_behind(coming))}"


def _setting(name: str | None) -> str:
    return f" [{name}]" if name else ""


def _expiry(coming: Coming | None, now: float) -> str:
    return "never" if coming is None else f"{_when(coming.at, now)}{_setting(setting_behind(coming))}"


def _when(time: float, now: float) -> str:
    if time <= now:
        return "now"
    return f"{format_time(time)} (in {format_duration(time - now)})"


def _files(session: Session) -> Table:
    columns = (
        Column("file in the store", fit=Fit.NAME),
        Column("kind"),
        Column("size", right=True),
        Column("changed"),
    )
    rows = [
        (
            printable(artifact.name),
            artifact.kind.value.replace("_", " "),
            format_size(artifact.size_bytes),
            minute(artifact.mtime_ns / 1e9),
        )
        for artifact in session.artifacts
    ]
    return Table(columns, rows)


def _history(history: tuple[StepRow, ...]) -> Table:
    columns = (
        Column("sweep"),
        Column("when"),
        Column("what"),
        Column("size", right=True),
        Column("why", fit=Fit.WORDS),
    )
    rows = [
        (
            row.sweep,
            minute(row.started_at),
            row.verdict.replace("_", " ") if row.error is None else "failed",
            format_size(row.bytes),
            printable(row.reason if row.error is None else row.error),
        )
        for row in history
    ]
    return Table(columns, rows)


def explanation_object(explanation: Explanation) -> dict[str, Any]:
    """The explanation as plain JSON data. Times are Unix seconds."""
    session, step, hold = explanation.session, explanation.step, explanation.hold
    outlook = explanation.outlook
    metadata = msgspec.structs.asdict(explanation.metadata)
    return {
        "session_id": printable(explanation.session_id),
        "class": None if explanation.session_class is None else explanation.session_class.value,
        "record": {
            name: printable(value) if isinstance(value, str) else value for name, value in metadata.items()
        },
        "has_record": session is not None and session.record is not None,
        "routes": [] if session is None else [printable(route.key) for route in session.routes],
        "files": [] if session is None else _file_objects(session),
        "copies": [describe(artifact) for one in explanation.copies for artifact in one.artifacts],
        "restored_at": None if session is None else session.restored_at,
        "hold": None if hold is None else {"reason": printable(hold.reason), "since": hold.since},
        "liveness": None if step is None else step.liveness.value,
        "verdict": None if step is None else step.verdict.value,
        "rule": None if step is None else step.rule,
        "reason": None if step is None else printable(step.reason),
        "due": _coming_object(outlook.files),
        "dumps_due": _coming_object(outlook.dumps),
        "kept_by": None if outlook.kept_by is None else _because_object(outlook.kept_by),
        "archive_expires": _coming_object(outlook.expiry),
        "history": [
            {
                **msgspec.structs.asdict(row),
                "reason": printable(row.reason),
                "error": None if row.error is None else printable(row.error),
            }
            for row in explanation.history
        ],
        "warnings": [printable(str(damage)) for damage in explanation.damages],
    }


def _coming_object(coming: Coming | None) -> dict[str, Any] | None:
    return (
        None
        if coming is None
        else {"at": coming.at, "rule": coming.step.rule.value, "setting": setting_behind(coming)}
    )


def _because_object(step: Step) -> dict[str, Any]:
    return {"rule": step.rule.value, "setting": setting_of(step)}


def _file_objects(session: Session) -> list[dict[str, Any]]:
    return [
        {
            "kind": artifact.kind.value,
            "name": printable(artifact.name),
            "size": artifact.size_bytes,
            "mtime_ns": artifact.mtime_ns,
            "mode": f"{artifact.mode:04o}",
        }
        for artifact in session.artifacts
    ]
