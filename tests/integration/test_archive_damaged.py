"""Single bytes of an archive change: it is told, other sessions stay readable, and nothing expires for it."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

from flips import CONTENTS, Flips, frame_places
from full_homes import EXPIRING, NOW, FullHome

from hermes_retention.model.errors import ExitCode


def test_changed_byte_is_told_or_harmless(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    flips = Flips(tmp_path / "archive")
    chance = random.Random(seed)
    places = [number for number, byte in enumerate(flips.whole) if byte]
    flips.flip(chance.sample(places, 250), mask=1 << chance.randrange(8))
    assert flips.told > 50
    assert flips.harmless > 10


def test_damage_of_one_session_leaves_the_others_readable(tmp_path: Path) -> None:
    flips = Flips(tmp_path / "archive")
    for session_id, places in frame_places(flips.path).items():
        content = bytearray(flips.whole)
        content[places.start + len(places) // 2] ^= 0xFF
        flips.path.write_bytes(content)
        others = {name: it for name, it in CONTENTS.items() if name != session_id}
        assert flips.readable() == others
        (damage,) = (it for _, found in flips.vault.verify() for it in found)
        assert f"session {session_id}" in damage.what
        assert CONTENTS[session_id].decode()[:20] not in damage.what


def test_copy_whose_age_is_damaged_does_not_expire(tmp_path: Path) -> None:
    """A bit makes it years older; only its seal shows that."""
    home = FullHome.make(tmp_path / "home")
    path = home.path / "retention" / "archive" / "2001-09.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE artifacts SET archived_at = archived_at - 1e6")
    report = home.sweep(now=NOW)
    assert report.exit_code is ExitCode.VAULT_DAMAGED
    assert any("described otherwise" in str(it.errors) for it in report.failures)
    assert EXPIRING in {session for session, _, _ in home.contents().archived}


def test_copy_that_lost_its_seal_does_not_expire(tmp_path: Path) -> None:
    home = FullHome.make(tmp_path / "home")
    path = home.path / "retention" / "archive" / "2001-09.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM seals")
    report = home.sweep(now=NOW)
    assert report.exit_code is ExitCode.VAULT_DAMAGED
    assert EXPIRING in {session for session, _, _ in home.contents().archived}
