"""``doctor`` and ``metrics``: for people who wonder, and for programs that watch."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hermes_retention.cli.context import Context
from hermes_retention.cli.output.page import Style
from hermes_retention.model.errors import ExitCode, RetentionError, SettingsError
from hermes_retention.model.text import printable
from hermes_retention.stores.base import Finding, Level

if TYPE_CHECKING:
    from hermes_retention.home.open import HomeLoader

_MARKS = {Level.GOOD: "ok", Level.NOTE: "note", Level.WARNING: "WARNING", Level.ERROR: "ERROR"}
_STYLES = {
    Level.GOOD: Style.GOOD,
    Level.NOTE: Style.NORMAL,
    Level.WARNING: Style.WARNING,
    Level.ERROR: Style.BAD,
}


def run_doctor(context: Context, _arguments: argparse.Namespace) -> int:
    """Look at everything, also where settings or the store are broken."""
    from hermes_retention.actions.inspect.doctor import exit_code

    findings = _findings(context)
    code = exit_code(findings)
    if context.json:
        from hermes_retention.cli.output.json_output import print_object

        print_object({"exit_code": int(code), "findings": [_object(finding) for finding in findings]})
        return code
    for finding in findings:
        _show(context, finding)
    if code == ExitCode.DONE:
        context.page.line("Nothing needs your attention.", Style.GOOD)
    return code


def run_metrics(context: Context, arguments: argparse.Namespace) -> int:
    """Print the metrics, or write them into a file."""
    from hermes_retention.actions.inspect.metrics import measure, text_of, write_metrics

    now = context.clock()
    if arguments.to is None:
        sys.stdout.write(text_of(measure(context.site, now=now), context.site.path))
    else:
        write_metrics(context.site, Path(arguments.to).expanduser(), now=now)
    return ExitCode.DONE


def write_after_sweep(context: Context) -> None:
    """The metrics file, if one is asked for. A sweep is no failure because of it."""
    path = context.settings.values.metrics_file
    if path is None:
        return
    from hermes_retention.actions.inspect.metrics import write_metrics

    try:
        write_metrics(context.site, path, now=context.clock())
    except RetentionError as error:
        context.warn([str(error)])


def _findings(context: Context) -> list[Finding]:
    from hermes_retention.actions.inspect.doctor import examine, failed

    loader, findings = _settings(context)
    try:
        home = loader.home
    except RetentionError as error:
        return [*findings, failed("store", error)]
    return [*findings, *examine(home, now=context.clock())]


def _settings(context: Context) -> tuple[HomeLoader, list[Finding]]:
    """What is known of the home: with its settings, or where these are wrong with the defaults."""
    from hermes_retention.actions.inspect.doctor import failed, look_at_variable

    findings = [] if context.home_argument else look_at_variable(context.environ)
    try:
        lines = context.settings.describe()
    except SettingsError as error:
        return context.loader.on_defaults(), [*findings, failed("settings", error)]
    given = sum(line.origin != "default" for line in lines)
    good = Finding("settings", Level.GOOD, f"all are valid; {given} differ from the defaults")
    return context.loader, [*findings, good]


def _show(context: Context, finding: Finding) -> None:
    mark = _MARKS[finding.level]
    lines = finding.what.split("\n")
    context.page.line(f"{mark:<8}{finding.check}: {printable(lines[0])}", _STYLES[finding.level])
    for line in lines[1:]:
        context.page.line(f"        {printable(line.strip())}", _STYLES[finding.level])
    if finding.cure and finding.level is not Level.GOOD:
        context.page.line(f"        → {printable(finding.cure)}")


def _object(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check,
        "level": finding.level.value,
        "what": printable(finding.what),
        "cure": printable(finding.cure),
    }


HANDLERS = {"doctor": run_doctor, "metrics": run_metrics}
