"""What plugins of other packages can say about a sweep, and what they hear of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from homes import HomeBuilder, name_of
from sites import DAY, clock, policy_of, site_of

from hermes_retention.actions.sweep.sweep import preview, sweep
from hermes_retention.home.home import Home
from hermes_retention.hookspecs import Location, hookimpl
from hermes_retention.model.plan import Rule, Tier
from hermes_retention.model.session import Session, SessionClass
from hermes_retention.plugins import Extensions, bare_plugin_manager
from hermes_retention.policy.lifecycle import Lifecycle

KEPT, GONE = "20261010_080000_aaaaaaaa", "20261011_080000_bbbbbbbb"


class Holder:
    """Holds what ``reason`` gives a reason for."""

    def __init__(self, reason: Callable[[Session], object]) -> None:
        self.reason = reason
        self.asked: list[str] = []

    @hookimpl
    def retention_hold(self, session: Session) -> object:
        self.asked.append(session.id)
        return self.reason(session)


class Listener:
    """Remembers what it hears, and what was on disk then."""

    def __init__(self, home: HomeBuilder) -> None:
        self.home = home
        self.heard: list[tuple[str, str, bool, bool]] = []

    @hookimpl
    def session_archived(self, session: Session, location: Location) -> None:
        there = (self.home.files / name_of("snapshot", session.id)).exists()
        self.heard.append((session.id, location.part, location.partition.exists(), there))


class Failing:
    @hookimpl
    def session_archived(self) -> None:
        raise ValueError("secret")


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    return HomeBuilder(tmp_path / "home").session(KEPT, age=40 * DAY).session(GONE, age=40 * DAY)


def site_with(home: HomeBuilder, *plugins: object, **policy: object) -> Home:
    manager = bare_plugin_manager()
    for plugin in plugins:
        manager.register(plugin, name=type(plugin).__name__)
    return msgspec.structs.replace(site_of(home, policy_of(**policy)), extensions=Extensions(manager))


def test_reason_of_a_plugin_keeps_the_session_and_is_shown(home: HomeBuilder) -> None:
    holder = Holder(lambda session: "a court wants it" if session.id == KEPT else None)
    site = site_with(home, holder)
    (kept,) = [step for step in preview(site, clock=clock).steps if step.session_id == KEPT]
    assert (kept.rule, kept.reason) == (Rule.HELD, "held: a court wants it")
    sweep(site, clock=clock, origin="test")
    assert os.listdir(home.files) == [name_of("snapshot", KEPT)]
    assert holder.asked == [KEPT, GONE] * 2


@pytest.mark.parametrize("answer", ["", False, 0])
def test_any_answer_but_none_keeps_the_session(home: HomeBuilder, answer: object) -> None:
    sweep(site_with(home, Holder(lambda _: answer)), clock=clock, origin="test")
    assert len(os.listdir(home.files)) == 2


def test_failing_plugin_keeps_what_it_was_asked_about_with_one_warning(
    home: HomeBuilder, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(session: Session) -> str | None:
        if session.id == KEPT:
            raise ValueError("secret")
        return None

    site = site_with(home, Holder(fail))
    sweep(site, clock=clock, origin="test")
    sweep(site, clock=clock, origin="test")
    assert os.listdir(home.files) == [name_of("snapshot", KEPT)]
    (warning,) = caplog.messages
    assert warning == (
        "plugin Holder failed in retention_hold (ValueError); what it was asked about is kept. "
        "Mend or uninstall it."
    )


def test_plugin_also_keeps_archived_copies_of_what_has_left(home: HomeBuilder) -> None:
    forgetful = Lifecycle(DAY, messages_after=DAY, record_after=DAY, archive_after=DAY)
    policy = {"lifecycles": dict.fromkeys(SessionClass, forgetful)}
    sweep(site_with(home, **policy), clock=clock, origin="test")
    holder = Holder(lambda session: "a court wants it" if session.id == KEPT else None)
    report = sweep(site_with(home, holder, **policy), clock=lambda: clock() + 2 * DAY, origin="test")
    assert [outcome.step.session_id for outcome in report.outcomes] == [GONE]
    assert sorted(holder.asked) == [KEPT, GONE]


def test_plugins_hear_of_each_part_once_its_original_is_gone(home: HomeBuilder) -> None:
    listener = Listener(home)
    both = Lifecycle(DAY, messages_after=DAY)
    site = site_with(home, Failing(), listener, lifecycles=dict.fromkeys(SessionClass, both))
    preview(site, clock=clock)
    assert listener.heard == []
    sweep(site, clock=clock, origin="test")
    assert sorted(listener.heard) == sorted(
        (name, part.value, True, False) for name in (KEPT, GONE) for part in (Tier.FILES, Tier.MESSAGES)
    )


def test_plugins_do_not_hear_of_what_was_deleted(home: HomeBuilder) -> None:
    listener = Listener(home)
    final = Lifecycle(DAY, archive=False)
    site = site_with(home, listener, lifecycles=dict.fromkeys(SessionClass, final))
    sweep(site, clock=clock, origin="test")
    assert os.listdir(home.files) == []
    assert listener.heard == []
