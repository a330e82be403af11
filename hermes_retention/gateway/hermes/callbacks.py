"""The callbacks that the host calls: each picks out what matters, leaves it in the inbox, and returns.

They run on the gateway's event loop or in the middle of a chat turn, so they look into memory and nothing
else, and every process of a host loads them: no import here may cost time. Keywords differ from version to
version of the host, and any of them may be missing or ``None``. What must not live here: what follows from a
call, and when a session is stopped.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

from hermes_retention.gateway.host import ModelCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hermes_retention.gateway.cap_watch import CapWatch

MIDDLEWARE = "llm_execution"
"""Where hosts since 0.17 let a plugin answer in place of the model."""
_WITHOUT_ROUTE = frozenset({"", "cli", "tui", "acp", "cron", "api_server"})
"""Platforms of sessions that no chat leads to."""
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_MOST_TOLD = 10_000
"""In memory while nobody takes them out; the oldest give way, and sweeps find what they said."""


@dataclass(frozen=True, slots=True)
class HookCall:
    """One call of a hook, reduced to what matters. No text of a conversation is in it."""

    hook: str
    session_id: str
    platform: str
    facts: Mapping[str, object]


class Inbox:
    """A queue of what was told, in order. Any thread may put in, one takes out."""

    def __init__(self) -> None:
        self._told: deque[HookCall] = deque(maxlen=_MOST_TOLD)
        self._arrived = threading.Event()

    def put(self, told: HookCall) -> None:
        """Leave this here. Never waits."""
        self._told.append(told)
        self._arrived.set()

    def wait(self, seconds: float) -> None:
        """Return when something is here, or after that time."""
        self._arrived.wait(seconds)
        self._arrived.clear()

    def wake(self) -> None:
        """Let ``wait`` return."""
        self._arrived.set()

    def take(self) -> Iterator[HookCall]:
        """Everything that is here, oldest first; what comes meanwhile too."""
        while True:
            try:
                told = self._told.popleft()
            except IndexError:  # others put in meanwhile, so looking and taking are one
                return
            yield told


class Callbacks:
    """Those of one registration. Closed ones tell nothing, so that nothing is told twice."""

    def __init__(self, inbox: Inbox, watch: Callable[[], CapWatch | None] = lambda: None) -> None:
        self._inbox: Inbox | None = inbox
        self._watch = watch

    def close(self) -> None:
        """Ignore all further calls: the host has been given other callbacks."""
        self._inbox = None

    def by_hook(self) -> dict[str, Callable[..., None]]:
        """Name of the host's hook → what it is to call."""
        return {
            "on_session_end": self.on_session_end,
            "on_session_finalize": self.on_session_finalize,
            "on_session_reset": self.on_session_reset,
            "post_api_request": self.post_api_request,
        }

    def on_session_end(
        self,
        session_id: str | None = None,
        platform: str | None = None,
        completed: object = None,
        interrupted: object = None,
        **_: object,
    ) -> None:
        """A *turn* is over, whatever the name says."""
        succeeded = bool(completed) and not interrupted
        facts = {"succeeded": succeeded, "session_key": _route_key(platform)}
        self._put("on_session_end", session_id, platform, facts)

    def on_session_finalize(
        self,
        session_id: str | None = None,
        platform: str | None = None,
        reason: str | None = None,
        **_: object,
    ) -> None:
        """A session is over, or only its process ends."""
        self._put("on_session_finalize", session_id, platform, {"reason": reason or ""})

    def on_session_reset(
        self,
        session_id: str | None = None,
        platform: str | None = None,
        old_session_id: str | None = None,
        **_: object,
    ) -> None:
        """A chat goes on in the session ``session_id``. Hosts before 0.16 do not say in which it was."""
        self._put("on_session_reset", session_id, platform, {"old_session_id": old_session_id or ""})

    def post_api_request(
        self,
        session_id: str | None = None,
        platform: str | None = None,
        usage: Mapping[str, object] | None = None,
        assistant_tool_call_count: int | None = None,
        api_call_count: int | None = None,
        **_: object,
    ) -> None:
        """The model has answered once; a turn may take many of these.

        The caps are told at once: the next call of the model must find the turn stopped.
        """
        counted = usage or {}
        facts: dict[str, object] = {
            name: counted.get(name) for name in ("input_tokens", "output_tokens", "cost_usd")
        }
        facts["tool_calls"] = assistant_tool_call_count
        call = ModelCall(api_call_count or 0, _tokens(counted), assistant_tool_call_count or 0)
        watch = self._watch() if self._inbox is not None and session_id else None
        if watch is None:
            facts["untold"] = call
        else:
            watch.model_called(session_id or "", platform or "", call)
        self._put("post_api_request", session_id, platform, facts)

    def _put(
        self, hook: str, session_id: str | None, platform: str | None, facts: Mapping[str, object]
    ) -> None:
        if self._inbox is not None and session_id:
            self._inbox.put(HookCall(hook, session_id, platform or "", facts))


class StopMiddleware:
    """Ends the turn of a session that a cap has stopped, in place of its next call of the model.

    The middleware of one registration. ``watch`` gives the caps of this process, once there are any; whatever
    fails here lets the call go on.
    """

    def __init__(self, watch: Callable[[], CapWatch | None]) -> None:
        self._watch = watch

    def answer_instead(
        self,
        *,
        request: object,
        next_call: Callable[[object], object],
        session_id: str | None = None,
        **_: object,
    ) -> object:
        """The model's answer; for a stopped session a notice in its place, and no model is asked."""
        text = self._notice(session_id)
        return next_call(request) if text is None else notice_as_answer(text)

    def _notice(self, session_id: str | None) -> str | None:
        watch = self._watch()
        over = None if watch is None or not session_id else watch.answer(session_id)
        return over.text if over is not None and over.action == "stop" else None


def notice_as_answer(text: str) -> SimpleNamespace:
    """What the host takes for a complete answer with this text, whichever API it speaks to its model.

    ``choices`` is read for chat completions and Bedrock, ``content`` for Anthropic's messages, ``output`` for
    OpenAI's responses.
    """
    message = SimpleNamespace(role="assistant", content=text, tool_calls=None)
    block = SimpleNamespace(type="text", text=text)
    item = SimpleNamespace(
        type="message",
        role="assistant",
        status="completed",
        content=[SimpleNamespace(type="output_text", text=text)],
    )
    return SimpleNamespace(
        id="hermes-retention",
        model="hermes-retention",
        usage=None,
        choices=[SimpleNamespace(index=0, message=message, finish_reason="stop")],
        content=[block],
        stop_reason="end_turn",
        output=[item],
        output_text=text,
        status="completed",
    )


def _route_key(platform: str | None) -> str:
    """The key of the chat in which this thread works, as the gateway itself told it; empty without one."""
    return "" if (platform or "") in _WITHOUT_ROUTE else said_by_gateway("HERMES_SESSION_KEY")


def said_by_gateway(name: str) -> str:
    """What the gateway says of the message that this thread works on; empty without a gateway."""
    context = sys.modules.get("gateway.session_context")
    return "" if context is None else str(context.get_session_env(name, "") or "")


def _tokens(usage: Mapping[str, object]) -> float:
    return sum(value for name in _TOKENS if isinstance(value := usage.get(name), int | float))
