"""``forget``: shows what there is of a person or a session, asks, and removes it for good."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hermes_retention.actions.upkeep.compact import compact
from hermes_retention.actions.upkeep.forget import Receipt, forget
from hermes_retention.actions.upkeep.targets import Preview, Wanted, preview
from hermes_retention.cli.context import Context
from hermes_retention.cli.output.forgetting import preview_object, receipt_object, show_preview, show_receipt
from hermes_retention.cli.output.json_output import print_object
from hermes_retention.cli.output.page import Style
from hermes_retention.model.errors import ExitCode, RetentionError, UsageError
from hermes_retention.model.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Collection


def run_forget(context: Context, arguments: argparse.Namespace) -> int:
    """Preview, question, removal, receipt."""
    wanted = _wanted(arguments)
    seen = preview(context.site, wanted, now=context.clock())
    skipped = {target.session_id for target in seen.live} if arguments.skip_live else set[str]()
    if not context.json:
        show_preview(context.page, seen, skips_live=arguments.skip_live, every=context.verbose)
    if arguments.dry_run or len(seen.targets) == len(skipped):
        return _only_look(context, arguments, seen)
    question = f"Forget {counted(len(seen.targets) - len(skipped), 'session')} for good?"
    cure = "Run it with --yes to remove all of this for good."
    if not context.require_yes(yes=arguments.yes, question=question, cure=cure):
        return ExitCode.DONE
    return _forget(context, wanted, skipped)


def _wanted(arguments: argparse.Namespace) -> Wanted:
    if arguments.user is None and (arguments.platform is not None or not arguments.sessions):
        raise UsageError(
            "forget",
            "it needs sessions, or a user with --user; --platform goes with --user",
            consequence="nothing was removed",
            cure="'hermes-retention archive show SESSION' tells the user of a session.",
        )
    return Wanted(tuple(arguments.sessions), arguments.user, arguments.platform)


def _only_look(context: Context, arguments: argparse.Namespace, seen: Preview) -> int:
    if context.json:
        print_object(preview_object(seen))
    elif arguments.dry_run and seen.targets:
        context.page.line("This is a dry run: nothing was removed.", Style.WARNING)
    context.warn([str(damage) for damage in seen.damages])
    return ExitCode.VAULT_DAMAGED if seen.damages else ExitCode.DONE


def _forget(context: Context, wanted: Wanted, skipped: Collection[str]) -> int:
    receipt = forget(context.site, wanted, skip=skipped, now=context.clock())
    compacted, why_not = _compact(context, receipt)
    if context.json:
        print_object(receipt_object(receipt, compacted=compacted))
    else:
        show_receipt(context.page, receipt)
    context.warn([str(error) for error in receipt.errors])
    if why_not:
        context.warn([why_not])
    return receipt.exit_code


def _compact(context: Context, receipt: Receipt) -> tuple[bool, str]:
    """Whether the database has no free pages any more; and if it has, what a person should know."""
    if not receipt.has_free_pages:
        return True, ""
    try:
        compact(context.site, above=0.0, environ=context.environ)
    except RetentionError as error:
        return False, (
            "free pages of the host's database may still hold what was removed from it earlier, until the "
            f"host uses them again. 'hermes-retention compact --above 0%' clears them; just now it "
            f"could not: {printable(error.why)}"
        )
    return True, ""
