"""What is known of one living session: its last count, what hooks told since, and what follows from both.

Hooks and the thread of the caps work on it at the same time. So all that changes is private, and each method
is one step under the session's own lock. What must not live here: threads, databases, clocks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Container, Iterable, Mapping
from typing import NamedTuple

from hermes_retention.gateway.host import ModelCall
from hermes_retention.policy.caps import (
    PASSING,
    Cap,
    CapAction,
    CapFinding,
    Caps,
    CapStage,
    CapStop,
    Reaction,
    chat_line,
    judge,
    possible,
    stop_notice,
)

_MINUTE = 60.0
_LOOK_SECONDS = 1.0
"""Between two looks within a turn."""
_ONLY_STORED = (Cap.MESSAGES, Cap.BYTES, Cap.COST_USD)
"""What only the host's database tells while a turn runs."""


class Heard(NamedTuple):
    """What hooks had told since the last look into the database, when the next one began."""

    messages: float
    tokens: float
    cost_usd: float


class LastMinute:
    """How many messages came within the last minute, by what hooks tell. Times are Unix seconds."""

    def __init__(self) -> None:
        self._came: deque[tuple[float, float]] = deque()
        self._sum = 0.0

    def add(self, count: float, now: float) -> None:
        """So many came now."""
        self._came.append((now, count))
        self._sum += count
        self._let_pass(now)

    def sum(self, now: float) -> float:
        """How many came in the minute before ``now``."""
        self._let_pass(now)
        return self._sum

    def clear(self) -> None:
        """Forget them all."""
        self._came.clear()
        self._sum = 0.0

    def _let_pass(self, now: float) -> None:
        """Forget what came before the last minute, or after now, for clocks are put back as well."""
        while self._came and not now - _MINUTE < self._came[0][0] <= now:
            self._sum -= self._came.popleft()[1]


class SessionUsage:
    """One session. Any thread may call any method. Times are Unix seconds."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.platform = ""
        self.session_key = ""
        self.session_class = ""
        self.limits: Caps | None = None
        """``None`` until its class is known: nothing is limited before."""
        self._lock = threading.RLock()  # a step may be part of another
        self._used_at = self._looked_at = 0.0
        # What is counted.
        self._stored: Mapping[Cap, float] = {}  # by the last look; what hooks told since comes on top
        self._messages = self._tokens = self._cost_usd = 0.0
        self._calls = 0  # of the model in this turn, if anybody tells: then all numbers of it are known
        self._tool_calls = 0  # in this turn
        self._minute = LastMinute()
        # Stops. Nobody is told of a stop in a hook: the thread does it, and notes which one it was.
        self._stop: CapStop | None = None
        self._published_stop: CapStop | None = None
        self._counts_from: dict[Cap, float] = {}  # what was used until a stop that is over is forgiven
        self._released_at = 0.0
        # Other reactions, and what people were told of.
        self._reached: dict[Cap, CapAction] = {}
        self._alerted: set[tuple[Cap, CapStage]] = set()

    # -- what hooks tell ---------------------------------------------------------------------------

    def used(self, platform: str, now: float) -> None:
        """Something happens in it. Told and asked by the one table that holds it, so it needs no lock."""
        self.platform = platform or self.platform
        self._used_at = now

    def model_called(self, call: ModelCall, now: float) -> None:
        """The model answered."""
        with self._lock:
            if call.number == 1:  # a turn that never ended leaves its numbers behind
                self._calls = self._tool_calls = 0
            self._calls += 1
            self._tool_calls += call.tool_calls
            self._tokens += call.tokens
            # Its answer and what the tools will say; with the first one comes what the person said.
            self._minute.add(1 + call.tool_calls + (call.number == 1), now)

    def turn_ended(self, session_key: str, usage: Mapping[str, float], now: float) -> int:
        """The turn is over. Returns how often tools were called in it.

        ``usage`` is what a gateway counted in it; where each call of the model was told, it says nothing new.
        """
        with self._lock:
            self.session_key = session_key or self.session_key
            tool_calls = self._tool_calls
            if not self._calls:
                tool_calls = int(usage.get("tool_calls", 0))
                messages = usage.get("messages", 0)
                self._messages += messages
                self._tokens += usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
                self._cost_usd += usage.get("cost_usd", 0)
                self._minute.add(messages, now)
            self._calls = self._tool_calls = 0
            return tool_calls

    # -- what the thread finds out -----------------------------------------------------------------

    def learned(
        self,
        session_class: str,
        limits: Caps,
        now: float,
        *,
        alerted: Collection[tuple[Cap, CapStage]] = (),
        stops: Iterable[CapStop] = (),
    ) -> None:
        """Class and limits, and what earlier processes have told and stopped."""
        with self._lock:
            self.session_class, self.limits = session_class, limits
            self._alerted.update(alerted)
            for stop in stops:
                self._stop = stop
                # One that is over leaves behind from where its cap counts anew.
                if self._current_stop(now) is not None:
                    self._published_stop = stop
                    break

    def begin_look(self, now: float) -> Heard:
        """A look into the database begins: what hooks have told until now will be part of what it finds."""
        with self._lock:
            self._looked_at = now
            return Heard(self._messages, self._tokens, self._cost_usd)

    def looked(self, stored: Mapping[Cap, float], heard: Heard) -> None:
        """The look found this. ``heard`` is what ``begin_look`` gave; what came in meanwhile still counts."""
        with self._lock:
            self._stored = stored
            self._messages -= heard.messages
            self._tokens -= heard.tokens
            self._cost_usd -= heard.cost_usd

    # -- what follows ------------------------------------------------------------------------------

    def judge(self, abilities: Container[Reaction], cooldown: int | None, now: float) -> bool:
        """Stop the session if a cap says so; whether the thread should look at it before the turn is over."""
        with self._lock:
            findings = self._findings(self._counts(now))
            self.stop_if_due(findings, abilities, cooldown, now)
            return self._wants_a_look(findings, now)

    def findings(self, tool_calls: int | None, now: float) -> tuple[CapFinding, ...]:
        """What is near a limit or has reached it. ``tool_calls`` are those of a turn that has ended."""
        with self._lock:
            counts = self._counts(now)
            if tool_calls is not None:
                counts[Cap.TOOL_CALLS] = tool_calls
            return self._findings(counts)

    def stop_if_due(
        self,
        findings: Iterable[CapFinding],
        abilities: Container[Reaction],
        cooldown: int | None,
        now: float,
    ) -> None:
        """Stop the session when a cap says so, unless it is stopped already."""
        with self._lock:
            if self._current_stop(now) is not None:
                return
            for finding in findings:
                reaction = possible(finding.action, self.session_class, abilities)
                if finding.stage is CapStage.REACHED and reaction is Reaction.STOP:
                    count = finding.count + self._counts_from.get(finding.cap, 0)
                    self._stop = CapStop(
                        finding.cap, now, None if cooldown is None else now + cooldown, count
                    )
                    return

    def publish_stop(self, now: float) -> tuple[CapStop, CapFinding] | None:
        """The stop in force if nobody was told of it yet, and what it is about; from now on it is told."""
        with self._lock:
            stop = self._current_stop(now)
            if stop is None or stop == self._published_stop or self.limits is None:
                return None
            self._published_stop = stop
            self._alerted.add((stop.cap, CapStage.REACHED))
            count = stop.count - self._counts_from.get(stop.cap, 0)
            limit = self.limits.limits[stop.cap].at
            return stop, CapFinding(stop.cap, CapStage.REACHED, count, limit, Reaction.STOP)

    def note(self, finding: CapFinding, done: Reaction) -> bool:
        """This was done about a finding, stops apart. Whether people are to be told: once for each stage."""
        with self._lock:
            if finding.stage is CapStage.REACHED:
                self._reached[finding.cap] = CapAction(done, finding.cap, chat_line(finding, done))
            if not self._alerted.isdisjoint({(finding.cap, finding.stage), (finding.cap, CapStage.REACHED)}):
                return False
            self._alerted.add((finding.cap, finding.stage))
            return True

    def answer(self, cap: Cap | None, cooldown: int | None, now: float) -> CapAction | None:
        """What a gateway is to do now about this cap, or about any of them."""
        with self._lock:
            stop = self._current_stop(now)
            if stop is not None and cap in (None, stop.cap):
                return CapAction(Reaction.STOP, stop.cap, self._notice(stop, cooldown))
            if cap is not None:
                return self._reached.get(cap)
            # A reset comes first: it settles whatever else there is.
            actions = self._reached.values()
            return min(actions, key=lambda each: each.action is not Reaction.RESET, default=None)

    def can_be_forgotten(self, now: float, *, unused_for: float) -> bool:
        """Whether nothing has happened in it for so many seconds, and no stop is in force."""
        with self._lock:
            return now - self._used_at > unused_for and self._current_stop(now) is None

    # -- under the lock ----------------------------------------------------------------------------

    def _counts(self, now: float) -> dict[Cap, float]:
        """All that is known at ``now``."""
        counts = dict(self._stored)
        for cap, more in (
            (Cap.MESSAGES, self._messages),
            (Cap.TOKENS, self._tokens),
            (Cap.COST_USD, self._cost_usd),
        ):
            if more:
                counts[cap] = counts.get(cap, 0) + more
        counts[Cap.TOOL_CALLS] = self._tool_calls
        rate = self._minute.sum(now)
        if now - self._released_at >= _MINUTE:  # within it, what led to the stop is forgiven
            rate = max(rate, counts.get(Cap.MESSAGES_PER_MINUTE, 0))
        counts[Cap.MESSAGES_PER_MINUTE] = rate
        return counts

    def _findings(self, counts: Mapping[Cap, float]) -> tuple[CapFinding, ...]:
        return () if self.limits is None else judge(counts, self.limits, self._counts_from)

    def _wants_a_look(self, findings: Iterable[CapFinding], now: float) -> bool:
        """Whether something is to be told or found out before the turn is over."""
        if self.limits is None or self._stop != self._published_stop:
            return True
        if any((finding.cap, finding.stage) not in self._alerted for finding in findings):
            return True
        # A stop that depends on what only the database tells must not wait for the end of the turn.
        limits = self.limits.limits
        is_blind = any(cap in limits and limits[cap].action is Reaction.STOP for cap in _ONLY_STORED)
        return is_blind and not 0 <= now - self._looked_at < _LOOK_SECONDS

    def _current_stop(self, now: float) -> CapStop | None:
        """The stop in force. One that is over is forgotten, and its cap counts anew."""
        stop = self._stop
        if stop is None or stop.holds(now):
            return stop
        self._stop = None
        self._released_at = now
        self._minute.clear()
        self._tool_calls = 0
        if stop.cap not in PASSING:
            self._counts_from[stop.cap] = stop.count
        return None

    def _notice(self, stop: CapStop, cooldown: int | None) -> str:
        limit = self.limits.limits.get(stop.cap) if self.limits is not None else None
        return stop_notice(stop.cap, stop.count if limit is None else limit.at, self.session_class, cooldown)
