"""What ``/retention`` answers, and what it never does."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path

import msgspec
import pytest
from homes import DAY, HOUR, MINUTE, NOW, HomeBuilder

from hermes_retention import plugins
from hermes_retention.actions.sweep.mode import ANNOUNCEMENT, Announcement
from hermes_retention.gateway.hermes import chat
from hermes_retention.gateway.hermes.chat import Chat, Tokens, answer_from_thread
from hermes_retention.home.workspace import Workspace
from hermes_retention.hookspecs import hookimpl
from hermes_retention.model.session import Session
from hermes_retention.plugins import Extensions, bare_plugin_manager

KEY = "agent:main:telegram:dm:1"
OLD, LIVE = "20261001_090000_aaaaaaaa", "20261119_090000_bbbbbbbb"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HERMES_RETENTION_MODE", raising=False)


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """An old session about fish, and a live one."""
    return (
        HomeBuilder(tmp_path)
        .session(OLD, age=50 * DAY, title="About fish", key=KEY)
        .session(LIVE, ended=None, age=HOUR, title="My divorce", key=KEY)
        .route(KEY, LIVE, age=HOUR)
    )


@pytest.fixture
def talk(home: HomeBuilder) -> Chat:
    return Chat(home.path, Tokens(lambda: 0.0), clock=lambda: NOW)


def files(home: HomeBuilder) -> set[str]:
    return {path.name for path in home.files.glob("session_*.json")}


def token_in(answer: str) -> str:
    (token,) = re.findall(r"/retention sweep (\w+)$", answer)
    return str(token)


@pytest.mark.parametrize("words", ["", "status", "STATUS", "  status  "])
def test_status_says_what_is_stored_and_due(talk: Chat, words: str) -> None:
    answer = talk.answer(words)
    assert "2 sessions" in answer
    assert "due: files to the archive: 1 session" in answer
    assert "no sweep has removed anything yet" in answer


def test_status_names_the_first_sweep_that_a_gateway_announced(talk: Chat, home: HomeBuilder) -> None:
    workspace = Workspace(home.path)
    workspace.create()
    announced = Announcement(announced_at=NOW - 3600, acts_at=NOW + 23 * 3600, sessions=1)
    with workspace.ledger() as ledger:
        ledger.remember(ANNOUNCEMENT, msgspec.json.encode(announced).decode())
    assert "a gateway announced the first sweep, in 23 h, of 1 session" in talk.answer("status")


def test_preview_changes_nothing(talk: Chat, home: HomeBuilder) -> None:
    assert "files to the archive: 1 session" in talk.answer("preview")
    assert len(files(home)) == 2
    assert not (home.path / "retention").exists()


def test_sweep_needs_the_word_that_it_asks_for(talk: Chat, home: HomeBuilder) -> None:
    question = talk.answer("sweep")
    assert len(files(home)) == 2
    assert talk.answer("sweep yes") == chat.WRONG_TOKEN
    assert len(files(home)) == 2
    answer = talk.answer(f"sweep {token_in(question)}")
    assert "files to the archive: 1 session" in answer
    assert "hermes retention undo " in answer
    assert files(home) == {f"session_{LIVE}.json"}
    assert "last sweep: 0 s ago (done)" in talk.answer("status")


def test_word_is_good_once_and_for_ten_minutes() -> None:
    time = [0.0]
    tokens = Tokens(lambda: time[0])
    first, second = tokens.new(), tokens.new()
    assert tokens.use(first)
    assert not tokens.use(first)
    time[0] = 10 * MINUTE
    assert not tokens.use(second)


def test_nothing_due_needs_no_word(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session(LIVE, ended=None, age=HOUR)
    talk = Chat(home.path, Tokens(lambda: 0.0), clock=lambda: NOW)
    assert talk.answer("sweep") == chat.NOTHING_DUE
    assert talk.answer("preview") == chat.NOTHING_DUE


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_mode_that_forbids_removals_forbids_this_one(
    talk: Chat, home: HomeBuilder, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    word = token_in(talk.answer("sweep"))
    monkeypatch.setenv("HERMES_RETENTION_MODE", mode)
    for words in ("sweep", f"sweep {word}"):
        assert f"HERMES_RETENTION_MODE is {mode}" in talk.answer(words)
    assert len(files(home)) == 2


def test_sessions_are_found_by_id_day_and_title_in_store_and_archive(talk: Chat) -> None:
    assert talk.answer(f"find {OLD[:10]}") == f"{OLD} · 2026-10-01"
    assert talk.answer("find FISH") == f"{OLD} · 2026-10-01 · About fish"
    assert talk.answer("find 2026-11-20").startswith(LIVE)
    talk.answer(f"sweep {token_in(talk.answer('sweep'))}")
    assert talk.answer("find fish") == f"{OLD} · 2026-10-01 · About fish"


def test_titles_are_shown_to_nobody_who_does_not_know_them(talk: Chat) -> None:
    for text in (LIVE, "2026", "my"):
        assert "divorce" not in talk.answer(f"find {text}")
    assert "My divorce" in talk.answer("find divorce")


def test_words_of_a_conversation_are_neither_searched_nor_shown(talk: Chat) -> None:
    assert talk.answer("find hello") == "No id, title or day holds 'hello'."


def test_long_answers_are_cut(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    for number in range(13):
        home.session(f"20261001_0900{number:02}_aaaaaaaa", age=DAY, title="fish " * 50)
    lines = Chat(home.path, Tokens(lambda: 0.0), clock=lambda: NOW).answer("find fish").splitlines()
    assert len(lines) == 11
    assert lines[-1] == "… and 3 more"
    assert all(len(line) < 120 for line in lines)


def test_no_name_breaks_a_line_or_gets_at_a_terminal(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "esc\x1b[31mhome\n").session(OLD, age=DAY, title="fish\x1b[31m\nfried")
    talk = Chat(home.path, Tokens(lambda: 0.0), clock=lambda: NOW)
    (home.files / "sessions.json").write_text("[]")
    for answer in (talk.answer("find fish"), talk.answer("status"), talk.answer("find \x1b\n")):
        assert answer.isprintable()


@pytest.mark.parametrize("words", ["help", "find", "find   ", "remove everything"])
def test_anything_else_is_answered_with_what_there_is(talk: Chat, words: str) -> None:
    assert talk.answer(words) == chat.USAGE


def test_errors_are_told_in_one_line(talk: Chat, monkeypatch: pytest.MonkeyPatch, home: HomeBuilder) -> None:
    monkeypatch.setenv("HERMES_RETENTION_MOOD", "good")
    assert "HERMES_RETENTION_MODE" in talk.answer("status")
    monkeypatch.delenv("HERMES_RETENTION_MOOD")
    (home.files / "sessions.json").write_text("[]")
    assert "no JSON object" in talk.answer("status")


def test_trouble_that_nobody_foresaw_is_told_without_its_words(
    talk: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("what somebody said")

    monkeypatch.setattr(chat, "take_status", fail)
    answer = talk.answer("status")
    assert "ValueError" in answer
    assert "somebody" not in answer


def test_answer_that_takes_long_goes_on_and_the_loop_is_free(
    home: HomeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, done = threading.Event(), threading.Event()

    def slowly(*_: object) -> str:
        go_on.wait(30)
        done.set()
        return "done"

    monkeypatch.setattr(Chat, "answer", slowly)
    monkeypatch.setattr(chat, "_PATIENCE_SECONDS", 0.01)

    async def ask() -> tuple[str, bool]:
        answer = asyncio.create_task(answer_from_thread("status", home.path))
        await asyncio.sleep(0)
        return await answer, done.is_set()

    assert asyncio.run(ask()) == (chat.STILL_AT_IT, False)
    go_on.set()
    assert done.wait(30)


def test_what_another_plugin_holds_stays(talk: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    class Holder:
        @hookimpl
        def retention_hold(self, session: Session) -> str | None:
            return "asked for" if session.id == OLD else None

    manager = bare_plugin_manager()
    manager.register(Holder())
    monkeypatch.setattr(plugins, "installed_extensions", lambda: Extensions(manager))
    assert talk.answer("sweep") == chat.NOTHING_DUE
