"""Every layout keeps the promises of ``Store``, our own and that of the example; what breaks one is told."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from homes import DAY, NOW, HomeBuilder
from openclaw_homes import OpenClawHome

from hermes_retention.model.errors import RetentionError, StoreUnreadable
from hermes_retention.model.session import Artifact, ArtifactKind, Session, SessionClass
from hermes_retention.stores.base import (
    EntryRestored,
    Folder,
    LiveMessage,
    Scan,
    SessionMetadata,
    Store,
    StoreFiles,
    StoreKind,
)
from hermes_retention.stores.hermes.store import HermesStore
from hermes_retention.stores.layouts import Layout, layouts_in
from hermes_retention.stores.openclaw.files import Waiting
from hermes_retention.stores.openclaw.store import OpenClawStore
from hermes_retention.testing import StoreContract

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/jsonl_store/jsonl_store.py"


def example() -> ModuleType:
    """The module of the example, which is not installed here."""
    spec = importlib.util.spec_from_file_location("jsonl_store", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class AtNow(StoreContract):
    """Homes of the builders, whose times are told from ``NOW``."""

    def now(self) -> float:
        return NOW


class TestHermesHome(AtNow):
    kind = StoreKind("hermes", recognises=lambda home: Layout.HERMES in layouts_in(home), open=HermesStore)
    database = True

    def fill(self, home: Path) -> None:
        built = HomeBuilder(home, database=self.database)
        for day in range(4):
            name = f"2026101{day}_080000_aaaaaaa{day}"
            if self.database:
                built.session(name, age=3 * DAY, files=("snapshot", "transcript"), messages=3)
            else:
                built.file(f"session_{name}.json", b"{}", age=3 * DAY)
                built.file(f"{name}.jsonl", b"{}\n", age=3 * DAY)


class TestHermesHomeWithoutDatabase(TestHermesHome):
    database = False


class TestOpenClawHome(AtNow):
    kind = StoreKind(
        "openclaw",
        recognises=lambda home: Layout.OPENCLAW in layouts_in(home),
        open=lambda home: OpenClawStore(home, waiting=Waiting(now=lambda: NOW, sleep=lambda _: None)),
    )

    def fill(self, home: Path) -> None:
        built = OpenClawHome(home)
        for kind in ("hook", "run", "subagent"):
            built.session(kind, age=3 * DAY, status="done")
        built.session("hook", age=3 * DAY, status="done", agent="other")
        built.write()


class TestExample(AtNow):
    kind = example().retention_stores()[0]

    def fill(self, home: Path) -> None:
        (home / "mybot.toml").touch()
        (home / "chats").mkdir()
        for number in range(3):
            path = home / "chats" / f"{number:012x}.jsonl"
            path.write_text('{"role": "user", "content": "hello"}\n' * (number + 1))
            path.chmod(0o640)
            os.utime(path, (NOW - 3 * DAY, NOW - 3 * DAY))


# Stores that break a promise, each of them the one of the example but for one thing


class Broken(Store):
    """The store of the example, to be broken."""

    name = "jsonl"

    def __init__(self, home: Path) -> None:
        self.good: Store = TestExample.kind.open(home)

    @property
    def home(self) -> Path:
        return self.good.home

    @property
    def files_directory(self) -> Path:
        return self.good.files_directory

    def folders(self) -> Sequence[Folder]:
        return self.good.folders()

    def folder_of(self, session_id: str) -> Folder:
        return self.good.folder_of(session_id)

    def moving_files(self, *aside: str) -> AbstractContextManager[StoreFiles]:
        return self.good.moving_files(*aside)

    def scan(self, *, now: float) -> Scan:
        return self.good.scan(now=now)

    def changed(self, change: Callable[[Session], Session], now: float) -> Scan:
        scan = self.good.scan(now=now)
        return msgspec.structs.replace(scan, sessions=tuple(map(change, scan.sessions)))

    @property
    def chats(self) -> Path:
        return self.home / "chats"


class OfAnotherName(Broken):
    name = "another"


class Unresolved(Broken):
    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.named = home

    @property
    def home(self) -> Path:
        return self.named


class Elsewhere(Broken):
    def folder_of(self, session_id: str) -> Folder:
        return Folder(("elsewhere",))


class Unsorted(Broken):
    def scan(self, *, now: float) -> Scan:
        scan = self.good.scan(now=now)
        return msgspec.structs.replace(scan, sessions=scan.sessions[::-1])


class ModesMadeUp(Broken):
    def scan(self, *, now: float) -> Scan:
        return self.changed(_with_mode, now)


def _with_mode(session: Session) -> Session:
    artifacts = tuple(msgspec.structs.replace(it, mode=0o600) for it in session.artifacts)
    return msgspec.structs.replace(session, artifacts=artifacts)


class Moody(Broken):
    scans = 0

    def scan(self, *, now: float) -> Scan:
        self.scans += 1
        return msgspec.structs.replace(self.good.scan(now=now), other_bytes=self.scans)


class Scribbling(Broken):
    def metadata(self, session_ids: Sequence[str]) -> dict[str, SessionMetadata]:
        (self.home / "cache").write_text("seen")
        return {}


class Making(Broken):
    def scan(self, *, now: float) -> Scan:
        self.chats.mkdir(exist_ok=True)
        return self.good.scan(now=now)


class Grasping(Broken):
    """Follows links, and takes every file for a session."""

    def scan(self, *, now: float) -> Scan:
        paths = sorted(path for path in self.chats.iterdir() if path.is_file())
        return Scan(tuple(map(_taken, paths)))


def _taken(path: Path) -> Session:
    status = path.stat()
    artifact = Artifact(
        ArtifactKind.TRANSCRIPT,
        path.name,
        status.st_size,
        status.st_size,
        status.st_mtime_ns,
        status.st_ino,
        status.st_mode & 0o7777,
    )
    return Session(path.stem, SessionClass.CHAT, (artifact,))


class Mover:
    """Reads and removes whatever lies there."""

    def __init__(self, store: Broken, *, removes: bool = True, reads: bool = True) -> None:
        self.store, self.removes, self.reads = store, removes, reads

    def read(self, session_id: str, artifact: Artifact) -> Generator[bytes]:
        path = self.store.chats / artifact.name
        yield path.read_bytes() if self.reads and path.exists() else b""

    def let_go(self, leaving: Mapping[str, Sequence[Artifact]]) -> Mapping[str, RetentionError]:
        return {} if leaving or self.removes else {"somebody": StoreUnreadable("it", "no", consequence="")}

    def remove(self, session_id: str, artifact: Artifact) -> None:
        if self.removes:
            (self.store.chats / artifact.name).unlink()


class Careless(Broken):
    @contextmanager
    def moving_files(self, *aside: str) -> Iterator[StoreFiles]:
        yield Mover(self)


class Blind(Broken):
    @contextmanager
    def moving_files(self, *aside: str) -> Iterator[StoreFiles]:
        yield Mover(self, reads=False)


class Lazy(Broken):
    @contextmanager
    def moving_files(self, *aside: str) -> Iterator[StoreFiles]:
        yield Mover(self, removes=False)


class KnowingAll(Broken):
    def metadata(self, session_ids: Sequence[str]) -> dict[str, SessionMetadata]:
        return {one: SessionMetadata(title="untitled") for one in session_ids}


class Dreaming(Broken):
    def message_texts(self, run: str) -> Iterator[LiveMessage]:
        yield "a", {"content": "never said"}


class Erasing(Broken):
    def erasing(self) -> Store:
        return Unsorted(self.home)


class Forgetful(OpenClawStore):
    def put_entries_back(self, entries: Mapping[str, bytes]) -> Mapping[str, EntryRestored]:
        return {session_id: EntryRestored() for session_id in entries}


def _never(_: Path) -> bool:
    return False


def _while_there_are_chats(home: Path) -> bool:
    return any((home / "chats").glob("*.jsonl"))


RECOGNISES = TestExample.kind.recognises
BROKEN: tuple[tuple[str, Callable[[Path], Store], Callable[[Path], bool]], ...] = (
    ("home_is_recognised_and_an_empty_directory_is_not", Broken, _never),
    ("home_that_every_session_has_left_is_still_recognised", Broken, _while_there_are_chats),
    ("store_has_the_name_of_its_kind", OfAnotherName, RECOGNISES),
    ("home_may_be_a_symbolic_link", Unresolved, RECOGNISES),
    ("folders_lie_below_the_home", Elsewhere, RECOGNISES),
    ("scan_is_sorted_and_names_everything_once", Unsorted, RECOGNISES),
    ("scan_describes_files_as_they_are", ModesMadeUp, RECOGNISES),
    ("second_scan_says_the_same", Moody, RECOGNISES),
    ("reading_changes_nothing", Scribbling, RECOGNISES),
    ("home_without_sessions_has_none", Making, RECOGNISES),
    ("files_of_strangers_are_told_and_stay", Grasping, RECOGNISES),
    ("symbolic_link_is_no_file_of_a_session", Grasping, RECOGNISES),
    ("directory_behind_a_symbolic_link_is_left_alone", Grasping, RECOGNISES),
    ("files_are_read_byte_for_byte", Blind, RECOGNISES),
    ("file_that_changed_is_neither_read_nor_removed", Careless, RECOGNISES),
    ("file_that_vanished_is_told", Careless, RECOGNISES),
    ("what_is_let_go_leaves_and_the_others_stay", Lazy, RECOGNISES),
    ("letting_go_of_nothing_changes_nothing", Lazy, RECOGNISES),
    ("what_a_sweep_takes_a_restore_brings_back", ModesMadeUp, RECOGNISES),
    ("sweep_that_is_repeated_takes_nothing_more", Lazy, RECOGNISES),
    ("answers_about_nobody", KnowingAll, RECOGNISES),
    ("rows_are_there_or_refused", Dreaming, RECOGNISES),
    ("erasing_is_the_same_home", Erasing, RECOGNISES),
)


@pytest.mark.parametrize(("promise", "opened", "recognises"), BROKEN, ids=[it[0] for it in BROKEN])
def test_broken_promise_is_told(
    promise: str, opened: Callable[[Path], Store], recognises: Callable[[Path], bool], tmp_path: Path
) -> None:
    contract = TestExample()
    contract.kind = StoreKind("jsonl", recognises=recognises, open=opened)
    with pytest.raises(AssertionError, match=r"^promised: "):
        getattr(contract, f"test_{promise}")(tmp_path)


def test_entry_that_does_not_come_back_is_told(tmp_path: Path) -> None:
    contract = TestOpenClawHome()
    contract.kind = StoreKind("openclaw", recognises=RECOGNISES, open=Forgetful)
    with pytest.raises(AssertionError, match=r"^promised: "):
        contract.test_index_entries_come_back(tmp_path)


def test_every_promise_is_shown_to_be_broken() -> None:
    promises = {name for name in dir(StoreContract) if name.startswith("test_")}
    assert promises == {*(f"test_{it[0]}" for it in BROKEN), "test_index_entries_come_back"}


def test_suite_needs_no_pytest_to_be_imported() -> None:
    code = "import sys, hermes_retention.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
