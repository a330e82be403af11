"""A stopped session answers with a notice instead of asking the model, and nothing else ever stops a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from cap_homes import CappedHome
from pytest_mock import MockerFixture

from hermes_retention.gateway import hermes as registration
from hermes_retention.gateway.cap_watch import CapWatch
from hermes_retention.gateway.hermes.callbacks import Callbacks, Inbox, StopMiddleware
from hermes_retention.gateway.hermes.events import HookTranslator
from hermes_retention.gateway.host import ModelCall

REQUEST = {"model": "m"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[CappedHome]:
    made = CappedHome(tmp_path, CHAT__CAPS__MAX_TOOL_CALLS="3")
    made.session("s1")
    yield made
    made.close()


def ask(watch: Callable[[], CapWatch | None], session_id: str | None = "s1") -> object:
    """What the host gets for a call of the model; the model would say ``(request,)``."""
    stopper = StopMiddleware(watch)
    return stopper.answer_instead(
        request=REQUEST, next_call=lambda request: (request,), session_id=session_id, platform="telegram"
    )


def test_session_within_its_caps_asks_the_model(home: CappedHome) -> None:
    home.call("s1", tool_calls=2)
    assert ask(lambda: home.watch) == (REQUEST,)


def test_stopped_session_says_why_and_asks_nobody(home: CappedHome) -> None:
    home.call("s1", tool_calls=3)
    answer = ask(lambda: home.watch)
    assert isinstance(answer, SimpleNamespace)
    [choice] = answer.choices
    assert choice.finish_reason == "stop"
    assert "max_tool_calls" in choice.message.content
    assert not choice.message.tool_calls
    assert answer.content[0].text == answer.output[0].content[0].text == choice.message.content


def test_session_that_is_to_be_reset_finishes_its_turn(home: CappedHome) -> None:
    home.store("s1", 1000)
    home.end_turn("s1")
    assert home.answer("s1") is not None
    assert ask(lambda: home.watch) == (REQUEST,)


def test_without_caps_or_session_the_model_is_asked(home: CappedHome) -> None:
    home.call("s1", tool_calls=3)
    assert ask(lambda: None) == (REQUEST,)
    assert ask(lambda: home.watch, None) == (REQUEST,)
    assert ask(lambda: home.watch, "s2") == (REQUEST,)


# What leads there


def test_caps_know_of_a_call_before_its_hook_returns(home: CappedHome) -> None:
    home.call("s1")
    callbacks = Callbacks(Inbox(), lambda: home.watch)
    for number in (1, 2, 3):
        callbacks.post_api_request("s1", "telegram", {}, assistant_tool_call_count=1, api_call_count=number)
    assert home.answer("s1") is not None


def test_tokens_of_a_call_include_cached_ones(home: CappedHome) -> None:
    home.restart(CHAT__CAPS__MAX_TOKENS="1000")
    home.call("s1")
    used = {"input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 985, "total_tokens": 1000}
    Callbacks(Inbox(), lambda: home.watch).post_api_request("s1", "telegram", used, api_call_count=2)
    assert home.answer("s1") is not None


def test_call_before_there_were_caps_is_told_later_and_once(tmp_path: Path, mocker: MockerFixture) -> None:
    inbox = Inbox()
    translator = HookTranslator(tmp_path, environ={}, clock=lambda: 0.0, runner=lambda: None)
    watch = CapWatch(lambda: pytest.fail("not needed"), clock=lambda: 0.0, begin=lambda _: None)
    translator.plugin.caps = watch
    told_caps = mocker.patch.object(watch, "model_called")
    Callbacks(inbox).post_api_request("s1", "cli", {"input_tokens": 7}, 1, 1)
    Callbacks(inbox, lambda: watch).post_api_request("s1", "cli", {"input_tokens": 8}, 0, 2)
    for told in inbox.take():
        translator.pass_on(told)
    heard = sorted((call.args[-1] for call in told_caps.call_args_list), key=lambda call: call.number)
    assert heard == [ModelCall(1, 7, 1), ModelCall(2, 8, 0)]
    translator.close()


@pytest.mark.parametrize("offers", [True, False])
def test_host_that_offers_it_gets_the_middleware(offers: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a fact of the case
    process = registration._Process()
    monkeypatch.setattr(process.thread, "start", lambda: None)
    monkeypatch.setattr(registration, "_process", process)
    registered: dict[str, object] = {}

    def nothing(*_: object, **__: object) -> None:
        """Whatever else is registered."""

    context = SimpleNamespace(register_hook=nothing, register_cli_command=nothing, register_command=nothing)
    if offers:
        context.register_middleware = registered.__setitem__
    registration.register(context)
    assert list(registered) == (["llm_execution"] if offers else [])
