"""The program as a process of its own: quick help, pipes that close, and both ways to start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from homes import DAY, HomeBuilder
from program import PROGRAM, aged, run, start, type_at

OLD = "20261010_080000_bbbbbbbb"
HEAVY = {"pydantic", "zstandard", "msgspec", "rich", "filelock", "yaml", "sqlite3", "pluggy", "dataclasses"}


def modules_after(*arguments: str) -> set[str]:
    """The modules that a run of the program has imported when it ends."""
    lines = (
        "import sys, json, io, contextlib\n"
        "from hermes_retention.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    main({list(arguments)!r})\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    return {str(name) for name in json.loads(done.stdout)}


@pytest.mark.parametrize("arguments", [("--help",), ("sweep", "--help"), ("--version",), ()])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    names = {name.partition(".")[0] for name in modules_after(*arguments)}
    assert not names & HEAVY


def test_help_does_not_look_for_the_version() -> None:
    assert "importlib.metadata" not in modules_after("--help")


@pytest.mark.parametrize("before", [(), ("-v",), ("--home", "sweep")])
def test_named_command_loads_no_other(before: tuple[str, ...]) -> None:
    commands = "hermes_retention.cli.commands."
    loaded = {name for name in modules_after(*before, "doctor", "--help") if name.startswith(commands)}
    assert loaded == {f"{commands}doctor"}


def test_plain_output_does_not_import_rich(tmp_path: Path) -> None:
    HomeBuilder(tmp_path / "home")
    assert "rich" not in modules_after("--home", str(tmp_path / "home"), "sweep", "--dry-run")


def test_module_and_command_are_the_same_program(tmp_path: Path) -> None:
    HomeBuilder(tmp_path / "home")
    result = start("--home", str(tmp_path / "home"), "status")
    assert result.code == 0
    assert result.out.startswith(str((tmp_path / "home").resolve()))


def test_reader_may_stop_reading(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home")
    for number in range(40):
        home.session(f"20261001_0800{number:02}_eeeeeeee", age=50 * DAY)
    run(home, "sweep", "--yes")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PROGRAM, "--home", str(home.path), "archive", "list"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert done.returncode == 141
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_output_on_a_full_disk_is_one_clear_line(tmp_path: Path, options: tuple[str, ...]) -> None:
    home = HomeBuilder(tmp_path / "home")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*PROGRAM, "--home", str(home.path), "status", *options],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"no space left" in done.stderr


def test_sweep_works_with_every_stream_closed(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(OLD, age=aged(40 * DAY))
    command = 'exec "$@" <&- >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", command, "sh", *PROGRAM, "--home", str(home.path), "sweep", "--yes"], check=False
    )
    assert done.returncode == 0
    assert os.listdir(home.files) == []


def test_live_session_is_known_by_its_name_in_any_locale(tmp_path: Path) -> None:
    key, session_id = "agent:main:telegram:dm:1", "größe"
    home = HomeBuilder(tmp_path / "home").route(key, session_id, age=aged(40 * DAY))
    home.session(session_id, age=aged(40 * DAY), ended=None, key=key)
    environ = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = start("--home", str(home.path), "sweep", "--yes", "--json", environ=environ)
    assert (result.code, json.loads(result.out)["counts"]["files_archived"]) == (0, 0)
    assert (home.files / f"session_{session_id}.json").exists()


def test_ctrl_c_at_the_question_changes_nothing(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(OLD, age=aged(40 * DAY))
    result = type_at("sweep", "--home", str(home.path), answer="\x03")
    assert result.code == 130
    assert "nothing is lost" in result.out
    assert "Traceback" not in result.out
    assert (home.files / f"session_{OLD}.json").exists()


def test_two_processes_do_not_sweep_at_once(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(OLD, age=aged(40 * DAY))
    command = [*PROGRAM, "--home", str(home.path), "sweep", "--yes", "--json"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    answers = [(process.communicate(timeout=60), process.returncode) for process in processes]
    assert {code for _, code in answers} <= {0, 3}
    done = [json.loads(out) for (out, _), code in answers if code == 0]
    assert sum(answer["counts"]["files_archived"] for answer in done) == 1


def test_demo_proves_itself() -> None:
    result = start("demo")
    assert result.code == 0, result.err
    assert "restored" in result.out
