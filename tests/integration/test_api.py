"""A script that knows only ``hermes_retention.api`` can look, sweep, search, and put everything back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from homes import DAY, NOW, HomeBuilder

from hermes_retention.api import (
    Home,
    SearchRequest,
    SessionClass,
    StoreUnreadable,
    Tier,
    UsageError,
    export_sessions,
    open_home,
    preview,
    regex_query,
    restore_sessions,
    search,
    sweep,
    undo,
    undoable_sweeps,
)

OLD = "20261010_080000_bbbbbbbb"


def clock() -> float:
    return NOW


def opened(path: Path, environ: Mapping[str, str] = {}) -> Home:
    return open_home(path, environ=environ)


@pytest.fixture
def builder(tmp_path: Path) -> HomeBuilder:
    said = json.dumps({"messages": [{"role": "user", "content": "where is invoice 17?"}]}).encode()
    home = HomeBuilder(tmp_path / "home").session(OLD, age=41 * DAY, files=())
    return home.file(f"session_{OLD}.json", said, age=41 * DAY)


def test_a_script_sweeps_searches_and_puts_back(builder: HomeBuilder, tmp_path: Path) -> None:
    snapshot = builder.files / f"session_{OLD}.json"
    before = snapshot.read_bytes()
    home = opened(builder.path)
    first = preview(home, clock=clock).steps[0]
    assert (first.session_id, first.session_class, first.tier) == (OLD, SessionClass.CHAT, Tier.FILES)
    assert snapshot.exists()

    report = sweep(home, clock=clock, origin="script")
    assert report.counts.files_archived == 1
    assert not snapshot.exists()

    found = search(home, SearchRequest(regex_query(r"invoice \d+"), limit=5), now=NOW)
    assert [session.session_id for session in found.sessions] == [OLD]

    assert export_sessions(home, [OLD], tmp_path / "elsewhere").exit_code == 0
    assert (tmp_path / "elsewhere" / snapshot.name).read_bytes() == before

    assert restore_sessions(home, [OLD], now=NOW).sessions == 1
    assert snapshot.read_bytes() == before


def test_a_script_undoes_the_last_sweep(builder: HomeBuilder) -> None:
    home = opened(builder.path)
    done = sweep(home, clock=clock, origin="script")
    last = undoable_sweeps(home, None, all_sweeps=False)
    assert [one.id for one in last] == [done.sweep]
    undo(home, last, now=NOW)
    assert (builder.files / f"session_{OLD}.json").exists()


def test_settings_can_be_given(builder: HomeBuilder) -> None:
    kept = opened(builder.path, {"HERMES_RETENTION_MIN_AGE": "365d"})
    assert not preview(kept, clock=clock).counts.files_archived


def test_what_is_wrong_is_told_in_errors_of_the_face(builder: HomeBuilder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no copy of it"):
        restore_sessions(opened(builder.path), ["20260101_000000_00000000"], now=NOW)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreUnreadable):
        open_home(tmp_path / "empty", store="openclaw")
