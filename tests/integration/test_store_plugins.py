"""Layouts that plugins serve: which of them opens a home, and what becomes of plugins that offer nonsense."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from homes import DAY, NOW, HomeBuilder
from plugin_packages import installed
from rounds import Clocks, pass_until_next, rounds_of

from hermes_retention.home.open import open_store
from hermes_retention.hookspecs import hookimpl
from hermes_retention.model.errors import StoreUnreadable, UsageError
from hermes_retention.plugins import Extensions, StoreOffer, bare_plugin_manager, installed_extensions
from hermes_retention.settings.load import Settings, load_settings
from hermes_retention.stores.base import Store, StoreKind
from hermes_retention.stores.hermes.store import HermesStore


class Opened(HermesStore):
    """Stands for a store of a plugin: which one opened a home is all that matters here."""


class Offering:
    """A plugin that offers what it was given, and remembers the settings."""

    def __init__(self, *answer: object) -> None:
        self.answer = answer
        self.asked: list[Settings] = []

    @hookimpl
    def retention_stores(self, settings: Settings) -> object:
        self.asked.append(settings)
        return self.answer


class Failing:
    @hookimpl
    def retention_stores(self) -> object:
        raise ValueError("secret")


def kind(name: str, mark: str = "chats") -> StoreKind:
    return StoreKind(name, recognises=lambda home: (home / mark).is_dir(), open=Opened)


def offered(home: Path, *plugins: object) -> Callable[[], list[StoreOffer]]:
    manager = bare_plugin_manager()
    for number, plugin in enumerate(plugins, start=1):
        manager.register(plugin, name=f"plugin-{number}")
    extensions = Extensions(manager)
    return lambda: list(extensions.store_offers(load_settings(home, {})))


def names(home: Path, *plugins: object) -> list[str]:
    return [it.kind.name for it in offered(home, *plugins)()]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "chats").mkdir()
    return tmp_path


@pytest.mark.parametrize("wanted", ["auto", "mine"])
def test_store_of_a_plugin_opens_what_it_recognises(home: Path, wanted: str) -> None:
    plugin = Offering(kind("mine"), kind("other", "elsewhere"))
    store = open_store(home, wanted, offers=offered(home, plugin))
    assert type(store) is Opened
    assert plugin.asked[0].policy().min_age == 600


def test_our_own_layouts_go_first_and_ask_nobody(tmp_path: Path) -> None:
    built = HomeBuilder(tmp_path / "home").session("20261010_080000_aaaaaaaa")
    (built.path / "chats").mkdir()
    plugin = Offering(kind("mine"))
    assert type(open_store(built.path, "auto", offers=offered(built.path, plugin))) is HermesStore
    assert plugin.asked == []
    assert type(open_store(built.path, "mine", offers=offered(built.path, plugin))) is Opened


def test_home_that_was_emptied_is_still_the_plugins(home: Path) -> None:
    (home / "retention").mkdir()
    assert type(open_store(home, "auto", offers=offered(home, Offering(kind("mine"))))) is Opened


def test_two_that_recognise_one_home_are_both_named(home: Path) -> None:
    plugins = offered(home, Offering(kind("one")), Offering(kind("two")))
    with pytest.raises(UsageError, match=r"one \(plugin plugin-1\) and two \(plugin plugin-2\).*--store"):
        open_store(home, "auto", offers=plugins)
    assert type(open_store(home, "two", offers=plugins)) is Opened


def test_unknown_name_lists_the_known_ones(home: Path) -> None:
    with pytest.raises(UsageError, match=r"--store his: .*auto, hermes, openclaw, mine"):
        open_store(home, "his", offers=offered(home, Offering(kind("mine"))))


def test_home_that_nobody_recognises_is_left_alone(home: Path) -> None:
    with pytest.raises(StoreUnreadable, match="no sessions of a known host"):
        open_store(home, "auto", offers=offered(home, Offering(kind("mine", "elsewhere"))))


def test_plugin_that_fails_is_left_out_with_a_warning(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert names(home, Failing(), Offering(kind("mine"))) == ["mine"]
    assert "plugin plugin-1 failed in retention_stores (ValueError)" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("nonsense", "complaint"),
    [
        ("jsonl", "offers a str where a StoreKind is wanted"),
        (kind("Not A Name"), "whose name is not made of"),
        (kind("hermes"), "offers a store hermes, a name that hermes-retention itself uses"),
        (kind("auto"), "offers a store auto, a name"),
        (kind("openclaw-sqlite"), "offers a store openclaw-sqlite, a name"),
    ],
)
def test_what_cannot_be_used_is_left_out_with_a_warning(
    home: Path, caplog: pytest.LogCaptureFixture, nonsense: object, complaint: str
) -> None:
    assert names(home, Offering(nonsense, kind("mine"))) == ["mine"]
    assert complaint in caplog.text


def test_one_name_for_two_stores_means_neither(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    ask = offered(home, Offering(kind("mine")), Offering(kind("mine"), kind("other")))
    assert [[it.kind.name for it in ask()] for _ in range(2)] == [["other"], ["other"]]
    assert caplog.text.count("plugins plugin-1 and plugin-2 both offer a store mine") == 1


def test_one_that_fails_to_look_does_not_open(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    broken = StoreKind("broken", recognises=lambda _: 1 / 0 > 1, open=Opened)
    store = open_store(home, "auto", offers=offered(home, Offering(broken), Offering(kind("mine"))))
    assert type(store) is Opened
    assert "plugin plugin-1 failed in recognising broken homes (ZeroDivisionError)" in caplog.text


def test_one_that_fails_to_open_is_an_unreadable_store(home: Path) -> None:
    def fail(_: Path) -> Store:
        raise ValueError("secret")

    broken = StoreKind("broken", recognises=lambda _: True, open=fail)
    with pytest.raises(StoreUnreadable, match=r"plugin plugin-1 failed .*broken home \(ValueError\)"):
        open_store(home, "auto", offers=offered(home, Offering(broken)))


def test_gateway_sweeps_a_home_of_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(installed(tmp_path, "jsonl_store"))
    chats = tmp_path / "bot" / "chats"
    chats.mkdir(parents=True)
    (tmp_path / "bot" / "mybot.toml").touch()
    for name, age in (("00000000000a", 40 * DAY), ("00000000000b", DAY), ("notes", 40 * DAY)):
        (chats / f"{name}.jsonl").write_text("{}\n")
        os.utime(chats / f"{name}.jsonl", (NOW - age, NOW - age))
    clocks = Clocks()
    rounds = rounds_of(tmp_path / "bot", clocks, extensions=installed_extensions, MODE="enforce")
    rounds.begin()
    pass_until_next(rounds, clocks)
    assert sorted(os.listdir(chats)) == ["00000000000b.jsonl", "notes.jsonl"]
