"""Session files in the form in which the host writes them, and the made-up talk in them.

All talk follows from a seed. Sentences are put together from the words and patterns in ``words.json``, so
that no two messages are alike and an archive of them is not smaller than one of real talk would be. What must
not live here: which sessions there are, and databases.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]
"""One message in the form of the chat completions API."""
Entry: TypeAlias = dict[str, str | float]
"""One thing that a search found."""


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
_WORDS = json.loads((files("hermes_retention.cli.demo") / "words.json").read_text("utf-8"))
_TOPICS: list[tuple[list[str], list[str]]] = _WORDS["topics"]
"""Things, and what is done with them."""
_WHO, _WHERE, _WHEN, _HOW = (_WORDS[name] for name in ("who", "where", "when", "how"))
_QUALITY, _BECAUSE, _ASK, _TELL = (_WORDS[name] for name in ("quality", "because", "ask", "tell"))


def local_time(timestamp: float) -> datetime:
    """A Unix time as the host writes it into ids and files: in this machine's zone, without naming it."""
    return datetime.fromtimestamp(timestamp)  # noqa: DTZ006 - see above


def stamp(timestamp: float) -> str:
    """A Unix time as it stands in ids."""
    return f"{local_time(timestamp):%Y%m%d_%H%M%S}"


def dump_name(session_id: str, failed: float) -> str:
    """The file name of a request dump."""
    return f"request_dump_{session_id}_{local_time(failed):%Y%m%d_%H%M%S_%f}.json"


class Pen:
    """Writes; the same seed writes the same."""

    def __init__(self, seed: int | str) -> None:
        self.random = random.Random(seed)  # noqa: S311 - it makes up texts, not secrets

    def question(self) -> str:
        """What somebody asks."""
        return self._fill(_ASK, *self._topic())

    def title(self) -> str:
        """What a list of sessions shows."""
        things, verbs = self._topic()
        pick = self.random.choice
        return (
            f"{pick(verbs).capitalize()} the {pick(_QUALITY)} {pick(things)} {self.random.randrange(10**4)}"
        )

    def text(self, sentences: int) -> str:
        """That many sentences on one thing."""
        topic = self._topic()
        return " ".join(self._fill(_TELL, *topic) for _ in range(sentences))

    def page(self, paragraphs: int) -> str:
        """Paragraphs below headings, as in a system prompt."""
        pick = self.random.choice
        return "\n\n".join(
            f"## {pick(pick(_TOPICS)[0]).capitalize()}\n{self.text(self.random.randint(3, 6))}"
            for _ in range(paragraphs)
        )

    def entries(self, count: int) -> list[Entry]:
        """What a search finds."""
        things, _ = self._topic()
        pick, number = self.random.choice, self.random.randrange
        return [
            {
                "ref": f"{number(2**40):010x}",
                "item": f"{pick(_QUALITY)} {pick(things)}",
                "contact": pick(_WHO),
                "price": number(100, 99999) / 100,
                "at": f"2026-{number(1, 13):02}-{number(1, 29):02}T{number(24):02}:{number(60):02}:00Z",
                "note": self._fill(_TELL, things, ["see"]),
            }
            for _ in range(count)
        ]

    def report(self, entries: Sequence[Entry], sentences: int) -> str:
        """An answer that repeats what was found, as answers do."""
        quoted = (
            f"- {entry['item']} ({entry['contact']}, {entry['price']}): {entry['note']}" for entry in entries
        )
        return "\n".join([*quoted, self.text(sentences)])

    def call(self, tools: Sequence[str], query: str) -> dict[str, Any]:
        """A tool call as an assistant makes it."""
        arguments = {"query": query, "limit": self.random.randint(1, 40)}
        name = self.random.choice(tools)
        identity = f"call_{self.random.getrandbits(96):024x}"
        return {
            "id": identity,
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }

    def _topic(self) -> tuple[list[str], list[str]]:
        return self.random.choice(_TOPICS)

    def _fill(self, patterns: Sequence[str], things: Sequence[str], verbs: Sequence[str]) -> str:
        pick, number = self.random.choice, self.random.randrange
        thing, who = pick(things), pick(_WHO)
        because = pick(_BECAUSE).format(
            who=who, n=number(2, 400), d=number(2, 9), thing=thing, quality=pick(_QUALITY)
        )
        filled = pick(patterns).format(
            thing=thing,
            thing2=pick(things),
            do=pick(verbs),
            do2=pick(verbs),
            who=pick(_WHO),
            where=pick(_WHERE),
            when=pick(_WHEN),
            how=pick(_HOW),
            quality=pick(_QUALITY),
            because=because,
            n=number(2, 400),
            n2=number(400, 2000),
            d=number(2, 60),
        )
        return filled[0].upper() + filled[1:]


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
