"""The benchmark of caps measures what it says: turns that are counted, in sessions of these lengths."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT))  # last: the installed package is the one that is tested

from benchmarks import capping  # noqa: E402 - found by the line above
from hermes_retention.policy.caps import Cap  # noqa: E402


def test_every_turn_is_counted(tmp_path: Path) -> None:
    session = capping._Turns(tmp_path / "home", 20)  # noqa: SLF001 - what it measures is nobody else's business
    for _ in range(3):
        session.store()
        session.turn()
        session.beside()
    usage = session.watch._sessions["s1"]  # noqa: SLF001 - see above
    session.watch.stop()
    assert usage._stored[Cap.MESSAGES] == 20 + 3 * 2 * 5  # noqa: SLF001 - see above
    assert session.watch.answer("s1") is None


def test_figures_are_of_the_lengths_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capping, "SIZES", (10, 20))
    monkeypatch.setattr(capping, "_MEASURED", 20)
    result = capping.measure_caps(tmp_path, repeat=3, command="it")
    assert set(result.numbers) == {"10", "20"}
    assert [it.what for it in result.figures] == [
        "caps on a turn with 5 calls of the model, in a session of 20 messages",
        "the same at 20 messages, against 10",
    ]
