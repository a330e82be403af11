"""The real host for tests: its commands in a home of their own, and a model that answers at once for nothing.

Everything stays on the loopback interface. The host runs as people run it, as a command; ``Host.python`` runs
lines inside its interpreter where only its own code can make what a test needs.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REFUSE = "PLEASE_REFUSE"
"""A message that holds this makes the model answer with an error that the host does not try again."""

_CONFIG = """\
model:
  {{provider: custom, default: fake-model, base_url: "{url}", api_key: sk-made-up-0123456789,
   context_length: 200000}}
sessions: {{write_json_snapshots: true}}
approvals: {{destructive_slash_confirm: false}}
"""
_ANSWER = {"role": "assistant", "content": "Noted."}
_COMMON = {"id": "chatcmpl-1", "created": 1_795_000_000, "model": "fake-model"}
_USAGE = {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102}
_REFUSAL = {"error": {"message": "made up to be refused", "type": "invalid_request_error"}}


class _Model(BaseHTTPRequestHandler):
    """As much of an OpenAI-compatible API as the host asks for."""

    protocol_version = "HTTP/1.1"

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
        elif REFUSE.encode() in body:
            self._answer(400, _json(_REFUSAL))
        elif json.loads(body).get("stream"):
            events = (b"data: %s\n\n" % _json(piece) for piece in _pieces())
            self._answer(200, b"".join(events) + b"data: [DONE]\n\n", "text/event-stream")
        else:
            self._answer(200, _json(_completion()))

    def _answer(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _completion() -> dict[str, Any]:
    choice = {"index": 0, "message": _ANSWER, "finish_reason": "stop"}
    return {**_COMMON, "object": "chat.completion", "choices": [choice], "usage": _USAGE}


def _pieces() -> list[dict[str, Any]]:
    piece = {**_COMMON, "object": "chat.completion.chunk"}
    return [
        {**piece, "choices": [{"index": 0, "delta": _ANSWER, "finish_reason": None}]},
        {**piece, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**piece, "choices": [], "usage": _USAGE},
    ]


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


@contextlib.contextmanager
def running_model() -> Iterator[str]:
    """Where the model answers, as long as the context lasts."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Model) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
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

    def environment(self) -> dict[str, str]:
        """What its processes see."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
        return {"PATH": path, "HOME": str(self.home.parent), "HERMES_HOME": str(self.home), "LANG": "C.UTF-8"}

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
