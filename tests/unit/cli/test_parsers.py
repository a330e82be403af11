"""The parsers: what is accepted where, in the program and below somebody else's sub-command."""

from __future__ import annotations

import argparse

import pytest
from program import run_bare

from hermes_retention.cli import add_commands, run
from hermes_retention.cli.options import CLASSES
from hermes_retention.home.find import STORES
from hermes_retention.model.session import SessionClass


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="program")
    add_commands(parser)
    return parser.parse_args(arguments)


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Every command with its parser, ``hold add`` for one below another."""
    found = {}
    for action in parser._actions:  # noqa: SLF001 - argparse tells it nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the same
            for name, inner in action.choices.items():
                below = commands_of(inner)
                found.update({f"{name} {rest}": its for rest, its in below.items()} or {name: inner})
    return found


def all_commands() -> dict[str, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(prog="program")
    add_commands(parser)
    return commands_of(parser)


def test_classes_are_those_of_the_model() -> None:
    assert tuple(SessionClass) == CLASSES


@pytest.mark.parametrize(
    "arguments",
    [
        ("--home", "X", "--store", "hermes", "-v", "hold", "list"),
        ("hold", "--home", "X", "--store", "hermes", "-v", "list"),
        ("hold", "list", "--home", "X", "--store", "hermes", "-v"),
        ("-v", "--home", "Y", "hold", "--store", "hermes", "list", "--home", "X"),
    ],
)
def test_global_options_count_wherever_they_stand(arguments: tuple[str, ...]) -> None:
    namespace = parse(*arguments)
    assert namespace.retention_home == "X"
    assert namespace.retention_store == "hermes"
    assert namespace.retention_verbose


def test_global_options_have_defaults() -> None:
    namespace = parse("sweep")
    assert (namespace.retention_home, namespace.retention_store, namespace.retention_verbose) == (
        None,
        None,
        None,
    )


@pytest.mark.parametrize("arguments", [(), ("hold",), ("archive",)])
def test_without_a_command_there_is_help_and_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = run_bare(*arguments)
    assert result.code == 2
    assert result.out.startswith("usage: hermes-retention")


@pytest.mark.parametrize("name", sorted(all_commands()))
def test_every_command_has_a_handler_and_helps(name: str) -> None:
    assert all_commands()[name].get_default("retention_command") == name
    result = run_bare(*name.split(), "--help")
    assert result.code == 0
    assert result.out.startswith(f"usage: hermes-retention {name}")


def test_every_option_is_explained() -> None:
    for name, parser in all_commands().items():
        for action in parser._actions:  # noqa: SLF001 - argparse tells it nowhere else
            assert action.help, f"{name} {action.dest}"


def test_version() -> None:
    result = run_bare("--version")
    assert result.code == 0
    assert result.out.startswith("hermes-retention ")


@pytest.mark.parametrize(
    "arguments",
    [("sweep", "--dry"), ("swep",), ("archive", "list", "--class", "x")],
)
def test_what_is_not_known_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = run_bare(*arguments)
    assert result.code == 2
    assert "usage: " in result.err


def test_store_of_a_plugin_is_accepted_and_checked_later() -> None:
    assert run_bare("--store", "what-a-plugin-adds", "--help").code == 0


def test_stores_are_the_documented_ones() -> None:
    assert STORES == ("auto", "hermes", "openclaw")


def test_parsers_serve_a_sub_command_of_a_host(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    host = argparse.ArgumentParser(prog="hermes")
    host.add_argument("--home", default="the host's own")
    host.add_argument("--verbose", default="the host's own")
    below = host.add_subparsers(dest="command")
    add_commands(below.add_parser("retention"))
    namespace = host.parse_args(["retention", "status", "--home", str(tmp_path)])
    assert (namespace.home, namespace.verbose, namespace.command) == (*["the host's own"] * 2, "retention")
    assert run(namespace) == 4
    assert capsys.readouterr().err.startswith("hermes-retention: ")
    with pytest.raises(SystemExit):
        host.parse_args(["retention", "sweep", "--help"])
    assert "  hermes retention sweep --dry-run\n" in capsys.readouterr().out
    assert run(host.parse_args(["retention"])) == 2
    assert capsys.readouterr().out.startswith("usage: hermes retention")


def test_command_behind_a_slip_has_its_options_and_complains_by_its_name() -> None:
    result = run_bare("--bogus", "sweep", "--all")
    assert result.code == 2
    assert result.err.endswith("hermes-retention sweep: error: unrecognized arguments: --bogus\n")
