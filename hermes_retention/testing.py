"""The promises of ``Store`` as tests, for whoever writes a store for another host.

Derive from ``StoreContract`` in a test module, say which layout it is and how its host fills a home, and run
pytest. Nothing here imports pytest, and nothing but tests imports this. What must not live here: layouts.
"""

from __future__ import annotations

import shutil
import stat
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from hermes_retention.api import (
    Artifact,
    ArtifactChanged,
    ArtifactKind,
    ArtifactUnreadable,
    ArtifactVanished,
    Home,
    Lifecycle,
    Policy,
    RetentionError,
    Scan,
    Session,
    SessionClass,
    Store,
    StoreFiles,
    StoreKind,
    StoreUnreadable,
    SweepReport,
    restore_sessions,
    sweep,
)
from hermes_retention.home.workspace import ASIDE, FOLDER, Workspace
from hermes_retention.policy.lifecycle import MIN_AGE_FLOOR

_DAY = 86400.0
_NOBODYS = "no-session-has-this-id"
_SIDES = ("-wal", "-shm", "-journal")
"""What SQLite itself keeps beside a database while somebody reads it."""

EntryPrint: TypeAlias = tuple[int, int, int, bytes]
"""Mode, time of the last change in ns (of files), inode, and content or link target."""
TreePrint: TypeAlias = dict[str, EntryPrint]


class StoreContract:
    """Tests that every store has to pass. Each makes a home of its own below ``tmp_path``.

    ``kind`` and ``fill`` are yours. The sessions that ``fill`` writes should be as the host writes them, at
    least two of them with files, last written a day before ``now`` or earlier, and over.
    """

    kind: StoreKind
    """What your plugin offers: name, ``recognises`` and ``open``."""
    stranger = "notes of a person.txt"
    """A file name that the host never gives."""

    @abstractmethod
    def fill(self, home: Path) -> None:
        """Write some sessions into ``home``, an empty directory."""

    def now(self) -> float:
        """The time of these tests in Unix seconds."""
        return time.time()

    # -- which home it is ----------------------------------------------------------------------------

    def test_home_is_recognised_and_an_empty_directory_is_not(self, tmp_path: Path) -> None:
        """``recognises`` looks at what lies there, and changes nothing."""
        home, empty = self._filled(tmp_path), tmp_path / "empty"
        empty.mkdir()
        before = print_of(tmp_path)
        _require(self.kind.recognises(home), "a filled home is recognised")
        _require(not self.kind.recognises(empty), "an empty directory is not recognised")
        _same(before, print_of(tmp_path), "recognising a home changes nothing")

    def test_home_that_every_session_has_left_is_still_recognised(self, tmp_path: Path) -> None:
        """Or the archive of such a home would be out of reach."""
        store = self._open(self._filled(tmp_path))
        self._take_away(store, self._scan(store).sessions)
        _require(self.kind.recognises(store.home), "a home is recognised when its sessions have left")

    def test_store_has_the_name_of_its_kind(self, tmp_path: Path) -> None:
        """The ledger remembers the one and looks for the other."""
        store = self._open(self._filled(tmp_path))
        _require(store.name == self.kind.name, f"the store is called {self.kind.name}, not {store.name}")

    def test_home_may_be_a_symbolic_link(self, tmp_path: Path) -> None:
        """What is below it may not, but the home itself is resolved."""
        home, link = self._filled(tmp_path), tmp_path / "link"
        link.symlink_to(home)
        store = self._open(link)
        _require(store.home == home.resolve(), "home is resolved")
        _require(bool(self._scan(store).sessions), "sessions are found through a link to the home")

    def test_folders_lie_below_the_home(self, tmp_path: Path) -> None:
        """All that is moved is reached from the home, part by part, following no link."""
        store = self._open(self._filled(tmp_path))
        folders = list(store.folders())
        _require(bool(folders), "there is a folder")
        _require(len({one.below for one in folders}) == len(folders), "each folder is named once")
        _require(
            len({one.aside for one in folders}) == len(folders), "each folder waits in a place of its own"
        )
        for folder in folders:
            parts = (*folder.below, *folder.aside)
            plain = all(part not in ("", ".", "..") and "/" not in part for part in parts)
            _require(plain and bool(folder.below), f"{folder} is named by plain parts below the home")
            path = store.home.joinpath(*folder.below)
            _require(path.is_relative_to(store.files_directory), f"{path} lies in files_directory")
        for session in self._scan(store).sessions:
            _require(store.folder_of(session.id) in folders, f"the folder of {session.id} is among folders()")

    # -- scanning ------------------------------------------------------------------------------------

    def test_scan_is_sorted_and_names_everything_once(self, tmp_path: Path) -> None:
        """Ids in order, each once; and no file is of two sessions."""
        store = self._open(self._filled(tmp_path))
        scan = self._scan(store)
        ids = [session.id for session in scan.sessions]
        _require(ids == sorted(set(ids)), "sessions are sorted by id, each at most once")
        _require(len(_with_files(scan)) > 1, "fill() makes at least two sessions with files")
        files = [(store.folder_of(one.id), artifact.name) for one, artifact in _artifacts(scan.sessions)]
        _require(len(files) == len(set(files)), "no file belongs to two sessions")

    def test_scan_describes_files_as_they_are(self, tmp_path: Path) -> None:
        """Size, time, inode and mode are what a removal compares."""
        store = self._open(self._filled(tmp_path))
        for session, artifact in _files(self._scan(store).sessions):
            status = _path(store, session, artifact).lstat()
            _require(stat.S_ISREG(status.st_mode), f"{artifact.name} is a regular file")
            seen = (status.st_size, status.st_mtime_ns, status.st_ino, status.st_mode & 0o7777)
            told = (artifact.size_bytes, artifact.mtime_ns, artifact.inode, artifact.mode)
            _require(seen == told, f"{artifact.name} is described as it is: {seen}, not {told}")

    def test_second_scan_says_the_same(self, tmp_path: Path) -> None:
        """The same home and time give the same plan."""
        store, now = self._open(self._filled(tmp_path)), self.now()
        first, second = store.scan(now=now), store.scan(now=now)
        _require(first == second, "two scans of an unchanged home are equal")
        _require(self._open(store.home).scan(now=now).sessions == first.sessions, "also by another store")

    def test_reading_changes_nothing(self, tmp_path: Path) -> None:
        """Whatever is asked: no byte, no time and no mode of the home is another one afterwards."""
        store = self._open(self._filled(tmp_path))
        before = print_of(tmp_path)
        ids = [session.id for session in self._scan(store).sessions]
        store.metadata([*ids, _NOBODYS])
        store.folders()
        store.database_space()
        store.host_warnings()
        store.host_settings()
        store.in_use_by()
        store.named_after(ids)
        list(store.checkup())
        list(store.message_texts(""))
        list(map(store.group_of, ids))
        starting = store.before_start()
        if starting is not None:
            starting.scan(now=self.now())
            starting.interrupted(now=self.now())
        counter = store.counter()
        for session_id in ids:
            counter.look(session_id, None, now=self.now())
            counter.class_of(session_id, "", "")
        counter.close()
        _same(before, print_of(tmp_path), "reading changes nothing")

    def test_home_without_sessions_has_none(self, tmp_path: Path) -> None:
        """A host that is new: nothing is there, and nothing is made."""
        home = tmp_path / "home"
        home.mkdir()
        _require(self._scan(self._open(home)).sessions == (), "an empty home has no sessions")
        _require(list(home.iterdir()) == [], "a scan makes no files")

    def test_files_of_strangers_are_told_and_stay(self, tmp_path: Path) -> None:
        """What is not named as the host names its files belongs to no session."""
        store = self._open(self._filled(tmp_path))
        for folder in store.folders():
            store.home.joinpath(*folder.below, self.stranger).write_bytes(b"mine")
        scan = self._scan(store)
        names = {artifact.name for _, artifact in _artifacts(scan.sessions)}
        _require(self.stranger not in names, "a file with a strange name is of no session")
        told = [one for one in scan.unknown if one.name == self.stranger]
        _require(len(told) == len(store.folders()), "a file with a strange name is told as unknown")

    def test_symbolic_link_is_no_file_of_a_session(self, tmp_path: Path) -> None:
        """Not even under the name of one: what it points to lies elsewhere."""
        store = self._open(self._filled(tmp_path))
        session, artifact = _files(self._scan(store).sessions)[0]
        path = _path(store, session, artifact)
        outside = tmp_path / "outside"
        outside.write_bytes(path.read_bytes())
        home = shutil.copytree(
            store.home, tmp_path / "copy", ignore=lambda where, _: _only(where, path), symlinks=True
        )
        home.joinpath(path.relative_to(store.home)).symlink_to(outside)
        found = _files(self._scan(self._open(home)).sessions)
        _require(artifact.name not in {one.name for _, one in found}, "a symbolic link is of no session")

    def test_directory_behind_a_symbolic_link_is_left_alone(self, tmp_path: Path) -> None:
        """A link in the place of a folder leads out of the home: nothing there is listed or removed."""
        store = self._open(self._filled(tmp_path))
        session, artifact = _files(self._scan(store).sessions)[0]
        folder = store.home.joinpath(*store.folder_of(session.id).below)
        outside = shutil.copytree(folder, tmp_path / "outside")
        home = shutil.copytree(store.home, tmp_path / "copy", ignore=lambda where, _: _only(where, folder))
        home.joinpath(folder.relative_to(store.home)).symlink_to(outside)
        before = print_of(outside)
        linked = self._open(home)
        try:
            found = self._scan(linked).sessions
        except StoreUnreadable:
            found = ()
        _require(
            session.id not in {one.id for one in found if one.artifacts}, "a linked folder is not listed"
        )
        error = _error_of(lambda: self._take_away(linked, [session]))
        _require(error is not None, "nothing is removed behind a symbolic link")
        _same(before, print_of(outside), f"{artifact.name} and its neighbours outside are untouched")

    # -- moving files --------------------------------------------------------------------------------

    def test_files_are_read_byte_for_byte(self, tmp_path: Path) -> None:
        """What goes into the archive is what lies there."""
        store = self._open(self._filled(tmp_path))
        found = _files(self._scan(store).sessions)
        with store.moving_files(*ASIDE) as files:
            for session, artifact in found:
                content = b"".join(files.read(session.id, artifact))
                _require(content == _path(store, session, artifact).read_bytes(), f"{artifact.name} is read")

    def test_file_that_changed_is_neither_read_nor_removed(self, tmp_path: Path) -> None:
        """Somebody wrote to it after the scan: what was archived is not what lies there."""
        store = self._open(self._filled(tmp_path))
        session, artifact = _files(self._scan(store).sessions)[0]
        path = _path(store, session, artifact)
        content = path.read_bytes() + b"one more\n"
        path.write_bytes(content)
        with store.moving_files(*ASIDE) as files:
            read = _error_of(lambda: list(files.read(session.id, artifact)))
            _require(isinstance(read, ArtifactChanged | ArtifactUnreadable), f"reading is refused: {read!r}")
            removed = _error_of(lambda: files.remove(session.id, artifact))
            _require(isinstance(removed, ArtifactChanged | ArtifactUnreadable), f"removing too: {removed!r}")
        _require(path.read_bytes() == content, "a file that changed is in its place, as it is now")

    def test_file_that_vanished_is_told(self, tmp_path: Path) -> None:
        """The host removed it after the scan."""
        store = self._open(self._filled(tmp_path))
        session, artifact = _files(self._scan(store).sessions)[0]
        gone = msgspec.structs.replace(artifact, name=f"{artifact.name}.that-is-gone")
        with store.moving_files(*ASIDE) as files:
            error = _error_of(lambda: list(files.read(session.id, gone)))
        _require(isinstance(error, ArtifactVanished), f"a file that is gone is ArtifactVanished: {error!r}")

    def test_what_is_let_go_leaves_and_the_others_stay(self, tmp_path: Path) -> None:
        """One session goes with its files and its entry; no other one notices."""
        store = self._open(self._filled(tmp_path))
        before = self._scan(store)
        session = _with_files(before)[0]
        others = [one for one in before.sessions if one.id != session.id]
        prints = {file.name: _path(store, one, file).read_bytes() for one, file in _files(others)}
        self._take_away(store, [session])
        left = self._scan(store).sessions
        _require(
            not [one for one in left if one.id == session.id and one.artifacts], "its artifacts are gone"
        )
        _require([one for one in left if one.id != session.id] == others, "all other sessions are as before")
        same = all(_path(store, one, file).read_bytes() == prints[file.name] for one, file in _files(others))
        _require(same, "the files of all others have the same bytes")
        waiting = [path for path in store.home.joinpath(*ASIDE).rglob("*") if not path.is_dir()]
        _require(not waiting, f"nothing is left aside: {waiting}")

    def test_letting_go_of_nothing_changes_nothing(self, tmp_path: Path) -> None:
        """Also where the host has an index."""
        store = self._open(self._filled(tmp_path))
        before = self._scan(store)
        with store.moving_files(*ASIDE) as files:
            _require(not files.let_go({}), "letting go of nothing is always possible")
        _require(self._scan(store).sessions == before.sessions, "every session is as before")

    def test_index_entries_come_back(self, tmp_path: Path) -> None:
        """Byte for byte, once: putting back what is there already changes nothing."""
        store = self._open(self._filled(tmp_path))
        chosen = [one for one in self._scan(store).sessions if _entry_of(one) is not None and _files([one])]
        if not chosen:  # this host has no index
            return
        session, entry = chosen[0], _entry_of(chosen[0])
        paths = [_path(store, session, artifact) for _, artifact in _files([session])]
        kept = {path: path.read_bytes() for path in paths}
        with store.moving_files(*ASIDE) as moving:
            content = b"" if entry is None else b"".join(moving.read(session.id, entry))
        self._take_away(store, [session])
        for path, text in kept.items():
            path.write_bytes(text)
        told = store.put_entries_back({session.id: content})[session.id]
        _require(told.error is None and not told.already_there, f"the entry comes back: {told}")
        with store.moving_files(*ASIDE) as moving:
            back = _entry_of(next(one for one in self._scan(store).sessions if one.id == session.id))
            same = back is not None and b"".join(moving.read(session.id, back)) == content
        _require(same, "the entry has the same bytes")
        again = store.put_entries_back({session.id: content})[session.id]
        _require(again.already_there and again.error is None, f"twice is once: {again}")

    # -- the whole way -------------------------------------------------------------------------------

    def test_what_a_sweep_takes_a_restore_brings_back(self, tmp_path: Path) -> None:
        """Same bytes, same time, same mode; of rows the same texts. Outside the home nothing is touched."""
        home = self._filled(tmp_path)
        outside = tmp_path / "outside"
        outside.write_bytes(b"not yours")
        (home / "link out of the home").symlink_to(outside)
        before, texts = print_of(home), self._texts(home)
        report = self._sweep(home)
        failed = [str(error) for outcome in report.outcomes for error in outcome.errors]
        _require(not failed, f"a sweep of a home at rest goes well: {failed}")
        taken = sorted({outcome.step.session_id for outcome in report.outcomes})
        _require(bool(taken), "a sweep long after the last sign of life takes something")
        gone = before.keys() - print_of(home).keys()
        restored = restore_sessions(self._home(home), taken, now=self._later())
        _require(not restored.failures, f"all comes back: {[str(one.error) for one in restored.failures]}")
        after = print_of(home)
        for name in sorted(gone):
            _require(name in after, f"{name} is back")
            same = [after[name][part] == before[name][part] for part in (0, 1, 3)]
            _require(all(same), f"{name} has its mode, time and bytes: {same}")
        _require(self._texts(home) == texts, "every message in the database says the same")
        _require(outside.read_bytes() == b"not yours", "nothing outside the home is touched")

    def test_sweep_that_is_repeated_takes_nothing_more(self, tmp_path: Path) -> None:
        """What has left is no longer listed, and what stays has a reason."""
        home = self._filled(tmp_path)
        self._sweep(home)
        before = self._scan(self._open(home)).sessions
        second = self._sweep(home)
        _require(not second.outcomes, f"a second sweep finds nothing: {len(second.outcomes)} removals")
        _require(self._scan(self._open(home)).sessions == before, "a second sweep changes nothing")

    # -- answers of a layout without a database or index ---------------------------------------------

    def test_answers_about_nobody(self, tmp_path: Path) -> None:
        """An id that no session has is no error."""
        store = self._open(self._filled(tmp_path))
        _require(store.metadata([_NOBODYS]) == {}, "nothing is known of an id that nobody has")
        _require(store.metadata([]) == {}, "no question, no answer")
        _require(store.drop_routes_to([]) == 0, "no session, no route")
        _require(store.named_after([_NOBODYS]) == [], "nothing is named after nobody")
        known = {session.id for session in self._scan(store).sessions}
        _require(store.metadata([*known]).keys() <= known, "metadata answers only what was asked")

    def test_rows_are_there_or_refused(self, tmp_path: Path) -> None:
        """With a database rows can be read; without one whoever asks for rows is told so."""
        store = self._open(self._filled(tmp_path))
        sessions = [one for one in self._scan(store).sessions if one.record is not None]
        if store.database_space() is not None:
            with store.reading_rows() as rows:
                changed = rows.changes(sessions, now=self.now())
                _require(not changed, f"nothing changed since the scan: {changed}")
            return
        for opened in (store.reading_rows, store.removing_rows, store.restoring_rows):
            error = _error_of(lambda opened=opened: opened().__enter__())  # type: ignore[misc]
            _require(
                isinstance(error, StoreUnreadable), f"without a database {opened} raises StoreUnreadable"
            )
        _require(not list(store.message_texts("")), "without a database it holds no messages")

    def test_erasing_is_the_same_home(self, tmp_path: Path) -> None:
        """What forgets sees what every other one sees."""
        store, now = self._open(self._filled(tmp_path)), self.now()
        erasing = store.erasing()
        _require(erasing.home == store.home, "the same home")
        _require(erasing.scan(now=now).sessions == store.scan(now=now).sessions, "the same sessions")
        erasing.wipe()
        _require(store.scan(now=now).sessions == erasing.scan(now=now).sessions, "wiping removes no session")

    # -- parts ---------------------------------------------------------------------------------------

    def _filled(self, directory: Path) -> Path:
        home = directory / "home"
        home.mkdir()
        self.fill(home)
        return home

    def _open(self, home: Path) -> Store:
        return self.kind.open(home)

    def _scan(self, store: Store) -> Scan:
        return store.scan(now=self.now())

    def _take_away(self, store: Store, sessions: Iterable[Session]) -> None:
        """As a sweep does, but for archiving. Raises what stands in the way."""
        leaving = {session.id: session.artifacts for session in sessions if session.artifacts}
        with store.moving_files(*ASIDE) as files:
            for error in files.let_go(leaving).values():
                raise error
            for session_id, artifacts in leaving.items():
                _remove_all(files, session_id, artifacts)

    def _later(self) -> float:
        """When every session is over, by any rule."""
        return self.now() + 30 * _DAY

    def _home(self, path: Path) -> Home:
        """The home under a policy of which everything is due that is over."""
        at_once = Lifecycle(0, messages_after=0, record_after=0, idle_after=0, keep_failed=0)
        policy = Policy(dict.fromkeys(SessionClass, at_once), min_age=MIN_AGE_FLOOR, dumps_after=0)
        store = self._open(path)
        return Home(store, Workspace(store.home), policy)

    def _sweep(self, home: Path) -> SweepReport:
        return sweep(self._home(home), clock=self._later, origin="contract")

    def _texts(self, home: Path) -> list[tuple[str, str]]:
        """What the messages in the database say, in an order that their ids do not matter for."""
        found: Iterator[tuple[str, Any]] = self._open(home).message_texts("")
        return sorted((session_id, repr(sorted(fields.items()))) for session_id, fields in found)


def print_of(directory: Path) -> TreePrint:
    """What lies in ``directory``, by its path from there; no workspace, and nothing that SQLite keeps."""
    found: TreePrint = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if FOLDER in path.relative_to(directory).parts or name.endswith(_SIDES):
            continue
        status = path.lstat()
        is_file = stat.S_ISREG(status.st_mode)
        content = path.read_bytes() if is_file else bytes(path.readlink()) if path.is_symlink() else b""
        found[name] = (status.st_mode, status.st_mtime_ns if is_file else 0, status.st_ino, content)
    return found


def _require(condition: bool, promise: str) -> None:  # noqa: FBT001 - like ``assert``, which takes one too
    if not condition:
        raise AssertionError(f"promised: {promise}")


def _same(before: TreePrint, after: TreePrint, promise: str) -> None:
    other = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    _require(not other, f"{promise}; these are not as before: {other}")


def _error_of(act: Callable[[], object]) -> RetentionError | None:
    try:
        act()
    except RetentionError as error:
        return error
    return None


def _artifacts(sessions: Iterable[Session]) -> list[tuple[Session, Artifact]]:
    return [(session, artifact) for session in sessions for artifact in session.artifacts]


def _files(sessions: Iterable[Session]) -> list[tuple[Session, Artifact]]:
    """The artifacts that are files: an entry is a piece of an index."""
    return [
        (one, artifact) for one, artifact in _artifacts(sessions) if artifact.kind is not ArtifactKind.ENTRY
    ]


def _with_files(scan: Scan) -> list[Session]:
    return [session for session in scan.sessions if _files([session])]


def _entry_of(session: Session) -> Artifact | None:
    return next((one for one in session.artifacts if one.kind is ArtifactKind.ENTRY), None)


def _path(store: Store, session: Session, artifact: Artifact) -> Path:
    return store.home.joinpath(*store.folder_of(session.id).below, artifact.name)


def _only(where: str, path: Path) -> set[str]:
    """For ``copytree``: everything but ``path``."""
    return {path.name} if Path(where) == path.parent else set()


def _remove_all(files: StoreFiles, session_id: str, artifacts: Iterable[Artifact]) -> None:
    for artifact in artifacts:
        files.remove(session_id, artifact)
