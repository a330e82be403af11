"""The real host for measurements: its environment, homes with a database that its own code made, its prune.

What must not live here: what is measured, and what the figures mean.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.homes import Built, Spec, build_home
from benchmarks.measure import Run, run
from hermes_retention.cli.demo.database import Row, StateDatabase
from hermes_retention.cli.demo.snapshot import Message

VERSION = "0.19.0"
DEFAULT_VARIABLES = 32_766
"""How many variables SQLite allows in a statement unless it was built with another number."""
_CONFIG = """\
model: {provider: custom, default: made-up, base_url: "http://127.0.0.1:9/v1", api_key: sk-made-up}
sessions: {write_json_snapshots: true}
"""
_MAKE_DATABASE = """
import pathlib, sys
from hermes_state import SessionDB
SessionDB(pathlib.Path(sys.argv[1])).close()
"""
_VARIABLES = (
    "import sqlite3; print(sqlite3.connect(':memory:').getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER))"
)
_WITH_DEFAULT_VARIABLES = f"""
import sqlite3, sys
connect = sqlite3.connect
def connect_with_limit(*arguments, **options):
    connection = connect(*arguments, **options)
    connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, {DEFAULT_VARIABLES})
    return connection
sqlite3.connect = connect_with_limit
from hermes_cli.main import main
sys.exit(main())
"""
_OPTIMIZED_SHARE = 0.9
"""The host merges its search tables after every 1,000 writes; what came later lies in small pieces."""
_SEARCH_TABLES = ("messages_fts", "messages_fts_trigram")


class Host(msgspec.Struct, frozen=True):
    """An installed host. ``directory`` is for what it writes outside of its home."""

    python: Path
    directory: Path

    def prune(self, home: Path, days: int) -> Run:
        """``hermes sessions prune``, as a person starts it. Raises ``RuntimeError`` when it fails."""
        return self._run([str(self.python.parent / "hermes"), *_prune(days)], home)

    def prune_with_default_variables(self, home: Path, days: int) -> Run:
        """The same on a SQLite that was built without a higher limit."""
        return self._run([str(self.python), "-c", _WITH_DEFAULT_VARIABLES, *_prune(days)], home)

    def variables(self) -> int:
        """How many variables its SQLite allows in a statement."""
        return int(run([str(self.python), "-c", _VARIABLES]).output)

    def build_home(self, home: Path, spec: Spec, *, now: float) -> Built:
        """Fill ``home`` like ``homes.build_home``, through the tables and triggers that the host makes."""
        home.mkdir(parents=True)
        (home / "config.yaml").write_text(_CONFIG, "utf-8")
        self._run([str(self.python), "-c", _MAKE_DATABASE, str(home / "state.db")], home)
        filled = partial(_HostDatabase, optimize_after=int(spec.sessions * _OPTIMIZED_SHARE))
        built = build_home(home, spec, now=now, database_at=filled)
        self._run(
            [str(self.python.parent / "hermes"), "sessions", "stats"], home
        )  # what it does once per home
        return built

    def _run(self, command: Sequence[str], home: Path) -> Run:
        return run(command, environ=self._environ(home))

    def _environ(self, home: Path) -> Mapping[str, str]:
        path = f"{self.python.parent}{os.pathsep}{os.defpath}"
        return {"PATH": path, "HOME": str(self.directory), "HERMES_HOME": str(home), "LANG": "C.UTF-8"}


def find_host(python: Path | None, work: Path) -> Host:
    """The host that ``python`` has, or one that is installed below ``work``, which takes a minute.

    Raises ``RuntimeError`` when there is none, or one of another version.
    """
    directory = work / "user"
    directory.mkdir()
    if python is None:
        python = _install(work / "host")
    check = "from importlib.metadata import version; print(version('hermes-agent'))"
    found = run([str(python), "-c", check]).output.decode().strip()
    if found != VERSION:
        raise RuntimeError(f"{python} has hermes-agent {found}; these figures are for {VERSION}")
    return Host(python.absolute(), directory)


def _install(directory: Path) -> Path:
    print(f"installing hermes-agent {VERSION} …", file=sys.stderr, flush=True)
    run([sys.executable, "-m", "venv", str(directory)])
    python = directory / "bin" / "python"
    run([str(python), "-m", "pip", "install", "--quiet", f"hermes-agent=={VERSION}"])
    return python


def _prune(days: int) -> tuple[str, ...]:
    return ("sessions", "prune", "--older-than", str(days), "--yes")


def copy_home(home: Path, target: Path) -> None:
    """Copy all of a home, sharing blocks where the file system can, and wait until it is on disk."""
    sharing = ["--reflink=auto"] if sys.platform == "linux" else []
    subprocess.run(["cp", "-Rp", *sharing, str(home), str(target)], check=True)
    os.sync()


class _HostDatabase(StateDatabase):
    """A ``state.db`` that the host made, filled session by session, so that its search tables look used."""

    def __init__(self, path: Path, *, optimize_after: int) -> None:
        self._connection = _connected(path)
        self._left = optimize_after

    def add(self, row: Row, messages: Sequence[Message], *, step: float) -> None:
        """A session with its messages, ``step`` seconds apart, in a transaction of its own."""
        super().add(row, messages, step=step)
        self._left -= 1
        if self._left == 0:
            for table in _SEARCH_TABLES:
                self._connection.execute(f"INSERT INTO {table}({table}) VALUES ('optimize')")
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN")


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -200000")
    connection.execute("BEGIN")
    return connection
