"""A sweep as the one JSON object that ``docs/reference/sweep-json.md`` describes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.actions.sweep.spot_check import Drill
from hermes_retention.cli.output.json_output import space_object
from hermes_retention.model.plan import Action, Step
from hermes_retention.model.text import printable

FORMAT = 1


def sweep_object(report: SweepReport, *, kept_too: bool, more_warnings: Iterable[str] = ()) -> dict[str, Any]:
    """``report`` as plain JSON data; every text in it is valid Unicode on one line."""
    return {
        "format": FORMAT,
        "sweep": report.sweep,
        "dry_run": report.dry_run,
        "home": printable(report.home),
        "seconds": report.seconds,
        "sessions": report.sessions,
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
        "bytes_freed": report.bytes_freed,
        "drill": None if report.drill is None else _drill(report.drill),
        "database": space_object(report.database),
        "routes_dropped": report.routes_dropped,
        "counts": msgspec.structs.asdict(report.counts),
        "steps": [_step(step) for step in report.steps if kept_too or step.action is not Action.KEEP],
        "failures": [
            {"session_id": printable(outcome.step.session_id), "error": printable(str(error))}
            for outcome in report.failures
            for error in outcome.errors
        ],
        "unknown": [{"name": printable(one.name), "why": printable(one.why)} for one in report.unknown],
        "warnings": [printable(warning) for warning in (*report.warnings, *more_warnings)],
    }


def _drill(drill: Drill) -> dict[str, Any]:
    return {
        "sessions": drill.sessions,
        "bytes": drill.bytes,
        "damages": [printable(line) for line in drill.damages],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "session_id": printable(step.session_id),
        "class": step.session_class.value,
        "liveness": step.liveness.value,
        "verdict": step.verdict,
        "rule": step.rule,
        "reason": printable(step.reason),
        "bytes": step.bytes,
    }
