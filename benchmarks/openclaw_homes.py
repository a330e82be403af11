"""Makes homes of the OpenClaw family to measure on: an index of a given size, transcripts of a given size.

The three shapes that the tables speak of are in ``STORES``. Equal arguments make equal homes.
"""

from __future__ import annotations

import json
import os
import random
import uuid
from pathlib import Path

import msgspec

_DAY_MS = 86_400_000
_MIX = (
    *(("cron:{job}:run:{id}", 8), ("hook:{id}", 4), ("subagent:{id}", 4)),
    *(("telegram:direct:{number}", 2), ("telegram:group:-100{number}", 1), ("dashboard:{id}", 1)),
)
"""Kinds of keys and how many of twenty sessions have each."""
_WORDS = "abcdefghij klmnop"


class Shape(msgspec.Struct, frozen=True):
    """What a home holds."""

    sessions: int
    index_bytes: int
    transcript_bytes: int
    """Of each session; 0 for a home without transcripts."""
    days: float
    hooks_only: bool = False


STORES = {
    "a": Shape(573, 11_500_000, 2_000, 3, hooks_only=True),
    "b": Shape(1_500, 7_800_000, 0, 40),
    "c": Shape(10_000, 16_000_000, 52_000, 90),
}
"""A gateway of hooks, one of everything, and one that nobody looked after."""


def build_openclaw(home: Path, shape: Shape, *, now: float, seed: int = 7) -> None:
    """Write the home: the main session first, then others from now back to ``shape.days`` ago."""
    chance = random.Random(seed)
    directory = home / "agents" / "main" / "sessions"
    directory.mkdir(parents=True)
    jobs = [_new_id(chance) for _ in range(12)]
    kinds = [kind for kind, count in _MIX for _ in range(count)]
    skills = _skills(max(0, shape.index_bytes // shape.sessions - 750))
    entries: dict[str, object] = {}
    for number in range(shape.sessions):
        session_id = _new_id(chance)
        kind = "hook:{id}" if shape.hooks_only else kinds[number % len(kinds)]
        kind = kind if number else "main"
        key = "agent:main:" + kind.format(id=session_id, number=number, job=jobs[number % 12])
        at = int(now * 1000) - 60_000 - int(number / shape.sessions * shape.days * _DAY_MS)
        entries[key] = _entry(session_id, at, directory, number) | (
            {"skillsSnapshot": skills} if skills else {}
        )
        if shape.transcript_bytes:
            _write_transcript(
                directory / f"{session_id}.jsonl", session_id, at, shape.transcript_bytes, chance
            )
    index = directory / "sessions.json"
    index.write_text(json.dumps(entries, indent=2))
    index.chmod(0o600)


def _new_id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _entry(session_id: str, at: int, directory: Path, number: int) -> dict[str, object]:
    return {
        "sessionId": session_id,
        "updatedAt": at,
        "sessionFile": str(directory / f"{session_id}.jsonl"),
        "sessionStartedAt": at - 30_000,
        "lastInteractionAt": at - 30_000,
        "startedAt": at - 20_000,
        "endedAt": at - 1_000,
        "status": "failed" if number % 37 == 5 else "done",  # noqa: PLR2004 - some do
        "systemSent": True,
        "abortedLastRun": False,
        "modelProvider": "anthropic",
        "model": "claude-opus-4-5",
        "contextTokens": 200_000,
        "inputTokens": 1_200 + number % 700,
        "outputTokens": 210,
        "totalTokens": 14_000 + number % 999,
    }


def _skills(size: int) -> dict[str, object]:
    """The part that makes entries of this host large: every one repeats what the agent can do."""
    names = [f"skill-{number:02d}" for number in range(200)]
    found: dict[str, object] = {}
    for count in range(len(names) + 1):
        about = {
            name: f"Use the {name} command for one of many things, with flags." for name in names[:count]
        }
        prompt = "\n".join(
            f"<skill><name>{name}</name><about>{text}</about></skill>" for name, text in about.items()
        )
        found = {"prompt": prompt, "skills": [{"name": name, "about": text} for name, text in about.items()]}
        if len(json.dumps(found, indent=2)) * 1.1 >= size:
            break
    return found if size else {}


def _write_transcript(path: Path, session_id: str, at: int, size: int, chance: random.Random) -> None:
    lines = [{"type": "session", "version": 3, "id": session_id, "timestamp": at, "cwd": "/srv/agent"}]
    text = [json.dumps(lines[0])]
    written = len(text[0])
    while written < size:
        said = "".join(chance.choices(_WORDS, k=900))
        role = "assistant" if len(text) % 2 == 0 else "user"
        content = [
            {"type": "text", "text": said if role == "assistant" else f"please do number {len(text)} " * 6}
        ]
        message = {"role": role, "content": content, "timestamp": at, "model": "claude-opus-4-5"}
        text.append(
            json.dumps({"type": "message", "id": f"{chance.getrandbits(32):08x}", "message": message})
        )
        written += len(text[-1]) + 1
    path.write_text("\n".join(text) + "\n")
    os.utime(path, (at / 1000, at / 1000))
