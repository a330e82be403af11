"""What a session is that no guard protects: superseded, ended, stale or an orphan. And when it runs."""

from __future__ import annotations

import pytest
from inventories import (
    DAY,
    HOUR,
    KEY,
    MINUTE,
    Facts,
    assert_kept_live,
    chat,
    liveness_of,
    policy,
    session,
    step_for,
)
from verdicts import Verdict

from hermes_retention.model.plan import Liveness, Rule
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.liveness import SUPERSEDING_REASONS

# superseded


def test_session_whose_route_another_one_took_is_superseded() -> None:
    step = step_for(chat("a", idle=HOUR, successor="b"))
    assert (step.liveness, step.rule, step.verdict) == (
        Liveness.SUPERSEDED,
        Rule.ON_RESET,
        Verdict.ARCHIVE_FILES,
    )
    assert "superseded by b" in step.reason


@pytest.mark.parametrize("reason", sorted(SUPERSEDING_REASONS))
def test_chat_that_a_reset_ended_is_superseded(reason: str) -> None:
    assert liveness_of(chat(idle=HOUR, ended=reason)) is Liveness.SUPERSEDED


@pytest.mark.parametrize("kind", [kind for kind in SessionClass if kind is not SessionClass.CHAT])
def test_only_chats_are_superseded_by_their_end_reason(kind: SessionClass) -> None:
    assert liveness_of(session("a", kind, idle=HOUR, ended="new_session")) is Liveness.ENDED


@pytest.mark.parametrize("reason", ["compression", "cli_close", "user_exit", "NEW_SESSION", ""])
def test_chat_that_ended_otherwise_is_not_superseded(reason: str) -> None:
    assert liveness_of(chat(idle=2 * DAY, ended=reason)) is Liveness.ENDED


def test_successor_of_an_unrecorded_session_leaves_it_an_orphan() -> None:
    assert liveness_of(chat("a", recorded=False, successor="b")) is Liveness.ORPHAN


@pytest.mark.parametrize("facts", [{"recorded": False, "routes": [KEY]}, {"recorded": False}])
def test_successor_that_only_the_index_knows_supersedes_all_the_same(facts: Facts) -> None:
    assert (
        liveness_of(chat("a", idle=HOUR, successor="b"), chat("b", idle=MINUTE, **facts))
        is Liveness.SUPERSEDED
    )


def test_session_that_went_on_after_its_successor_started_is_not_superseded() -> None:
    """Somebody resumed it elsewhere: the index knows nothing of that."""
    successor = chat("b", started=5 * HOUR, idle=2 * HOUR, routes=[KEY])
    assert_kept_live(chat("a", idle=HOUR, successor="b"), successor, rule=Rule.RUNNING)
    assert liveness_of(chat("a", idle=5 * HOUR - 9 * MINUTE, successor="b"), successor) is Liveness.SUPERSEDED


# ended, stale, running


@pytest.mark.parametrize(
    "kind", [SessionClass.CLI, SessionClass.CRON, SessionClass.SUBAGENT, SessionClass.API]
)
def test_session_that_the_host_ended_has_ended(kind: SessionClass) -> None:
    step = step_for(session("a", kind, idle=8 * DAY, ended="cli_close"))
    assert step.liveness is Liveness.ENDED
    assert step.reason == "ended (cli_close); idle for 8 d (due after 7 d)"


def test_end_without_a_reason_is_an_end() -> None:
    step = step_for(chat(idle=8 * DAY, ended=""))
    assert step.liveness is Liveness.ENDED
    assert step.reason.startswith("ended (no reason)")


def test_last_writes_just_after_the_end_do_not_undo_it() -> None:
    assert liveness_of(chat(ended="idle", idle=HOUR, ended_ago=HOUR + 10 * MINUTE)) is Liveness.SUPERSEDED


@pytest.mark.parametrize("reason", ["new_session", "cli_close"])
def test_session_that_went_on_after_its_end_counts_as_not_ended(reason: str) -> None:
    """Hosts are known to let a cached agent write on in a session that they have ended."""
    went_on = chat(ended=reason, idle=HOUR, ended_ago=3 * HOUR)
    assert_kept_live(went_on, rule=Rule.RUNNING)
    step = step_for(chat(ended=reason, idle=8 * DAY, ended_ago=9 * DAY))
    assert (step.liveness, step.verdict) == (Liveness.STALE, Verdict.ARCHIVE_FILES)
    assert step.reason.startswith(f"went on after it ended ({reason}), counts as over after 1 d")


def test_session_that_nobody_ended_is_running_until_idle_for_long() -> None:
    assert_kept_live(chat(idle=DAY - 1), rule=Rule.RUNNING)
    assert liveness_of(chat(idle=DAY)) is Liveness.STALE


def test_session_that_nobody_ended_is_stale_at_its_max_age() -> None:
    assert liveness_of(chat(idle=HOUR, started=3 * DAY)) is Liveness.LIVE
    assert liveness_of(chat(idle=HOUR, started=3 * DAY), max_age=3 * DAY) is Liveness.STALE


def test_session_that_nobody_ended_runs_for_ever_when_no_limit_is_set() -> None:
    by = policy(classes={"idle_after": None, "max_age": None})
    assert_kept_live(chat(idle=3000 * DAY), rule=Rule.RUNNING, by=by)


def test_max_age_does_not_concern_what_has_ended_or_is_routed() -> None:
    assert liveness_of(chat(idle=HOUR, ended="cli_close"), max_age=0) is Liveness.ENDED
    assert liveness_of(chat(idle=HOUR, routes=[KEY]), max_age=0) is Liveness.LIVE


# orphans


def test_session_that_nobody_knows_is_an_orphan() -> None:
    assert liveness_of(session("a", SessionClass.OTHER, recorded=False)) is Liveness.ORPHAN
