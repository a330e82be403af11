"""A home with sessions that grow, a gateway that obeys, and the caps between them, on a clock of their own.

caps = CappedHome(tmp_path, CHAT__CAPS__MAX_MESSAGES="4")
caps.turn("s1")        # a message and its answer are stored, the turn ends, and the caps do their work
caps.answer("s1")      # what a gateway is to do now
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from host_databases import HostDatabase

from hermes_retention.gateway.cap_job import CapJob
from hermes_retention.gateway.cap_watch import CapWatch
from hermes_retention.gateway.host import ModelCall
from hermes_retention.policy.caps import Alert, Cap, CapAction

T0 = 1_796_000_000.0


@dataclass
class Gateway:
    """The port of a live host; it remembers what it was asked to do."""

    routed: set[str] = field(default_factory=set)
    """Sessions that it could suspend."""
    suspended: list[str] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    broken: bool = False
    """Whether it fails at whatever it is asked to do."""
    stops: bool = True
    """Whether it asks before each call of the model."""

    def drop_routes(self, keys: object) -> list[str]:
        """Caps never ask for this."""
        raise AssertionError(keys)

    def clear_resume_marks(self, session_ids: object) -> list[str]:
        """Nor for this."""
        raise AssertionError(session_ids)

    def suspend(self, session_id: str) -> bool:
        """The next message would start a fresh session."""
        if self.broken:
            raise RuntimeError(session_id)
        if session_id in self.routed:
            self.suspended.append(session_id)
        return session_id in self.routed

    def can_stop(self) -> bool:
        """As hosts since 0.17."""
        return self.stops

    def tell(self, session_id: str, text: str) -> bool:
        """A message in the chat."""
        if self.broken:
            raise RuntimeError(session_id)
        self.told.append((session_id, text))
        return True


class CappedHome:
    """One gateway process after another on the same home; ``restart`` begins the next one."""

    def __init__(self, home: Path, *, host: Gateway | None = None, **settings: str) -> None:
        self.home = home
        self.now = T0
        self.alerts: list[Alert] = []
        self.deaf = False
        self.gateway: Gateway | None = host or Gateway()
        self.environ = {f"HERMES_RETENTION_{name}": text for name, text in settings.items()}
        self.database = HostDatabase(home / "state.db")
        self._gone: list[CapWatch] = []
        self.watch = self._begin()

    def receive(self, alert: Alert) -> None:
        """A plugin that wants to know of alerts."""
        if self.deaf:
            raise RuntimeError(alert.text)
        self.alerts.append(alert)

    def restart(self, **settings: str) -> None:
        """The process ends in order, and the next one has these settings in addition."""
        self.watch.stop()
        self.environ |= {f"HERMES_RETENTION_{name}": text for name, text in settings.items()}
        self.watch = self._begin()

    def crash(self) -> None:
        """The process is gone without a word, and another one takes its place."""
        self._gone.append(self.watch)
        self.watch = self._begin()

    def close(self) -> None:
        """The processes of this test let go of the database."""
        for watch in (*self._gone, self.watch):
            watch.stop()

    def session(self, session_id: str, source: str = "telegram", **columns: object) -> str:
        """A session without messages, routed if it is a chat."""
        self.database.session(session_id, [], source=source, started_at=self.now, **columns)
        if self.gateway is not None and source == "telegram":
            self.gateway.routed.add(session_id)
        return session_id

    def store(self, session_id: str, count: int = 2, text: str = "words") -> None:
        """The host stores so many messages at this moment."""
        with closing(sqlite3.connect(self.database.path)) as host, host:
            host.executemany(
                "INSERT INTO messages(session_id, role, content, timestamp) VALUES (?, 'user', ?, ?)",
                [(session_id, text, self.now)] * count,
            )

    def call(self, session_id: str, *, number: int = 1, tokens: float = 0, tool_calls: int = 0) -> None:
        """The model answers once within a turn."""
        self.watch.model_called(session_id, "telegram", ModelCall(number, tokens, tool_calls))
        self.watch.work_off()

    def end_turn(self, session_id: str, platform: str = "telegram", **usage: float) -> None:
        """The turn is over."""
        self.watch.turn_ended(session_id, "", platform, usage)
        self.watch.work_off()

    def turn(self, session_id: str, **usage: float) -> None:
        """A whole turn of one message and its answer, ten minutes after the last one."""
        self.now += 600
        self.store(session_id)
        self.end_turn(session_id, "telegram", **usage)

    def answer(self, session_id: str, cap: Cap | None = None) -> CapAction | None:
        """What a gateway is to do about the session now."""
        return self.watch.answer(session_id, cap)

    def open_job(self) -> CapJob:
        """What the thread of the caps does."""
        return CapJob(
            self.home, environ=self.environ, clock=lambda: self.now, host=self.gateway, tell=self.receive
        )

    def _begin(self) -> CapWatch:
        return CapWatch(self.open_job, clock=lambda: self.now, begin=lambda _: None)
