"""Which routes are dead: those whose session is over although they lead to it."""

from __future__ import annotations

import msgspec
from inventories import DAY, HOUR, KEY, MINUTE, NOW, chat, hook, inventory, policy

from hermes_retention.model.session import Route, Session
from hermes_retention.policy.decide import dead_routes, decide

DELIVERY = "agent:main:webhook:dm:push:77"


def dead_among(*sessions: Session, **facts: dict[str, str]) -> dict[str, str]:
    found = inventory(*sessions, **facts)  # type: ignore[arg-type]  # holds only
    return dead_routes(found, decide(found, policy(), now=NOW))


def expired(session: Session) -> Session:
    """The same with all its routes as the host marks those that it has finalized."""
    routes = tuple(Route(it.key, it.updated_at, expired=True) for it in session.routes)
    return msgspec.structs.replace(session, routes=routes)


def test_route_of_an_ended_delivery_is_dead() -> None:
    assert dead_among(hook("a", ended="webhook_complete", idle=HOUR)) == {DELIVERY: "a"}


def test_route_of_a_delivery_that_nobody_ended_is_dead_once_it_is_stale() -> None:
    assert dead_among(hook("a", idle=2 * DAY)) == {DELIVERY: "a"}
    assert dead_among(hook("a", idle=HOUR)) == {}


def test_route_of_a_delivery_without_record_and_files_is_dead_once_it_is_stale() -> None:
    assert dead_among(hook("a", idle=2 * DAY, recorded=False, files=False)) == {DELIVERY: "a"}


def test_every_route_of_a_chat_is_alive_however_long_nobody_wrote() -> None:
    assert dead_among(chat("a", idle=900 * DAY, routes=[KEY])) == {}
    assert dead_among(chat("a", idle=900 * DAY, routes=[KEY], ended="session_reset")) == {}


def test_expired_route_of_a_chat_that_the_host_has_ended_is_dead() -> None:
    over = expired(chat("a", idle=2 * DAY, routes=[KEY], ended="session_reset"))
    assert dead_among(over) == {KEY: "a"}


def test_expired_route_is_alive_while_the_host_has_not_ended_the_session() -> None:
    assert dead_among(expired(chat("a", idle=2 * DAY, routes=[KEY]))) == {}


def test_expired_route_is_alive_when_the_chat_went_on_after_its_end() -> None:
    assert dead_among(expired(chat("a", idle=2 * DAY, routes=[KEY], ended="idle", ended_ago=9 * DAY))) == {}


def test_one_route_that_has_not_expired_keeps_the_others() -> None:
    session = chat("a", idle=2 * DAY, routes=[KEY], ended="session_reset")
    both = (*expired(session).routes, Route("agent:main:telegram:dm:2"))
    assert dead_among(msgspec.structs.replace(session, routes=both)) == {}


def test_held_and_young_deliveries_keep_their_routes() -> None:
    assert dead_among(hook("a", ended="webhook_complete"), holds={"a": "audit"}) == {}
    assert dead_among(hook("a", ended="webhook_complete", idle=MINUTE)) == {}


def test_route_that_leaves_along_with_its_session_is_not_told_apart() -> None:
    entry = Route(DELIVERY, NOW - 2 * DAY, leaves_along=True)
    assert dead_among(msgspec.structs.replace(hook("a", idle=2 * DAY), routes=(entry,))) == {}
