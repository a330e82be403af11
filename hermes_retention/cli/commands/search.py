"""``search``: through the archive, and through the store too if asked to."""

from __future__ import annotations

import argparse

from hermes_retention.actions.inspect.search.find import SearchRequest, search
from hermes_retention.actions.inspect.search.query import regex_query, text_query
from hermes_retention.cli.context import Context
from hermes_retention.cli.output.json_output import print_object
from hermes_retention.cli.output.search import search_object, show_search
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.session import SessionClass

_EXCERPTS, _MANY_EXCERPTS = 2, 10


def run_search(context: Context, arguments: argparse.Namespace) -> int:
    """Show what was found; exit code 5 when a part of the archive could not be searched."""
    now = context.clock()
    text = " ".join(arguments.text)
    since, until = arguments.since, arguments.until
    request = SearchRequest(
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
    report = search(context.site, request, now=now)
    if context.json:
        print_object(search_object(report))
    else:
        show_search(context.page, report)
        context.warn([str(one) for one in (*report.damages, *report.warnings)])
    return ExitCode.VAULT_DAMAGED if report.damages else ExitCode.DONE
