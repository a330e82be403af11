"""Registering is quick, loads next to nothing, and may happen again."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from homes import HomeBuilder

from hermes_retention.gateway import hermes as registration

HEAVY = ("pydantic", "zstandard", "msgspec", "rich", "filelock", "yaml", "pluggy", "sqlite3")
PYPROJECT = Path(__file__).parents[4] / "pyproject.toml"


class Context:
    """What the host hands to ``register``."""

    def __init__(self) -> None:
        self.hooks: dict[str, Callable[..., object]] = {}
        self.commands: dict[str, tuple[Any, ...]] = {}
        self.slash: dict[str, tuple[Any, ...]] = {}

    def register_hook(self, hook_name: str, callback: Callable[..., object]) -> None:
        self.hooks[hook_name] = callback

    def register_cli_command(
        self,
        name: str,
        help: str,  # noqa: A002 - the host calls it so
        setup_fn: Callable[..., object],
        handler_fn: Callable[..., object] | None = None,
        description: str = "",
    ) -> None:
        self.commands[name] = (setup_fn, handler_fn)

    def register_command(
        self, name: str, handler: Callable[..., Any], description: str = "", args_hint: str = ""
    ) -> None:
        self.slash[name] = (handler, args_hint)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[registration._Process]:
    """What a process has of us, without its thread."""
    monkeypatch.setenv("HERMES_HOME", str(tmp_path))
    monkeypatch.delenv("HERMES_RETENTION_MODE", raising=False)
    process = registration._Process()
    monkeypatch.setattr(process.thread, "start", lambda: None)
    monkeypatch.setattr(registration, "_process", process)
    yield process
    process.thread.finish()


def test_importing_and_registering_loads_nothing_heavy() -> None:
    program = f"""
import sys
class Context:
    def __getattr__(self, name):
        return lambda *arguments, **keywords: None
import hermes_retention.gateway.hermes as plugin
plugin.register(Context())
plugin.register(Context())
print(sorted(set(sys.modules) & set({HEAVY!r})))
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_second_registration_silences_the_first(process: registration._Process) -> None:
    first, second = Context(), Context()
    registration.register(first)
    registration.register(second)
    assert first.hooks.keys() == second.hooks.keys()
    for context in (first, second):
        context.hooks["on_session_end"](session_id="a", platform="cli", completed=True)
    assert len(list(process.inbox.take())) == 1


@pytest.mark.usefixtures("process")
def test_sub_command_ends_the_process_with_our_exit_code(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    HomeBuilder(tmp_path)
    context = Context()
    registration.register(context)
    add, run = context.commands["retention"]
    parser = argparse.ArgumentParser("hermes")
    add(parser.add_subparsers().add_parser("retention"))
    for arguments, code in ((["settings"], 0), (["explain", "no such session"], 2), ([], 2)):
        with pytest.raises(SystemExit) as stop:
            run(parser.parse_args(["retention", *arguments]))
        assert stop.value.code == code
    assert "hermes retention" in capsys.readouterr().out


@pytest.mark.usefixtures("process")
def test_slash_command_answers_from_the_home_of_the_process() -> None:
    context = Context()
    registration.register(context)
    handler, hint = context.slash["retention"]
    assert "find" in hint
    assert "no sweep has removed anything yet" in asyncio.run(handler("status"))


def test_home_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HERMES_HOME", f" {tmp_path} ")
    assert registration.home_of_this_process() == tmp_path
    monkeypatch.setenv("HERMES_HOME", "")
    monkeypatch.setenv("HOME", "/home/ada")
    assert registration.home_of_this_process() == Path("/home/ada/.hermes")


@pytest.mark.usefixtures("process")
def test_hooks_are_those_of_the_manifest() -> None:
    context = Context()
    registration.register(context)
    manifest = yaml.safe_load(
        resources.files("hermes_retention.gateway.hermes").joinpath("plugin.yaml").read_text()
    )
    assert sorted(manifest["provides_hooks"]) == sorted(context.hooks)


def test_manifest_says_what_the_package_says() -> None:
    text = resources.files("hermes_retention.gateway.hermes").joinpath("plugin.yaml").read_text()
    manifest = yaml.safe_load(text)
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    assert manifest["name"] == project["name"]


def test_host_finds_a_module_with_register_under_our_name() -> None:
    (entry,) = metadata.entry_points(group="hermes_agent.plugins", name="hermes-retention")
    assert entry.value == "hermes_retention.gateway.hermes"
    assert callable(entry.load().register)
