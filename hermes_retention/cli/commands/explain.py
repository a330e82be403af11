"""``explain``: where one session is, what keeps it, and when what of it is due."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hermes_retention.cli.options import ID_OR_PREFIX, JSON, Command, Option
from hermes_retention.cli.output.page import Page, Style, Table, titled
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.text import counted, format_duration, format_size, format_time, minute

if TYPE_CHECKING:
    from hermes_retention.actions.inspect.explain import CapStanding, Explanation
    from hermes_retention.cli.context import Context
    from hermes_retention.model.plan import Step, Tier
    from hermes_retention.model.session import Record, Session
    from hermes_retention.policy.explain import Coming

COMMAND = Command(
    "show where a session is, what keeps it, and when it is due",
    examples="  %(prog)s 20261120_101500_1a2b3c4d\n  %(prog)s 20261120_1015",
    options=(
        Option("session", metavar="SESSION", help=ID_OR_PREFIX),
        JSON,
    ),
)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """All about one session."""
    from hermes_retention.actions.inspect.explain import explain, stand_with_caps
    from hermes_retention.cli.context import print_object

    now = context.clock()
    explanation = explain(context.home, arguments.session, now=now)
    standing = stand_with_caps(
        context.home, explanation.session_id, explanation.session_class, context.settings.caps(), now=now
    )
    if context.json:
        print_object(explanation_object(explanation) | {"caps": _standing_object(standing)})
    else:
        facts = _standing_facts(standing, explanation.session_class)
        show_explanation(context.page, explanation, facts)
        context.warn([str(damage) for damage in explanation.damages])
    return ExitCode.VAULT_DAMAGED if explanation.damages else ExitCode.DONE


def _standing_facts(standing: CapStanding, session_class: str | None) -> list[tuple[str, str]]:
    """The limit that a session is closest to, and the alerts about it: names and texts."""
    from hermes_retention.policy.caps import alert_words, portion, setting

    facts = []
    if standing.cap is not None and session_class is not None:
        used = portion(standing.cap, standing.count, standing.limit)
        share = standing.count / standing.limit
        facts.append(("closest cap", f"{used}, {share:.0%} [{setting(standing.cap, session_class)}]"))
    return [*facts, *(("alert", f"{minute(alert.at)} {alert_words(alert)}") for alert in standing.alerts)]


def _standing_object(standing: CapStanding) -> dict[str, Any]:
    """The standing as plain JSON data. Times are Unix seconds; counts are in the unit of the cap."""
    from hermes_retention.cli.commands.status import alert_object

    closest = None
    if standing.cap is not None:
        closest = {"cap": standing.cap.value, "count": standing.count, "limit": standing.limit}
    return {"closest": closest, "alerts": [alert_object(alert) for alert in standing.alerts]}


def show_explanation(
    page: Page, explanation: Explanation, more_facts: Sequence[tuple[str, str]] = ()
) -> None:
    """The whole screen. ``more_facts`` are names and texts that stand beside those of the explanation."""
    from hermes_retention.cli.commands.archive import metadata_lines, show_artifacts

    kind = explanation.session_class or "no longer in store or archive"
    page.line(f"{explanation.session_id} ({kind})", Style.TITLE)
    for line in metadata_lines(explanation.metadata):
        page.line(f"  {line}")
    for name, text in (*_facts(explanation), *more_facts):
        page.line(f"  {name}: {text}")
    if explanation.answers:
        page.line()
        page.table(_answers(explanation))
    if explanation.session is not None and explanation.session.artifacts:
        page.line()
        page.table(_files(explanation.session))
    if explanation.copies:
        page.line()
        show_artifacts(page, explanation.copies)
    if explanation.history:
        page.line()
        page.table(_history(explanation))


def _facts(explanation: Explanation) -> list[tuple[str, str]]:
    session = explanation.session
    facts = [("store", _in_store(session)), ("archive", _in_archive(explanation))]
    if session is not None and session.restored_at is not None:
        facts.append(("put back", format_time(session.restored_at)))
    if explanation.hold is not None:
        since, reason = format_time(explanation.hold.since), explanation.hold.reason
        facts.append(("held", f"since {since}{f': {reason}' if reason else ''}"))
    if explanation.steps:
        facts.append(("liveness", str(explanation.steps[0].liveness)))
        facts.extend(
            ("next sweep", f"{_verdict(step)} [{step.rule}]: {step.reason}") for step in explanation.steps
        )
        facts.extend(_due(explanation))
    if explanation.copies:
        facts.append(("archived copy expires", _expiry(explanation.outlook.expiry, explanation.now)))
    return facts


def _in_store(session: Session | None) -> str:
    if session is None:
        return "nothing"
    record = _in_database(session.record)
    routes = ", ".join(route.key for route in session.routes)
    size = format_size(session.allocated_bytes)
    files = f"{counted(len(session.artifacts), 'file')}, {size}" if session.artifacts else "no files"
    return f"{files}; {record}; {f'routed from {routes}' if routes else 'no route leads to it'}"


def _in_database(record: Record | None) -> str:
    if record is None:
        return "no record"
    if not record.has_messages:
        return "record in state.db, no messages"
    return f"record and about {counted(_messages(record), 'message')} in state.db"


def _in_archive(explanation: Explanation) -> str:
    if not explanation.copies:
        return "no copy" if not explanation.damages else "no copy in what can be read of it"
    return "copies in " + ", ".join(one.partition for one in explanation.copies)


def _verdict(step: Step) -> str:
    return step.action.value if step.tier is None else f"{step.action} {step.tier.words}"


def _due(explanation: Explanation) -> list[tuple[str, str]]:
    from hermes_retention.actions.inspect.explain import never_due, setting_of
    from hermes_retention.cli.output.words import because

    outlook, now = explanation.outlook, explanation.now
    coming = (
        ("request dumps due", outlook.dumps),
        ("files due", outlook.files),
        ("tool output due", outlook.tool_output),
        ("messages due", outlook.messages),
        ("record due", outlook.record),
    )
    facts = [(name, _due_words(one, now)) for name, one in coming if one is not None]
    if outlook.kept_by is None:
        return facts + [(f"{tier} due", _never(explanation, tier)) for tier in never_due(explanation)]
    kept_by = f"{because(outlook.kept_by)}{_setting(setting_of(outlook.kept_by))}"
    return [*facts, ("due", f"never by itself: {kept_by}")]


def _never(explanation: Explanation, tier: Tier) -> str:
    from hermes_retention.actions.inspect.explain import age_setting

    lifecycle, session_class = explanation.lifecycle, explanation.session_class
    if lifecycle is None or session_class is None or lifecycle.after(tier) is not None:
        return "never by itself: sessions or files that would go with it stay"
    return f"never{_setting(age_setting(session_class, tier))}"


def _due_words(coming: Coming, now: float) -> str:
    from hermes_retention.actions.inspect.explain import setting_behind

    if coming.at <= now:
        return f"now{_setting(setting_behind(coming))}"
    return f"{_when(coming.at, now)} if nothing happens until then{_setting(setting_behind(coming))}"


def _setting(name: str | None) -> str:
    return f" [{name}]" if name else ""


def _expiry(coming: Coming | None, now: float) -> str:
    from hermes_retention.actions.inspect.explain import setting_behind

    return "never" if coming is None else f"{_when(coming.at, now)}{_setting(setting_behind(coming))}"


def _when(time: float, now: float) -> str:
    if time <= now:
        return "now"
    return f"{format_time(time)} (in {format_duration(time - now)})"


def _answers(explanation: Explanation) -> Table:
    from hermes_retention.model.plan import KEEPING

    columns = titled("rule", "does it", "answer", "because…")
    rows = [
        (
            answer.rule.value,
            "keep it" if answer.rule in KEEPING else "let a part go",
            "yes" if answer.is_yes else "no",
            answer.fact,
        )
        for answer in explanation.answers
    ]
    return Table(columns, rows)


def _files(session: Session) -> Table:
    columns = titled("~file in the store", "kind", ">size", "changed")
    rows = [
        (
            artifact.name,
            artifact.kind.value.replace("_", " "),
            format_size(artifact.size_bytes),
            minute(artifact.mtime_ns / 1e9),
        )
        for artifact in session.artifacts
    ]
    return Table(columns, rows)


def _history(explanation: Explanation) -> Table:
    columns = titled("sweep", "when", "what", ">size", "why…")
    rows = [
        (
            row.sweep,
            minute(row.started_at),
            row.verdict.replace("_", " ") if row.error is None else "failed",
            format_size(row.bytes),
            row.reason if row.error is None else row.error,
        )
        for row in explanation.history
    ]
    return Table(columns, rows)


def explanation_object(explanation: Explanation) -> dict[str, Any]:
    """The explanation as plain JSON data. Times are Unix seconds."""
    import msgspec

    from hermes_retention.archive.entries import describe

    session, steps = explanation.session, explanation.steps
    outlook = explanation.outlook
    return {
        "session_id": explanation.session_id,
        "class": None if explanation.session_class is None else explanation.session_class.value,
        "record": msgspec.structs.asdict(explanation.metadata),
        "has_record": session is not None and session.record is not None,
        "messages": 0 if session is None else _messages(session.record),
        "routes": [] if session is None else [route.key for route in session.routes],
        "files": [] if session is None else _file_objects(session),
        "copies": [describe(artifact) for one in explanation.copies for artifact in one.artifacts],
        "restored_at": None if session is None else session.restored_at,
        "hold": msgspec.to_builtins(explanation.hold),
        "liveness": steps[0].liveness.value if steps else None,
        "next": [_step_object(step) for step in steps],
        "due": _coming_object(outlook.files),
        "dumps_due": _coming_object(outlook.dumps),
        "tool_output_due": _coming_object(outlook.tool_output),
        "messages_due": _coming_object(outlook.messages),
        "record_due": _coming_object(outlook.record),
        "rules": [
            {"rule": one.rule.value, "answer": one.is_yes, "fact": one.fact} for one in explanation.answers
        ],
        "kept_by": None if outlook.kept_by is None else _because_object(outlook.kept_by),
        "archive_expires": _coming_object(outlook.expiry),
        "history": [
            {
                **msgspec.structs.asdict(row),
                "reason": row.reason,
                "error": row.error,
            }
            for row in explanation.history
        ],
        "warnings": [str(damage) for damage in explanation.damages],
    }


def _messages(record: Record | None) -> int:
    return max(record.message_count, 1) if record is not None and record.has_messages else 0


def _step_object(step: Step) -> dict[str, Any]:
    return {
        "verdict": step.verdict,
        "rule": step.rule.value,
        "reason": step.reason,
        "bytes": step.bytes,
    }


def _coming_object(coming: Coming | None) -> dict[str, Any] | None:
    from hermes_retention.actions.inspect.explain import setting_behind

    return (
        None
        if coming is None
        else {"at": coming.at, "rule": coming.step.rule.value, "setting": setting_behind(coming)}
    )


def _because_object(step: Step) -> dict[str, Any]:
    from hermes_retention.actions.inspect.explain import setting_of

    return {"rule": step.rule.value, "setting": setting_of(step)}


def _file_objects(session: Session) -> list[dict[str, Any]]:
    return [
        {
            "kind": artifact.kind.value,
            "name": artifact.name,
            "size": artifact.size_bytes,
            "mtime_ns": artifact.mtime_ns,
            "mode": f"{artifact.mode:04o}",
        }
        for artifact in session.artifacts
    ]
