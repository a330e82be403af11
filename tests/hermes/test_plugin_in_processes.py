"""The plugin in the host's short processes: a chat on the command line, a cron job, a sub-command."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hosts import ENABLES_PLUGINS, Host, Model, Program, age
from sites import snapshot_of

UNINSTALLED = """
    import importlib.abc, importlib.metadata, sys

    class Gone(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "hermes_retention":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    found = importlib.metadata.MetadataPathFinder.find_distributions

    def others(*arguments):
        return (it for it in found(*arguments) if it.name != "hermes-retention")

    importlib.metadata.MetadataPathFinder.find_distributions = others
    sys.meta_path.insert(0, Gone())
"""
"""As ``sitecustomize.py``: the package is not there."""


@pytest.fixture
def host(host: Host) -> Host:
    """The host with our plugin."""
    host.enable()
    return host


def hermes(host: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``hermes`` whatever comes of it."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "hermes"), *arguments],
        env=host.environment(),
        cwd=host.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_job(host: Host, times: int) -> None:
    """Let a job run so often."""
    host.run("cron", "create", "--name", "news", "--deliver", "local", "every 1h", "Say hi")
    (job,) = json.loads((host.home / "cron" / "jobs.json").read_text())["jobs"]
    for _ in range(times):
        host.run("cron", "run", job["id"])
        host.run("cron", "tick")


def rows(host: Host, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(host.home / "state.db")) as database:
        return database.execute(query).fetchall()


def test_chat_on_the_command_line_is_as_ever(host: Host) -> None:
    session_id = host.chat("hi")
    assert rows(host, "SELECT id, source, ended_at FROM sessions") == [(session_id, "cli", None)]
    assert (host.sessions / f"session_{session_id}.json").exists()
    answer = hermes(host, "retention", "status", "--json")
    assert answer.returncode == 0
    assert json.loads(answer.stdout)["home"] == str(host.home)


def test_sub_command_is_the_whole_program_with_its_exit_codes(host: Host) -> None:
    host.chat("hi")
    age(host.home, days=30)
    dry = hermes(host, "retention", "sweep", "--dry-run", "--json")
    assert json.loads(dry.stdout)["counts"]["files_archived"] == 1
    assert hermes(host, "retention").returncode == 2
    assert hermes(host, "retention", "explain", "nobody knows").returncode == 2
    help_text = hermes(host, "retention", "sweep", "--help").stdout
    assert "usage: hermes retention sweep" in help_text
    host.settings["HERMES_RETENTION_MODE"] = "nonsense"
    wrong = hermes(host, "retention", "status")
    assert (wrong.returncode, "HERMES_RETENTION_MODE" in wrong.stderr) == (2, True)


@pytest.fixture(scope="module")
def run_thrice(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Host:
    """A home in which a job ran three times, made once, for the host takes seconds for each."""
    host = Host(tmp_path_factory.mktemp("cron") / "home", model.url)
    host.enable()
    run_job(host, 3)
    age(host.home, days=1 / 24)
    return host


@pytest.mark.parametrize("archive", ["true", "false"])
def test_runs_of_a_job_leave_their_record_and_nothing_else(
    host: Host, program: Program, run_thrice: Host, archive: str
) -> None:
    shutil.copytree(run_thrice.home, host.home, dirs_exist_ok=True)
    assert len(rows(host, "SELECT id FROM sessions WHERE ended_at IS NOT NULL")) == 3
    output = snapshot_of(next((host.home / "cron" / "output").iterdir()))
    assert output
    report = program.sweep(CRON__PERSIST="false", CRON__KEEP_LAST="0", CRON__ARCHIVE=archive)
    assert report["counts"]["failed"] == 0
    assert [it.name for it in host.sessions.glob("*cron*")] == []
    assert rows(host, "SELECT id FROM messages") == []
    assert len(rows(host, "SELECT id FROM sessions")) == 3
    assert snapshot_of(next((host.home / "cron" / "output").iterdir())) == output
    assert ("cron_" in program.run("archive", "list")) == (archive == "true")


@pytest.mark.skipif(
    not ENABLES_PLUGINS, reason="this host enables plugins of other packages by its file only"
)
def test_host_itself_enables_and_disables_the_plugin(host: Host) -> None:
    host.configure(lambda config: config.pop("plugins"))
    assert hermes(host, "retention", "status").returncode != 0
    host.run("plugins", "enable", "hermes-retention", "--no-allow-tool-override")
    assert hermes(host, "retention", "status").returncode == 0
    host.run("plugins", "disable", "hermes-retention")
    assert hermes(host, "retention", "status").returncode != 0
    assert host.chat("hi")


def disable(host: Host) -> None:
    host.configure(lambda config: config.pop("plugins"))


def uninstall(host: Host) -> None:
    """The host's configuration still names it."""
    folder = host.home.parent / "uninstalled"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(textwrap.dedent(UNINSTALLED))
    host.settings["PYTHONPATH"] = str(folder)
    left = host.python("""
        from importlib import metadata
        result = [it.name for it in metadata.distributions() if it.name.startswith("hermes")]
    """)
    assert left == ["hermes-agent"]


@pytest.mark.parametrize("leave", [disable, uninstall])
def test_without_the_plugin_the_home_is_read_as_before(
    host: Host, program: Program, leave: Callable[[Host], None]
) -> None:
    first = host.chat("remember the word swordfish")
    age(host.home, days=30)
    program.sweep()
    leave(host)
    host.chat("and now?", "--resume", first)
    assert len(rows(host, "SELECT id FROM sessions")) == 1
    assert rows(host, "SELECT count(*) FROM messages") == [(4,)]
    assert "swordfish" in host.run("sessions", "list")
    assert host.chat("something else") != first


def test_registering_again_in_one_process_tells_nothing_twice(host: Host) -> None:
    result = host.python("""
        from hermes_cli.plugins import discover_plugins, get_plugin_manager, invoke_hook
        discover_plugins()
        manager = get_plugin_manager()
        manager.discover_and_load(force=True)
        from hermes_retention.gateway import hermes as registration
        registration._process.thread._ends = True
        registration._process.thread._thread.join()
        invoke_hook("on_session_end", session_id="a", completed=True, interrupted=False, platform="x")
        told = [it.hook for it in registration._process.inbox.take()]
        result = [told, "retention" in manager._cli_commands, "retention" in manager._plugin_commands]
    """)
    assert result == [["on_session_end"], True, True]
