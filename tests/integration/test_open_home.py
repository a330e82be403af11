"""One home, opened at every edge: the same defaults, the same limits, the same chats that stay."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from homes import DAY, HOUR, MINUTE, HomeBuilder
from openclaw_homes import OpenClawHome
from program import run, run_bare
from rounds import Clocks, rounds_of

from hermes_retention.home.open import HomeLoader, open_home
from hermes_retention.plugins import Extensions
from hermes_retention.stores.hermes.store import HermesStore
from hermes_retention.stores.openclaw.store import OpenClawStore


@pytest.fixture
def claw(tmp_path: Path) -> OpenClawHome:
    """Chats of long ago, which stay in this layout, and a hook that is over."""
    home = OpenClawHome(tmp_path / "claw")
    for kind in ("main", "direct", "group"):
        home.session(kind, age=400 * DAY)
    home.session("hook", age=2 * HOUR)
    return home.write()


def sweep_as_a_gateway(path: Path, *, cache: str = "1000000") -> None:
    clocks = Clocks()
    rounds = rounds_of(path, clocks, MODE="enforce", STARTUP_DELAY="0s", INDEX__CACHE_MAX_BYTES=cache)
    rounds.begin()
    rounds.run_due()
    rounds.close()


def test_gateway_keeps_the_chats_that_the_command_line_keeps(claw: OpenClawHome, tmp_path: Path) -> None:
    sweep_as_a_gateway(claw.path)
    left = set(claw.read())
    assert sorted(key.split(":")[2] for key in left) == ["main", "telegram", "telegram"]
    other = OpenClawHome(tmp_path / "other")
    other.entries = claw.entries
    for entry in claw.entries["main"].values():
        other.transcript(entry["sessionId"], age=400 * DAY)
    run(other.write().path, "sweep", "--yes")
    assert set(other.read()) == left


def test_gateway_keeps_to_the_limit_of_the_index_cache(
    claw: OpenClawHome, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hermes_retention")
    sweep_as_a_gateway(claw.path, cache="200")
    assert "more than the 200 B that are kept in memory" in caplog.text
    caplog.clear()
    claw.session("hook", age=2 * HOUR)
    claw.write()
    sweep_as_a_gateway(claw.path)
    assert "kept in memory" not in caplog.text


def test_proposed_settings_stand_on_the_defaults_of_the_layout(claw: OpenClawHome) -> None:
    answer = run(claw.path, "simulate", "--days", "40", "--set", "MIN_AGE=10m", "--json").json
    assert answer["proposed"]["points"] == answer["current"]["points"]


def test_opened_home_has_what_its_settings_say(claw: OpenClawHome, tmp_path: Path) -> None:
    environ = {"HERMES_RETENTION_MODE": "observe", "HERMES_RETENTION_METRICS_FILE": "/srv/x.prom"}
    home = open_home(claw.path, environ=environ)
    assert isinstance(home.store, OpenClawStore)
    assert (home.mode, home.metrics_file) == ("observe", Path("/srv/x.prom"))
    assert home.policy == HomeLoader(claw.path, environ={}).settings.policy()
    hermes = HomeBuilder(tmp_path / "hermes").path
    assert isinstance(open_home(hermes, environ={}).store, HermesStore)
    assert open_home(hermes, environ={}).policy != home.policy


def test_wrong_settings_leave_the_defaults_of_the_layout(claw: OpenClawHome) -> None:
    loader = HomeLoader(claw.path, environ={"HERMES_RETENTION_MODE": "junk"}, extensions=Extensions)
    right = HomeLoader(claw.path, environ={}, extensions=Extensions)
    assert loader.on_defaults().home.policy == right.home.policy


def test_doctor_looks_at_a_store_although_the_settings_are_wrong(
    claw: OpenClawHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERMES_RETENTION_MODE", "junk")
    findings = {it["check"]: it for it in run(claw.path, "doctor", "--json").json["findings"]}
    assert findings["settings"]["level"] == "error"
    assert findings["store"]["what"] == "4 sessions can be read"


@pytest.mark.parametrize(
    ("form", "level"), [("{}", None), (" {} ", "warning"), ("{}/.", None), ("./~/../here", None)]
)
def test_doctor_names_a_variable_that_others_read_differently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, level: str | None
) -> None:
    home = HomeBuilder(tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()
    monkeypatch.setenv("HERMES_HOME", form.format(home.path))
    found = _levels(run_bare("doctor", "--json").json)
    assert found.get("home") == level


def test_doctor_names_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    HomeBuilder(tmp_path / "~" / "here").session("20261120_115500_dddddddd", age=MINUTE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERMES_HOME", "~/here")
    result = run_bare("doctor", "--json")
    assert _levels(result.json)["home"] == "warning"
    assert result.code == 1


def _levels(answer: Any) -> dict[str, str]:  # noqa: ANN401 - JSON
    return {finding["check"]: finding["level"] for finding in answer["findings"]}
