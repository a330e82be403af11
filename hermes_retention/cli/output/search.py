"""What a search found: a few lines for each session, and how to get at it.

What must not live here: searching.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hermes_retention.actions.inspect.search.find import SearchReport
from hermes_retention.actions.inspect.search.found import Excerpt, FoundSession
from hermes_retention.cli.output.page import Page, Style
from hermes_retention.model.text import counted, printable
from hermes_retention.model.units import minute


def show_search(page: Page, report: SearchReport) -> None:
    """Sessions with excerpts, newest first; then how to read one of them whole."""
    for found in report.sessions:
        page.line(_heading(found), Style.TITLE)
        title = printable(found.metadata.title or "")
        if title:
            page.line(f"  {title}")
        for one in found.excerpts:
            page.pieces(_pieces(one))
        page.line()
    page.line(_summary(report), Style.GOOD if report.sessions else Style.WARNING)
    for line in _ways(report):
        page.line(line)


def search_object(report: SearchReport) -> dict[str, Any]:
    """The report as data."""
    return {
        "sessions": [session_object(found) for found in report.sessions],
        "has_more": report.has_more,
        "warnings": [printable(str(one)) for one in (*report.damages, *report.warnings)],
    }


def session_object(found: FoundSession) -> dict[str, Any]:
    """A session that was found as data."""
    known = found.metadata
    return {
        "session_id": printable(found.session_id),
        "class": found.session_class.value,
        "title": None if known.title is None else printable(known.title),
        "source": None if known.source is None else printable(known.source),
        "user_id": None if known.user_id is None else printable(known.user_id),
        "last_activity": found.last_activity,
        "in_archive": found.in_archive,
        "in_store": found.in_store,
        "hits": found.hits,
        "excerpts": [excerpt_object(one) for one in found.excerpts],
    }


def excerpt_object(one: Excerpt) -> dict[str, Any]:
    """A match with its surroundings as data."""
    return {
        "role": one.role,
        "tool": one.tool,
        "at": one.at,
        "before": printable(one.before),
        "match": printable(one.match),
        "after": printable(one.after),
    }


def _heading(found: FoundSession) -> str:
    kind = found.session_class.value
    source = found.metadata.source
    where = f"{kind}, {printable(source)}" if source and source != kind else kind
    place = "" if found.in_archive else ", not archived yet"
    hits = counted(found.hits, "message")
    return f"{printable(found.session_id)}  {minute(found.last_activity)}  {where}  {hits}{place}"


def _pieces(one: Excerpt) -> list[tuple[str, Style]]:
    who = f"{one.role or 'text'} ({one.tool})" if one.tool else one.role or "text"
    return [
        (f"  {printable(who)}: ", Style.FAINT),
        (printable(one.before), Style.NORMAL),
        (printable(one.match), Style.HIT),
        (printable(one.after), Style.NORMAL),
    ]


def _summary(report: SearchReport) -> str:
    if not report.sessions:
        return "Nothing was found."
    shown = counted(len(report.sessions), "session")
    if report.has_more:
        return f"The newest {shown}; there are more, see --limit."
    return f"{shown}."


def _ways(report: SearchReport) -> Iterator[str]:
    archived = next((it for it in report.sessions if it.in_archive), None)
    if archived is not None:
        example = printable(archived.session_id)
        yield f"To read one:     hermes-retention archive export {example} --as markdown --to -"
        yield f"To put it back:  hermes-retention restore {example}"
