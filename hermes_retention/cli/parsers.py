"""What each command takes: its options, and what its help says.

One list of data, so that help loads no command, and a command nothing but its own parser. What must not live
here: what commands do (``commands``).
"""

from __future__ import annotations

from hermes_retention.cli.options import (
    CLASS,
    DAYS,
    DRY_RUN,
    EXACT_ID,
    ID_OR_PREFIX,
    JSON,
    YES,
    Command,
    OneOf,
    Option,
    age,
    moment,
    share,
    whole_number,
)

COMMANDS = {
    "sweep": Command(
        "archive and remove what is due",
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
        options=(
            DRY_RUN,
            JSON,
            Option("--all", action="store_true", help="list every session, the kept ones too"),
            YES,
        ),
    ),
    "status": Command(
        "show sessions, archive, growth, last sweeps and warnings",
        about="""\
Shows what lies in the home by class and by what is left of it, what is due, the
archive, how fast all of it grows, and the last sweeps. A home of 20,000
sessions and more is shown as the last sweep left it, which takes no time.""",
        examples="  %(prog)s\n  %(prog)s --fresh\n  %(prog)s --json",
        options=(
            JSON,
            Option("--fresh", action="store_true", help="look through a very large home again"),
        ),
    ),
    "explain": Command(
        "show where a session is, what keeps it, and when it is due",
        examples="  %(prog)s 20261120_101500_1a2b3c4d\n  %(prog)s 20261120_1015",
        options=(
            Option("session", metavar="SESSION", help=ID_OR_PREFIX),
            JSON,
        ),
    ),
    "search": Command(
        "find text in archived conversations",
        about="""\
Looks through the messages of archived sessions, newest month first, and stops
when it has found enough. Letters match in any case unless TEXT has capitals.
Each session is shown once, with how many of its messages match.""",
        examples="""\
  %(prog)s refund
  %(prog)s order 4711 --since 90d --class chat
  %(prog)s --regex 'invoice \\d{4}' --user 12345 --json
  %(prog)s --live refund      what was not archived yet, too""",
        options=(
            Option("text", metavar="TEXT", nargs="+", help="what to look for; several words are joined"),
            Option("--regex", action="store_true", help="TEXT is a regular expression of Python"),
            CLASS,
            Option(
                "--since",
                metavar="D",
                type=moment,
                help="last active on or after this day (UTC), or age: 30d",
            ),
            Option(
                "--until", metavar="D", type=moment, help="last active on or before this day (UTC), or age"
            ),
            Option("--user", metavar="U", help="only sessions of this user id"),
            Option("--platform", metavar="P", help="only sessions of this platform, such as telegram"),
            Option(
                "--limit",
                metavar="N",
                type=whole_number,
                default=20,
                help="sessions to show at most (default: 20)",
            ),
            Option(
                "--live", action="store_true", help="search the host's database and session files as well"
            ),
            JSON,
        ),
    ),
    "simulate": Command(
        "show the disk over time under other settings, and a forecast",
        about="""\
Replays the history of this home, as far as the store and the archive still tell
it, under today's settings and under those of --set, as if sweeps had run all
the time. Ahead of today the same is taken to come again. Changes nothing.""",
        examples="""\
  %(prog)s
  %(prog)s --set CRON__MESSAGES_AFTER=24h --set MAX_DISK=2GB
  %(prog)s --days 30 --set CHAT__FILES_AFTER=2d --json""",
        options=(
            DAYS,
            Option(
                "--set",
                dest="changes",
                metavar="NAME=VALUE",
                action="append",
                default=[],
                help="a setting to try, with or without HERMES_RETENTION_; may be given several times",
            ),
            JSON,
        ),
    ),
    "report": Command(
        "write a page with charts of what is stored, was, and will be",
        about="""\
One file of HTML that works offline and loads nothing: disk over time, what
takes the space, the largest sessions, cron jobs, sweeps, a forecast, warnings.
It names sessions and their titles, and only you may read the file.""",
        examples="  %(prog)s --html report.html\n  %(prog)s --html ~/report.html --days 30",
        options=(
            Option("--html", metavar="FILE", required=True, help="where to; an older one is replaced"),
            DAYS,
        ),
    ),
    "restore": Command(
        "put sessions back from the archive",
        about="""\
Files get the bytes, time and mode that they had; messages, tool output and the
record go back into the host's database. Nothing is overwritten, the archived
copy stays, and the time of a restored session starts anew, so that the next
sweep leaves it alone.""",
        examples="  %(prog)s 20261120_101500_1a2b3c4d\n  %(prog)s 20261120_1015 --to ~/found",
        options=(
            Option("sessions", metavar="SESSION", nargs="+", help=ID_OR_PREFIX),
            Option("--to", metavar="DIR", help="write it all into DIR, as files, instead of the store"),
        ),
    ),
    "undo": Command(
        "put back all that a sweep archived",
        about="""\
Without an argument the last sweep that archived something and was not undone
yet. Shows what would come back and asks.""",
        examples="""\
  %(prog)s
  %(prog)s 20261120-101500
  %(prog)s --all --yes""",
        options=(
            OneOf(
                Option(
                    "sweep", metavar="SWEEP", nargs="?", help="id of a sweep; 'status' lists the last ones"
                ),
                Option("--all", action="store_true", help="every sweep that was not undone yet"),
            ),
            YES,
        ),
    ),
    "hold": Command(
        "keep sessions from every sweep", examples="  %(prog)s add 20261120_101500_1a2b3c4d\n  %(prog)s list"
    ),
    "hold add": Command(
        "hold a session: no sweep touches it or its archived copy",
        examples='  %(prog)s 20261120_101500_1a2b3c4d --reason "tax audit"',
        options=(
            Option("session", metavar="SESSION", help=EXACT_ID),
            Option("--reason", metavar="TEXT", default="", help="why, for whoever asks later"),
        ),
    ),
    "hold remove": Command(
        "let go of a held session",
        examples="  %(prog)s 20261120_101500_1a2b3c4d",
        options=(Option("session", metavar="SESSION", help=EXACT_ID),),
    ),
    "hold list": Command("show what is held, since when and why"),
    "archive": Command(
        "look into the archive, check it, take from it",
        examples="  %(prog)s list --class cron\n  %(prog)s verify",
    ),
    "archive list": Command(
        "list archived sessions, newest first",
        options=(
            CLASS,
            JSON,
        ),
    ),
    "archive show": Command(
        "show one archived session and what there is of it",
        options=(
            Option("session", metavar="SESSION", help=ID_OR_PREFIX),
            JSON,
        ),
    ),
    "archive verify": Command(
        "read back every byte of the archive",
        about="Prints a line for each partition (a month). The exit code is 5 when anything is\ndamaged.",
    ),
    "archive export": Command(
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
                help="form: original files (default), or the conversation as JSON, as one message per line, "
                "or for people",
            ),
            Option(
                "--to",
                metavar="DIR",
                default=".",
                help="where to (default: the current directory); - for standard output",
            ),
        ),
    ),
    "archive remove": Command(
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
    "forget": Command(
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
    ),
    "prune": Command(
        "archive files older than an age, once, whatever the settings say",
        about="""\
Shows what would go and asks. It is about session files only: nothing of the
host's database goes. FILES_AFTER and ON_RESET are set aside for this run: live
and held sessions stay, and so does what KEEP_LAST, KEEP_FAILED and MIN_AGE
keep. 'undo' puts it back.""",
        examples="""\
  %(prog)s --older-than 2d --dry-run
  %(prog)s --older-than 12h --class cron --class hook --yes""",
        options=(
            Option(
                "--older-than",
                metavar="AGE",
                type=age,
                required=True,
                help="without activity for this long: 12h, 7d, 2w",
            ),
            CLASS,
            DRY_RUN,
            YES,
        ),
    ),
    "prestart": Command(
        "put a home in order before its gateway starts",
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
        options=(
            Option(
                "--resume-max",
                metavar="N",
                type=int,
                help="OpenClaw: how many of each agent may be resumed (default: RESUME_MAX)",
            ),
            DRY_RUN,
            JSON,
            YES,
        ),
    ),
    "compact": Command(
        "give free pages of the host's database back to the disk",
        about="""\
The host reuses the pages that rows leave free, but state.db never shrinks by
itself. This writes a copy without them, proves that it holds the same, and puts
it in the place of the old one. Stop the gateway first: it refuses while any
process has the database open. Nothing is done unless enough of it is free.""",
        examples="""\
  %(prog)s --dry-run      how much is free, what is in the way
  %(prog)s --above 10%%    even if only a tenth is free""",
        options=(
            Option(
                "--above",
                metavar="SHARE",
                type=share,
                help="the share of free pages from which it is worth it, such as 10%% "
                "(default: COMPACT_ABOVE)",
            ),
            DRY_RUN,
            JSON,
        ),
    ),
    "doctor": Command(
        "check settings, rights, disk, locks, host, archive and ledger",
        about="""\
Looks at everything that can go wrong and names the cure for each finding.
Changes nothing. The exit code is 0 when nothing needs you, 1 for a warning,
2 for settings, 4 for the store, 5 for the archive.""",
        examples="  %(prog)s\n  %(prog)s --json",
        options=(JSON,),
    ),
    "metrics": Command(
        "print how the home is doing, for Prometheus",
        about="""\
In the text format of Prometheus. With HERMES_RETENTION_METRICS_FILE each sweep
writes the same into that file, for the node exporter's textfile collector.""",
        examples="""\
  %(prog)s
  %(prog)s --to /srv/textfile/retention.prom""",
        options=(
            Option("--to", metavar="FILE", help="write it into FILE, all at once, for everybody to read"),
        ),
    ),
    "settings": Command(
        "show every setting, its value and where it came from",
        about="With -v also what each of them does.",
        options=(JSON,),
    ),
    "demo": Command(
        "show it all on a home that is made up for this, in a temporary directory",
        options=(
            Option("--keep", action="store_true", help="leave that home there to try other commands on it"),
        ),
    ),
}
"""By the whole name. As help lists them: what people need first comes first."""
