"""The callbacks that the host calls: each picks out what matters, leaves it in the inbox, and returns.

They run on the gateway's event loop or in the middle of a chat turn. Keywords differ from version to version
of the host, and any of them may be missing or ``None``. What must not live here: what follows from a call.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hermes_retention.gateway.hermes.inbox import Told
from hermes_retention.gateway.model_call import ModelCall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hermes_retention.gateway.cap_watch import CapWatch
    from hermes_retention.gateway.hermes.inbox import Inbox

_WITHOUT_ROUTE = frozenset({"", "cli", "tui", "acp", "cron", "api_server"})
"""Platforms of sessions that no chat leads to."""
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


class Tap:
    """The callbacks of one registration. A closed tap gives nothing, so that nothing is told twice."""

    def __init__(self, inbox: Inbox, watch: Callable[[], CapWatch | None] = lambda: None) -> None:
        self._inbox: Inbox | None = inbox
        self._watch = watch

    def close(self) -> None:
        """Ignore all further calls: the host has been given other callbacks."""
        self._inbox = None

    def callbacks(self) -> dict[str, Callable[..., None]]:
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
            self._inbox.put(Told(hook, session_id, platform or "", facts))


def _route_key(platform: str | None) -> str:
    """The key of the chat in which this thread works, as the gateway itself told it; empty without one."""
    context = sys.modules.get("gateway.session_context")
    if context is None or (platform or "") in _WITHOUT_ROUTE:
        return ""
    return str(context.get_session_env("HERMES_SESSION_KEY", "") or "")


def _tokens(usage: Mapping[str, object]) -> float:
    return sum(value for name in _TOKENS if isinstance(value := usage.get(name), int | float))
