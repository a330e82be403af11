"""What is done to the host's own objects, on stand-ins with its names; ``tests/hermes`` has the real ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from homes import HOUR, NOW, HomeBuilder

from hermes_retention.gateway.hermes.host import HermesHost

KEY = "agent:main:webhook:push:1"


def entry(session_id: str, *, idle: float = HOUR, **facts: object) -> SimpleNamespace:
    known = {"session_key": KEY, "resume_pending": False, "suspended": False, "origin": None}
    used = datetime.fromtimestamp(NOW - idle, UTC)
    return SimpleNamespace(session_id=session_id, updated_at=used, **(known | facts))


class Store:
    """As hosts before 0.19 have it: the index is written while the lock is held."""

    def __init__(
        self, entries: dict[str, SimpleNamespace], is_active: Callable[[str], bool] | None = None
    ) -> None:
        self._entries = entries
        self._lock = threading.Lock()
        self._has_active_processes_fn = is_active
        self.saved: list[set[str]] = []
        self.suspended: list[str] = []

    def _ensure_loaded_locked(self) -> None:
        assert self._lock.locked()

    def _ensure_loaded(self) -> None:
        with self._lock:
            self._ensure_loaded_locked()

    def _save(self) -> None:
        assert self._lock.locked()
        self.saved.append(set(self._entries))

    def suspend_session(self, key: str) -> bool:
        self.suspended.append(key)
        return key in self._entries

    def load_transcript(self, session_id: str) -> list[str]:
        return [] if session_id == "empty" else ["hello"]


class NewerStore(Store):
    """As host 0.19 has it: the index is written without the lock."""

    def _save_entries(self) -> None:
        assert not self._lock.locked()
        self.saved.append(set(self._entries))


def host_of(
    store: Store, *, running: tuple[str, ...] = (), home: Path = Path("/nowhere"), **facts: object
) -> HermesHost:
    runner = SimpleNamespace(session_store=store, _running_agents=dict.fromkeys(running), **facts)
    return HermesHost(home, lambda: runner, lambda: NOW)


@pytest.mark.parametrize("kind", [Store, NewerStore])
def test_dead_routes_leave_and_the_rest_is_written_once(kind: type[Store]) -> None:
    store = kind({"dead": entry("a"), "other": entry("b"), "live": entry("c")})
    assert host_of(store).drop_routes({"dead": "a", "other": "b", "unknown": "x"}) == ["dead", "other"]
    assert store.saved == [{"live"}]


@pytest.mark.parametrize(
    "now",
    [
        entry("another"),
        entry("a", idle=59.0),
        entry("a", suspended=True),
        entry("a", resume_pending=True),
        SimpleNamespace(session_id="a", suspended=False, updated_at=None),
    ],
    ids=["leads elsewhere", "used lately", "suspended", "to be resumed", "no time"],
)
def test_route_that_is_not_what_was_judged_stays(now: SimpleNamespace) -> None:
    store = Store({"key": now})
    assert host_of(store).drop_routes({"key": "a"}) == []
    assert list(store._entries) == ["key"]
    assert store.saved == []


def test_route_whose_agent_works_stays() -> None:
    store = Store({"key": entry("a")})
    assert host_of(store, running=("key",)).drop_routes({"key": "a"}) == []


def _raise(key: str) -> bool:
    raise ValueError(key)


@pytest.mark.parametrize("is_active", [lambda _: True, _raise])
def test_route_with_processes_or_perhaps_stays(is_active: Callable[[str], bool]) -> None:
    store = Store({"key": entry("a")}, is_active)
    assert host_of(store).drop_routes({"key": "a"}) == []


def test_without_a_gateway_nothing_can_be_done() -> None:
    host = HermesHost(Path("/nowhere"), lambda: None, lambda: NOW)
    assert host.drop_routes({"key": "a"}) == []
    assert host.clear_resume_marks(["a"]) == []
    assert host.resume_candidates() == []
    assert host.platforms() == []
    assert host.key_of("a") == ""
    assert not host.suspend("a")
    assert not host.tell("a", "hello")


def test_session_is_suspended_by_its_route() -> None:
    store = Store({"key": entry("a")})
    assert host_of(store).suspend("a")
    assert not host_of(store).suspend("unrouted")
    assert store.suspended == ["key"]


def test_candidates_come_newest_first_with_what_speaks_against_them(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    # The host wrote down a request of "failed" after the chat was last used, one of "mended" before.
    home.file("request_dump_failed_20261120_115900_000001.json", age=60.0)
    home.file("request_dump_mended_20261120_100000_000001.json", age=7200.0)
    store = Store(
        {
            name: entry(name, idle=idle, resume_pending=name != "unmarked", session_key=name)
            for name, idle in (("failed", 100.0), ("empty", 200.0), ("unmarked", 5.0), ("mended", 50.0))
        }
    )
    found = host_of(store, home=tmp_path).resume_candidates()
    assert [(it.session_id, it.ended_in_error, it.readable) for it in found] == [
        ("mended", False, True),
        ("failed", True, True),
        ("empty", False, False),
    ]
    assert found[0].last_activity == NOW - 50.0


def test_words_reach_the_chat_of_a_session_through_the_gateways_loop() -> None:
    class Adapter:
        def __init__(self) -> None:
            self.sent: list[tuple[str, str, object]] = []

        async def send(self, chat_id: str, text: str, metadata: object = None) -> SimpleNamespace:
            self.sent.append((chat_id, text, metadata))
            return SimpleNamespace(success=True)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        adapter = Adapter()
        origin = SimpleNamespace(platform="ntfy", chat_id="alice", thread_id="7")
        host = host_of(
            Store({"key": entry("a", origin=origin)}), adapters={"ntfy": adapter}, _gateway_loop=loop
        )
        assert host.tell("a", "hello")
        assert not host.tell("unrouted", "hello")
        assert adapter.sent == [("alice", "hello", {"thread_id": "7"})]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
