"""Session files in the form in which the host writes them: JSON, indented, system prompt and tools in each.

What must not live here: which sessions there are, and databases.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

from hermes_retention.cli.demo.words import Entry, Pen

Message: TypeAlias = dict[str, Any]
"""One message in the form of the chat completions API."""


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


MODEL = "example/large"
_BASE_URL = "https://models.example/v1"
_TOOLS = _names(
    "terminal read_file write_file patch search_files web_search web_extract browser_open browser_click "
    "browser_type send_message cronjob memory session_search skill_view skill_manage todo delegate_task "
    "image_generate text_to_speech vision_analyze execute_code process clarify"
)
_PARAMETERS = _names(
    "query path limit mode target pattern timeout recipient title offset format language reason schedule"
)
_PLACE_OF_TOOLS = "\0tools\0"


def local_time(timestamp: float) -> datetime:
    """A Unix time as the host writes it into ids and files: in this machine's zone, without naming it."""
    return datetime.fromtimestamp(timestamp)  # noqa: DTZ006 - see above


def stamp(timestamp: float) -> str:
    """A Unix time as it stands in ids."""
    return f"{local_time(timestamp):%Y%m%d_%H%M%S}"


def dump_name(session_id: str, failed: float) -> str:
    """The file name of a request dump."""
    return f"request_dump_{session_id}_{local_time(failed):%Y%m%d_%H%M%S_%f}.json"


class Surroundings:
    """What every snapshot of a home repeats: some 55 KB of system prompt and tool schemas."""

    def __init__(self, pen: Pen) -> None:
        self.tool_names: tuple[str, ...] = tuple(_TOOLS)
        chapters = {"Guidelines": 16, "Skills": 16, "Memory": 4}
        pages = "\n\n".join(f"# {title}\n\n{pen.page(length)}" for title, length in chapters.items())
        self.prompt = f"You are Hermes Agent, an assistant for one household. {pen.text(5)}\n\n{pages}"
        self.tools = [_schema(name, pen) for name in _TOOLS]
        self._tools_text = json.dumps(self.tools, indent=2, ensure_ascii=False).replace("\n", "\n  ")

    def system_prompt(self, platform: str, started: float) -> str:
        """The prompt of one session: its last lines tell when and where it began."""
        moment = f"{local_time(started):%A, %B %d, %Y %I:%M %p}"
        return f"{self.prompt}\n\nConversation started: {moment}\nPlatform: {platform}\n"

    def snapshot(
        self,
        session_id: str,
        platform: str,
        messages: Sequence[Message],
        *,
        started: float,
        updated: float,
    ) -> bytes:
        """The content of ``session_<id>.json``. Times are Unix seconds."""
        document = {
            "session_id": session_id,
            "model": MODEL,
            "base_url": _BASE_URL,
            "platform": platform,
            "session_start": local_time(started).isoformat(),
            "last_updated": local_time(updated).isoformat(),
            "system_prompt": self.system_prompt(platform, started),
            "tools": _PLACE_OF_TOOLS,
            "message_count": len(messages),
            "messages": messages,
        }
        text = json.dumps(document, indent=2, ensure_ascii=False)
        # The schemas are the same in every file: spelt out once, put in as text. The stand-in holds a NUL,
        # which no other text does.
        return text.replace(json.dumps(_PLACE_OF_TOOLS), self._tools_text, 1).encode()

    def request_dump(
        self,
        session_id: str,
        platform: str,
        messages: Sequence[Message],
        *,
        started: float,
        failed: float,
    ) -> bytes:
        """The content of a request dump: the whole request, and the error that it met."""
        system = {"role": "system", "content": self.system_prompt(platform, started)}
        document = {
            "timestamp": local_time(failed).isoformat(),
            "session_id": session_id,
            "reason": "non_retryable_client_error",
            "request": {
                "method": "POST",
                "url": f"{_BASE_URL}/chat/completions",
                "headers": {"Authorization": "Bearer ***", "Content-Type": "application/json"},
                "body": {"model": MODEL, "messages": [system, *messages], "tools": self.tools},
            },
            "error": {
                "type": "BadRequestError",
                "message": "maximum context length exceeded",
                "status_code": 400,
            },
        }
        return json.dumps(document, indent=2, ensure_ascii=False).encode()


def conversation(pen: Pen, turns: int, tools: Sequence[str]) -> list[Message]:
    """So many questions with their answers; every other answer looks something up first."""
    messages: list[Message] = []
    for turn in range(turns):
        question = pen.question()
        messages.append({"role": "user", "content": f"{question} {pen.text(1)}"})
        found: list[Entry] = []
        if turn % 2 == 0:
            found = pen.entries(pen.random.randint(1, 9))
            messages.extend(_lookup(pen, tools, question, found))
        messages.append(_answer(pen.report(found[:4], pen.random.randint(2, 6))))
    return messages


def run_of_job(pen: Pen, task: str, lookups: int, tools: Sequence[str]) -> list[Message]:
    """What a run of a cron job says: its task, a few look-ups, a report."""
    messages: list[Message] = [{"role": "user", "content": task}]
    remarkable: list[Entry] = []
    for _ in range(lookups):
        found = pen.entries(pen.random.randint(1, 9))
        messages.extend(_lookup(pen, tools, pen.question(), found))
        remarkable.extend(found[:2])
    messages.append(_answer(pen.report(remarkable, pen.random.randint(2, 6))))
    return messages


def _lookup(pen: Pen, tools: Sequence[str], query: str, found: Sequence[Entry]) -> list[Message]:
    """A tool call and what came back."""
    call = pen.call(tools, query)
    result = json.dumps({"ok": True, "count": len(found), "results": found}, ensure_ascii=False)
    return [
        {"role": "assistant", "content": "", "finish_reason": "tool_calls", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "name": call["function"]["name"], "content": result},
    ]


def _answer(text: str) -> Message:
    return {"role": "assistant", "content": text, "finish_reason": "stop"}


def _schema(name: str, pen: Pen) -> dict[str, Any]:
    names = pen.random.sample(_PARAMETERS, 4)
    properties = {one: {"type": "string", "description": pen.text(2)} for one in names}
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": pen.text(8),
            "parameters": {"type": "object", "properties": properties, "required": names[:2]},
        },
    }
