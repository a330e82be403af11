"""What sweeps may do and when the next one comes: one answer for the command line, doctor and chats."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from homes import DAY, HOUR, MINUTE, NOW, HomeBuilder
from program import run
from rounds import Clocks, pass_until_next, rounds_of

from hermes_retention.actions.sweep.mode import SweepMode, may_remove, sweep_mode
from hermes_retention.gateway.hermes.chat import Chat, Tokens
from hermes_retention.home.open import open_home
from hermes_retention.settings.forms import Mode

OLD = "20261010_080000_bbbbbbbb"
ASKS = "not set: the first sweep that would remove something asks"
AGREED = "not set: sweeps archive and remove, as the first one was agreed to"
ANNOUNCED = (
    "not set: a gateway announced the first sweep, in 1 d, of 1 session; "
    "HERMES_RETENTION_MODE=observe or off prevents it"
)


def untouched(_: HomeBuilder) -> None:
    """Nothing was ever done to it."""


def swept(home: HomeBuilder) -> None:
    assert run(home, "sweep", "--yes").code == 0


def announced(home: HomeBuilder) -> None:
    rounds = rounds_of(home, Clocks(), STARTUP_DELAY="0s")
    rounds.begin()
    rounds.run_due()


def set_to(mode: str) -> Callable[[HomeBuilder], None]:
    def prepare(home: HomeBuilder) -> None:
        (home.path / ".env").write_text(f"HERMES_RETENTION_MODE={mode}\n")

    return prepare


STATES: dict[str, tuple[Callable[[HomeBuilder], None], str]] = {
    "untouched": (untouched, ASKS),
    "swept": (swept, AGREED),
    "announced": (announced, ANNOUNCED),
    "enforce": (set_to("enforce"), "enforce: sweeps archive and remove"),
    "observe": (set_to("observe"), "observe: sweeps only report"),
    "off": (set_to("off"), "off: there are no sweeps"),
}


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    return HomeBuilder(tmp_path / "home").session(OLD, age=40 * DAY)


@pytest.mark.parametrize(("prepare", "words"), STATES.values(), ids=STATES)
def test_status_doctor_and_chat_say_the_same(
    home: HomeBuilder, prepare: Callable[[HomeBuilder], None], words: str
) -> None:
    prepare(home)
    assert words in " ".join(run(home, "status").out.split())
    findings = {it["check"]: it["what"] for it in run(home, "doctor", "--json").json["findings"]}
    assert findings["mode"].startswith(words)
    assert f"mode: {words}\n" in Chat(home.path, Tokens(lambda: 0.0), clock=lambda: NOW).answer("") + "\n"


def test_all_of_them_say_when_a_gateway_sweeps_next(home: HomeBuilder) -> None:
    clocks = Clocks()
    rounds = rounds_of(home, clocks, MODE="enforce")
    rounds.begin()
    pass_until_next(rounds, clocks)
    when = re.compile(r"sweeps in \d+ min, if it still runs")
    assert when.search(" ".join(run(home, "status").out.split()))
    assert when.search(run(home, "doctor").out)
    assert when.search(Chat(home.path, Tokens(lambda: 0.0), clock=lambda: NOW).answer(""))


@pytest.mark.parametrize(
    ("setting", "answers"),
    [
        (None, [False, True]),
        (Mode.ENFORCE, [True, True]),
        (Mode.OBSERVE, [False, False]),
        (Mode.OFF, [False, False]),
    ],
)
def test_who_may_remove_without_asking(home: HomeBuilder, setting: Mode | None, answers: list[bool]) -> None:
    opened = open_home(home.path, environ={"HERMES_RETENTION_MODE": setting or ""})
    before = may_remove(opened)
    swept(home)
    assert [before, may_remove(opened)] == answers


def test_next_sweep_that_has_passed_is_none(home: HomeBuilder) -> None:
    announced(home)
    opened = open_home(home.path)
    assert sweep_mode(opened, now=NOW).next_sweep_at == NOW + HOUR
    assert sweep_mode(opened, now=NOW + HOUR + MINUTE).next_sweep_at is None
    assert SweepMode().next_words(now=NOW) is None
