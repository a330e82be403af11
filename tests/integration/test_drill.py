"""Each sweep reads a few archived sessions back, and says so when one of them is not what it was."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from full_homes import NOW, POLICY, FullHome
from msgspec.structs import replace
from vaults import fill

from hermes_retention.actions.inspect.status import take_status
from hermes_retention.actions.sweep.recovery import drill
from hermes_retention.archive.vault import Vault
from hermes_retention.model.errors import ExitCode

CONTENTS = {f"s{number}": f"content of {number}".encode() * 50 for number in range(9)}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    fill(tmp_path / "archive", dict(list(CONTENTS.items())[:4]), month="2026-10")
    return fill(tmp_path / "archive", dict(list(CONTENTS.items())[4:]), month="2026-11")


def spoil(path: Path, session_id: str) -> None:
    """Change a byte in the frame of a session."""
    query = (
        "UPDATE frames SET frame = CAST(substr(frame, 1, 12) || X'FF' || substr(frame, 14) AS BLOB) "
        "WHERE artifact_id IN "
        "(SELECT a.id FROM artifacts a JOIN sessions s ON s.number = a.session WHERE s.id = ?)"
    )
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(query, (session_id,)).rowcount


def test_every_session_is_met_sooner_or_later(vault: Vault) -> None:
    chance = random.Random(1)
    spoil(vault.root / "2026-10.db", "s2")
    found = [drill(vault, 3, chance=chance, now=NOW) for _ in range(20)]
    assert all(one is not None and one.sessions == 3 for one in found)
    assert any(one is not None and one.damages for one in found)
    assert not all(one is not None and one.damages for one in found)


def test_damage_is_told_with_the_session(vault: Vault) -> None:
    spoil(vault.root / "2026-11.db", "s7")
    found = drill(vault, 100, chance=random.Random(), now=NOW)
    assert found is not None
    assert found.sessions == len(CONTENTS)
    (line,) = found.damages
    assert "2026-11.db, session s7" in line


def test_damage_is_told_without_content(vault: Vault) -> None:
    with closing(sqlite3.connect(vault.root / "2026-11.db")) as database, database:
        database.execute("UPDATE frames SET frame = CAST(X'FF736563726574' AS TEXT)")
        database.execute("UPDATE sessions SET title = CAST(X'FF736563726574' AS TEXT)")
    found = drill(vault, 100, chance=random.Random(), now=NOW)
    assert found is not None
    assert len(found.damages) == 5
    assert "secret" not in str(found.damages)
    assert "secret" not in str(list(vault.verify()))


def test_month_that_cannot_be_read_is_damage_too(vault: Vault) -> None:
    (vault.root / "2026-10.db").write_bytes(b"nothing " * 5000)
    found = drill(vault, 3, chance=random.Random(), now=NOW)
    assert found is not None
    assert any("2026-10.db" in line for line in found.damages)


def test_nothing_to_read_is_no_drill(vault: Vault, tmp_path: Path) -> None:
    assert drill(vault, 0, chance=random.Random(), now=NOW) is None
    assert drill(Vault(tmp_path / "none"), 3, chance=random.Random(), now=NOW) is None


def test_sweep_warns_and_status_remembers(tmp_path: Path) -> None:
    home = FullHome.make(tmp_path / "home")
    assert take_status(home.site(), now=NOW).drill is None
    report = home.sweep_without_fault()
    assert report.drill is not None
    assert report.drill.sessions == 3
    assert take_status(home.site(), now=NOW).drill == report.drill
    for path in home.vault.partition_paths():
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE artifacts SET sha256 = zeroblob(32)")
    report = home.sweep()
    assert report.exit_code is ExitCode.VAULT_DAMAGED
    assert any(warning.startswith("restore drill: ") for warning in report.warnings)
    found = take_status(home.site(), now=NOW).drill
    assert found is not None
    assert found.damages


def test_drill_can_be_switched_off(tmp_path: Path) -> None:
    home = FullHome.make(tmp_path / "home")
    assert home.sweep(policy=replace(POLICY, drill_sample=0)).drill is None
