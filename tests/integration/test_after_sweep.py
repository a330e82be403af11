"""What follows a sweep follows every sweep, whoever asked for it: metrics, and the picture of the home."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from homes import DAY, HOUR, MINUTE, NOW, HomeBuilder
from openclaw_homes import OpenClawHome
from program import run
from rounds import Clocks, rounds_of
from sites import site_of

from hermes_retention.actions.inspect.status import take_status
from hermes_retention.gateway.hermes.chat import Chat, Tokens
from hermes_retention.home.open import open_home

OLD, LIVE = "20261001_090000_aaaaaaaa", "20261119_090000_bbbbbbbb"
KEY = "agent:main:telegram:dm:1"


def by_command(path: Path) -> None:
    assert run(path, "sweep", "--yes").code == 0


def by_prune(path: Path) -> None:
    assert run(path, "prune", "--older-than", "1d", "--yes").code == 0


def by_prestart(path: Path) -> None:
    assert run(path, "prestart", "--yes").code == 0


def by_gateway(path: Path) -> None:
    rounds = rounds_of(path, Clocks(), MODE="enforce", STARTUP_DELAY="0s")
    rounds.begin()
    rounds.run_due()


def by_chat(path: Path) -> None:
    chat = Chat(path, Tokens(lambda: 0.0), clock=lambda: NOW)
    (word,) = re.findall(r"/retention sweep (\w+)$", chat.answer("sweep"))
    assert "files to the archive: 1 session" in chat.answer(f"sweep {word}")


def hermes(path: Path) -> Path:
    """An old chat that is over, and one that people write to."""
    home = HomeBuilder(path).session(OLD, age=40 * DAY).session(LIVE, ended=None, age=HOUR, key=KEY)
    return home.route(KEY, LIVE, age=HOUR).path


def openclaw(path: Path) -> Path:
    home = OpenClawHome(path)
    home.session("hook", age=2 * HOUR)
    home.session("run", age=20 * MINUTE, status="failed")
    home.session("direct", age=9 * DAY)
    return home.write().path


WAYS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], None], int]] = {
    "command line": (hermes, by_command, 1),
    "prune": (hermes, by_prune, 1),
    "gateway": (hermes, by_gateway, 1),
    "chat": (hermes, by_chat, 1),
    "prestart": (openclaw, by_prestart, 2),
}


@pytest.mark.parametrize(("make", "sweep", "archived"), WAYS.values(), ids=WAYS)
def test_metrics_are_written_by_every_way_to_sweep(
    tmp_path: Path, make: Callable[[Path], Path], sweep: Callable[[Path], None], archived: int
) -> None:
    home, target = make(tmp_path / "home"), tmp_path / "hermes.prom"
    (home / ".env").write_text(f"HERMES_RETENTION_METRICS_FILE={target}\n")
    sweep(home)
    assert f'hermes_retention_archived_sessions{{home="{home}"}} {archived}\n' in target.read_text()


@pytest.mark.parametrize(("make", "sweep", "archived"), WAYS.values(), ids=WAYS)
def test_picture_is_of_the_home_and_its_settings_after_every_way_to_sweep(
    tmp_path: Path, make: Callable[[Path], Path], sweep: Callable[[Path], None], archived: int
) -> None:
    """Also where one run had an age of its own, or saw only a part of the home."""
    del archived
    home = make(tmp_path / "home")
    sweep(home)
    opened = open_home(home)
    kept = take_status(opened, now=NOW, large=0).picture
    fresh = take_status(opened, now=NOW, large=10**6).picture
    assert (kept.sessions, kept.groups, kept.due) == (fresh.sessions, fresh.groups, fresh.due)


def test_metrics_after_a_run_of_its_own_age_tell_of_the_settings(tmp_path: Path) -> None:
    """Tool output and messages are due by the settings, though ``prune`` leaves them alone."""
    home, target = hermes(tmp_path / "home"), tmp_path / "hermes.prom"
    (home / ".env").write_text(
        f"HERMES_RETENTION_METRICS_FILE={target}\nHERMES_RETENTION_CHAT__RECORD_AFTER=30d\n"
    )
    by_prune(home)
    assert re.search(r'due_steps\{.*verdict="archive_record"\} 1\n', target.read_text())


def test_metrics_that_cannot_be_written_after_a_chat_are_told_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hermes_retention")
    home = hermes(tmp_path / "home")
    (home / ".env").write_text(f"HERMES_RETENTION_METRICS_FILE={tmp_path}/nowhere/x.prom\n")
    by_chat(home)
    assert "files of 1 session archived" in caplog.text
    assert "the metrics cannot be written there" in caplog.text


def test_view_for_one_run_remembers_the_home_itself(tmp_path: Path) -> None:
    home = site_of(HomeBuilder(tmp_path / "home"))
    once = home.for_one_run(home.policy)
    assert once.for_one_run(home.policy).regular is home
