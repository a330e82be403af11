"""``forget``: shows what there is of a person or a session, asks, and removes it for good.

Nothing here shows what anybody said. What must not live here: removing.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from hermes_retention.cli.options import DRY_RUN, EXACT_ID, JSON, YES, Command, Option
from hermes_retention.cli.output.page import Page, Style, Table, titled
from hermes_retention.model.errors import ExitCode, RetentionError, UsageError
from hermes_retention.model.text import counted, format_size, minute

if TYPE_CHECKING:
    from hermes_retention.actions.upkeep.forget import Preview, Receipt, Target, Wanted
    from hermes_retention.cli.context import Context

COMMAND = Command(
    "remove all data of a session or a user for good, everywhere",
    about="""\
Files, messages, records and routes in the host's storage, archived copies, and
what these left in shared dictionaries, search tables and logs. What compression
continued and what was delegated goes with it. Shows what would go and asks;
nothing can put it back. The ledger keeps a receipt without content.

Live sessions are refused while the gateway runs, which would write them again:
stop it, or leave them out with --skip-live. Run it again after a crash.""",
    examples="""\
  %(prog)s --user 12345 --platform telegram --dry-run
  %(prog)s 20261120_101500_1a2b3c4d --yes""",
    options=(
        Option("sessions", metavar="SESSION", nargs="*", help=EXACT_ID),
        Option("--user", metavar="U", help="all sessions of this user id"),
        Option("--platform", metavar="P", help="of that user only those on this platform"),
        Option("--skip-live", action="store_true", help="leave live sessions out"),
        DRY_RUN,
        JSON,
        YES,
    ),
)

_SHOWN = 30


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Preview, question, removal, receipt."""
    from hermes_retention.actions.upkeep.forget import preview

    wanted = _wanted(arguments)
    seen = preview(context.home, wanted, now=context.clock())
    skipped = {target.session_id for target in seen.live} if arguments.skip_live else set[str]()
    if not context.json:
        _show_preview(context.page, seen, skips_live=arguments.skip_live, every=context.verbose)
    if arguments.dry_run or len(seen.targets) == len(skipped):
        return _only_look(context, arguments, seen)
    question = f"Forget {counted(len(seen.targets) - len(skipped), 'session')} for good?"
    cure = "Run it with --yes to remove all of this for good."
    if not context.require_yes(yes=arguments.yes, question=question, cure=cure):
        return ExitCode.DONE
    return _forget(context, wanted, skipped)


def _wanted(arguments: argparse.Namespace) -> Wanted:
    from hermes_retention.actions.upkeep.forget import Wanted

    if arguments.user is None and (arguments.platform is not None or not arguments.sessions):
        raise UsageError(
            "forget",
            "it needs sessions, or a user with --user; --platform goes with --user",
            consequence="nothing was removed",
            cure="'hermes-retention archive show SESSION' tells the user of a session.",
        )
    return Wanted(tuple(arguments.sessions), arguments.user, arguments.platform)


def _only_look(context: Context, arguments: argparse.Namespace, seen: Preview) -> int:
    from hermes_retention.cli.context import print_object

    if context.json:
        print_object(_preview_object(seen))
    elif arguments.dry_run and seen.targets:
        context.page.line("This is a dry run: nothing was removed.", Style.WARNING)
    context.warn([str(damage) for damage in seen.damages])
    return ExitCode.VAULT_DAMAGED if seen.damages else ExitCode.DONE


def _forget(context: Context, wanted: Wanted, skipped: Collection[str]) -> int:
    from hermes_retention.actions.upkeep.forget import forget
    from hermes_retention.cli.context import print_object

    receipt = forget(context.home, wanted, skip=skipped, now=context.clock())
    compacted, why_not = _compact(context, receipt)
    if context.json:
        print_object(_receipt_object(receipt, compacted=compacted))
    else:
        _show_receipt(context.page, receipt)
    context.warn([str(error) for error in receipt.errors])
    if why_not:
        context.warn([why_not])
    return receipt.exit_code


def _compact(context: Context, receipt: Receipt) -> tuple[bool, str]:
    """Whether the database has no free pages any more; and if it has, what a person should know."""
    from hermes_retention.actions.upkeep.compact import compact

    if not receipt.has_free_pages:
        return True, ""
    try:
        compact(context.home, above=0.0, environ=context.environ)
    except RetentionError as error:
        return False, (
            "free pages of the host's database may still hold what was removed from it earlier, until the "
            f"host uses them again. 'hermes-retention compact --above 0%' clears them; just now it "
            f"could not: {error.why}"
        )
    return True, ""


def _show_preview(page: Page, seen: Preview, *, skips_live: bool, every: bool) -> None:
    """The sessions, what there is of each and why it is meant; and what stands in the way."""
    if not seen.targets:
        page.line("Neither the store nor the archive has anything of that.", Style.WARNING)
        return
    columns = titled("~session", "class", "last activity", "in the store…", ">archived", "why…")
    shown = seen.targets if every else seen.targets[:_SHOWN]
    page.table(Table(columns, [_row(target) for target in shown]))
    if len(shown) < len(seen.targets):
        page.line(f"  … and {len(seen.targets) - len(shown):,} more; -v lists them all")
    page.line(f"{counted(len(seen.targets), 'session')}.")
    if seen.unfinished:
        page.line(
            f"{counted(seen.unfinished, 'session')} of these an earlier run did not finish.", Style.WARNING
        )
    if seen.live:
        what = "left out" if skips_live else "in the way"
        page.line(
            f"{counted(len(seen.live), 'live session')} {what}: {seen.in_use_by or ''}.",
            Style.WARNING,
        )
    page.line("Forgetting is final: no copy is kept, and nothing can put it back.", Style.WARNING)


def _show_receipt(page: Page, receipt: Receipt) -> None:
    """What is gone, and what a person has to look after."""
    page.line(
        f"{counted(receipt.sessions, 'session')} forgotten: {counted(receipt.files, 'file')}, messages and "
        f"records of {receipt.rows_of:,}, archived copies of {receipt.archived:,}, "
        f"{counted(receipt.routes, 'route')}. Receipt: {receipt.sweep or 'none'}.",
        Style.GOOD if not receipt.errors else Style.NORMAL,
    )
    if receipt.left:
        page.line(f"{counted(len(receipt.left), 'live session')} left out.", Style.WARNING)
    if receipt.errors:
        page.line("Not everything could be removed. Running it again goes on with the rest.", Style.BAD)
    for name in receipt.besides:
        page.line(f"The host has something else that is named after one of them: {name}", Style.WARNING)


def _preview_object(seen: Preview) -> dict[str, Any]:
    """What would go, as data."""
    return {
        "dry_run": True,
        "sessions": [
            {
                "session_id": target.session_id,
                "class": target.session_class.value,
                "last_activity": target.last_activity,
                "why": target.why,
                "in_store": target.session is not None,
                "archived": target.archived_bytes,
                "live": target.live,
            }
            for target in seen.targets
        ],
        "in_use_by": seen.in_use_by,
        "unfinished": seen.unfinished,
        "warnings": [str(damage) for damage in seen.damages],
    }


def _receipt_object(receipt: Receipt, *, compacted: bool) -> dict[str, Any]:
    """The receipt as data."""
    return {
        "dry_run": False,
        "sweep": receipt.sweep,
        "sessions": receipt.sessions,
        "files": receipt.files,
        "rows_of": receipt.rows_of,
        "archived": receipt.archived,
        "routes": receipt.routes,
        "left": list(receipt.left),
        "free_pages_cleared": compacted,
        "besides": list(receipt.besides),
        "warnings": [str(error) for error in receipt.errors],
    }


def _row(target: Target) -> tuple[str, ...]:
    return (
        target.session_id,
        target.session_class.value,
        minute(target.last_activity),
        _in_store(target),
        format_size(target.archived_bytes) if target.archived_bytes else "–",
        f"{target.why}; live" if target.live is not None else target.why,
    )


def _in_store(target: Target) -> str:
    from hermes_retention.cli.output.words import files_counted

    session = target.session
    if session is None:
        return "–"
    parts = []
    if session.artifacts:
        parts.append(files_counted(artifact.kind for artifact in session.artifacts))
    if session.record is not None:
        parts.append("messages" if session.record.has_messages else "record")
    if session.routes:
        parts.append(counted(len(session.routes), "route"))
    return ", ".join(parts) or "–"
