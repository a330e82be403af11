"""Counts against limits: what is near, what is reached, and what may be done about it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_retention.model.session import SessionClass
from hermes_retention.policy.caps import (
    EVERYTHING,
    RESETTABLE,
    Cap,
    CapFinding,
    Caps,
    CapStage,
    CapStop,
    Limit,
    Reaction,
    alert_line,
    amount,
    chat_line,
    judge,
    nearest,
    portion,
    possible,
    setting,
    stop_notice,
)
from hermes_retention.settings.fields import DESCRIPTIONS, variable

CHAT = Caps({Cap.MESSAGES: Limit(100, Reaction.RESET), Cap.TOOL_CALLS: Limit(10, Reaction.STOP)})
OLD_HOST = frozenset({Reaction.ALERT, Reaction.RESET})


def found(
    counts: Mapping[Cap, float], since: Mapping[Cap, float] | None = None
) -> list[tuple[Cap, CapStage]]:
    return [(it.cap, it.stage) for it in judge(counts, CHAT, since)]


# Counts and limits


@pytest.mark.parametrize(
    ("count", "stages"),
    [
        (0, []),
        (79, []),
        (80, [CapStage.NEAR]),
        (99, [CapStage.NEAR]),
        (100, [CapStage.REACHED]),
        (900, [CapStage.REACHED]),
    ],
)
def test_limit_is_near_from_its_share_on_and_reached_at_its_number(
    count: int, stages: list[CapStage]
) -> None:
    assert [stage for _, stage in found({Cap.MESSAGES: count})] == stages


def test_what_is_near_only_alerts_and_what_is_reached_does_what_was_set() -> None:
    assert judge({Cap.MESSAGES: 80, Cap.TOOL_CALLS: 12}, CHAT) == (
        CapFinding(Cap.MESSAGES, CapStage.NEAR, 80, 100, Reaction.ALERT),
        CapFinding(Cap.TOOL_CALLS, CapStage.REACHED, 12, 10, Reaction.STOP),
    )


def test_unknown_count_reaches_nothing() -> None:
    assert found({}) == []


def test_count_without_a_limit_reaches_nothing() -> None:
    assert found({Cap.TOKENS: 1e12}) == []


def test_share_of_one_never_warns_in_advance() -> None:
    caps = Caps({Cap.MESSAGES: Limit(100, Reaction.ALERT)}, alert_at=1.0)
    assert judge({Cap.MESSAGES: 99}, caps) == ()


def test_cap_counts_anew_after_its_stop() -> None:
    assert found({Cap.MESSAGES: 130}, {Cap.MESSAGES: 100}) == []
    assert found({Cap.MESSAGES: 180}, {Cap.MESSAGES: 100}) == [(Cap.MESSAGES, CapStage.NEAR)]
    assert judge({Cap.MESSAGES: 200}, CHAT, {Cap.MESSAGES: 100})[0].count == 100


@given(st.dictionaries(st.sampled_from(Cap), st.floats(0, 1e9), max_size=6), st.floats(0, 1e6))
def test_more_never_finds_less(counts: dict[Cap, float], more: float) -> None:
    before = {cap for cap, _ in found(counts)}
    assert before <= {cap for cap, _ in found({cap: count + more for cap, count in counts.items()})}


def test_nearest_cap_is_the_one_used_up_most() -> None:
    assert nearest({Cap.MESSAGES: 50, Cap.TOOL_CALLS: 6}, CHAT) == (Cap.TOOL_CALLS, 0.6)
    assert nearest({}, CHAT) is None


# What can be done


@pytest.mark.parametrize("name", SessionClass)
def test_every_class_can_be_stopped_and_alerted_about(name: SessionClass) -> None:
    assert possible(Reaction.STOP, name, EVERYTHING) is Reaction.STOP
    assert possible(Reaction.ALERT, name, EVERYTHING) is Reaction.ALERT


@pytest.mark.parametrize("name", SessionClass)
def test_only_a_chat_can_be_reset(name: SessionClass) -> None:
    done = possible(Reaction.RESET, name, EVERYTHING)
    assert done is (Reaction.RESET if name is SessionClass.CHAT else Reaction.ALERT)


def test_classes_that_can_be_reset_exist() -> None:
    assert set(SessionClass) >= RESETTABLE


@pytest.mark.parametrize(
    ("name", "done"), [("chat", Reaction.RESET), ("api", Reaction.ALERT), ("cron", Reaction.ALERT)]
)
def test_host_that_cannot_stop_resets_or_else_alerts(name: str, done: Reaction) -> None:
    assert possible(Reaction.STOP, name, OLD_HOST) is done


def test_where_only_alerts_are_wanted_nothing_else_happens() -> None:
    assert possible(Reaction.STOP, "chat", frozenset({Reaction.ALERT})) is Reaction.ALERT


# Stops


def test_stop_holds_until_its_time() -> None:
    stop = CapStop(Cap.TOKENS, at=1000.0, until=1900.0, count=5)
    assert stop.holds(1000.0)
    assert stop.holds(1899.0)
    assert not stop.holds(1900.0)


def test_stop_without_an_end_holds_for_ever() -> None:
    assert CapStop(Cap.TOKENS, at=1000.0, until=None, count=5).holds(9e9)


def test_clock_that_was_put_back_ends_a_stop() -> None:
    assert not CapStop(Cap.TOKENS, at=1000.0, until=1900.0, count=5).holds(100.0)


# Words

REACHED = CapFinding(Cap.MESSAGES, CapStage.REACHED, 1004, 1000, Reaction.RESET)
NEAR = CapFinding(Cap.MESSAGES, CapStage.NEAR, 812, 1000, Reaction.ALERT)


@pytest.mark.parametrize(
    ("cap", "count", "words"),
    [
        (Cap.MESSAGES, 1004, "1,004 messages"),
        (Cap.BYTES, 10.2e6, "10.2 MB"),
        (Cap.TOKENS, 22e6, "22,000,000 tokens"),
        (Cap.COST_USD, 2.5, "$2.50"),
        (Cap.TOOL_CALLS, 10, "10 tool calls in one turn"),
        (Cap.MESSAGES_PER_MINUTE, 337, "337 messages in one minute"),
    ],
)
def test_amount_has_its_unit(cap: Cap, count: float, words: str) -> None:
    assert amount(cap, count) == words


def test_count_stands_beside_its_limit() -> None:
    assert portion(Cap.MESSAGES, 1004, 1000) == "1,004 of 1,000 messages"
    assert portion(Cap.BYTES, 10.2e6, 10e6) == "10.2 MB of 10.0 MB"
    assert portion(Cap.COST_USD, 2.5, 2) == "$2.50 of $2.00"


@pytest.mark.parametrize("cap", Cap)
@pytest.mark.parametrize("name", SessionClass)
def test_words_name_settings_that_exist(cap: Cap, name: SessionClass) -> None:
    assert setting(cap, name) in {variable(path) for path in DESCRIPTIONS}


def test_alert_says_who_how_much_and_what_happens() -> None:
    assert alert_line("s1", "chat", "telegram", REACHED, Reaction.RESET) == (
        "session s1 (chat, telegram) reached a cap: 1,004 of 1,000 messages "
        "(HERMES_RETENTION_CHAT__CAPS__MAX_MESSAGES); the next message starts a new session"
    )
    assert alert_line("s\n1", "cli", "", NEAR, Reaction.ALERT) == (
        "session s\\n1 (cli) is near a cap: 812 of 1,000 messages (HERMES_RETENTION_CLI__CAPS__MAX_MESSAGES)"
    )


@pytest.mark.parametrize("action", Reaction)
@pytest.mark.parametrize("finding", [NEAR, REACHED])
def test_line_for_the_chat_names_the_limit(finding: CapFinding, action: Reaction) -> None:
    assert "1,000 messages" in chat_line(finding, action)


@pytest.mark.parametrize(
    ("name", "cooldown", "to_do"),
    [
        ("chat", 900, "send /new to start a new session or wait 15 min."),
        ("chat", None, "send /new to start a new session."),
        ("api", 900, "use another session id or wait 15 min."),
        ("cron", 900, "wait 15 min."),
        ("cron", None, "raise HERMES_RETENTION_CRON__CAPS__MAX_TOOL_CALLS."),
    ],
)
def test_stopped_session_says_which_cap_and_what_to_do(name: str, cooldown: int | None, to_do: str) -> None:
    notice = stop_notice(Cap.TOOL_CALLS, 10, name, cooldown)
    assert notice == (
        "Stopped: this session reached its limit of 10 tool calls in one turn (max_tool_calls). "
        f"To go on, {to_do}"
    )
