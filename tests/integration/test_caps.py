"""Caps on a home with a real database and ledger: what is counted, told, done, and remembered by whom."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cap_homes import CappedHome, Gateway

from hermes_retention.gateway.cap_watch import CapWatch
from hermes_retention.gateway.host import ModelCall
from hermes_retention.home.ledger import Ledger
from hermes_retention.policy.caps import Cap, CapStage, Reaction

Capped = Callable[..., CappedHome]


@pytest.fixture
def capped(tmp_path: Path) -> Iterator[Capped]:
    """Makes the home of the test, with these settings."""
    made: list[CappedHome] = []

    def make(*, host: Gateway | None = None, **settings: str) -> CappedHome:
        made.append(CappedHome(tmp_path, host=host, **settings))
        return made[-1]

    yield make
    for home in made:
        home.close()


def alerts_of(home: CappedHome) -> list[tuple[str, Cap, CapStage, Reaction]]:
    return [(it.session_id, it.finding.cap, it.finding.stage, it.done) for it in home.alerts]


def in_ledger(home: CappedHome) -> int:
    with Ledger.open(home.home / "retention" / "ledger.db") as ledger:
        return len(ledger.caps.alerts())


# Alerts


def test_alert_comes_once_at_its_share_and_once_at_the_limit(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="10", CHAT__CAPS__MAX_MESSAGES_ACTION="alert")
    home.session("s1")
    told = []
    for _ in range(8):
        home.turn("s1")
        told.append(len(home.alerts))
    assert told == [0, 0, 0, 1, 2, 2, 2, 2]
    assert alerts_of(home) == [
        ("s1", Cap.MESSAGES, CapStage.NEAR, Reaction.ALERT),
        ("s1", Cap.MESSAGES, CapStage.REACHED, Reaction.ALERT),
    ]


@pytest.mark.parametrize("end", [CappedHome.restart, CappedHome.crash])
def test_alert_is_not_repeated_after_a_restart(end: Callable[[CappedHome], None], capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="10")
    home.session("s1")
    for _ in range(4):
        home.turn("s1")
    assert len(home.alerts) == 1
    end(home)
    home.end_turn("s1")
    assert len(home.alerts) == in_ledger(home) == 1


def test_each_session_has_alerts_of_its_own(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="2", CHAT__CAPS__MAX_MESSAGES_ACTION="alert")
    for session_id in ("s1", "s2"):
        home.session(session_id)
        home.turn(session_id)
    assert [it.session_id for it in home.alerts] == ["s1", "s2"]


def test_limit_that_is_passed_at_once_is_told_without_being_near(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="10", CHAT__CAPS__MAX_MESSAGES_ACTION="alert")
    home.session("s1")
    home.store("s1", 20)
    home.turn("s1")
    home.turn("s1")
    assert [it.finding.stage for it in home.alerts] == [CapStage.REACHED]


def test_alert_is_one_log_line_without_a_word_of_the_conversation(
    capped: Capped, caplog: pytest.LogCaptureFixture
) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="2", CHAT__CAPS__MAX_MESSAGES_ACTION="alert")
    home.session("s1")
    home.store("s1", 2, text="secret words")
    home.end_turn("s1")
    [record] = [it for it in caplog.records if it.levelno >= logging.WARNING]
    assert record.getMessage() == home.alerts[0].text
    assert "HERMES_RETENTION_CHAT__CAPS__MAX_MESSAGES" in record.getMessage()
    assert "secret" not in caplog.text


def test_person_in_the_chat_is_told_only_when_that_is_wanted(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="4")
    assert home.gateway is not None
    home.session("s1")
    home.session("s2")
    home.turn("s1")
    home.turn("s1")
    assert home.gateway.told == []
    home.restart(ALERT_IN_CHAT="true")
    home.turn("s2")
    home.turn("s2")
    assert home.gateway.told == [
        ("s2", "This conversation has reached its limit of 4 messages. Your next message starts a new one.")
    ]


# Reset


def test_session_at_its_limit_is_suspended_and_goes_no_further(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="4")
    assert home.gateway is not None
    home.session("s1")
    home.turn("s1")
    assert home.gateway.suspended == []
    home.turn("s1")
    assert home.gateway.suspended == ["s1"]
    assert alerts_of(home)[-1] == ("s1", Cap.MESSAGES, CapStage.REACHED, Reaction.RESET)


def test_nothing_is_reset_within_a_turn(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="4")
    assert home.gateway is not None
    home.session("s1")
    home.store("s1", 9)
    home.call("s1")
    assert home.gateway.suspended == []
    home.end_turn("s1")
    assert home.gateway.suspended == ["s1"]


def test_large_session_is_reset_for_its_bytes(capped: Capped, tmp_path: Path) -> None:
    home = capped(CHAT__CAPS__MAX_BYTES="10KB")
    assert home.gateway is not None
    home.session("s1")
    home.store("s1", 1, text="x" * 8000)
    home.end_turn("s1")
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / "session_s1.json").write_bytes(b"x" * 3000)
    assert home.gateway.suspended == []
    home.end_turn("s1")
    assert home.gateway.suspended == ["s1"]


@pytest.mark.parametrize(
    ("source", "platform"), [("api_server", "api_server"), ("cron", "cron"), ("cli", "cli")]
)
def test_session_that_cannot_be_reset_only_alerts(source: str, platform: str, capped: Capped) -> None:
    home = capped(API__CAPS__MAX_MESSAGES_ACTION="reset")
    assert home.gateway is not None
    home.session("s1", source=source)
    home.store("s1", 1000)
    home.end_turn("s1", platform)
    home.end_turn("s1", platform)
    assert home.gateway.suspended == []
    assert alerts_of(home) == [("s1", Cap.MESSAGES, CapStage.REACHED, Reaction.ALERT)]


def test_reset_that_the_host_could_not_do_is_an_alert_and_is_tried_again(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="4")
    assert home.gateway is not None
    home.session("s1")
    home.gateway.routed.clear()
    home.store("s1", 4)
    home.end_turn("s1")
    assert alerts_of(home) == [("s1", Cap.MESSAGES, CapStage.REACHED, Reaction.ALERT)]
    home.gateway.routed.add("s1")
    home.end_turn("s1")
    assert home.gateway.suspended == ["s1"]
    assert len(home.alerts) == 1


def test_wrong_count_resets_nobody(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="20")
    assert home.gateway is not None
    home.session("s1")
    home.store("s1", 18)
    home.end_turn("s1")
    # The host takes back what lies in the middle; the last message, from which counting goes on, stays.
    home.database.execute("DELETE FROM messages WHERE id BETWEEN 2 AND 16")
    home.turn("s1")
    assert home.gateway.suspended == []
    assert [it.finding.stage for it in home.alerts] == [CapStage.NEAR]


# Stop


def test_turn_is_stopped_at_its_tool_calls_without_waiting_for_anybody(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_TOOL_CALLS="10")
    home.session("s1")
    for number in range(1, 10):
        home.call("s1", number=number, tool_calls=1)
        assert home.answer("s1") is None
    # The hook itself stops it: nothing has to be worked off in between.
    home.watch.model_called("s1", "telegram", ModelCall(10, tool_calls=1))
    answer = home.answer("s1")
    assert answer is not None
    assert (answer.action, answer.cap) == (Reaction.STOP, Cap.TOOL_CALLS)
    assert "10 tool calls in one turn (max_tool_calls)" in answer.text
    assert "/new" in answer.text
    home.watch.work_off()
    assert alerts_of(home) == [
        ("s1", Cap.TOOL_CALLS, CapStage.NEAR, Reaction.ALERT),
        ("s1", Cap.TOOL_CALLS, CapStage.REACHED, Reaction.STOP),
    ]
    assert home.alerts[-1].finding.count == 10


def test_tool_calls_count_within_one_turn_only(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_TOOL_CALLS="10")
    home.session("s1")
    for _ in range(5):
        for number in (1, 2):
            home.call("s1", number=number, tool_calls=3)
        home.turn("s1")
    assert home.answer("s1") is None
    assert home.alerts == []


def test_tool_calls_of_a_turn_that_never_ended_are_forgotten_with_the_next(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_TOOL_CALLS="10")
    home.session("s1")
    home.call("s1", tool_calls=6)
    home.call("s1", tool_calls=6)
    assert home.answer("s1") is None


def test_stopped_session_answers_after_its_cooldown(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_TOKENS="1000", STOP_COOLDOWN="5m")
    home.session("s1")
    home.call("s1", tokens=1200)
    home.end_turn("s1")
    home.now += 299
    assert home.answer("s1") is not None
    home.now += 1
    assert home.answer("s1") is None
    # What was used until the stop is forgiven, and the cap counts anew from there.
    home.call("s1", tokens=900)
    assert home.answer("s1") is None
    home.call("s1", tokens=200, number=2)
    assert home.answer("s1") is not None
    assert [it.done for it in home.alerts if it.finding.stage is CapStage.REACHED] == [Reaction.STOP] * 2


def test_new_session_answers_while_the_old_one_is_stopped(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_TOOL_CALLS="3")
    for session_id in ("s1", "s2"):
        home.session(session_id)
    home.call("s1", tool_calls=3)
    home.call("s2", tool_calls=1)
    assert home.answer("s1") is not None
    assert home.answer("s2") is None


@pytest.mark.parametrize("end", [CappedHome.restart, CappedHome.crash])
def test_stop_outlives_the_process(end: Callable[[CappedHome], None], capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_TOOL_CALLS="3")
    home.session("s1")
    home.session("s2")
    home.call("s1", tool_calls=3)
    end(home)
    home.call("s2")  # whatever the first hook is about, earlier stops are known from then on
    answer = home.answer("s1")
    assert answer is not None
    assert answer.action is Reaction.STOP
    home.now += 900
    assert home.answer("s1") is None
    assert len([it for it in home.alerts if it.session_id == "s1"]) == 1


def test_cooldown_of_never_stops_for_good(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_TOOL_CALLS="3", STOP_COOLDOWN="never")
    home.session("s1")
    home.call("s1", tool_calls=3)
    home.restart()
    home.call("s1")
    home.now += 1e8
    answer = home.answer("s1")
    assert answer is not None
    assert "wait" not in answer.text


def test_300_messages_in_a_minute_stop_the_session(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES_PER_MINUTE="300")
    home.session("s1")
    answered = 0
    for number in range(1, 301):  # each answer calls a tool: two messages
        home.now += 0.2
        if home.answer("s1") is not None:
            break
        home.call("s1", number=number, tool_calls=1)
        answered += 2
    assert answered in {298, 300}
    answer = home.answer("s1")
    assert answer is not None
    assert "300 messages in one minute (max_messages_per_minute)" in answer.text


def test_300_messages_in_two_minutes_do_not(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES_PER_MINUTE="300")
    home.session("s1")
    for number in range(1, 151):
        home.now += 0.8
        home.call("s1", number=number, tool_calls=1)
    assert home.answer("s1") is None


def test_rate_of_a_gateway_that_tells_only_turns_is_seen_in_the_database(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES_PER_MINUTE="300")
    home.session("s1")
    home.store("s1", 299)
    home.end_turn("s1")
    assert home.answer("s1") is None
    home.store("s1", 1)
    home.end_turn("s1")
    assert home.answer("s1") is not None
    home.now += 900
    assert home.answer("s1") is None
    home.end_turn("s1")
    assert home.answer("s1") is None


def test_costs_stop_a_session_where_the_host_knows_them(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_COST_USD="2.50")
    home.session("s1", estimated_cost_usd=2.4)
    home.call("s1")
    assert home.answer("s1") is None
    home.database.execute("UPDATE sessions SET estimated_cost_usd = 2.5")
    home.now += 2
    home.call("s1", number=2)
    answer = home.answer("s1")
    assert answer is not None
    assert "$2.50 (max_cost_usd)" in answer.text


def test_host_that_cannot_stop_resets_instead_and_says_so_once(
    capped: Capped, caplog: pytest.LogCaptureFixture
) -> None:
    home = capped(host=Gateway(stops=False), CHAT__CAPS__MAX_TOOL_CALLS="3", CRON__CAPS__MAX_TOKENS="9")
    assert home.gateway is not None
    home.session("s1")
    home.call("s1", tool_calls=4)
    assert home.answer("s1") is None
    home.end_turn("s1")
    assert home.gateway.suspended == ["s1"]
    [said] = [it.getMessage() for it in caplog.records if "cannot stop" in it.getMessage()]
    assert "HERMES_RETENTION_CHAT__CAPS__MAX_TOOL_CALLS, HERMES_RETENTION_CRON__CAPS__MAX_TOKENS" in said


def test_host_that_cannot_stop_says_nothing_when_nobody_wants_it(
    capped: Capped, caplog: pytest.LogCaptureFixture
) -> None:
    home = capped(host=Gateway(stops=False))
    home.session("s1")
    home.turn("s1")
    assert caplog.records == []


# A gateway without a host of ours


def test_gateway_that_asks_is_told_what_to_do(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="4", CHAT__CAPS__MAX_TOOL_CALLS="3")
    home.gateway = None
    home.session("s1")
    home.turn("s1")
    assert home.answer("s1") is None
    home.turn("s1")
    over = home.answer("s1")
    assert over is not None
    assert (over.action, over.cap) == (Reaction.RESET, Cap.MESSAGES)
    assert home.answer("s1", Cap.MESSAGES) == over
    assert home.answer("s1", Cap.TOOL_CALLS) is None
    home.turn("s1", tool_calls=3)
    stopped = home.answer("s1")
    assert stopped is not None
    assert stopped.action is Reaction.STOP
    assert home.answer("s1", Cap.MESSAGES) == over


def test_gateway_without_a_database_is_counted_by_what_it_tells(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="6", CHAT__CAPS__MAX_TOKENS="100", CHAT__CAPS__MAX_COST_USD="1")
    home.gateway = None
    home.database.path.unlink()
    for _ in range(2):
        home.end_turn("s1", messages=2, output_tokens=20, cost_usd=0.25)
    assert home.answer("s1") is None
    home.restart()
    home.end_turn("s1", messages=2, output_tokens=20, cost_usd=0.25)
    over = home.answer("s1")
    assert over is not None
    assert over.cap is Cap.MESSAGES
    home.end_turn("s1", output_tokens=39, cost_usd=0.25)
    assert home.answer("s1", Cap.COST_USD) is not None


# Modes and mistakes


def test_mode_off_means_no_caps(capped: Capped, tmp_path: Path) -> None:
    home = capped(MODE="off", CHAT__CAPS__MAX_MESSAGES="2")
    home.session("s1")
    home.turn("s1")
    assert home.alerts == []
    assert not (tmp_path / "retention").exists()


def test_mode_observe_only_alerts(capped: Capped) -> None:
    home = capped(MODE="observe", CHAT__CAPS__MAX_MESSAGES="2", CHAT__CAPS__MAX_TOOL_CALLS="2")
    assert home.gateway is not None
    home.session("s1")
    home.call("s1", tool_calls=5)
    home.turn("s1", tool_calls=5)
    assert home.gateway.suspended == []
    assert {it.done for it in home.alerts} == {Reaction.ALERT}
    answer = home.answer("s1")
    assert answer is None or answer.action is Reaction.ALERT


def test_wrong_setting_is_named_once_and_no_chat_is_capped(
    capped: Capped, caplog: pytest.LogCaptureFixture
) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="-4")
    home.session("s1")
    home.turn("s1")
    home.turn("s1")
    [record] = caplog.records
    assert "HERMES_RETENTION_CHAT__CAPS__MAX_MESSAGES='-4'" in record.getMessage()
    assert home.answer("s1") is None


def test_error_leaves_the_chat_alone_and_costs_one_warning_an_hour(
    capped: Capped, caplog: pytest.LogCaptureFixture
) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="4")
    home.session("s1")
    home.turn("s1")
    with contextlib.closing(sqlite3.connect(home.database.path)) as database, database:
        database.execute("ALTER TABLE messages RENAME TO other")
    for _ in range(5):
        home.now += 60
        home.end_turn("s1")
        assert home.answer("s1") is None
    assert len(caplog.records) == 1
    home.now += 3600
    home.end_turn("s1")
    assert len(caplog.records) == 2
    assert "other" not in caplog.text


def test_alert_is_given_although_the_ledger_cannot_be_written(
    capped: Capped, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="2", CHAT__CAPS__MAX_MESSAGES_ACTION="alert")
    home.session("s1")
    (tmp_path / "retention").write_text("in the way")
    home.turn("s1")
    home.turn("s1")
    assert len(home.alerts) == 1
    assert any(it.getMessage().startswith("caps: ") for it in caplog.records)


def test_what_is_told_while_the_process_ends_is_not_lost(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="4")
    home.session("s1")
    watch = CapWatch(home.open_job, clock=lambda: home.now)
    home.store("s1", 2)
    watch.turn_ended("s1", "", "telegram", {})
    assert watch.stop()
    home.store("s1", 2)
    watch.turn_ended("s1", "", "telegram", {})
    assert watch.stop()
    assert [it.finding.stage for it in home.alerts] == [CapStage.REACHED]


def test_receiver_that_fails_keeps_nobody_from_hearing(
    capped: Capped, caplog: pytest.LogCaptureFixture
) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="6", CHAT__CAPS__MAX_TOKENS="10", ALERT_IN_CHAT="true")
    assert home.gateway is not None
    home.deaf = True
    home.session("s1")
    home.store("s1", 5)
    home.end_turn("s1")
    assert home.gateway.told == [
        ("s1", "This conversation is at 5 of 6 messages. At the limit a new one starts by itself.")
    ]
    assert in_ledger(home) == 1
    assert [it.getMessage()[:10] for it in caplog.records] == ["session s1", "caps: it f"]


def test_reset_that_fails_is_tried_again_and_hides_no_other_alert(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="4", CHAT__CAPS__MAX_COST_USD="1")
    assert home.gateway is not None
    home.session("s1", estimated_cost_usd=0.9)
    home.gateway.broken = True
    home.store("s1", 4)
    home.end_turn("s1")
    home.gateway.broken = False
    home.end_turn("s1")
    assert home.gateway.suspended == ["s1"]
    assert {(it.finding.cap, it.done) for it in home.alerts} == {
        (Cap.MESSAGES, Reaction.RESET),
        (Cap.COST_USD, Reaction.ALERT),
    }


def test_stop_is_kept_although_a_reset_fails(capped: Capped) -> None:
    home = capped(CHAT__CAPS__MAX_MESSAGES="4", CHAT__CAPS__MAX_COST_USD="1")
    assert home.gateway is not None
    home.session("s1", estimated_cost_usd=2.0)
    home.gateway.broken = True
    home.store("s1", 4)
    home.end_turn("s1")
    assert [it.done for it in home.alerts] == [Reaction.STOP]
    assert home.answer("s1") is not None


def test_counts_are_written_at_the_end_and_go_on_from_there(capped: Capped, tmp_path: Path) -> None:
    home = capped()
    home.session("s1")
    home.turn("s1")
    home.restart()
    with Ledger.open(tmp_path / "retention" / "ledger.db") as ledger:
        counted = ledger.caps.of("s1").counted
    assert counted is not None
    assert counted.stored.messages == 2


def test_chat_that_nothing_is_wrong_with_writes_nothing(capped: Capped, tmp_path: Path) -> None:
    home = capped()
    home.session("s1")
    for _ in range(3):
        home.now -= 590  # within the time in which counts stay in memory
        home.turn("s1")
    assert not (tmp_path / "retention").exists()


@pytest.mark.parametrize("session_id", ["a\udcff", "x" * 5000, "../../etc", "a\n\x1b[31m"])
def test_id_of_any_form_is_counted(session_id: str, capped: Capped, caplog: pytest.LogCaptureFixture) -> None:
    home = capped(OTHER__CAPS__MAX_TOOL_CALLS="2")
    home.end_turn(session_id, "odd", tool_calls=2)
    assert home.answer(session_id) is not None
    assert all(it.getMessage().isprintable() for it in caplog.records)
