"""The real host for tests: its commands in a home of their own, and a model that answers at once for nothing.

Everything stays on the loopback interface. The host runs as people run it, as a command; ``Host.python`` runs
lines inside its interpreter where only its own code can make what a test needs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

REFUSE = "PLEASE_REFUSE"
"""A message that holds this makes the model answer with an error that the host does not try again."""
CALL = "PLEASE_CALL"
"""A message that holds this, the name of a tool and its arguments in JSON makes the model call it once."""
CALL_ON = "PLEASE_CALL_ON"
"""The same, but the model asks for the tool again and again, whatever it says."""
WAIT = "PLEASE_WAIT"
"""A message that holds this makes the model answer only once ``Model.go_on`` is set."""

VERSION = tuple(map(int, metadata.version("hermes-agent").split(".")))
ENABLES_PLUGINS = VERSION >= (0, 18, 1)
"""Whether ``hermes plugins enable`` knows plugins that were installed with pip."""

Message = dict[str, Any]

_CONFIG = """\
model:
  {{provider: custom, default: fake-model, base_url: "{url}", api_key: sk-made-up-0123456789,
   context_length: 200000}}
sessions: {{write_json_snapshots: true}}
approvals: {{destructive_slash_confirm: false}}
"""
_COMMON = {"id": "chatcmpl-1", "created": 1_795_000_000, "model": "fake-model"}
_LONGEST_WAIT = 60.0
_USAGE = {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102}
_REFUSAL = {"error": {"message": "made up to be refused", "type": "invalid_request_error"}}


class Model:
    """What the model was asked, and where it answers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[list[Message]] = []
        """The messages of each request of a conversation, the newest last."""
        self.waiting = threading.Event()
        """Set once a request waits for ``go_on``."""
        self.go_on = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    """As much of an OpenAI-compatible API as the host asks for."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path.endswith("/models"):
            self._answer(200, _json({"object": "list", "data": [{"id": "fake-model", "object": "model"}]}))
        else:
            self._answer(404, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.endswith("/chat/completions"):
            self._answer(404, b"{}")  # the host tries out which kind of server this is
            return
        request = json.loads(body)
        if request.get("tools"):  # else the host wants a title, at a time of its own
            self.server.model.asked.append(request["messages"])
        if self._waits(request["messages"]):
            self.server.model.waiting.set()
            self.server.model.go_on.wait(_LONGEST_WAIT)
        if REFUSE.encode() in body:
            self._answer(400, _json(_REFUSAL))
        elif request.get("stream"):
            events = (b"data: %s\n\n" % _json(piece) for piece in _pieces(request["messages"]))
            self._answer(200, b"".join(events) + b"data: [DONE]\n\n", "text/event-stream")
        else:
            self._answer(200, _json(_completion(request["messages"])))

    def _waits(self, messages: list[Message]) -> bool:
        """Only what was said last counts: later turns bring along what was said before."""
        said = [str(message["content"]) for message in messages if message["role"] == "user"]
        return bool(said) and WAIT in said[-1]

    def _answer(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # who asked may be gone by now
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # one of them may wait for what never comes

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = Model(f"http://127.0.0.1:{self.server_address[1]}/v1")


def _answer_to(messages: list[Message]) -> tuple[Message, str]:
    """What the model says, and why it ends there."""
    said = [str(message["content"]) for message in messages if message["role"] == "user"]
    call = re.search(rf"({CALL_ON}|{CALL}) (\w+) (\{{.*\}})", said[-1] if said else "", re.DOTALL)
    if call is None or (messages[-1]["role"] != "user" and call[1] != CALL_ON):
        return {"role": "assistant", "content": "Noted."}, "stop"
    function = {"name": call[2], "arguments": call[3]}
    calls = [{"index": 0, "id": f"call_{len(messages)}", "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"


def _completion(messages: list[Message]) -> Message:
    answer, reason = _answer_to(messages)
    choice = {"index": 0, "message": answer, "finish_reason": reason}
    return {**_COMMON, "object": "chat.completion", "choices": [choice], "usage": _USAGE}


def _pieces(messages: list[Message]) -> list[Message]:
    answer, reason = _answer_to(messages)
    piece = {**_COMMON, "object": "chat.completion.chunk"}
    return [
        {**piece, "choices": [{"index": 0, "delta": answer, "finish_reason": None}]},
        {**piece, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        {**piece, "choices": [], "usage": _USAGE},
    ]


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


@contextlib.contextmanager
def running_model() -> Iterator[Model]:
    """A model that answers as long as the context lasts."""
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.model
        finally:
            server.shutdown()
            thread.join()


class Host:
    """The installed host with an empty home at ``home``. It sees nothing of the environment of the tests."""

    def __init__(self, home: Path, model_url: str) -> None:
        self.home = home
        self.sessions = home / "sessions"
        home.mkdir(parents=True)
        (home / "config.yaml").write_text(_CONFIG.format(url=model_url))
        self.settings: dict[str, str] = {}
        """Variables that its processes see besides."""

    def configure(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change its ``config.yaml``, as people do with an editor."""
        path = self.home / "config.yaml"
        config = yaml.safe_load(path.read_text())
        change(config)
        path.write_text(yaml.safe_dump(config))

    def enable(self, **settings: str) -> None:
        """Enable our plugin with settings such as ``MODE="enforce"``, in the way that every version knows."""
        self.configure(lambda config: config.setdefault("plugins", {}).update(enabled=["hermes-retention"]))
        self.settings |= {f"HERMES_RETENTION_{name}": value for name, value in settings.items()}

    def environment(self) -> dict[str, str]:
        """What its processes see."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
        own = {"PATH": path, "HOME": str(self.home.parent), "HERMES_HOME": str(self.home), "LANG": "C.UTF-8"}
        return own | self.settings

    def chat(self, message: str, *options: str) -> str:
        """Say something to the model on the command line; the id of the session."""
        printed = self.run("chat", *options, "-q", message)
        return str(re.findall(r"^Session: +(\S+)", printed, re.MULTILINE)[-1])

    def run(self, *arguments: str) -> str:
        """What ``hermes`` prints with these arguments. When it fails, so does the test."""
        return self._run([str(Path(sys.executable).parent / "hermes"), *arguments])

    def python(self, code: str) -> Any:  # noqa: ANN401 - whatever the lines put into ``result``
        """Run lines of Python where the host's modules are; what they leave in ``result`` comes back."""
        program = f"import json\nresult = None\n{textwrap.dedent(code)}\nprint('\\n' + json.dumps(result))"
        return json.loads(self._run([sys.executable, "-c", program]).splitlines()[-1])

    @contextlib.contextmanager
    def meanwhile(self, code: str) -> Iterator[None]:
        """A process of the host that has run these lines and lives as long as the context lasts."""
        program = f"{textwrap.dedent(code)}\nprint('\\nready', flush=True)\ninput()"
        with subprocess.Popen(
            [sys.executable, "-c", program],
            env=self.environment(),
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert any(line == "ready\n" for line in process.stdout), "it ended before it was ready"
            try:
                yield
            finally:
                process.communicate("\n", timeout=60)

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            env=self.environment(),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


class Program:
    """``hermes-retention`` on the home of a host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def run(self, *arguments: str, code: int = 0) -> str:
        """What the command prints. When it ends with another exit code, the test fails."""
        return self._run(arguments, {}, code)

    def sweep(self, **settings: str) -> dict[str, Any]:
        """The report of a sweep that need not ask, with ``settings`` such as ``CLI__MESSAGES_AFTER="1h"``."""
        environment = {f"HERMES_RETENTION_{name}": value for name, value in settings.items()}
        report: dict[str, Any] = json.loads(
            self._run(("sweep", "--yes", "--json", "--all"), environment, code=0)
        )
        return report

    def _run(self, arguments: tuple[str, ...], environment: dict[str, str], code: int) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "hermes_retention", "--home", str(self._host.home), *arguments],
            env=self._host.environment() | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def age(home: Path, *, days: float) -> None:
    """Make all that a host has written so far that much older, for no clock of a process can be moved."""
    seconds = days * 86400.0
    with contextlib.closing(sqlite3.connect(home / "state.db", timeout=30)) as database, database:
        database.execute("UPDATE messages SET timestamp = timestamp - ?", (seconds,))
        for column in ("started_at", "ended_at"):
            database.execute(f"UPDATE sessions SET {column} = {column} - ?", (seconds,))
    for path in (home / "sessions").iterdir():
        then = path.stat().st_mtime_ns - int(seconds * 1e9)
        os.utime(path, ns=(then, then))
