"""Parsers of the commands that change a home, with their help. Not here: what a command does."""

from __future__ import annotations

from hermes_retention.cli.options import (
    EXACT_ID,
    ID_OR_PREFIX,
    Commands,
    add_classes,
    add_dry_run,
    add_json,
    add_session,
    add_yes,
    age,
    command,
    share,
)


def _add_sweep(commands: Commands) -> None:
    parser = command(
        commands,
        "sweep",
        "archive and remove what is due",
        handler="sweep",
        about="""\
Of each session that is over goes what has reached its age: its files
(FILES_AFTER), and out of the host's state.db large tool output
(TOOL_OUTPUT_AFTER), messages (MESSAGES_AFTER) and the record (RECORD_AFTER).
The gateway may run meanwhile. state.db stays as large as it is and fills again;
'compact' makes it smaller.

The first sweep that would remove something shows its plan and asks. Without a
terminal it only reports, unless HERMES_RETENTION_MODE=enforce is set or --yes
is given. With HERMES_RETENTION_MODE=observe no sweep removes anything, with off
there is none.""",
        examples="""\
  %(prog)s --dry-run
  %(prog)s --yes --json
  %(prog)s --dry-run --all    every session with its reason
  HERMES_RETENTION_CHAT__MESSAGES_AFTER=never %(prog)s --dry-run""",
    )
    add_dry_run(parser)
    add_json(parser)
    parser.add_argument("--all", action="store_true", help="list every session, the kept ones too")
    add_yes(parser)


def _add_restore(commands: Commands) -> None:
    parser = command(
        commands,
        "restore",
        "put sessions back from the archive",
        handler="restore",
        about="""\
Files get the bytes, time and mode that they had; messages, tool output and the
record go back into the host's database. Nothing is overwritten, the archived
copy stays, and the time of a restored session starts anew, so that the next
sweep leaves it alone.""",
        examples="  %(prog)s 20261120_101500_1a2b3c4d\n  %(prog)s 20261120_1015 --to ~/found",
    )
    add_session(parser, ID_OR_PREFIX, several=True)
    parser.add_argument("--to", metavar="DIR", help="write it all into DIR, as files, instead of the store")


def _add_undo(commands: Commands) -> None:
    parser = command(
        commands,
        "undo",
        "put back all that a sweep archived",
        handler="undo",
        about="""\
Without an argument the last sweep that archived something and was not undone
yet. Shows what would come back and asks.""",
        examples="""\
  %(prog)s
  %(prog)s 20261120-101500
  %(prog)s --all --yes""",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "sweep", metavar="SWEEP", nargs="?", help="id of a sweep; 'status' lists the last ones"
    )
    which.add_argument("--all", action="store_true", help="every sweep that was not undone yet")
    add_yes(parser)


def _add_hold(commands: Commands) -> None:
    hold = command(
        commands,
        "hold",
        "keep sessions from every sweep",
        examples="  %(prog)s add 20261120_101500_1a2b3c4d\n  %(prog)s list",
    )
    inner = hold.add_subparsers(title="commands", metavar="COMMAND")
    add = command(
        inner,
        "add",
        "hold a session: no sweep touches it or its archived copy",
        handler="hold add",
        examples='  %(prog)s 20261120_101500_1a2b3c4d --reason "tax audit"',
    )
    add_session(add, EXACT_ID)
    add.add_argument("--reason", metavar="TEXT", default="", help="why, for whoever asks later")
    remove = command(
        inner,
        "remove",
        "let go of a held session",
        handler="hold remove",
        examples="  %(prog)s 20261120_101500_1a2b3c4d",
    )
    add_session(remove, EXACT_ID)
    command(inner, "list", "show what is held, since when and why", handler="hold list")


def _add_archive(commands: Commands) -> None:
    archive = command(
        commands,
        "archive",
        "look into the archive, check it, take from it",
        examples="  %(prog)s list --class cron\n  %(prog)s verify",
    )
    inner = archive.add_subparsers(title="commands", metavar="COMMAND")
    listing = command(inner, "list", "list archived sessions, newest first", handler="archive list")
    add_classes(listing, "only sessions of this class")
    add_json(listing)
    show = command(inner, "show", "show one archived session and what there is of it", handler="archive show")
    add_session(show, ID_OR_PREFIX)
    add_json(show)
    command(
        inner,
        "verify",
        "read back every byte of the archive",
        handler="archive verify",
        about="Prints a line for each partition (a month). The exit code is 5 when anything is\ndamaged.",
    )
    export = command(
        inner,
        "export",
        "write archived sessions elsewhere, as files",
        handler="archive export",
        about="""\
As original files (and rows of the database as lines of JSON), or each
conversation as one file in the form that --as names. Nothing is overwritten,
and the archived copy stays.""",
        examples="""\
  %(prog)s 20261120_101500_1a2b3c4d --to ~/found
  %(prog)s 20261120_101500_1a2b3c4d --as markdown --to -""",
    )
    add_session(export, ID_OR_PREFIX, several=True)
    export.add_argument(
        "--as",
        dest="form",
        choices=("original", "json", "jsonl", "markdown"),
        default="original",
        help="form: original files (default), or the conversation as JSON, as one message per line, "
        "or for people",
    )
    export.add_argument(
        "--to",
        metavar="DIR",
        default=".",
        help="where to (default: the current directory); - for standard output",
    )
    remove = command(
        inner,
        "remove",
        "remove sessions from the archive for good",
        handler="archive remove",
        about="""\
This is final: the copy is overwritten. Shows what would go and asks. What is
still in the store stays there.""",
        examples="  %(prog)s 20261120_101500_1a2b3c4d",
    )
    add_session(remove, EXACT_ID, several=True)
    add_yes(remove)


def _add_forget(commands: Commands) -> None:
    parser = command(
        commands,
        "forget",
        "remove all data of a session or a user for good, everywhere",
        handler="forget",
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
    )
    parser.add_argument("sessions", metavar="SESSION", nargs="*", help=EXACT_ID)
    parser.add_argument("--user", metavar="U", help="all sessions of this user id")
    parser.add_argument("--platform", metavar="P", help="of that user only those on this platform")
    parser.add_argument("--skip-live", action="store_true", help="leave live sessions out")
    add_dry_run(parser)
    add_json(parser)
    add_yes(parser)


def _add_prune(commands: Commands) -> None:
    parser = command(
        commands,
        "prune",
        "archive files older than an age, once, whatever the settings say",
        handler="prune",
        about="""\
Shows what would go and asks. It is about session files only: nothing of the
host's database goes. FILES_AFTER and ON_RESET are set aside for this run: live
and held sessions stay, and so does what KEEP_LAST, KEEP_FAILED and MIN_AGE
keep. 'undo' puts it back.""",
        examples="""\
  %(prog)s --older-than 2d --dry-run
  %(prog)s --older-than 12h --class cron --class hook --yes""",
    )
    parser.add_argument(
        "--older-than",
        metavar="AGE",
        type=age,
        required=True,
        help="without activity for this long: 12h, 7d, 2w",
    )
    add_classes(parser, "only sessions of this class")
    add_dry_run(parser)
    add_yes(parser)


def _add_prestart(commands: Commands) -> None:
    parser = command(
        commands,
        "prestart",
        "put a home in order before its gateway starts",
        handler="prestart",
        about="""\
Hermes Agent: compacts state.db when HERMES_RETENTION_COMPACT_ON_START=true and
enough of it is free (COMPACT_ABOVE); all else the plugin does while it runs.

OpenClaw: a gateway goes on with every session that it left open, however old.
While it is down this archives what is over (as a sweep does), what ended in
error or has a broken transcript, and takes the resume mark off all interrupted
sessions but the newest few of each agent. The main session of an agent stays as
it is, and so do chats, unless an age is set for them.""",
        examples="""\
  %(prog)s --dry-run
  %(prog)s --resume-max 3
  ExecStartPre=-/usr/bin/env %(prog)s      in a systemd unit""",
    )
    parser.add_argument(
        "--resume-max",
        metavar="N",
        type=int,
        help="OpenClaw: how many of each agent may be resumed (default: RESUME_MAX)",
    )
    add_dry_run(parser)
    add_json(parser)
    add_yes(parser)


def _add_compact(commands: Commands) -> None:
    parser = command(
        commands,
        "compact",
        "give free pages of the host's database back to the disk",
        handler="compact",
        about="""\
The host reuses the pages that rows leave free, but state.db never shrinks by
itself. This writes a copy without them, proves that it holds the same, and puts
it in the place of the old one. Stop the gateway first: it refuses while any
process has the database open. Nothing is done unless enough of it is free.""",
        examples="""\
  %(prog)s --dry-run      how much is free, what is in the way
  %(prog)s --above 10%%    even if only a tenth is free""",
    )
    parser.add_argument(
        "--above",
        metavar="SHARE",
        type=share,
        help="the share of free pages from which it is worth it, such as 10%% (default: COMPACT_ABOVE)",
    )
    add_dry_run(parser)
    add_json(parser)


CHANGING = {
    "sweep": _add_sweep,
    "restore": _add_restore,
    "undo": _add_undo,
    "hold": _add_hold,
    "archive": _add_archive,
    "forget": _add_forget,
    "prune": _add_prune,
    "prestart": _add_prestart,
    "compact": _add_compact,
}
"""Command → what adds it to the commands of a parser."""
