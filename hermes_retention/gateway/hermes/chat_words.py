"""How ``/retention`` answers: short lines that read well in any messenger, without tables or colours.

What must not live here: finding anything out.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hermes_retention.model.errors import RetentionError
from hermes_retention.model.text import counted, printable
from hermes_retention.model.units import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hermes_retention.actions.inspect.status import Status
    from hermes_retention.actions.sweep.report import SweepReport
    from hermes_retention.gateway.hermes.chat import Found
    from hermes_retention.model.plan import Action, Tier
    from hermes_retention.settings.forms import Mode

USAGE = """\
/retention status: what is stored, and what is due
/retention preview: what a sweep would do now
/retention sweep: the same in earnest; asks for a word first
/retention find TEXT: sessions by id, title or day (2026-11-20)
More, and undo: `hermes retention --help` in a shell."""
NOTHING_DUE = "Nothing is due."
WRONG_TOKEN = (
    "Nothing was removed: that word is not, or no longer, the right one. Ask again: /retention sweep"  # noqa: S105 - no secret
)
STILL_AT_IT = "Still at it. It goes on by itself; /retention status tells how it went."

_TITLE_LENGTH = 60
_SHORTEST_KNOWN = 4
"""Letters of a title that somebody must know to be shown all of it: titles tell what a chat was about."""


_PARTS = {"tool_output": "large tool output", "record": "records"}
"""Parts of sessions that are called otherwise here. No ``Tier``: it would be loaded with the gateway."""


def status(status: Status, mode: Mode | None, *, now: float) -> str:
    """What is stored, what is due, and when the last sweep was."""
    sessions = sum(group.sessions for group in status.picture.groups)
    lines = [
        f"{counted(sessions, 'session')}; everything stored takes {format_size(status.usage.total_bytes)}",
    ]
    if status.vault is not None and status.vault.sessions:
        lines.append(
            f"archive: {counted(status.vault.sessions, 'session')}, {format_size(status.usage.vault_bytes)}"
        )
    lines += [f"due: {_due(due.action, due.tier, due.sessions)}" for due in status.picture.due] or [
        "nothing is due"
    ]
    if status.sweeps:
        last = status.sweeps[0]
        lines.append(f"last sweep: {format_duration(max(0.0, now - last.started_at))} ago ({last.state})")
    else:
        lines.append("no sweep has removed anything yet")
    first = status.announcement
    if first is not None:
        when = format_duration(max(0.0, first.acts_at - now))
        lines.append(f"first sweep: in {when}, of {counted(first.sessions, 'session')}; nothing asks again")
    if mode is not None:
        lines.append(f"mode: {mode.value}")
    return _text([*lines, *_warnings(status.warnings)])


def preview(report: SweepReport) -> str:
    """What a sweep would do."""
    lines = _totals(report)
    return _text(["A sweep now would move:", *lines] if lines else [NOTHING_DUE])


def question(report: SweepReport, token: str) -> str:
    """The same, and how to say yes."""
    ask = f"To do it, say within 10 minutes: /retention sweep {token}"
    return _text(["A sweep now would move:", *_totals(report), ask])


def swept(report: SweepReport) -> str:
    """What a sweep did."""
    lines = _totals(report) or ["nothing"]
    if report.counts.failed:
        lines.append(f"{counted(report.counts.failed, 'session')} failed and stayed; see the log")
    if report.sweep is not None:
        lines.append(f"To put it back: `hermes retention undo {report.sweep}` in a shell.")
    return _text(["Moved:", *lines])


def matches(found: Found, wanted: str) -> bool:
    """Whether id, title or day holds the text, which is in small letters."""
    return any(wanted in it.casefold() for it in (found.session_id, found.title, _day(found.last_activity)))


def found(text: str, sessions: Sequence[Found], *, most: int) -> str:
    """A line for each of the first few. A title is shown to whoever knew a piece of it, nobody else."""
    if not sessions:
        return f"No id, title or day holds {printable(text)!r}."
    wanted = text.casefold()
    lines = [
        f"{it.session_id} · {_day(it.last_activity)}"
        + (f" · {_shortened(printable(it.title))}" if _knows_title(wanted, it) else "")
        + (" · archived" if it.is_archived else "")
        for it in sessions[:most]
    ]
    if len(sessions) > most:
        lines.append(f"… and {len(sessions) - most:,} more")
    return _text(lines)


def _knows_title(wanted: str, found: Found) -> bool:
    return len(wanted) >= _SHORTEST_KNOWN and wanted in found.title.casefold()


def failed(error: RetentionError) -> str:
    """What is wrong, in the error's own words."""
    return str(error)


def broken(error: Exception) -> str:
    """What nobody foresaw."""
    return f"That failed in a way that nobody foresaw ({type(error).__name__}). Nothing is lost; see the log."


def _text(lines: Sequence[str]) -> str:
    """What is said, one line below the other; no name breaks a line."""
    return "\n".join(map(printable, lines))


def _totals(report: SweepReport) -> list[str]:
    ends = dict.fromkeys(
        (one.step.action, one.step.tier) for one in report.outcomes if not one.errors and not one.idle
    )
    sessions: dict[tuple[Action, Tier | None], set[str]] = {end: set() for end in ends}
    for outcome in report.outcomes:
        sessions.get((outcome.step.action, outcome.step.tier), set()).add(outcome.step.session_id)
    return [_due(action, tier, len(ids)) for (action, tier), ids in sessions.items()]


def _due(action: Action, tier: Tier | None, sessions: int) -> str:
    what = "archived copies" if tier is None else _PARTS.get(tier, tier.words)
    end = " to the archive" if action == "archive" else ", for good"
    return f"{what}{end}: {counted(sessions, 'session')}"


def _warnings(warnings: Sequence[str]) -> list[str]:
    return [f"warning: {it}" for it in warnings[:3]]


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(moment)) if moment > 0 else "no date"


def _shortened(title: str) -> str:
    return title if len(title) <= _TITLE_LENGTH else f"{title[: _TITLE_LENGTH - 1]}…"
