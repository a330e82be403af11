"""Parsers of the commands that change nothing, with their help. Not here: what a command does."""

from __future__ import annotations

from hermes_retention.cli.options import (
    ID_OR_PREFIX,
    Commands,
    add_classes,
    add_json,
    add_session,
    command,
    count,
    days,
    moment,
)


def _add_status(commands: Commands) -> None:
    parser = command(
        commands,
        "status",
        "show sessions, archive, growth, last sweeps and warnings",
        handler="status",
        about="""\
Shows what lies in the home by class and by what is left of it, what is due, the
archive, how fast all of it grows, and the last sweeps. A home of 20,000
sessions and more is shown as the last sweep left it, which takes no time.""",
        examples="  %(prog)s\n  %(prog)s --fresh\n  %(prog)s --json",
    )
    add_json(parser)
    parser.add_argument("--fresh", action="store_true", help="look through a very large home again")


def _add_explain(commands: Commands) -> None:
    parser = command(
        commands,
        "explain",
        "show where a session is, what keeps it, and when it is due",
        handler="explain",
        examples="  %(prog)s 20261120_101500_1a2b3c4d\n  %(prog)s 20261120_1015",
    )
    add_session(parser, ID_OR_PREFIX)
    add_json(parser)


def _add_search(commands: Commands) -> None:
    parser = command(
        commands,
        "search",
        "find text in archived conversations",
        handler="search",
        about="""\
Looks through the messages of archived sessions, newest month first, and stops
when it has found enough. Letters match in any case unless TEXT has capitals.
Each session is shown once, with how many of its messages match.""",
        examples="""\
  %(prog)s refund
  %(prog)s order 4711 --since 90d --class chat
  %(prog)s --regex 'invoice \\d{4}' --user 12345 --json
  %(prog)s --live refund      what was not archived yet, too""",
    )
    parser.add_argument("text", metavar="TEXT", nargs="+", help="what to look for; several words are joined")
    parser.add_argument("--regex", action="store_true", help="TEXT is a regular expression of Python")
    add_classes(parser, "only sessions of this class")
    parser.add_argument(
        "--since", metavar="D", type=moment, help="last active on or after this day (UTC), or age: 30d"
    )
    parser.add_argument(
        "--until", metavar="D", type=moment, help="last active on or before this day (UTC), or age"
    )
    parser.add_argument("--user", metavar="U", help="only sessions of this user id")
    parser.add_argument("--platform", metavar="P", help="only sessions of this platform, such as telegram")
    parser.add_argument(
        "--limit", metavar="N", type=count, default=20, help="sessions to show at most (default: 20)"
    )
    parser.add_argument(
        "--live", action="store_true", help="search the host's database and session files as well"
    )
    add_json(parser)


def _add_simulate(commands: Commands) -> None:
    parser = command(
        commands,
        "simulate",
        "show the disk over time under other settings, and a forecast",
        handler="simulate",
        about="""\
Replays the history of this home, as far as the store and the archive still tell
it, under today's settings and under those of --set, as if sweeps had run all
the time. Ahead of today the same is taken to come again. Changes nothing.""",
        examples="""\
  %(prog)s
  %(prog)s --set CRON__MESSAGES_AFTER=24h --set MAX_DISK=2GB
  %(prog)s --days 30 --set CHAT__FILES_AFTER=2d --json""",
    )
    parser.add_argument(
        "--days", metavar="N", type=days, default=90, help="how far back, and ahead (default: 90)"
    )
    parser.add_argument(
        "--set",
        dest="changes",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a setting to try, with or without HERMES_RETENTION_; may be given several times",
    )
    add_json(parser)


def _add_report(commands: Commands) -> None:
    parser = command(
        commands,
        "report",
        "write a page with charts of what is stored, was, and will be",
        handler="report",
        about="""\
One file of HTML that works offline and loads nothing: disk over time, what
takes the space, the largest sessions, cron jobs, sweeps, a forecast, warnings.
It names sessions and their titles, and only you may read the file.""",
        examples="  %(prog)s --html report.html\n  %(prog)s --html ~/report.html --days 30",
    )
    parser.add_argument("--html", metavar="FILE", required=True, help="where to; an older one is replaced")
    parser.add_argument(
        "--days", metavar="N", type=days, default=90, help="how far back, and ahead (default: 90)"
    )


def _add_doctor(commands: Commands) -> None:
    parser = command(
        commands,
        "doctor",
        "check settings, rights, disk, locks, host, archive and ledger",
        handler="doctor",
        about="""\
Looks at everything that can go wrong and names the cure for each finding.
Changes nothing. The exit code is 0 when nothing needs you, 1 for a warning,
2 for settings, 4 for the store, 5 for the archive.""",
        examples="  %(prog)s\n  %(prog)s --json",
    )
    add_json(parser)


def _add_metrics(commands: Commands) -> None:
    parser = command(
        commands,
        "metrics",
        "print how the home is doing, for Prometheus",
        handler="metrics",
        about="""\
In the text format of Prometheus. With HERMES_RETENTION_METRICS_FILE each sweep
writes the same into that file, for the node exporter's textfile collector.""",
        examples="""\
  %(prog)s
  %(prog)s --to /srv/textfile/retention.prom""",
    )
    parser.add_argument("--to", metavar="FILE", help="write it into FILE, all at once, for everybody to read")


def _add_settings(commands: Commands) -> None:
    parser = command(
        commands,
        "settings",
        "show every setting, its value and where it came from",
        handler="settings",
        about="With -v also what each of them does.",
    )
    add_json(parser)


def _add_demo(commands: Commands) -> None:
    parser = command(
        commands,
        "demo",
        "show it all on a home that is made up for this, in a temporary directory",
        handler="demo",
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave that home there to try other commands on it"
    )


LOOKING = {
    "status": _add_status,
    "explain": _add_explain,
    "search": _add_search,
    "simulate": _add_simulate,
    "report": _add_report,
    "doctor": _add_doctor,
    "metrics": _add_metrics,
    "settings": _add_settings,
    "demo": _add_demo,
}
"""Command → what adds it to the commands of a parser."""
