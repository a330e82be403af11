"""The file of holds: what it remembers, and that an unreadable one stops every removal."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hermes_retention.home.workspace import Hold, Holds
from hermes_retention.model.errors import StoreUnreadable


@pytest.fixture
def holds(tmp_path: Path) -> Holds:
    return Holds(tmp_path / "holds.json")


def test_nothing_is_held_at_first(holds: Holds) -> None:
    assert holds.load() == {}


def test_hold_stays_until_it_is_removed(holds: Holds, tmp_path: Path) -> None:
    holds.add("a", Hold("tax audit", 5.0))
    holds.add("b", Hold("", 6.0))
    assert Holds(tmp_path / "holds.json").reasons() == {"a": "tax audit", "b": ""}
    assert holds.remove("a")
    assert not holds.remove("a")
    assert holds.reasons() == {"b": ""}


def test_file_is_private_and_readable_by_people(holds: Holds, tmp_path: Path) -> None:
    holds.add("a", Hold("tax audit", 5.0))
    path = tmp_path / "holds.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert '\n    "reason": "tax audit"' in path.read_text()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"a": 1}', b'{"a": {"reason": 1, "since": 2}}', b"\xff"]
)
def test_unreadable_holds_stop_every_removal(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "holds.json").write_bytes(content)
    with pytest.raises(StoreUnreadable, match="nothing was removed"):
        Holds(tmp_path / "holds.json").load()
