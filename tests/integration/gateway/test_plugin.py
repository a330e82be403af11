"""The plugin on a manager, as a gateway has it: hooks return at once, its thread does the rest."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pluggy
import pytest
from homes import DAY, HOUR, MINUTE, HomeBuilder, name_of
from program import aged
from sites import site_of

from hermes_retention.gateway.plugin import NAME, RetentionPlugin
from hermes_retention.home.queue import Occasion, Pending
from hermes_retention.hookspecs import Location, hookimpl
from hermes_retention.model.session import Session
from hermes_retention.plugins import bare_plugin_manager
from hermes_retention.policy.resume import ResumeCandidate

OLD = "20261010_080000_bbbbbbbb"
PATIENCE = 60.0
"""Seconds after which a test gives up on a thread."""


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    return HomeBuilder(tmp_path / "home").session(OLD, age=aged(40 * DAY))


class Gateway:
    """A manager with the plugin, under these settings (``MODE="enforce"``), and what it was told."""

    def __init__(self, home: HomeBuilder, *others: object, **settings: str) -> None:
        self.home = home
        self.manager = bare_plugin_manager()
        environ = {f"HERMES_RETENTION_{name}": text for name, text in settings.items()}
        self.plugin = RetentionPlugin(home=home.path, environ=environ, plugins=self._all)
        self.manager.register(self.plugin, name=NAME)
        for other in others:
            self.manager.register(other)
        self.hook = self.manager.hook

    def _all(self) -> pluggy.PluginManager:
        return self.manager

    def pending(self) -> list[Pending]:
        ledger = site_of(self.home).workspace.ledger_if_any()
        if ledger is None:
            return []
        with ledger:
            return ledger.queue.lines()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def end(gateway: Gateway) -> None:
    assert gateway.plugin.worker.stop(PATIENCE)


def test_what_hooks_tell_is_in_the_queue_when_a_short_process_ends(home: HomeBuilder) -> None:
    gateway = Gateway(home)
    gateway.hook.session_reset(session_key="k", old_session_id="a", new_session_id="b", platform="irc")
    gateway.hook.session_end(session_id="c", reason="session_expired", platform="irc")
    gateway.hook.cron_complete(job_id="j", session_id="cron_j_20261120_120000", succeeded=True)
    gateway.hook.turn_end(session_id="b", session_key="k", platform="irc", usage={})
    end(gateway)
    assert {(line.occasion, line.session_id) for line in gateway.pending()} == {
        (Occasion.RESET, "a"),
        (Occasion.END, "c"),
        (Occasion.CRON, "cron_j_20261120_120000"),
    }
    assert (home.files / name_of("snapshot", OLD)).exists()


def test_what_hooks_tell_is_on_disk_soon(home: HomeBuilder) -> None:
    gateway = Gateway(home)
    gateway.hook.session_end(session_id="c", reason="session_expired", platform="irc")
    wait_until(lambda: len(gateway.pending()) == 1)
    end(gateway)


@pytest.mark.parametrize("mode", ["off", "observe"])
def test_plugin_that_must_not_remove_writes_nothing(home: HomeBuilder, mode: str) -> None:
    gateway = Gateway(home, MODE=mode, STARTUP_DELAY="0s")
    gateway.hook.gateway_startup(home=home.path, platforms=["irc"])
    gateway.hook.session_end(session_id="c", reason="session_expired", platform="irc")
    gateway.hook.gateway_shutdown()
    end(gateway)
    assert not (home.path / "retention").exists()
    assert (home.files / name_of("snapshot", OLD)).exists()


def test_gateway_sweeps_on_a_thread_of_its_own(home: HomeBuilder) -> None:
    heard: list[tuple[str, str, str]] = []

    class Listener:
        @hookimpl
        def session_archived(self, session: Session, location: Location) -> None:
            heard.append((session.id, location.part, threading.current_thread().name))

    gateway = Gateway(home, Listener(), MODE="enforce", STARTUP_DELAY="0s")
    gateway.hook.gateway_startup(home=home.path, platforms=["irc"])
    gateway.hook.gateway_startup(home=home.path, platforms=["irc"])
    wait_until(lambda: bool(heard))
    end(gateway)
    assert heard == [(OLD, "files", "hermes-retention")]
    assert not (home.files / name_of("snapshot", OLD)).exists()


def test_plugin_of_another_package_keeps_a_session_from_the_gateway(home: HomeBuilder) -> None:
    asked: list[str] = []

    class Holder:
        @hookimpl
        def retention_hold(self, session: Session) -> str:
            asked.append(session.id)
            return "mine"

    gateway = Gateway(home, Holder(), MODE="enforce", STARTUP_DELAY="0s")
    gateway.hook.gateway_startup(home=home.path, platforms=["irc"])
    wait_until(lambda: bool(asked))
    end(gateway)
    assert (home.files / name_of("snapshot", OLD)).exists()


def test_home_that_cannot_be_read_costs_a_warning_and_no_gateway(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = HomeBuilder(tmp_path / "home", database=False)
    (home.path / "state.db").write_bytes(b"no database at all" * 1000)
    gateway = Gateway(home, MODE="enforce", STARTUP_DELAY="0s")
    with caplog.at_level(logging.WARNING, "hermes_retention"):
        gateway.hook.gateway_startup(home=home.path, platforms=["irc"])
        wait_until(lambda: "state.db" in caplog.text)
        gateway.hook.session_end(session_id="c", reason="session_expired", platform="irc")
        wait_until(lambda: len(gateway.pending()) == 1)
        end(gateway)
    assert len(caplog.records) == 1


def test_gateway_can_be_told_its_home_at_startup(home: HomeBuilder) -> None:
    plugin = RetentionPlugin(
        environ={"HERMES_RETENTION_MODE": "enforce", "HERMES_RETENTION_STARTUP_DELAY": "0s"}
    )
    manager = bare_plugin_manager()
    manager.register(plugin)
    manager.hook.session_end(session_id="nowhere", reason="session_expired", platform="irc")
    manager.hook.gateway_startup(home=home.path, platforms=[])
    wait_until(lambda: not (home.files / name_of("snapshot", OLD)).exists())
    assert plugin.worker.stop(PATIENCE)


# Resuming


def candidates(*ages: float) -> Sequence[ResumeCandidate]:
    now = time.time()
    return [ResumeCandidate(f"s{number}", "k", now - age) for number, age in enumerate(ages)]


def test_plan_to_resume_follows_the_settings(home: HomeBuilder) -> None:
    gateway = Gateway(home, RESUME_MAX="2", RESUME_MAX_AGE="10m")
    plan = gateway.hook.plan_resume(candidates=candidates(MINUTE, 3 * MINUTE, 2 * MINUTE, HOUR))
    assert [one.session_id for one in plan.resume] == ["s0", "s2"]
    assert not (home.path / "retention").exists()


@pytest.mark.parametrize("settings", [{"MODE": "off"}, {"RESUME_MAX": "-1"}])
def test_gateway_decides_itself_what_it_resumes(
    home: HomeBuilder, settings: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = Gateway(home, **settings)
    assert gateway.hook.plan_resume(candidates=candidates(MINUTE)) is None
    assert ("RESUME_MAX" in caplog.text) == ("RESUME_MAX" in settings)
