"""Where a turn ends that a cap has stopped: in place of the next call of the model.

The host offers this since 0.17. It runs in the middle of a chat turn, so it looks into memory and nothing
else, and whatever fails here lets the call go on. What must not live here: when a session is stopped.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hermes_retention.gateway.cap_watch import CapWatch

MIDDLEWARE = "llm_execution"


class Stopper:
    """The middleware of one registration. ``watch`` gives the caps of this process, once there are any."""

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
