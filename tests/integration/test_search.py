"""Search over real partitions, files and a real database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from homes import DAY, NOW, HomeBuilder
from sites import clock, policy_of, site_of

from hermes_retention.actions.inspect.search.find import SearchReport, SearchRequest, search
from hermes_retention.actions.inspect.search.query import text_query
from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.home.home import Home
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import Lifecycle

OLD, NEWER, CRON = "20261010_080000_bbbbbbbb", "20261105_090000_cccccccc", "cron_news_20261015_080000"
EVERYTHING = policy_of(
    lifecycles=dict.fromkeys(SessionClass, Lifecycle(files_after=86400, messages_after=86400, idle_after=60))
)


def snapshot(*texts: str) -> bytes:
    messages = [{"role": "user", "content": text} for text in texts]
    return json.dumps({"system_prompt": "refund policy", "messages": messages}, indent=2).encode()


def archived(home: HomeBuilder) -> Home:
    site = site_of(home, EVERYTHING)
    assert sweep(site, clock=clock, origin="test").exit_code == 0
    return site


def find(site: Home, text: str, **fields: object) -> SearchReport:
    request = SearchRequest(**{"query": text_query(text), "limit": 20} | fields)  # type: ignore[arg-type]  # one keyword per field
    return search(site, request, now=NOW)


def ids(report: SearchReport) -> list[str]:
    return [found.session_id for found in report.sessions]


@pytest.fixture
def site(tmp_path: Path) -> Home:
    home = (
        HomeBuilder(tmp_path / "home")
        .session(OLD, age=41 * DAY, user_id="ann", files=())
        .file(f"session_{OLD}.json", snapshot('a naïve "x"', "my refund", "my refund"), age=41 * DAY)
        .session(NEWER, age=15 * DAY, user_id="bob", source="discord", files=())
        .file(f"session_{NEWER}.json", snapshot("The Refund came"), age=15 * DAY)
        .session(CRON, source="cron", ended="cron_complete", age=36 * DAY, files=(), messages=0)
    )
    home.insert(
        "messages", {"session_id": CRON, "role": "tool", "content": "REFUND 7", "timestamp": NOW - 36 * DAY}
    )
    return archived(home)


def test_newest_session_comes_first_each_once_with_its_hits(site: Home) -> None:
    report = find(site, "refund")
    assert ids(report) == [NEWER, CRON, OLD]
    assert [found.hits for found in report.sessions] == [1, 1, 1]
    assert not report.has_more
    assert (report.sessions[0].excerpts[0].before, report.sessions[0].excerpts[0].match) == ("The ", "Refund")


def test_quotes_and_accents_are_found_though_json_escapes_them(site: Home) -> None:
    assert ids(find(site, 'naïve "x"')) == [OLD]
    assert ids(find(site, 'NAÏVE "x"')) == []


def test_system_prompt_is_no_conversation(site: Home) -> None:
    assert ids(find(site, "refund policy")) == []


def test_only_sessions_that_were_asked_for(site: Home) -> None:
    assert ids(find(site, "refund", classes=frozenset({SessionClass.CRON}))) == [CRON]
    assert ids(find(site, "refund", user="ann")) == [OLD]
    assert ids(find(site, "refund", user="ann", platform="discord")) == []
    assert ids(find(site, "refund", since=NOW - 20 * DAY)) == [NEWER]
    assert ids(find(site, "refund", until=NOW - 40 * DAY)) == [OLD]


def test_search_stops_at_the_limit_and_says_so(site: Home) -> None:
    report = find(site, "refund", limit=2)
    assert ids(report) == [NEWER, CRON]
    assert report.has_more


def test_damaged_partition_costs_its_own_month_and_is_told(site: Home) -> None:
    (site.workspace.vault.root / "2026-10.db").write_bytes(b"garbage")
    report = find(site, "refund")
    assert ids(report) == [NEWER]
    assert len(report.damages) == 1


def test_damaged_copy_costs_itself_and_is_told(site: Home) -> None:
    with closing(sqlite3.connect(site.workspace.vault.root / "2026-10.db")) as partition, partition:
        partition.execute(
            "UPDATE frames SET frame = zeroblob(length(frame)) WHERE artifact_id IN (SELECT a.id FROM "
            "artifacts a JOIN sessions s ON s.number = a.session WHERE s.id = ? AND a.kind = 'snapshot')",
            (OLD,),
        )
    report = find(site, "refund")
    assert ids(report) == [NEWER, CRON]
    assert any(OLD in str(damage) for damage in report.damages)


def test_store_is_searched_when_asked_for(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(OLD, age=41 * DAY, files=())
    home.file(f"session_{OLD}.json", snapshot("archived refund"), age=41 * DAY)
    site = archived(home)
    home.session(NEWER, age=60, files=(), messages=0)
    home.insert(
        "messages", {"session_id": NEWER, "role": "user", "content": "50% Refund", "timestamp": NOW - 60}
    )
    live = "20261119_110000_dddddddd"
    home.session(live, age=DAY / 2, files=()).file(f"session_{live}.json", snapshot("refund!"), age=DAY / 2)
    assert ids(find(site, "refund")) == [OLD]
    report = find(site, "refund", live=True)
    assert [(it.session_id, it.in_archive, it.in_store) for it in report.sessions] == [
        (NEWER, False, True),
        (live, False, True),
        (OLD, True, True),
    ]
    assert ids(find(site, "50% refund", live=True)) == [NEWER]
    assert ids(find(site, "50_ refund", live=True)) == []


def test_message_in_a_file_and_in_rows_counts_once(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(OLD, age=41 * DAY, files=(), messages=0)
    home.file(f"session_{OLD}.json", snapshot("one refund"), age=41 * DAY)
    row = {"session_id": OLD, "role": "user", "content": "one refund", "timestamp": NOW - 41 * DAY}
    home.insert("messages", row)
    (found,) = find(archived(home), "refund").sessions
    assert found.hits == 1
    assert found.excerpts[0].at == NOW - 41 * DAY


def test_long_artifact_is_searched_across_its_frames(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(OLD, age=41 * DAY, files=())
    text = "x" * (8 * 2**20) + " refund"
    home.file(f"session_{OLD}.json", snapshot("y" * 100, text), age=41 * DAY)
    assert ids(find(archived(home), "refund")) == [OLD]


def test_home_without_an_archive_has_nothing(tmp_path: Path) -> None:
    assert ids(find(site_of(HomeBuilder(tmp_path / "home")), "refund")) == []
