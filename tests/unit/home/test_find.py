"""Which home is meant: the same one for the host, the plugin and the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hermes_retention.gateway import hermes as registration
from hermes_retention.home.find import find_home, hermes_home, host_home, oddity_of_variable
from hermes_retention.model.errors import UsageError


@pytest.mark.parametrize("form", ["{}", " {}", "{} ", "\t{}\n"])
def test_blanks_around_the_variable_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    environ = {"HERMES_HOME": form.format(tmp_path)}
    monkeypatch.setenv("HERMES_HOME", environ["HERMES_HOME"])
    assert find_home(None, "auto", environ) == tmp_path
    assert host_home(environ) == registration.home_of_this_process() == tmp_path


@pytest.mark.parametrize("blank", ["", " ", "\t "])
def test_blank_variable_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HERMES_HOME", blank)
    usual = tmp_path / ".hermes"
    usual.mkdir()
    assert hermes_home({"HERMES_HOME": blank}) is None
    assert find_home(None, "auto", {"HERMES_HOME": blank}) == usual
    assert registration.home_of_this_process() == usual


def test_tilde_in_the_variable_is_a_name_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    (tmp_path / "me" / "hh").mkdir(parents=True)
    environ = {"HERMES_HOME": "~/hh"}
    assert host_home(environ) == Path("~/hh")
    with pytest.raises(UsageError, match="no such directory: HERMES_HOME begins with ~"):
        find_home(None, "auto", environ)
    (tmp_path / "~" / "hh").mkdir(parents=True)
    assert find_home(None, "auto", environ) == Path("~/hh")
    assert find_home("~/hh", "auto", environ) == tmp_path / "me" / "hh", "the option is typed by a person"


def test_variable_is_not_about_openclaw_homes(tmp_path: Path) -> None:
    environ = {"HERMES_HOME": "/nowhere", "OPENCLAW_STATE_DIR": str(tmp_path)}
    assert find_home(None, "openclaw", environ) == tmp_path


@pytest.mark.parametrize(
    ("value", "said"),
    [("/srv/hermes", None), ("", None), (" /srv/hermes", "blanks"), (" ", "blanks"), (" ~/hermes", "begins")],
)
def test_what_others_may_read_differently_is_named(value: str, said: str | None) -> None:
    oddity = oddity_of_variable({"HERMES_HOME": value})
    assert oddity is None if said is None else said in str(oddity)
