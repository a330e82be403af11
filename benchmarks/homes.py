"""Homes for measurements: any number of sessions, from a seed.

``build_home`` writes whole sessions in the host's form, from made-up talk or from a corpus of real one;
``build_index`` only what planning looks at: names, sizes, times and rows. What must not live here: clocks,
and what is measured.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

import msgspec

from hermes_retention.cli.demo.database import Row, StateDatabase
from hermes_retention.cli.demo.snapshot import Message, Pen, Surroundings, conversation, dump_name, stamp

CRON_SHARE, OPEN_SHARE, DUMP_EVERY, JOBS = 0.735, 0.02, 20, 7
"""As reported of real homes: most sessions are runs of a few jobs, and some are never ended."""
_DAY = 86400.0
_CLEAR_WITHIN = 0.25
"""Days around an age at which there are no sessions: longer than any benchmark runs."""
_LENGTHS = (6, 12, 30, 60)
"""How many messages a session has."""
_MESSAGES_PER_TURN = 3
_INDEXED_BYTES = 60_000
"""Apparent size of a file that holds nothing."""
_INDEXED_MESSAGES: list[Message] = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]


class Spec(msgspec.Struct, frozen=True):
    """What a home shall hold."""

    sessions: int
    files: bool = True
    records: bool = True
    days: float = 30.0
    seed: int = 7
    corpus: Path | None = None
    """A JSON list of message lists, or a file of trajectories of tau-bench; ``None`` for made-up talk."""
    prompt_bytes: int | None = None
    """Length of the system prompt in each record; ``None`` for all of it, as the host has it."""
    clear_days: float | None = None
    """An age at which there are no sessions, so that programs which run later agree on what is older.

    Sessions are then written in the order in which they began.
    """


class Built(msgspec.Struct, frozen=True):
    """What was written. Bytes are those that the files seem to hold."""

    sessions: int
    files: int
    bytes: int


def build_home(
    home: Path, spec: Spec, *, now: float, database_at: Callable[[Path], StateDatabase] = StateDatabase
) -> Built:
    """Fill ``home`` with sessions that nothing routes to. Equal arguments make equal homes.

    ``database_at`` opens the database that the records go to.
    """
    pen = Pen(spec.seed)
    around = Surroundings(pen)
    talk: _Talk = _MadeUp(pen, around) if spec.corpus is None else _Corpus(spec.corpus, pen.random)
    writer = _Writer(home)
    with database_at(home / "state.db") as database:
        for number, row in enumerate(_rows(spec, pen.random, now=now)):
            messages = talk.messages(pen.random.choice(_LENGTHS))
            if spec.records:
                prompt = around.system_prompt(row.source, row.started_at)[: spec.prompt_bytes]
                database.add(msgspec.structs.replace(row, system_prompt=prompt), messages, step=1.0)
            if spec.files:
                _write_files(writer, around, row, messages, with_dump=number % DUMP_EVERY == 0)
    return Built(spec.sessions, writer.files, writer.bytes)


def build_index(home: Path, spec: Spec, *, now: float) -> Built:
    """Like ``build_home`` for very many sessions: files are holes, and each record has two short messages."""
    pen = Pen(spec.seed)
    prompt = Surroundings(pen).prompt[: spec.prompt_bytes or 0]
    writer = _Writer(home)
    with StateDatabase(home / "state.db") as database:
        for number, row in enumerate(_rows(spec, pen.random, now=now)):
            if spec.records:
                row = msgspec.structs.replace(row, system_prompt=prompt)  # noqa: PLW2901 - the same row, complete
                database.add(row, _INDEXED_MESSAGES, step=1.0)
            if spec.files:
                writer.write_hole(f"session_{row.id}.json", row.started_at)
                if number % DUMP_EVERY == 0:
                    writer.write_hole(dump_name(row.id, row.started_at), row.started_at)
    return Built(spec.sessions, writer.files, writer.bytes)


def _rows(spec: Spec, chance: random.Random, *, now: float) -> Iterable[Row]:
    if spec.clear_days is None:
        return _random_rows(spec, chance, now=now)
    return sorted(_random_rows(spec, chance, now=now), key=lambda row: row.started_at)


def _random_rows(spec: Spec, chance: random.Random, *, now: float) -> Iterator[Row]:
    """The records of a home; the ids of cron runs are unique because no two of them start in one second."""
    seen: set[str] = set()
    while len(seen) < spec.sessions:
        is_cron = chance.random() < CRON_SHARE
        age = chance.uniform(0.05, spec.days)
        if spec.clear_days is not None and abs(age - spec.clear_days) < _CLEAR_WITHIN:
            continue
        started = now - age * _DAY
        job = chance.randrange(max(JOBS, spec.sessions // 50_000))  # a second has room for one run of a job
        name = (
            f"cron_job{job}_{stamp(started)}" if is_cron else f"{stamp(started)}_{chance.getrandbits(32):08x}"
        )
        if name in seen:
            continue
        seen.add(name)
        is_open = chance.random() < OPEN_SHARE
        reason = None if is_open else "cron_complete" if is_cron else "session_reset"
        source = "cron" if is_cron else "telegram"
        yield Row(name, source, started, None if is_open else started + 60, reason)


def _write_files(
    writer: _Writer, around: Surroundings, row: Row, messages: list[Message], *, with_dump: bool
) -> None:
    started, last = row.started_at, row.started_at + len(messages)
    content = around.snapshot(row.id, row.source, messages, started=started, updated=last)
    writer.write(f"session_{row.id}.json", content, last)
    if with_dump:
        content = around.request_dump(row.id, row.source, messages, started=started, failed=last)
        writer.write(dump_name(row.id, last), content, last)


class _Writer:
    """Writes into the ``sessions`` of a home and counts."""

    def __init__(self, home: Path) -> None:
        directory = home / "sessions"
        directory.mkdir(parents=True)
        self._directory = str(directory)  # and not a Path: a million of them is felt
        self.files = self.bytes = 0

    def write(self, name: str, content: bytes, changed: float) -> None:
        """A file with this content and time."""
        path = f"{self._directory}/{name}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        self._finish(path, len(content), changed)

    def write_hole(self, name: str, changed: float) -> None:
        """A file that seems as large as a snapshot and takes no space."""
        path = f"{self._directory}/{name}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.ftruncate(descriptor, _INDEXED_BYTES)
        os.close(descriptor)
        self._finish(path, _INDEXED_BYTES, changed)

    def _finish(self, path: str, size_bytes: int, changed: float) -> None:
        os.utime(path, (changed, changed))
        self.files += 1
        self.bytes += size_bytes


class _Talk(Protocol):
    """Where messages come from."""

    def messages(self, count: int) -> list[Message]:
        """That many messages which no other session has in this form."""


class _MadeUp:
    """Talk from the generator of the demonstration."""

    def __init__(self, pen: Pen, around: Surroundings) -> None:
        self._pen, self._tools = pen, around.tool_names

    def messages(self, count: int) -> list[Message]:
        """Whole turns, cut to ``count`` messages."""
        return conversation(self._pen, count // _MESSAGES_PER_TURN + 1, self._tools)[:count]


class _Corpus:
    """Real talk: each session is a splice of it, with a mark of its own in every message."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        talks = json.loads(path.read_bytes())
        # tau-bench wraps each list of messages in an object of its results.
        lists = (talk["traj"] if isinstance(talk, dict) else talk for talk in talks)
        self._messages: list[Message] = [message for messages in lists for message in messages]
        self._random = chance

    def messages(self, count: int) -> list[Message]:
        """Messages from one place of the corpus onwards, with some jumps."""
        start, mark = self._random.randrange(len(self._messages)), f" [{self._random.getrandbits(64):016x}]"
        return list(islice(self._spliced(start, mark), count))

    def _spliced(self, position: int, mark: str) -> Iterator[Message]:
        while True:
            message = dict(self._messages[position % len(self._messages)])
            if message.get("content"):
                message["content"] += mark
            yield message
            position += self._random.choice((1, 1, 1, 7))
