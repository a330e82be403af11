"""Whatever is shown, no name makes a terminal do anything: names are escaped where they are shown."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from homes import DAY, HomeBuilder
from program import Result, run, run_bare

NASTY = "esc\x1b[31mhome"
SHOWN = r"esc\x1b[31mhome"
OLD, OTHER = "20261010_080000_bbbbbbbb", "20261011_090000_cccccccc"


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """One session in the archive, one in the store."""
    home = HomeBuilder(tmp_path / NASTY).session(OLD, age=40 * DAY, files=("snapshot", "transcript"))
    assert run(home, "sweep", "--yes").code == 0
    return home.session(OTHER, age=40 * DAY)


def assert_is_harmless(result: Result) -> None:
    for text in (result.out, result.err):
        obeyed = {character for character in text if unicodedata.category(character) in ("Cc", "Cf", "Cs")}
        assert obeyed <= {"\n"}


def test_restore_onto_another_file_of_that_name(home: HomeBuilder) -> None:
    (home.files / f"session_{OLD}.json").write_text("somebody else's")
    result = run(home, "restore", OLD)
    assert result.code == 1
    assert SHOWN in result.out + result.err
    assert_is_harmless(result)


@pytest.mark.parametrize(
    "arguments",
    [
        ("sweep", "--dry-run"),
        ("sweep",),
        ("status",),
        ("status", "--json"),
        ("explain", OTHER),
        ("explain", "\x1b[31m20261010"),
        ("restore", "\x1b[31m20261010"),
        ("archive", "list"),
        ("archive", "export", OLD, "--to", "."),
        ("hold", "add", OTHER, "--reason", "\x1b[31mwhy\u202e"),
        ("hold", "add", "\x1b[31mnobody"),
        ("simulate", "--set", "MIN_AGE=\x1b[31m"),
        ("simulate", "--set", "\x1b[31m=1"),
        ("report", "--html", "."),
        ("prune", "--older-than", "1d"),
        ("compact",),
        ("doctor",),
        ("settings",),
        ("metrics",),
        ("\x1b[31mno-command",),
        ("status", "--\x1b[31mno-option"),
    ],
    ids=lambda arguments: " ".join(arguments).replace("\x1b", "ESC"),
)
def test_every_command_shows_the_home_escaped(
    home: HomeBuilder, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home.path)
    # A lock, settings and an index that nobody can read: warnings and errors have names to show.
    assert_is_harmless(run(home, *arguments))
    (home.path / "config.yaml").write_text("sessions_dir: \x1b[31m\n")
    (home.path / ".env").write_text("HERMES_RETENTION_MODE=\x1b[31mloud\x1b[0m\nHERMES_RETENTION_\x1b=1\n")
    result = run(home, *arguments)
    assert_is_harmless(result)
    assert_is_harmless(run(home, *arguments, "-v"))
    (home.path / ".env").unlink()
    (home.files / "sessions.json").write_bytes(b"\x1b[31m not JSON")
    assert_is_harmless(run(home, *arguments))


def test_home_that_is_not_there(tmp_path: Path) -> None:
    result = run_bare("--home", str(tmp_path / f"{NASTY}\nand more"), "status")
    assert result.code == 2
    assert rf"{SHOWN}\nand more" in result.err
    assert result.err.count("\n") == 1
    assert_is_harmless(result)
