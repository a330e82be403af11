"""Help fits a terminal, and a mistyped option is answered with the usage of its command."""

from __future__ import annotations

import pytest

from hermes_retention.cli import main


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["sweep", "--dryrun"], "sweep"),
        (["archive", "list", "--classes"], "archive list"),
        (["hold", "--force"], "hold"),
    ],
)
def test_unknown_option_shows_the_usage_of_its_command(
    arguments: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"usage: hermes-retention {command} [-h]")
    assert f"hermes-retention {command}: error: unrecognized arguments: {arguments[-1]}" in said


def test_unknown_global_option_shows_the_usage_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--hom", "x"]) == 2
    assert capsys.readouterr().err.startswith("usage: hermes-retention [-h]")


@pytest.mark.parametrize(
    "command",
    [
        *("", "sweep", "status", "explain", "search", "restore", "undo"),
        *("hold", "hold add", "hold remove", "hold list"),
        *("archive", "archive list", "archive show", "archive verify", "archive export", "archive remove"),
        *("forget", "prune", "compact", "doctor", "metrics", "settings", "demo"),
    ],
)
def test_help_fits_80_columns(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command.split(), "--help"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []
