# ruff: noqa: ANN401 - it stands between anybody and any function
"""Power loss: records the order of all that changes a home, and what a disk may hold when the power fails.

    with Recorder(home.path) as recorder:
        home.sweep()
    for state in recorder.states(chance):
        state.write_to(path)

What was synced is there. Of what was not yet synced anything may be missing: each change of a directory by
itself, the content of a file, and the last transactions of a database that is written without waiting for the
disk (``state.db``). Commits of the vault and the ledger are synced, with their directory, by SQLite itself.
"""

from __future__ import annotations

import fcntl
import os
import random
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
from faults import AtOnce

from hermes_retention.actions.sweep import archive_files, archive_rows
from hermes_retention.disk import effects

HOST_DATABASE = "state.db"
_BESIDE = ("-wal", "-shm", "-journal")


class File(msgspec.Struct):
    """A file with the names that lead to it told elsewhere."""

    content: bytes
    mtime_ns: int
    mode: int


class Change(msgspec.Struct):
    """Something that happened: ``kind`` with the paths it concerns, and since when it is durable."""

    kind: str
    path: str
    other: str = ""
    content: dict[str, bytes] = {}
    durable_from: float = float("inf")
    """Number of the change after which nothing can undo it any more."""


class State(msgspec.Struct):
    """What a disk may hold."""

    after: int
    missing: list[int]
    files: dict[str, File]
    directories: set[str]

    def write_to(self, path: Path) -> None:
        """Make it, as a home at ``path``."""
        for directory in sorted(self.directories):
            (path / directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, file in self.files.items():
            if not (path / name).parent.is_dir():
                continue  # its directory is missing, and so is the file
            (path / name).write_bytes(file.content)
            (path / name).chmod(file.mode)
            os.utime(path / name, ns=(file.mtime_ns, file.mtime_ns))


class Recorder:
    """A context manager; the home must be at rest when it begins."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.changes: list[Change] = []
        self._start, self._directories = _look(home)
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        for name in ("write", "fsync", "mkdir", "link", "rename", "unlink", "open_file"):
            self._patch.setattr(effects, name, self._wrapped(name, getattr(effects, name)))
        self._patch.setattr(effects, "connect", self._connecting(effects.connect))
        for module in (archive_files, archive_rows):
            self._patch.setattr(module, "ThreadPoolExecutor", AtOnce)
        return self

    def __exit__(self, *error: object) -> None:
        self._patch.undo()

    # -- recording -----------------------------------------------------------------------------------

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        note = getattr(self, f"_note_{name}")

        def wrapped(*arguments: Any, **options: Any) -> Any:
            before = self._path(arguments[0], options, "dir_fd", "src_dir_fd")
            done = call(*arguments, **options)
            note(done, before, arguments, options)
            return done

        return wrapped

    def _path(self, what: Any, options: dict[str, Any], *names: str) -> str:
        """Relative to the home."""
        if isinstance(what, int):
            return os.path.relpath(_opened(what), self._home)
        directory = next((options[name] for name in names if options.get(name) is not None), None)
        base = self._home if directory is None else _opened(directory)
        return os.path.relpath(os.path.join(base, os.fsdecode(what)), self._home)

    def _add(self, kind: str, path: str, other: str = "", content: dict[str, bytes] | None = None) -> Change:
        self.changes.append(Change(kind, path, other, content or {}))
        return self.changes[-1]

    def _note_open_file(self, done: int, path: str, arguments: Any, options: Any) -> None:
        if len(arguments) > 1 and arguments[1] & os.O_CREAT:
            self._add("create", path)

    def _note_write(self, done: int, path: str, arguments: Any, options: Any) -> None:
        self._add("write", path, content={path: bytes(arguments[1][:done])})

    def _note_mkdir(self, done: None, path: str, arguments: Any, options: Any) -> None:
        self._add("mkdir", path)

    def _note_unlink(self, done: None, path: str, arguments: Any, options: Any) -> None:
        self._add("unlink", path)

    def _note_link(self, done: None, path: str, arguments: Any, options: Any) -> None:
        self._add("link", path, self._path(arguments[1], options, "dst_dir_fd"))

    def _note_rename(self, done: None, path: str, arguments: Any, options: Any) -> None:
        self._add("rename", path, self._path(arguments[1], options, "dst_dir_fd"))

    def _note_fsync(self, done: None, path: str, arguments: Any, options: Any) -> None:
        self._sync(path)

    def _sync(self, path: str) -> None:
        now = len(self.changes)
        for change in self.changes:
            if change.kind == "commit" and path == f"{change.path}-wal":
                change.durable_from = min(change.durable_from, now)
            if change.kind == "write":
                hit = change.path == path
            elif change.kind == "commit":
                hit = False
            else:
                # A rename between two directories is one entry in the journal of the file system.
                hit = path in {
                    os.path.dirname(it) or "." for it in (change.path, change.other or change.path)
                }
            if hit:
                change.durable_from = min(change.durable_from, now)

    def _connecting(self, connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
        recorder = self

        class Recorded(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
                cursor = super().execute(sql, *arguments)
                if not self.in_transaction and not sql.lstrip().upper().startswith(("SELECT", "PRAGMA")):
                    recorder.note_commit(self)
                return cursor

            def close(self) -> None:
                super().close()
                # Whoever closes last brings the log into the file, synced.
                if not os.path.exists(recorder.log_of_host):
                    recorder.note_fsync(f"{HOST_DATABASE}-wal")

            def executescript(self, sql: str) -> sqlite3.Cursor:
                cursor = super().executescript(sql)
                recorder.note_commit(self)
                return cursor

        def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
            return connect(*arguments, factory=Recorded, **options)

        return connected

    @property
    def log_of_host(self) -> Path:
        """The log of the host's database."""
        return self._home / f"{HOST_DATABASE}-wal"

    def note_fsync(self, path: str) -> None:
        """A file, or a directory, was synced."""
        self._sync(path)

    def note_commit(self, connection: sqlite3.Connection) -> None:
        """A transaction ended: what the database's files hold now."""
        name = sqlite3.Connection.execute(connection, "PRAGMA database_list").fetchone()[2]
        if not name or not name.startswith(str(self._home)):
            return
        path = os.path.relpath(name, self._home)
        found = {
            path + suffix: (self._home / (path + suffix)).read_bytes()
            for suffix in ("", *_BESIDE)
            if (self._home / (path + suffix)).exists()
        }
        change = self._add("commit", path, content=found)
        if path != HOST_DATABASE:
            change.durable_from = len(self.changes)
            if path.startswith(os.path.join("retention", "archive")):
                self._sync(os.path.dirname(path))

    # -- what may be left ----------------------------------------------------------------------------

    def states(self, chance: random.Random) -> Iterator[State]:
        """After every change: all of it there; all missing that may be; and a few of these at random."""
        for after in range(len(self.changes) + 1):
            loose = [number for number in range(after) if self.changes[number].durable_from > after]
            yield self._state(after, [])
            if loose:
                yield self._state(after, loose)
                for _ in range(2):
                    yield self._state(after, [one for one in loose if chance.random() < 0.5])

    def _state(self, after: int, missing: Iterable[int]) -> State:
        lost = set(missing)
        # Transactions are lost from the last one backwards: a log is read until its first gap.
        commits = [one for one in lost if self.changes[one].kind == "commit"]
        files = {path: File(it.content, it.mtime_ns, it.mode) for path, it in self._start.items()}
        directories = set(self._directories)
        for number, change in enumerate(self.changes[:after]):
            if number not in lost and not (
                change.kind == "commit" and commits and number > min(commits) and change.path == HOST_DATABASE
            ):
                _apply(change, files, directories)
        return State(after, sorted(lost), files, directories)


def _apply(change: Change, files: dict[str, File], directories: set[str]) -> None:
    """What depends on something that is missing has no effect."""
    kind, path, other = change.kind, change.path, change.other
    if kind == "create":
        files.setdefault(path, File(b"", 0, 0o600))
    elif kind == "mkdir":
        directories.add(path)
    elif kind == "write" and path in files:
        files[path].content += change.content[path]
    elif kind == "link" and path in files:
        files[other] = files[path]
    elif kind == "rename" and path in files:
        files[other] = files.pop(path)
    elif kind == "unlink":
        files.pop(path, None)
    elif kind == "commit" and change.path in files:
        for suffix in _BESIDE:
            files.pop(path + suffix, None)
        for name, content in change.content.items():
            known = files.get(name)
            files[name] = File(content, 0 if known is None else known.mtime_ns, 0o600)


def _look(home: Path) -> tuple[dict[str, File], set[str]]:
    files, directories = {}, set()
    for path in home.rglob("*"):
        name = str(path.relative_to(home))
        status = path.stat()
        if path.is_dir():
            directories.add(name)
        else:
            files[name] = File(path.read_bytes(), status.st_mtime_ns, status.st_mode & 0o777)
    return files, directories


def _opened(descriptor: int) -> str:
    """The path of an open file or directory."""
    if sys.platform == "darwin":
        return os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
    return os.readlink(f"/proc/self/fd/{descriptor}")
