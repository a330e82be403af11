"""The thread that finds out what becomes of its process, and passes on what hooks have told."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest

from hermes_retention.gateway.hermes.callbacks import HookCall, Inbox
from hermes_retention.gateway.hermes.events import HookThread, gateway_of_this_process


class Translator:
    """Writes down what it is asked."""

    host = "the host's index"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.told = threading.Event()

    def __getattr__(self, name: str) -> Callable[..., None]:
        def note(*arguments: HookCall) -> None:
            self.asked.append(" ".join([name, *(it.session_id for it in arguments)]))
            self.told.set()

        return note


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The gateway of this process, which has just been made."""
    runner = SimpleNamespace(_running=False)
    module = ModuleType("gateway.run")
    module._gateway_runner_ref = lambda: runner  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gateway.run", module)
    return runner


@pytest.fixture
def translator() -> Translator:
    return Translator()


@pytest.fixture
def thread(translator: Translator) -> HookThread:
    return HookThread(Inbox(), lambda: translator)  # type: ignore[arg-type, return-value]  # a stand-in


def test_process_is_no_gateway_without_the_hosts_module_or_before_it_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert gateway_of_this_process() is None
    module = ModuleType("gateway.run")
    monkeypatch.setitem(sys.modules, "gateway.run", module)
    assert gateway_of_this_process() is None
    module._gateway_runner_ref = lambda: None  # type: ignore[attr-defined]
    assert gateway_of_this_process() is None


def test_process_that_is_no_gateway_opens_nothing(thread: HookThread, translator: Translator) -> None:
    thread.look()
    thread.pass_on()
    assert thread.gateway_index() is None
    thread.finish()
    assert translator.asked == []


def test_life_of_a_gateway_is_told_once(
    thread: HookThread, translator: Translator, runner: SimpleNamespace
) -> None:
    thread.look()
    thread.look()
    assert translator.asked == ["gateway_starts"]
    runner._running = True
    thread.look()
    thread.look()
    assert translator.asked == ["gateway_starts", "plan_resume", "gateway_is_up"]
    runner._running = False
    thread.look()
    thread.look()
    assert translator.asked[3:] == ["gateway_ends"]
    assert thread.gateway_index() is translator.host  # type: ignore[comparison-overlap]  # a stand-in


def test_resuming_is_planned_while_the_host_holds_messages_back(
    thread: HookThread, translator: Translator, runner: SimpleNamespace
) -> None:
    runner._startup_restore_in_progress = True
    thread.look()
    assert translator.asked == ["gateway_starts", "plan_resume"]
    runner._running = True
    thread.look()
    assert translator.asked[2:] == ["gateway_is_up"]


def test_thread_passes_on_what_comes_and_ends_with_the_rest(translator: Translator) -> None:
    inbox = Inbox()
    thread = HookThread(inbox, lambda: translator)  # type: ignore[arg-type, return-value]  # a stand-in
    thread.start()
    thread.start()
    inbox.put(HookCall("on_session_end", "a", "cli", {}))
    assert translator.told.wait(10)
    thread.finish()
    inbox.put(HookCall("on_session_end", "b", "cli", {}))
    thread.finish()
    assert translator.asked == ["pass_on a", "close", "pass_on b", "close"]
    assert not any(it.name == "hermes-retention-hooks" for it in threading.enumerate())
