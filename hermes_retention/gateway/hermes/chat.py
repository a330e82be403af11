"""``/retention`` in a chat: a look at the home, a preview, a sweep to be confirmed, and finding sessions.

The host does not say who asks, nor in which chat, and any user who may talk to it may ask. So answers hold
ids, times and, for who knows a piece of it, a title; never what was said. What must not live here: how
answers read (``chat_words``).
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
from hermes_retention.gateway.hermes import chat_words as words
from hermes_retention.gateway.hermes.registration import gateway_index
from hermes_retention.gateway.telling import tell_swept
from hermes_retention.gateway.worker import WarnOnce
from hermes_retention.home.open import open_home
from hermes_retention.model.errors import RetentionError, UsageError
from hermes_retention.settings.forms import Mode
from hermes_retention.stores.hermes.erasing import OfflineRoutes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hermes_retention.home.home import Home

_PATIENCE_SECONDS = 20.0
"""The host itself gives up after 30; what takes longer goes on all the same."""
_TOKEN_SECONDS = 600.0
_MOST_FOUND = 10


@dataclass(frozen=True, slots=True)
class Found:
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


async def answer_from_thread(arguments: str, home: Path) -> str:
    """The answer, worked out on a thread of its own; a word about patience when that takes long."""
    answer: concurrent.futures.Future[str] = concurrent.futures.Future()

    def work() -> None:
        answer.set_result(Chat(home, _tokens).answer(arguments))

    # A daemon and no executor: the process may end while it works, and a sweep stands that.
    threading.Thread(target=work, name="hermes-retention-chat", daemon=True).start()
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(answer)), _PATIENCE_SECONDS)
    except TimeoutError:
        return words.STILL_AT_IT


class Chat:
    """Answers what is asked about one home."""

    def __init__(self, home: Path, tokens: Tokens, *, clock: Callable[[], float] = time.time) -> None:
        self._path, self._tokens, self._clock = home, tokens, clock

    def answer(self, arguments: str) -> str:
        """What to say. Never raises."""
        command, _, rest = arguments.strip().partition(" ")
        try:
            return self._answer(command.lower(), rest.strip())
        except RetentionError as error:
            return words.failed(error)
        except Exception as error:  # noqa: BLE001 - the words of others may hold a piece of a conversation
            return words.broken(error)

    def _answer(self, command: str, rest: str) -> str:
        match command:
            case "" | "status":
                return self._status()
            case "preview":
                return self._preview()
            case "sweep":
                return self._confirmed(rest) if rest else self._ask()
            case "find" if rest:
                return words.found(rest, self._find(rest), most=_MOST_FOUND)
            case _:
                return words.USAGE

    def _status(self) -> str:
        home = self._open()
        return words.status(take_status(home, now=self._clock()), home.mode, now=self._clock())

    def _preview(self) -> str:
        return words.preview(preview(self._open(), clock=self._clock))

    def _ask(self) -> str:
        report = preview(self._allowed(), clock=self._clock)
        if not report.outcomes:
            return words.NOTHING_DUE
        return words.question(report, self._tokens.new())

    def _confirmed(self, token: str) -> str:
        home = self._allowed()
        if not self._tokens.use(token):
            return words.WRONG_TOKEN
        index = gateway_index() or OfflineRoutes(home.path, self._clock)
        report = sweep(home, clock=self._clock, origin="chat", index=index)
        tell_swept(report, str(self._path), WarnOnce())  # who asks is told where to look
        return words.swept(report)

    def _allowed(self) -> Home:
        home = self._open()
        if home.mode in (Mode.OFF, Mode.OBSERVE):
            raise UsageError(
                "sweep",
                f"HERMES_RETENTION_MODE is {home.mode.value}",
                consequence="nothing was removed",
            )
        return home

    def _find(self, text: str) -> list[Found]:
        """Sessions whose id, title or day holds ``text``, newest first; each once."""
        home = self._open()
        scan = home.store.scan(now=self._clock())
        last = {session.id: session.last_activity for session in scan.sessions}
        live = [
            Found(session_id, it.title or "", last.get(session_id, 0.0), is_archived=False)
            for session_id, it in home.store.metadata(list(last)).items()
        ]
        archived = [
            Found(it.session_id, it.title or "", it.last_activity, is_archived=True)
            for it in list_archive(home).entries
        ]
        wanted = text.casefold()
        found = {it.session_id: it for it in (*archived, *live) if words.matches(it, wanted)}
        return sorted(found.values(), key=lambda it: (-it.last_activity, it.session_id))

    def _open(self) -> Home:
        """Anew for each question: what a person changes holds from then on."""
        return open_home(self._path, store="hermes")
