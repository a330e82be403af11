"""``doctor``: looks at everything that can go wrong and names the cure for each finding."""

from __future__ import annotations

import argparse

import msgspec

from hermes_retention.actions.inspect.doctor import examine, exit_code, failed, look_at_variable
from hermes_retention.cli.context import Context, print_object
from hermes_retention.cli.output.page import Page, Style
from hermes_retention.home.open import HomeLoader
from hermes_retention.model.errors import ExitCode, RetentionError, SettingsError
from hermes_retention.stores.base import Finding, Level

_MARKS = {
    "good": ("ok", Style.GOOD),
    "note": ("note", Style.NORMAL),
    "warning": ("WARNING", Style.WARNING),
    "error": ("ERROR", Style.BAD),
}
"""Level of a finding → how its line begins and looks."""


def run(context: Context, _arguments: argparse.Namespace) -> int:
    """Look at everything, also where settings or the store are broken."""
    findings = _findings(context)
    code = exit_code(findings)
    if context.json:
        print_object({"exit_code": int(code), "findings": msgspec.to_builtins(findings)})
        return code
    for finding in findings:
        _show(context.page, finding)
    if code == ExitCode.DONE:
        context.page.line("Nothing needs your attention.", Style.GOOD)
    return code


def _findings(context: Context) -> list[Finding]:
    loader, findings = _settings(context)
    try:
        home = loader.home
    except RetentionError as error:
        return [*findings, failed("store", error)]
    return [*findings, *examine(home, now=context.clock())]


def _settings(context: Context) -> tuple[HomeLoader, list[Finding]]:
    """What is known of the home: with its settings, or where these are wrong with the defaults."""
    findings = [] if context.home_argument else look_at_variable(context.environ)
    try:
        lines = context.settings.describe()
    except SettingsError as error:
        return context.loader.on_defaults(), [*findings, failed("settings", error)]
    given = sum(line.origin != "default" for line in lines)
    good = Finding("settings", Level.GOOD, f"all are valid; {given} differ from the defaults")
    return context.loader, [*findings, good]


def _show(page: Page, finding: Finding) -> None:
    mark, style = _MARKS[finding.level]
    first, *more = finding.what.split("\n")
    page.line(f"{mark:<8}{finding.check}: {first}", style)
    for line in more:
        page.line(f"        {line.strip()}", style)
    if finding.cure and finding.level != "good":
        page.line(f"        → {finding.cure}")
