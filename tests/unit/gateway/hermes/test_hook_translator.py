"""What the hooks of each version of the host come to mean, by calls that were recorded on the real ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hermes_retention.gateway.hermes.callbacks import Callbacks, Inbox
from hermes_retention.gateway.hermes.events import HookTranslator
from hermes_retention.hookspecs import hookimpl
from hermes_retention.policy.resume import ResumeCandidate, ResumePlan, plan_resume

CALLS = Path(__file__).parent / "calls"
"""For each version what the real host called: a chat on the command line, a cron job, and a gateway with a
chat, ``/new``, another turn, a delivery, and SIGTERM in the middle of a turn (0.13: without a messenger)."""
VERSIONS = ["0.13.0", "0.16.0", "0.18.2", "0.19.0"]
NOW = datetime(2026, 11, 25, 18, tzinfo=UTC).timestamp()


class Listener:
    """A plugin of somebody else that writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def of(self, hook: str) -> list[dict[str, Any]]:
        return [facts for name, facts in self.heard if name == hook]

    @hookimpl
    def gateway_startup(self, home: Path, platforms: list[str]) -> None:
        self.heard.append(("gateway_startup", {"home": home, "platforms": platforms}))

    @hookimpl
    def gateway_shutdown(self) -> None:
        self.heard.append(("gateway_shutdown", {}))

    @hookimpl
    def session_reset(
        self, session_key: str, old_session_id: str, new_session_id: str, platform: str
    ) -> None:
        facts = {"key": session_key, "old": old_session_id, "new": new_session_id, "platform": platform}
        self.heard.append(("session_reset", facts))

    @hookimpl
    def session_end(self, session_id: str, reason: str, platform: str) -> None:
        self.heard.append(("session_end", {"id": session_id, "reason": reason, "platform": platform}))

    @hookimpl
    def turn_end(self, session_id: str, session_key: str, platform: str, usage: dict[str, float]) -> None:
        self.heard.append(("turn_end", {"id": session_id, "platform": platform, "usage": usage}))

    @hookimpl
    def cron_complete(self, job_id: str, session_id: str, succeeded: bool) -> None:  # noqa: FBT001 - the hook
        self.heard.append(("cron_complete", {"job": job_id, "id": session_id, "succeeded": succeeded}))


class Line:
    """A translator with a listener on it, and the callbacks that lead there."""

    def __init__(self, home: Path, runner: object | None = None) -> None:
        self.inbox = Inbox()
        self.callbacks = Callbacks(self.inbox)
        self.translator = HookTranslator(home, environ={}, clock=lambda: NOW, runner=lambda: runner)
        self.listener = Listener()
        self.translator.manager.register(self.listener)

    def call(self, hook: str, **keywords: object) -> None:
        """As the host does it, and all the way through."""
        self.callbacks.by_hook()[hook](**keywords)
        for told in self.inbox.take():
            self.translator.pass_on(told)


@pytest.fixture
def make_line(tmp_path: Path) -> Iterator[Callable[..., Line]]:
    lines: list[Line] = []

    def make(runner: object | None = None) -> Line:
        lines.append(Line(tmp_path, runner))
        return lines[-1]

    yield make
    for line in lines:
        line.translator.plugin.gateway_shutdown()


@pytest.fixture
def line(make_line: Callable[..., Line]) -> Line:
    return make_line()


def recorded(version: str, process: str = "") -> list[dict[str, Any]]:
    calls = json.loads((CALLS / f"{version}.json").read_text())
    return [it for it in calls if it["process"].startswith(process)]


def replay(line: Line, calls: list[dict[str, Any]]) -> None:
    for it in calls:
        line.call(it["hook"], **it["keywords"])


@pytest.mark.parametrize("version", VERSIONS)
def test_chat_on_the_command_line_ends_a_turn_and_no_session(line: Line, version: str) -> None:
    replay(line, recorded(version, "chat -q"))
    ((hook, facts),) = line.listener.heard
    assert hook == "turn_end"
    assert facts["platform"] == "cli"
    assert facts["usage"] == {"input_tokens": 100, "output_tokens": 2, "tool_calls": 0}


@pytest.mark.parametrize("version", VERSIONS)
def test_run_of_a_job_is_told_at_its_end(line: Line, version: str) -> None:
    replay(line, recorded(version, "cron"))
    (turn,), (run,) = line.listener.of("turn_end"), line.listener.of("cron_complete")
    assert run == {"job": run["id"].split("_")[1], "id": turn["id"], "succeeded": True}
    assert len(line.listener.heard) == 2


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_gateway_resets_a_chat_once(line: Line, version: str) -> None:
    calls = recorded(version, "gateway")
    replay(line, calls)
    (reset,) = line.listener.of("session_reset")
    (said,) = [it["keywords"] for it in calls if it["hook"] == "on_session_reset"]
    assert reset == {
        "key": "",
        "old": said["old_session_id"],
        "new": said["new_session_id"],
        "platform": "ntfy",
    }
    assert [it["reason"] for it in line.listener.of("session_end")] == ["new_session"]
    assert line.listener.of("session_end")[0]["id"] == reset["old"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_turn_of_a_gateway_is_told(line: Line, version: str) -> None:
    calls = recorded(version, "gateway")
    replay(line, calls)
    ends = [it["keywords"]["session_id"] for it in calls if it["hook"] == "on_session_end"]
    assert [it["id"] for it in line.listener.of("turn_end")] == ends


def test_end_of_the_process_is_no_end_of_a_session(line: Line) -> None:
    line.call("on_session_finalize", session_id="a", platform="gateway", reason="shutdown")
    line.call("on_session_finalize", session_id="a", platform="cli", reason="shutdown")
    line.call("on_session_finalize", session_id="a", platform="gateway")  # 0.13 gives no reason
    line.call("on_session_finalize", session_id="a", platform="cli")
    assert line.listener.heard == []


def test_expired_session_and_new_chat_on_the_command_line_are_ends(line: Line) -> None:
    line.call("on_session_finalize", session_id="a", platform="telegram", reason="session_expired")
    line.call("on_session_finalize", session_id="b", platform="cli", reason="session_boundary")
    line.call("on_session_finalize", session_id="c", platform="telegram")  # 0.13 gives no reason
    assert [(it["id"], it["reason"]) for it in line.listener.of("session_end")] == [
        ("a", "session_expired"),
        ("b", "session_boundary"),
        ("c", "finalized"),
    ]


def test_reset_that_does_not_say_of_what_is_no_news(line: Line) -> None:
    line.call("on_session_reset", session_id="new", platform="telegram")
    line.call("on_session_reset", session_id="new", platform="telegram", old_session_id="new")
    assert line.listener.heard == []


@pytest.mark.parametrize("hook", ["on_session_end", "on_session_finalize", "on_session_reset"])
def test_call_without_a_session_is_no_news(line: Line, hook: str) -> None:
    line.call(hook, session_id=None, platform=None)
    line.call(hook)
    line.call(hook, session_id="", something_new=object())
    assert line.listener.heard == []


def test_use_adds_up_over_the_calls_of_one_turn(line: Line) -> None:
    for tokens in (100, 120):
        line.call(
            "post_api_request",
            session_id="a",
            platform="cli",
            usage={"input_tokens": tokens, "output_tokens": None},
            assistant_tool_call_count=1,
        )
    line.call("post_api_request", session_id="b", platform="cli", usage=None)
    line.call("on_session_end", session_id="a", platform="cli", completed=True, interrupted=False)
    line.call("on_session_end", session_id="a", platform="cli", completed=True, interrupted=False)
    assert [it["usage"] for it in line.listener.of("turn_end")] == [
        {"input_tokens": 220, "tool_calls": 2},
        {},
    ]


def test_failed_run_is_told_as_failed(line: Line) -> None:
    session_id = "cron_news_20261120_101500"
    line.call("on_session_end", session_id=session_id, platform="cron", completed=False, interrupted=False)
    line.call("on_session_end", session_id=session_id, platform="cron", completed=True, interrupted=True)
    assert [it["succeeded"] for it in line.listener.of("cron_complete")] == [False, False]
    assert line.listener.of("cron_complete")[0]["job"] == "news"


def test_closed_callbacks_tell_nothing(line: Line) -> None:
    line.callbacks.close()
    line.call("on_session_end", session_id="a", platform="cli", completed=True)
    assert line.listener.heard == []


def test_plugin_that_fails_costs_one_warning_and_keeps_nobody_from_hearing(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        @hookimpl(trylast=True)
        def session_end(self, session_id: str) -> None:
            raise ValueError("what somebody said")

    line.translator.manager.register(Broken())
    for session_id in ("a", "b"):
        line.call("on_session_finalize", session_id=session_id, platform="x", reason="session_expired")
    assert [it["id"] for it in line.listener.of("session_end")] == ["a", "b"]
    assert len(caplog.messages) == 1
    assert "somebody said" not in caplog.text


class Platform(Enum):
    """As the host names platforms."""

    NTFY = "ntfy"


def entry(session_id: str, *, idle: float, marked: bool = True) -> SimpleNamespace:
    return SimpleNamespace(
        session_id=session_id,
        session_key=f"key of {session_id}",
        updated_at=datetime.fromtimestamp(NOW - idle, UTC),
        resume_pending=marked,
        suspended=False,
    )


class Store:
    """As much of the host's session store as resuming needs."""

    def __init__(self, *entries: SimpleNamespace) -> None:
        self._entries = {it.session_key: it for it in entries}

    def _ensure_loaded(self) -> None:
        pass

    def load_transcript(self, session_id: str) -> list[str]:
        if session_id == "unreadable":
            raise ValueError("what somebody said")
        return ["hello"]

    def clear_resume_pending(self, key: str) -> bool:
        entry = self._entries[key]
        was, entry.resume_pending = entry.resume_pending, False
        return bool(was)


def test_sessions_that_are_not_worth_it_lose_their_mark(make_line: Callable[..., Line]) -> None:
    class Planner:
        @hookimpl(tryfirst=True)
        def plan_resume(self, candidates: list[ResumeCandidate]) -> ResumePlan:
            return plan_resume(candidates, now=NOW, max_age=3600, most=1)

    store = Store(
        entry("newest", idle=60),
        entry("second", idle=120),
        entry("old", idle=7200),
        entry("unreadable", idle=30),
        entry("unmarked", idle=10, marked=False),
    )
    line = make_line(SimpleNamespace(session_store=store))
    line.translator.manager.register(Planner())
    line.translator.plan_resume()
    marks = {it.session_id for it in store._entries.values() if it.resume_pending}
    assert marks == {"newest"}


def test_no_plan_leaves_all_marks(make_line: Callable[..., Line]) -> None:
    store = Store(entry("a", idle=60))
    line = make_line(SimpleNamespace(session_store=store))
    line.translator.manager.unregister(line.translator.plugin)
    line.translator.plan_resume()
    assert store._entries["key of a"].resume_pending


def test_host_that_is_not_what_it_was_resumes_what_it_wants(
    make_line: Callable[..., Line], caplog: pytest.LogCaptureFixture
) -> None:
    line = make_line(SimpleNamespace(session_store=object()))
    line.translator.plan_resume()
    assert len(caplog.messages) == 1


def test_start_and_end_of_the_gateway_are_told(make_line: Callable[..., Line], tmp_path: Path) -> None:
    line = make_line(SimpleNamespace(adapters={Platform.NTFY: object()}))
    line.translator.manager.unregister(line.translator.plugin)  # no sweep shall begin here
    line.translator.gateway_is_up()
    line.translator.gateway_ends()
    assert line.listener.heard == [
        ("gateway_startup", {"home": tmp_path, "platforms": ["ntfy"]}),
        ("gateway_shutdown", {}),
    ]
