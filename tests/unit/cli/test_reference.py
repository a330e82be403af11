"""The reference names every command, option, exit code and JSON field, and no others."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
from homes import DAY, HomeBuilder
from program import run
from verdicts import Verdict

from hermes_retention.cli import add_commands
from hermes_retention.cli.main import INTERRUPTED, READER_GONE
from hermes_retention.model.errors import ExitCode
from hermes_retention.stores.base import DatabaseSpace

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"
COMMANDS = (REFERENCE / "commands.md").read_text(encoding="utf-8")
EXIT_CODES = (REFERENCE / "exit-codes.md").read_text(encoding="utf-8")
STATUS_JSON = (REFERENCE / "status-json.md").read_text(encoding="utf-8")
SWEEP_JSON = (REFERENCE / "sweep-json.md").read_text(encoding="utf-8")


def section(page: str, title: str) -> str:
    """What stands below a heading, up to the next one of any level."""
    match = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    assert match, f"no section {title}"
    return match[1]


def first_column(text: str) -> list[str]:
    """The first cell of every row of a table, without its head."""
    cells = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    return [cell for cell in cells if cell[0] in "`0123456789"]


def documented_options(text: str) -> set[str]:
    """The option or argument at the beginning of each piece of code in the first column."""
    codes = [code for cell in first_column(text) for code in re.findall(r"`([^`]+)`", cell)]
    return {code.split()[0].rstrip("…") for code in codes}


def parsers_of(parser: argparse.ArgumentParser, name: str = "") -> dict[str, argparse.ArgumentParser]:
    found = {name: parser}
    for action in parser._actions:  # noqa: SLF001 - argparse tells it nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the same
            for inner, below in action.choices.items():
                found.update(parsers_of(below, f"{name} {inner}".strip()))
    return found


def all_parsers() -> dict[str, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser()
    add_commands(parser)
    return parsers_of(parser)


def options_of(parser: argparse.ArgumentParser, *, global_ones: bool) -> set[str]:
    found: set[str] = set()
    for action in parser._actions:  # noqa: SLF001 - argparse tells it nowhere else
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):  # noqa: SLF001 - the same
            continue
        if (action.dest.startswith("retention_") or action.dest == "version") is global_ones:
            found.update(action.option_strings or [str(action.metavar)])
    return found


def test_commands_are_those_of_the_parsers() -> None:
    documented = re.findall(r"^##+ `([a-z ]+)`$", COMMANDS, re.MULTILINE)
    assert documented == [name for name in all_parsers() if name]


@pytest.mark.parametrize("name", [name for name in all_parsers() if name])
def test_options_of_each_command_are_documented(name: str) -> None:
    documented = documented_options(section(COMMANDS, f"`{name}`"))
    assert documented == options_of(all_parsers()[name], global_ones=False)


def test_global_options_are_documented() -> None:
    documented = documented_options(section(COMMANDS, "Global options"))
    assert documented == options_of(all_parsers()[""], global_ones=True)


def test_exit_codes_are_documented() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", EXIT_CODES, re.MULTILINE)
    assert [(int(code), name) for code, name in rows] == [(code.value, code.name) for code in ExitCode]
    others = re.findall(r"^\| (\d+) \| [^`]", EXIT_CODES, re.MULTILINE)
    assert [int(code) for code in others] == [INTERRUPTED, READER_GONE]


def test_fields_of_a_sweep_are_documented(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session("20261010_080000_bbbbbbbb", age=40 * DAY).file("notes.txt")
    vault = home.path / "retention" / "archive"
    vault.mkdir(parents=True)
    (vault / "2026-10.db").write_bytes(b"garbage")
    answer = run(home, "sweep", "--yes", "--json").json

    def fields(title: str) -> list[str]:
        return [cell.strip("`") for cell in first_column(section(SWEEP_JSON, title))]

    assert list(answer) == fields("The object")
    assert list(answer["counts"]) == fields("`counts`")
    assert list(DatabaseSpace.__struct_fields__) == fields("`database`")
    for name in ("steps", "failures", "unknown"):
        assert list(answer[name][0]) == fields(f"`{name}`")


def test_every_verdict_of_a_step_is_documented() -> None:
    (row,) = [line for line in section(SWEEP_JSON, "`steps`").splitlines() if line.startswith("| `verdict`")]
    assert set(re.findall(r"`([a-z_]+)`", row)) == {"verdict", *map(str, Verdict)}


def test_fields_of_an_error_are_documented(tmp_path: Path) -> None:
    error = run(tmp_path / "nowhere", "sweep", "--json").json["error"]
    assert list(error) == re.findall(r'^    "(\w+)":', section(SWEEP_JSON, "Errors"), re.MULTILINE)


def test_fields_of_status_are_documented(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session("a", age=40 * DAY).session("b", age=9 * DAY)
    run(home, "sweep", "--yes")
    home.session("c", age=8 * DAY)
    answer = run(home, "status", "--json").json

    def fields(title: str) -> list[str]:
        return [cell.strip("`") for cell in first_column(section(STATUS_JSON, title))]

    assert list(answer) == fields("The object")
    for name in ("archive", "usage", "growth"):
        assert list(answer[name]) == fields(f"`{name}`")
    for name in ("sessions", "due", "sweeps"):
        assert list(answer[name][0]) == fields(f"`{name}`")
    assert set(answer["database"]) == {"file_bytes", "free_bytes"}
    assert list(answer["host_settings"][0]) == ["name", "value", "default", "why"]
