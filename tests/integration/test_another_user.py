"""A user who is not the superuser, in a home of which parts belong to others: what cannot be moved stays.

Only the superuser can make such a home; the sweep itself runs in a child process that gave up that right.
"""

from __future__ import annotations

import json
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from full_homes import CHATS, RECENT, FullHome

from hermes_retention.model.errors import RetentionError

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser gives files to others")


@pytest.fixture
def home() -> Iterator[FullHome]:
    """A home of somebody else, at a place that everybody may reach: the directories of tests are private."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        home = FullHome.make(Path(folder) / "home")
        home.copy(Path(folder) / "elsewhere").sweep()  # what is imported late cannot be read by everybody
        for path in (home.path, *home.path.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        yield home


def as_nobody(act: Callable[[], object]) -> list[str]:
    """Do it as a user without rights; what it returns, as texts."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            try:
                told = act()
            except RetentionError as error:
                told = [str(error)]
            os.write(writing, json.dumps(told).encode())
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child never returns into the test
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as stream:
        said = stream.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    found: list[str] = json.loads(said)
    return found


def swept(home: FullHome) -> list[str]:
    """Sweep, and tell all that went wrong."""
    report = home.sweep()
    return [str(error) for failure in report.failures for error in failure.errors]


def give_away(path: Path, mode: int) -> None:
    os.chown(path, 0, 0)
    path.chmod(mode)


def test_file_that_may_not_be_read_stays_and_all_else_goes(home: FullHome) -> None:
    private, public = (home.sessions / f"session_{own}.json" for own in (RECENT, CHATS[0]))
    give_away(private, 0o600)
    give_away(public, 0o644)
    before = home.contents()
    (told,) = as_nobody(lambda: swept(home))
    assert private.name in told
    assert "permission denied" in told
    assert private.exists()
    assert not public.exists()
    assert private.stat().st_uid == 0
    home.check_nothing_lost(before)
    os.chown(private, NOBODY, NOBODY)
    assert as_nobody(lambda: swept(home)) == []
    assert not private.exists()
    home.check_nothing_lost(before)


def test_directory_of_somebody_else_is_left_as_it_is(home: FullHome) -> None:
    give_away(home.sessions, 0o755)
    before, files = home.contents(), home.files()
    told = as_nobody(lambda: swept(home))
    files_told = [line for line in told if not line.startswith("record of")]
    assert len(files_told) > 20
    assert all("permission denied; it was kept" in line for line in files_told)
    assert home.files() == files
    home.check_nothing_lost(before)
    os.chown(home.sessions, NOBODY, NOBODY)
    assert as_nobody(lambda: swept(home)) == []
    home.check_nothing_lost(before)


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_database_of_somebody_else_is_not_changed(home: FullHome, mode: int) -> None:
    for path in home.path.glob("state.db*"):
        give_away(path, mode)
    before = home.contents()
    content = (home.path / "state.db").read_bytes()
    assert as_nobody(lambda: swept(home))
    assert (home.path / "state.db").read_bytes() == content
    home.check_nothing_lost(before)


def test_archive_of_somebody_else_stops_the_sweep(home: FullHome) -> None:
    for path in (home.path / "retention").rglob("*"):
        give_away(path, 0o700 if path.is_dir() else 0o600)
    give_away(home.path / "retention", 0o700)
    before, files = home.contents(), home.files()
    (told,) = as_nobody(lambda: swept(home))
    assert "permission denied" in told.lower()
    assert home.files() == files
    home.check_nothing_lost(before)
