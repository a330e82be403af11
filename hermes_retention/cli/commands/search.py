"""``search``: finds text in archived conversations, and in the store too if asked to.

What must not live here: searching.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hermes_retention.cli.options import CLASS, JSON, Command, Option, moment, whole_number
from hermes_retention.cli.output.page import Page, Style
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.text import counted, minute

if TYPE_CHECKING:
    from hermes_retention.actions.inspect.search.find import SearchReport, SearchRequest
    from hermes_retention.actions.inspect.search.query import Excerpt, FoundSession
    from hermes_retention.cli.context import Context

COMMAND = Command(
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
        Option("--until", metavar="D", type=moment, help="last active on or before this day (UTC), or age"),
        Option("--user", metavar="U", help="only sessions of this user id"),
        Option("--platform", metavar="P", help="only sessions of this platform, such as telegram"),
        Option(
            "--limit",
            metavar="N",
            type=whole_number,
            default=20,
            help="sessions to show at most (default: 20)",
        ),
        Option("--live", action="store_true", help="search the host's database and session files as well"),
        JSON,
    ),
)

_EXCERPTS, _MANY_EXCERPTS = 2, 10


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Show what was found; exit code 5 when a part of the archive could not be searched."""
    from hermes_retention.actions.inspect.search.find import search
    from hermes_retention.cli.context import print_object

    now = context.clock()
    report = search(context.home, _request(context, arguments, now), now=now)
    if context.json:
        print_object(_object(report))
    else:
        _show(context.page, report)
        context.warn([str(one) for one in (*report.damages, *report.warnings)])
    return ExitCode.VAULT_DAMAGED if report.damages else ExitCode.DONE


def _request(context: Context, arguments: argparse.Namespace, now: float) -> SearchRequest:
    from hermes_retention.actions.inspect.search.find import SearchRequest
    from hermes_retention.actions.inspect.search.query import regex_query, text_query
    from hermes_retention.model.session import SessionClass

    text = " ".join(arguments.text)
    since, until = arguments.since, arguments.until
    return SearchRequest(
        query=regex_query(text) if arguments.regex else text_query(text),
        limit=arguments.limit,
        classes=frozenset(map(SessionClass, arguments.classes or ())),
        since=None if since is None else since.begin(now),
        until=None if until is None else until.end(now),
        user=arguments.user,
        platform=arguments.platform,
        live=arguments.live,
        excerpts=_MANY_EXCERPTS if context.verbose or context.json else _EXCERPTS,
    )


def _show(page: Page, report: SearchReport) -> None:
    """Sessions with excerpts, newest first; then how to read one of them whole."""
    for found in report.sessions:
        page.line(_heading(found), Style.TITLE)
        if found.metadata.title:
            page.line(f"  {found.metadata.title}")
        for one in found.excerpts:
            page.pieces(_pieces(one))
        page.line()
    page.line(_summary(report), Style.GOOD if report.sessions else Style.WARNING)
    for line in _ways(report):
        page.line(line)


def _object(report: SearchReport) -> dict[str, Any]:
    """The report as data."""
    return {
        "sessions": [_session_object(found) for found in report.sessions],
        "has_more": report.has_more,
        "warnings": [str(one) for one in (*report.damages, *report.warnings)],
    }


def _session_object(found: FoundSession) -> dict[str, Any]:
    """A session that was found as data."""
    import msgspec

    known = found.metadata
    return {
        "session_id": found.session_id,
        "class": found.session_class.value,
        "title": known.title,
        "source": known.source,
        "user_id": known.user_id,
        "last_activity": found.last_activity,
        "in_archive": found.in_archive,
        "in_store": found.in_store,
        "hits": found.hits,
        "excerpts": msgspec.to_builtins(found.excerpts),
    }


def _heading(found: FoundSession) -> str:
    kind = found.session_class.value
    source = found.metadata.source
    where = f"{kind}, {source}" if source and source != kind else kind
    place = "" if found.in_archive else ", not archived yet"
    hits = counted(found.hits, "message")
    return f"{found.session_id}  {minute(found.last_activity)}  {where}  {hits}{place}"


def _pieces(one: Excerpt) -> list[tuple[str, Style]]:
    who = f"{one.role or 'text'} ({one.tool})" if one.tool else one.role or "text"
    return [
        (f"  {who}: ", Style.FAINT),
        (one.before, Style.NORMAL),
        (one.match, Style.HIT),
        (one.after, Style.NORMAL),
    ]


def _summary(report: SearchReport) -> str:
    if not report.sessions:
        return "Nothing was found."
    shown = counted(len(report.sessions), "session")
    if report.has_more:
        return f"The newest {shown}; there are more, see --limit."
    return f"{shown}."


def _ways(report: SearchReport) -> Iterator[str]:
    archived = next((found for found in report.sessions if found.in_archive), None)
    if archived is not None:
        example = archived.session_id
        yield f"To read one:     hermes-retention archive export {example} --as markdown --to -"
        yield f"To put it back:  hermes-retention restore {example}"
