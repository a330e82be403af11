"""Which host wrote a home, told by what lies in it. Nothing is opened, nothing is changed."""

from __future__ import annotations

import enum
import os
from pathlib import Path

from hermes_retention.model.errors import StoreUnreadable, UsageError


class Layout(enum.StrEnum):
    """The layouts that are recognised. Values are what ``--store`` calls them, where a store exists."""

    HERMES = "hermes"
    OPENCLAW = "openclaw"
    """An index and transcripts per agent, as until 2026.7."""
    OPENCLAW_SQLITE = "openclaw-sqlite"
    """From 2026.8: the host keeps everything in databases of its own, and archives it itself."""


_MARKS = {
    Layout.HERMES: ("state.db", "sessions"),
    Layout.OPENCLAW_SQLITE: ("agents/*/agent/openclaw-agent.sqlite", "state/openclaw.sqlite"),
    Layout.OPENCLAW: ("agents/*/sessions/sessions.json", "agents/*/sessions/*.jsonl"),
}
"""Patterns below the home of which any one is enough. Spelt out: to see which it is, no layout is loaded."""


def layouts_in(home: Path) -> set[Layout]:
    """The layouts of which something lies in ``home``.

    A home that was migrated to SQLite may hold leftovers of the older layout, and counts as SQLite only.
    """
    found = {layout for layout, marks in _MARKS.items() if any(_has(home, mark) for mark in marks)}
    return found - {Layout.OPENCLAW} if Layout.OPENCLAW_SQLITE in found else found


def detect(home: Path) -> Layout:
    """The one layout of ``home`` that a store can serve.

    Raises ``StoreUnreadable`` when there is none or only one that the host itself looks after, ``UsageError``
    when there are two.
    """
    what = str(home)
    found = layouts_in(home)
    if len(found) > 1:
        names = " and ".join(sorted(found))
        cure = "Say which one is meant with --store."
        raise UsageError(what, f"it holds sessions of {names}", consequence="nothing was removed", cure=cure)
    if not found:
        raise StoreUnreadable(
            what,
            "no sessions of a known host lie there" if os.path.isdir(home) else "there is no such directory",
            consequence="nothing was removed",
            cure="Name the home with --home DIR or HERMES_HOME; by default it is ~/.hermes.",
        )
    if Layout.OPENCLAW_SQLITE in found:
        raise StoreUnreadable(
            what,
            "OpenClaw 2026.8 and newer keeps sessions in SQLite databases that it prunes and archives itself",
            consequence="nothing was read or removed",
            cure="Use `openclaw sessions cleanup` and its session.maintenance settings.",
        )
    return found.pop()


def _has(home: Path, pattern: str) -> bool:
    try:
        return next(home.glob(pattern), None) is not None
    except OSError:  # a directory that may not be read shows nothing
        return False
