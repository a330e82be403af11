"""The host's gateway for tests, and a messenger on the loopback interface through which people talk to it.

    with running_gateway(host) as chat:
        assert chat.ask("hi") == "Noted."

The messenger is as much of ntfy as the host asks for; hosts before 0.16 do not know it.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hosts import Host

_TOPIC = "people"
_PATIENCE = 60.0
_BREATH = 0.3
"""Seconds before something is said: host 0.19 loses what comes within milliseconds of its last answer."""


class _Handler(BaseHTTPRequestHandler):
    """Gives the gateway what people say, line by line, and takes its answers."""

    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()
        event: dict[str, Any] | None = {"event": "open"}
        self.server.listened.set()
        with contextlib.suppress(OSError):  # the gateway hangs up when it ends
            while event is not None:
                self.wfile.write(json.dumps(event).encode() + b"\n")
                self.wfile.flush()
                event = self.server.said.get()

    def do_POST(self) -> None:
        answer = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.answers.put(answer)
        body = b'{"id": "answer"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # one of them waits for what is said next

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.answers: queue.Queue[str] = queue.Queue()
        self.listened = threading.Event()


class Chat:
    """A person's chat with the gateway."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._count = 0

    def ask(self, text: str, *, until: str) -> str:
        """Say something; the first answer that holds ``until``. Others are the gateway's own remarks."""
        self._count += 1
        time.sleep(_BREATH)
        event = {"id": f"m{self._count}", "time": 1_795_000_000, "event": "message", "topic": _TOPIC}
        self._server.said.put(event | {"message": text})
        while until not in (answer := self._server.answers.get(timeout=_PATIENCE)):
            pass
        return answer


@contextlib.contextmanager
def running_gateway(host: Host) -> Iterator[Chat]:
    """A gateway that people can talk to as long as the context lasts."""
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with _gateway(host, f"http://127.0.0.1:{server.server_address[1]}"):
                assert server.listened.wait(_PATIENCE), (host.home / "gateway.log").read_text()
                yield Chat(server)
        finally:
            server.said.put(None)
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def _gateway(host: Host, url: str) -> Iterator[None]:
    own = {"NTFY_TOPIC": _TOPIC, "NTFY_SERVER_URL": url, "NTFY_ALLOW_ALL_USERS": "true"}
    with (
        (host.home / "gateway.log").open("w") as log,
        subprocess.Popen(
            [str(Path(sys.executable).parent / "hermes"), "gateway", "run"],
            env=host.environment() | own,
            cwd=host.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
