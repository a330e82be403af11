"""The host's gateway for tests, and a messenger on the loopback interface through which people talk to it.

    with running_gateway(host) as gateway:
        assert gateway.ask("hi", until="Noted") == "Noted."

The messenger is as much of ntfy as the host asks for; hosts before 0.16 do not know it, and get none. With
``webhooks`` programs can talk to it as well.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from hosts import VERSION, Host

KNOWS_MESSENGER = VERSION >= (0, 16)

_ANYBODY = "people"
_PATIENCE = 60.0
_BREATH = 0.3
"""Seconds before something is said: host 0.19 loses what comes within milliseconds of its last answer."""
_Found = TypeVar("_Found")


def eventually(look: Callable[[], _Found], *, within: float = _PATIENCE) -> _Found:
    """The first answer of ``look`` that is true. Fails when there is none in time."""
    end = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < end, f"not within {within:.0f} s; the last answer was {found!r}"
        time.sleep(0.05)
    return found


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
        """Of all chats: the gateway publishes them in one place."""
        self.listened = threading.Event()


class Gateway:
    """A gateway, and the chats of people with it. A chat is known by its name."""

    def __init__(self, process: subprocess.Popen[bytes], server: _Server, log: Path, webhooks: int) -> None:
        self.process = process
        self._server, self._log, self._webhooks = server, log, webhooks
        self._count = 0

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")

    def say(self, text: str, *, chat: str = _ANYBODY) -> None:
        """Say something and wait for nothing."""
        self._count += 1
        time.sleep(_BREATH)
        event = {"id": f"m{self._count}", "time": 1_795_000_000, "event": "message", "topic": chat}
        self._server.said.put(event | {"message": text})

    def hear(self, *, until: str) -> str:
        """The next answer in any chat that holds ``until``. Others are the gateway's own remarks."""
        while until not in (answer := self._next_answer(until)):
            pass
        return answer

    def ask(self, text: str, *, until: str, chat: str = _ANYBODY) -> str:
        """Say something; the first answer that holds ``until``."""
        self.say(text, chat=chat)
        return self.hear(until=until)

    def deliver(self, delivery: str, text: str) -> None:
        """Post to the webhook ``event`` as a program does that wants something done."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._webhooks}/webhooks/event",
            data=json.dumps({"text": text}).encode(),
            headers={"Content-Type": "application/json", "X-Request-ID": delivery},
        )
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310 - the same
            assert answer.status < 300

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.process.terminate()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def kill(self) -> None:
        """End it at once, with no chance to tidy up."""
        self.process.kill()
        self.process.wait(_PATIENCE)

    def wait_until_ready(self) -> None:
        """People and programs can talk to it then."""
        if KNOWS_MESSENGER:
            eventually(lambda: self._server.listened.is_set() or self._is_gone())
        if self._webhooks:
            eventually(lambda: self._is_healthy() or self._is_gone())
        assert self.process.poll() is None, self.log

    def _next_answer(self, wanted: str) -> str:
        try:
            return self._server.answers.get(timeout=_PATIENCE)
        except queue.Empty:
            raise AssertionError(f"nobody said {wanted!r}\n{self.log}") from None

    def _is_gone(self) -> bool:
        return self.process.poll() is not None

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._webhooks}/health", timeout=1):
                return True
        except (urllib.error.URLError, OSError):
            return False


@contextlib.contextmanager
def running_gateway(host: Host, *, webhooks: bool = False) -> Iterator[Gateway]:
    """A gateway that people can talk to as long as the context lasts, and with ``webhooks`` programs too."""
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with _started(host, server, _free_port() if webhooks else 0) as gateway:
                gateway.wait_until_ready()
                yield gateway
        finally:
            server.said.put(None)
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def _started(host: Host, server: _Server, webhooks: int) -> Iterator[Gateway]:
    if webhooks:
        host.configure(lambda config: config.setdefault("platforms", {}).update(_webhooks(webhooks)))
    path = host.home / "gateway.log"
    with (
        path.open("ab") as log,
        subprocess.Popen(
            [str(Path(sys.executable).parent / "hermes"), "gateway", "run"],
            env=host.environment() | (_messenger(server) if KNOWS_MESSENGER else {}),
            cwd=host.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        gateway = Gateway(process, server, path, webhooks)
        try:
            yield gateway
        finally:
            if process.poll() is None:
                gateway.stop()


def _messenger(server: _Server) -> dict[str, str]:
    url = f"http://127.0.0.1:{server.server_address[1]}"
    return {"NTFY_TOPIC": _ANYBODY, "NTFY_SERVER_URL": url, "NTFY_ALLOW_ALL_USERS": "true"}


def _webhooks(port: int) -> dict[str, Any]:
    route = {"secret": "INSECURE_NO_AUTH", "prompt": "{text}", "deliver": "log"}
    extra = {"host": "127.0.0.1", "port": port, "rate_limit": 10_000, "routes": {"event": route}}
    return {"webhook": {"enabled": True, "extra": extra}}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
