"""``archive``: look into the vault, check it, take from it, remove from it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hermes_retention.cli.commands.restore import export
from hermes_retention.cli.output.json_output import print_object
from hermes_retention.cli.output.page import Style
from hermes_retention.model.errors import ExitCode, UsageError, VaultDamaged
from hermes_retention.model.text import counted, format_size, printable

if TYPE_CHECKING:
    from pathlib import Path

    from hermes_retention.actions.inspect.lookup import ArchiveEntry, Copies
    from hermes_retention.actions.restore.export import Form
    from hermes_retention.cli.context import Context


def run_list(context: Context, arguments: argparse.Namespace) -> int:
    """Every archived session, the newest first."""
    from hermes_retention.actions.inspect.lookup import list_archive
    from hermes_retention.cli.output.archive import entry_object, show_entries

    listing = list_archive(context.home, arguments.classes or ())
    if context.json:
        print_object(
            {
                "sessions": [entry_object(entry) for entry in listing.entries],
                "warnings": [str(damage) for damage in listing.damages],
            }
        )
    elif listing.entries or listing.damages or arguments.classes:
        show_entries(context.page, listing.entries)
    else:
        context.page.line("The archive is empty.")
    return _damaged(context, listing.damages)


def run_show(context: Context, arguments: argparse.Namespace) -> int:
    """One archived session with all that there is of it."""
    from hermes_retention.actions.inspect.lookup import archived_copies, resolve_archived
    from hermes_retention.cli.output.archive import show_copies

    home = context.home
    (session_id,) = resolve_archived(home, [arguments.session])
    copies, damages = archived_copies(home, session_id)
    if context.json:
        print_object(_session_object(session_id, copies, damages))
    else:
        show_copies(context.page, session_id, copies)
    return _damaged(context, damages)


def run_verify(context: Context, _arguments: argparse.Namespace) -> int:
    """A line for each partition; exit code 5 when one is damaged."""
    context.home.workspace.check()
    damaged = checked = 0
    for name, damages in context.home.workspace.vault.verify():
        checked += 1
        damaged += bool(damages)
        if not damages:
            context.page.line(f"{name}  ok", Style.GOOD)
        for what, times in Counter(damage.what for damage in damages).items():
            often = f" ({times:,} times)" if times > 1 else ""
            context.page.line(f"{name}  DAMAGED  {what}{often}", Style.BAD)
    if not checked:
        context.page.line("The archive is empty: there is nothing to verify.")
    elif damaged:
        context.page.line(
            f"{damaged} of {counted(checked, 'partition')} damaged. Put these files back from a backup; the "
            "others are not affected.",
            Style.BAD,
        )
    else:
        context.page.line(f"{counted(checked, 'partition')} read back whole.")
    return ExitCode.VAULT_DAMAGED if damaged else ExitCode.DONE


def run_export(context: Context, arguments: argparse.Namespace) -> int:
    """The original files as ``restore --to`` writes them, or each conversation in another form."""
    from pathlib import Path

    from hermes_retention.actions.restore.export import Form

    form = Form(arguments.form)
    if arguments.to == "-":
        return _print(context, arguments.sessions, form)
    if form is Form.ORIGINAL:
        return export(context, arguments.sessions, arguments.to)
    return _export_as(context, arguments.sessions, form, Path(arguments.to).expanduser())


def _export_as(context: Context, sessions: Sequence[str], form: Form, directory: Path) -> int:
    from hermes_retention.actions.inspect.lookup import resolve_archived
    from hermes_retention.actions.restore.export import export_as

    exported = export_as(context.home, resolve_archived(context.home, sessions), form, directory)
    written = [one for one in exported if one.error is None]
    if written:
        names = written[0].name if len(written) == 1 else f"{len(written):,} files"
        context.page.line(
            f"{counted(len(written), 'session')} written into {directory}: {names}.",
            Style.GOOD,
        )
    failed = [one.error for one in exported if one.error is not None]
    for error in failed:
        context.page.line(str(error), Style.BAD)
    if any(isinstance(error, VaultDamaged) for error in failed):
        return ExitCode.VAULT_DAMAGED
    return ExitCode.SOME_FAILED if failed else ExitCode.DONE


def _print(context: Context, sessions: Sequence[str], form: Form) -> int:
    from hermes_retention.actions.inspect.lookup import resolve_archived
    from hermes_retention.actions.restore.export import export_text

    if len(sessions) != 1 or form == "original":
        raise UsageError(
            "archive export --to -",
            "only one session fits on standard output, and not as original files",
            consequence="nothing was written",
            cure="Name one session, with --as markdown, json or jsonl; or a directory.",
        )
    (session_id,) = resolve_archived(context.home, sessions)
    is_terminal = sys.stdout.isatty()
    for piece in export_text(context.home, session_id, form):
        text = piece.decode()
        # A terminal obeys what a conversation may hold; files and pipes get it as it is.
        sys.stdout.write("\n".join(map(printable, text.split("\n"))) if is_terminal else text)
    return ExitCode.DONE


def run_remove(context: Context, arguments: argparse.Namespace) -> int:
    """Show what would go, ask, and remove it for good."""
    from hermes_retention.actions.inspect.lookup import list_archive, require_archived
    from hermes_retention.actions.upkeep.prune import discard, require_not_held
    from hermes_retention.cli.output.archive import show_entries

    home = context.home
    session_ids = require_archived(home, arguments.sessions)
    require_not_held(home, session_ids)
    wanted = set(session_ids)
    entries = [entry for entry in list_archive(home).entries if entry.session_id in wanted]
    show_entries(context.page, entries)
    context.page.line("Removing an archived copy is final: nothing can put it back.", Style.WARNING)
    cure = "Run it with --yes to remove these copies for good."
    if not context.require_yes(yes=arguments.yes, question=_question(entries), cure=cure):
        return ExitCode.DONE
    stored_bytes = discard(home, session_ids, now=context.clock())
    context.page.line(
        f"{counted(len(session_ids), 'session')} removed from the archive ({format_size(stored_bytes)}).",
        Style.GOOD,
    )
    return ExitCode.DONE


def _question(entries: Sequence[ArchiveEntry]) -> str:
    return f"Remove {counted(len(entries), 'session')} from the archive for good?"


def _session_object(
    session_id: str, copies: Sequence[Copies], damages: Sequence[VaultDamaged]
) -> dict[str, object]:
    import msgspec

    from hermes_retention.archive.entries import describe

    newest = copies[-1]
    return {
        "session_id": session_id,
        "class": newest.session_class.value,
        "last_activity": newest.last_activity,
        **msgspec.structs.asdict(newest.metadata),
        "size": sum(one.size_bytes for one in copies),
        "stored": sum(one.stored_bytes for one in copies),
        "artifacts": [describe(artifact) for one in copies for artifact in one.artifacts],
        "warnings": [str(damage) for damage in damages],
    }


def _damaged(context: Context, damages: Sequence[VaultDamaged]) -> int:
    if not context.json:
        context.warn([str(damage) for damage in damages])
    return ExitCode.VAULT_DAMAGED if damages else ExitCode.DONE
