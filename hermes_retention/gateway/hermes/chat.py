"""``/retention`` in a chat: a look at the home, a preview, a sweep to be confirmed, and finding sessions.

The host does not say who asks, nor in which chat, and any user who may talk to it may ask. So answers hold
ids, times and, for who knows a piece of it, a title; never what was said. Answers are
short lines that read well in any messenger, without tables or colours. What must not live here: deciding what
is due.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hermes_retention.actions.inspect.lookup import list_archive
from hermes_retention.actions.inspect.status import take_status
from hermes_retention.actions.sweep.sweep import preview, sweep
from hermes_retention.gateway.sweep_job import tell_swept
from hermes_retention.gateway.worker import WarnOnce
from hermes_retention.home.open import open_home
from hermes_retention.model.errors import RetentionError, UsageError
from hermes_retention.model.text import counted, format_duration, format_size, printable
from hermes_retention.settings.forms import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hermes_retention.actions.inspect.status import Status
    from hermes_retention.actions.sweep.report import SweepReport
    from hermes_retention.home.home import Home
    from hermes_retention.model.plan import Action, Tier
    from hermes_retention.stores.base import RouteIndex

_PATIENCE_SECONDS = 20.0
"""The host itself gives up after 30; what takes longer goes on all the same."""
_TOKEN_SECONDS = 600.0
_MOST_FOUND = 10
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


@dataclass(frozen=True, slots=True)
class MatchingSession:
    """A session that somebody looked for."""

    session_id: str
    title: str
    last_activity: float
    is_archived: bool


class Tokens:
    """What must be repeated to confirm a sweep: once, within ten minutes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._good_until: dict[str, float] = {}

    def new(self) -> str:
        """One more."""
        token = secrets.token_hex(2)
        self._good_until[token] = self._clock() + _TOKEN_SECONDS
        return token

    def use(self, token: str) -> bool:
        """Whether this is one that was given out lately. It is none any more then."""
        return self._good_until.pop(token, 0.0) > self._clock()


_tokens = Tokens(time.monotonic)


def no_gateway() -> None:
    """Where this process is no gateway."""


async def answer_from_thread(
    arguments: str, home: Path, gateway_index: Callable[[], RouteIndex | None] = no_gateway
) -> str:
    """The answer, worked out on a thread of its own; a word about patience when that takes long.

    ``gateway_index`` gives where routes leave the gateway that this process is.
    """
    answer: concurrent.futures.Future[str] = concurrent.futures.Future()

    def work() -> None:
        answer.set_result(Chat(home, _tokens, gateway_index=gateway_index).answer(arguments))

    # A daemon and no executor: the process may end while it works, and a sweep stands that.
    threading.Thread(target=work, name="hermes-retention-chat", daemon=True).start()
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(answer)), _PATIENCE_SECONDS)
    except TimeoutError:
        return STILL_AT_IT


class Chat:
    """Answers what is asked about one home."""

    def __init__(
        self,
        home: Path,
        tokens: Tokens,
        *,
        clock: Callable[[], float] = time.time,
        gateway_index: Callable[[], RouteIndex | None] = no_gateway,
    ) -> None:
        self._path, self._tokens, self._clock = home, tokens, clock
        self._gateway_index = gateway_index

    def answer(self, arguments: str) -> str:
        """What to say. Never raises."""
        command, _, rest = arguments.strip().partition(" ")
        try:
            return self._answer(command.lower(), rest.strip())
        except RetentionError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - the words of others may hold a piece of a conversation
            name = type(error).__name__
            return f"That failed in a way that nobody foresaw ({name}). Nothing is lost; see the log."

    def _answer(self, command: str, rest: str) -> str:
        match command:
            case "" | "status":
                return _status_answer(take_status(self._open(), now=self._clock()), now=self._clock())
            case "preview":
                return _preview_answer(preview(self._open(), clock=self._clock))
            case "sweep":
                return self._confirmed(rest) if rest else self._ask()
            case "find" if rest:
                return _search_answer(rest, self._find(rest), most=_MOST_FOUND)
            case _:
                return USAGE

    def _ask(self) -> str:
        report = preview(self._allowed(), clock=self._clock)
        if not report.outcomes:
            return NOTHING_DUE
        return _question(report, self._tokens.new())

    def _confirmed(self, token: str) -> str:
        home = self._allowed()
        if not self._tokens.use(token):
            return WRONG_TOKEN
        index = self._gateway_index() or home.store.offline_routes(self._clock)
        report = sweep(home, clock=self._clock, origin="chat", index=index)
        tell_swept(report, str(self._path), WarnOnce())  # who asks is told where to look
        return _sweep_answer(report)

    def _allowed(self) -> Home:
        home = self._open()
        if home.mode in (Mode.OFF, Mode.OBSERVE):
            raise UsageError(
                "sweep",
                f"HERMES_RETENTION_MODE is {home.mode.value}",
                consequence="nothing was removed",
            )
        return home

    def _find(self, text: str) -> list[MatchingSession]:
        """Sessions whose id, title or day holds ``text``, newest first; each once."""
        home = self._open()
        scan = home.store.scan(now=self._clock())
        last = {session.id: session.last_activity for session in scan.sessions}
        live = [
            MatchingSession(session_id, known.title or "", last.get(session_id, 0.0), is_archived=False)
            for session_id, known in home.store.metadata(list(last)).items()
        ]
        archived = [
            MatchingSession(entry.session_id, entry.title or "", entry.last_activity, is_archived=True)
            for entry in list_archive(home).entries
        ]
        wanted = text.casefold()
        found = {one.session_id: one for one in (*archived, *live) if _matches(one, wanted)}
        return sorted(found.values(), key=lambda one: (-one.last_activity, one.session_id))

    def _open(self) -> Home:
        """Anew for each question: what a person changes holds from then on."""
        return open_home(self._path, store="hermes")


# How answers read


def _status_answer(status: Status, *, now: float) -> str:
    """What is stored, what is due, and when the last and the next sweep are."""
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
    lines.append(f"mode: {status.mode.words(now=now)}")
    when_next = status.mode.next_words(now=now)
    if when_next is not None:
        lines.append(f"gateway: {when_next}")
    return _text([*lines, *(f"warning: {warning}" for warning in status.warnings[:3])])


def _preview_answer(report: SweepReport) -> str:
    """What a sweep would do."""
    lines = _totals(report)
    return _text(["A sweep now would move:", *lines] if lines else [NOTHING_DUE])


def _question(report: SweepReport, token: str) -> str:
    """The same, and how to say yes."""
    ask = f"To do it, say within 10 minutes: /retention sweep {token}"
    return _text(["A sweep now would move:", *_totals(report), ask])


def _sweep_answer(report: SweepReport) -> str:
    """What a sweep did."""
    lines = _totals(report) or ["nothing"]
    if report.counts.failed:
        lines.append(f"{counted(report.counts.failed, 'session')} failed and stayed; see the log")
    if report.sweep is not None:
        lines.append(f"To put it back: `hermes retention undo {report.sweep}` in a shell.")
    return _text(["Moved:", *lines])


def _matches(found: MatchingSession, wanted: str) -> bool:
    """Whether id, title or day holds the text, which is in small letters."""
    texts = (found.session_id, found.title, _day(found.last_activity))
    return any(wanted in text.casefold() for text in texts)


def _search_answer(text: str, sessions: Sequence[MatchingSession], *, most: int) -> str:
    """A line for each of the first few. A title is shown to whoever knew a piece of it, nobody else."""
    if not sessions:
        return f"No id, title or day holds {printable(text)!r}."
    wanted = text.casefold()
    lines = [
        f"{one.session_id} · {_day(one.last_activity)}"
        + (f" · {_shortened(printable(one.title))}" if _knows_title(wanted, one) else "")
        + (" · archived" if one.is_archived else "")
        for one in sessions[:most]
    ]
    if len(sessions) > most:
        lines.append(f"… and {len(sessions) - most:,} more")
    return _text(lines)


def _knows_title(wanted: str, found: MatchingSession) -> bool:
    return len(wanted) >= _SHORTEST_KNOWN and wanted in found.title.casefold()


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


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(moment)) if moment > 0 else "no date"


def _shortened(title: str) -> str:
    return title if len(title) <= _TITLE_LENGTH else f"{title[: _TITLE_LENGTH - 1]}…"
