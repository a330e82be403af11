"""``doctor``: looks at everything that can go wrong and names the cure for each finding."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hermes_retention.cli.options import JSON, Command
from hermes_retention.cli.output.page import Page, Style
from hermes_retention.model.errors import ExitCode, RetentionError, SettingsError

if TYPE_CHECKING:
    from hermes_retention.cli.context import Context
    from hermes_retention.home.open import HomeLoader
    from hermes_retention.stores.base import Finding

COMMAND = Command(
    "check settings, rights, disk, locks, host, archive and ledger",
    about="""\
Looks at everything that can go wrong and names the cure for each finding.
Changes nothing. The exit code is 0 when nothing needs you, 1 for a warning,
2 for settings, 4 for the store, 5 for the archive.""",
    examples="  %(prog)s\n  %(prog)s --json",
    options=(JSON,),
)

_MARKS = {
    "good": ("ok", Style.GOOD),
    "note": ("note", Style.NORMAL),
    "warning": ("WARNING", Style.WARNING),
    "error": ("ERROR", Style.BAD),
}
"""Level of a finding → how its line begins and looks."""


def run(context: Context, _arguments: argparse.Namespace) -> int:
    """Look at everything, also where settings or the store are broken."""
    import msgspec

    from hermes_retention.actions.inspect.doctor import exit_code
    from hermes_retention.cli.context import print_object

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
    from hermes_retention.stores.base import Finding, Level

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
