"""``archive``: look into the vault, check it, take from it, remove from it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hermes_retention.cli.options import CLASS, EXACT_ID, ID_OR_PREFIX, JSON, YES, Command, Option
from hermes_retention.cli.output.page import Page, Style, Table, titled
from hermes_retention.model.errors import ExitCode, UsageError, VaultDamaged
from hermes_retention.model.text import counted, format_size, format_time, minute, printable

if TYPE_CHECKING:
    from pathlib import Path

    from hermes_retention.actions.inspect.lookup import ArchiveEntry, Copies
    from hermes_retention.actions.restore.export import Form
    from hermes_retention.archive.entries import ArchivedArtifact
    from hermes_retention.cli.context import Context
    from hermes_retention.stores.base import SessionMetadata

COMMAND = Command(
    "look into the archive, check it, take from it",
    examples="  %(prog)s list --class cron\n  %(prog)s verify",
    below={
        "list": Command(
            "list archived sessions, newest first",
            options=(
                CLASS,
                JSON,
            ),
        ),
        "show": Command(
            "show one archived session and what there is of it",
            options=(
                Option("session", metavar="SESSION", help=ID_OR_PREFIX),
                JSON,
            ),
        ),
        "verify": Command(
            "read back every byte of the archive",
            about="Prints a line for each partition (a month). The exit code is 5 when anything is\ndamaged.",
        ),
        "export": Command(
            "write archived sessions elsewhere, as files",
            about="""\
As original files (and rows of the database as lines of JSON), or each
conversation as one file in the form that --as names. Nothing is overwritten,
and the archived copy stays.""",
            examples="""\
  %(prog)s 20261120_101500_1a2b3c4d --to ~/found
  %(prog)s 20261120_101500_1a2b3c4d --as markdown --to -""",
            options=(
                Option("sessions", metavar="SESSION", nargs="+", help=ID_OR_PREFIX),
                Option(
                    "--as",
                    dest="form",
                    choices=("original", "json", "jsonl", "markdown"),
                    default="original",
                    help="form: original files (default), or the conversation as JSON, as one message per "
                    "line, or for people",
                ),
                Option(
                    "--to",
                    metavar="DIR",
                    default=".",
                    help="where to (default: the current directory); - for standard output",
                ),
            ),
        ),
        "remove": Command(
            "remove sessions from the archive for good",
            about="""\
This is final: the copy is overwritten. Shows what would go and asks. What is
still in the store stays there.""",
            examples="  %(prog)s 20261120_101500_1a2b3c4d",
            options=(
                Option("sessions", metavar="SESSION", nargs="+", help=EXACT_ID),
                YES,
            ),
        ),
    },
)


def run_list(context: Context, arguments: argparse.Namespace) -> int:
    """Every archived session, the newest first."""
    from hermes_retention.actions.inspect.lookup import list_archive
    from hermes_retention.cli.context import print_object

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
    from hermes_retention.cli.context import print_object

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
    from hermes_retention.cli.commands.restore import export

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


def show_entries(page: Page, entries: Sequence[ArchiveEntry]) -> None:
    """One line for each session."""
    if not entries:
        page.line("The archive has no such session.")
        return
    columns = titled("~session", "class", "last activity", ">size", ">stored", "title…")
    rows = [
        (
            entry.session_id,
            entry.session_class.value,
            minute(entry.last_activity),
            format_size(entry.size_bytes),
            format_size(entry.stored_bytes),
            entry.title or "",
        )
        for entry in entries
    ]
    page.table(Table(columns, rows))
    size, stored = sum(entry.size_bytes for entry in entries), sum(entry.stored_bytes for entry in entries)
    page.line(f"{counted(len(entries), 'session')}, {_stored(size, stored)}")


def entry_object(entry: ArchiveEntry) -> dict[str, Any]:
    """A line of the listing as data."""
    return {
        "session_id": entry.session_id,
        "class": entry.session_class.value,
        "title": entry.title,
        "last_activity": entry.last_activity,
        "size": entry.size_bytes,
        "stored": entry.stored_bytes,
        "partitions": list(entry.partitions),
    }


def show_copies(page: Page, session_id: str, copies: Sequence[Copies]) -> None:
    """A session with what is known of it and every artifact that the archive has."""
    newest = copies[-1]
    page.line(f"{session_id} ({newest.session_class})", Style.TITLE)
    for line in metadata_lines(newest.metadata):
        page.line(f"  {line}")
    page.line(f"  last activity: {format_time(newest.last_activity)}")
    show_artifacts(page, copies)


def show_artifacts(page: Page, copies: Sequence[Copies]) -> None:
    """What is archived of a session, where it is and since when."""
    artifacts = [artifact for one in copies for artifact in one.artifacts]
    columns = titled("~what", ">size", "changed", "archived", "partition")
    rows = [
        (
            _what(artifact),
            format_size(artifact.size_bytes),
            minute(artifact.mtime_ns / 1e9),
            minute(artifact.archived_at),
            artifact.partition,
        )
        for artifact in artifacts
    ]
    page.table(Table(columns, rows))
    size, stored = sum(one.size_bytes for one in copies), sum(one.stored_bytes for one in copies)
    page.line(f"  {_contents(artifacts)}, {_stored(size, stored)}")


def _what(artifact: ArchivedArtifact) -> str:
    """A file by its name; rows have none that says anything to a person."""
    from hermes_retention.cli.output.words import KINDS
    from hermes_retention.model.session import ROW_KINDS

    return KINDS[artifact.kind] if artifact.kind in ROW_KINDS else artifact.name


def _contents(artifacts: Sequence[ArchivedArtifact]) -> str:
    from hermes_retention.cli.output.words import files_counted
    from hermes_retention.model.session import ROW_KINDS

    parts = sum(artifact.kind in ROW_KINDS for artifact in artifacts)
    files = files_counted(artifact.kind for artifact in artifacts if artifact.kind not in ROW_KINDS)
    numbers = [files or "0 files"] if files or not parts else []
    if parts:
        numbers.append(counted(parts, "part of the database", "parts of the database"))
    return " and ".join(numbers)


def _stored(size: int, stored: int) -> str:
    """What sessions take by themselves is little: most of their text lies in a dictionary that they share."""
    return f"{format_size(size)} stored in {format_size(stored)}, shared dictionaries not counted"


def metadata_lines(metadata: SessionMetadata) -> list[str]:
    """What the host's record says, one fact a line; unknown facts are left out."""
    facts: list[tuple[str, object]] = [
        ("title", metadata.title),
        ("source", metadata.source),
        ("model", metadata.model),
        ("user", metadata.user_id),
        ("route", metadata.route_key),
        ("parent", metadata.parent_id),
        ("messages", metadata.message_count),
        ("started", None if metadata.started_at is None else format_time(metadata.started_at)),
        ("ended", _ended(metadata)),
    ]
    return [f"{name}: {value}" for name, value in facts if value not in (None, "")]


def _ended(metadata: SessionMetadata) -> str | None:
    if metadata.ended_at is None:
        return None
    return f"{format_time(metadata.ended_at)} ({metadata.end_reason or 'no reason'})"
