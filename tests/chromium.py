"""A headless Chromium for tests: opens a page as a phone or a desk would, and tells what it asked for.

    with Chromium(profile) as browser:
        page = browser.open(path, width=390, dark=True)
        assert page.evaluate("document.title") == "…"

It talks to the browser through a pipe (fd 3 and 4, messages that end in NUL), so that no port is opened.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


_AT_3_AND_4 = """\
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Puts the pipe where the browser looks for it, and becomes the browser."""


def find_chromium() -> str:
    """Its path. A test that needs it and has none fails: whoever asked for the browser wants to know."""
    found = next(filter(None, map(shutil.which, NAMES)), None) or (str(MAC) if MAC.exists() else None)
    assert found, f"none of {', '.join(NAMES)} is on PATH; on Debian: apt-get install chromium"
    return found


class Chromium:
    """The process. One page at a time."""

    def __init__(self, profile: Path) -> None:
        """``profile`` is a directory for its files."""
        self._profile = profile
        self._number = 0
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        for_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        command = [
            *(sys.executable, "-c", _AT_3_AND_4, str(for_browser), str(from_browser), find_chromium()),
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
            *(f"--user-data-dir={self._profile}", "--remote-debugging-pipe", "about:blank"),
        ]
        self._process = subprocess.Popen(
            command,
            pass_fds=(for_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(for_browser)
        os.close(from_browser)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError, EOFError):
            self.call("Browser.close")
        os.close(self._out)
        os.close(self._in)
        self._process.wait(30)

    def open(self, path: Path, *, width: int, dark: bool, height: int = 844) -> Opened:
        """The page at ``path`` on a screen of ``width``, loaded to its end."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Opened(self, session)
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < height}
        page.call("Emulation.setDeviceMetricsOverride", **screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        page.call("Page.navigate", url=path.as_uri())
        self.wait(lambda event: event["method"] == "Page.loadEventFired")
        return page

    def call(self, method: str, session: str | None = None, **parameters: object) -> Any:  # noqa: ANN401 - JSON
        """The result of a command of the DevTools protocol."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Go on when such an event has come."""
        while not any(map(wanted, self.events)):
            self.events.append(self._receive())

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._in, 1 << 20)
            if not piece:
                raise EOFError("the browser is gone")
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


class Opened:
    """A page that was loaded."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **parameters: object) -> Any:  # noqa: ANN401 - JSON
        """A command for this page."""
        return self._browser.call(method, self._session, **parameters)

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - JSON
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def asked_for(self) -> list[str]:
        """Every address that the page asked for."""
        events = [it for it in self._browser.events if it["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in events]

    def complaints(self) -> list[str]:
        """What the browser wrote into its console: errors of scripts, and what the page's policy refused."""
        found = [
            it for it in self._browser.events if it["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")
        ]
        return [json.dumps(event["params"]) for event in found]

    def picture(self, path: Path) -> bytes:
        """The whole page as a PNG, also written to ``path``."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        content = base64.b64decode(answer["data"])
        path.write_bytes(content)
        return content
