"""What is known of one living session: counts of the last look, what hooks told since, and what follows.

It belongs to whoever holds the lock of its ``CapWatch``. What must not live here: threads, databases, clocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from dataclasses import dataclass, field

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
    judge,
    possible,
    stop_notice,
)

_MINUTE = 60.0
_LOOK_SECONDS = 1.0
"""Between two looks within a turn."""
_ONLY_STORED = (Cap.MESSAGES, Cap.BYTES, Cap.COST_USD)
"""What only the host's database tells while a turn runs."""


@dataclass(slots=True)
class Tally:
    """One session. Times are Unix seconds."""

    session_id: str
    platform: str = ""
    session_key: str = ""
    session_class: str = ""
    caps: Caps | None = None
    """``None`` until its class is known: nothing is limited before."""
    stored: dict[Cap, float] = field(default_factory=dict)
    """What the last look found."""
    tokens: float = 0.0
    """What hooks told since that look; the same holds for the next two."""
    cost_usd: float = 0.0
    messages: float = 0.0
    calls: int = 0
    """How often the model was called in this turn, if anybody tells: then all numbers of it are known."""
    tool_calls: int = 0
    """In this turn."""
    minute: deque[tuple[float, float]] = field(default_factory=deque)
    """When how many messages came, for the last minute."""
    heard: float = 0.0
    """Their sum."""
    since: dict[Cap, float] = field(default_factory=dict)
    released_at: float = 0.0
    stop: CapStop | None = None
    over: dict[Cap, CapAction] = field(default_factory=dict)
    """What was decided about caps that are reached, stops apart."""
    told: set[tuple[Cap, CapStage]] = field(default_factory=set)
    noted_stop: CapStop | None = None
    used_at: float = 0.0
    looked_at: float = 0.0

    def add_call(self, call: ModelCall, now: float) -> None:
        """The model answered."""
        if call.number == 1:
            self.calls = self.tool_calls = 0
        self.calls += 1
        self.tokens += call.tokens
        self.tool_calls += call.tool_calls
        # Its answer and what the tools will say; with the first one comes what the person said.
        self._add_messages(1 + call.tool_calls + (call.number == 1), now)

    def _add_messages(self, count: float, now: float) -> None:
        self.minute.append((now, count))
        self.heard += count
        self._let_pass(now)

    def _let_pass(self, now: float) -> None:
        """Forget what came before the last minute, or after now, for clocks are put back as well."""
        while self.minute and not now - _MINUTE < self.minute[0][0] <= now:
            self.heard -= self.minute.popleft()[1]

    def add_turn(self, usage: dict[str, float], now: float) -> int:
        """The turn is over. Returns how often tools were called in it.

        ``usage`` is what a gateway counted in it; where each call of the model was told, it says nothing new.
        """
        tool_calls = self.tool_calls
        if not self.calls:
            tool_calls = int(usage.get("tool_calls", 0))
            self.tokens += usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
            self.cost_usd += usage.get("cost_usd", 0)
            self.messages += usage.get("messages", 0)
            self._add_messages(usage.get("messages", 0), now)
        self.calls = self.tool_calls = 0
        return tool_calls

    def counts(self, now: float) -> dict[Cap, float]:
        """All that is known at ``now``."""
        counts = dict(self.stored)
        for cap, more in (
            (Cap.MESSAGES, self.messages),
            (Cap.TOKENS, self.tokens),
            (Cap.COST_USD, self.cost_usd),
        ):
            if more:
                counts[cap] = counts.get(cap, 0) + more
        counts[Cap.TOOL_CALLS] = self.tool_calls
        self._let_pass(now)
        if now - self.released_at < _MINUTE:  # what led to the stop is forgiven
            counts[Cap.MESSAGES_PER_MINUTE] = self.heard
        else:
            counts[Cap.MESSAGES_PER_MINUTE] = max(self.heard, counts.get(Cap.MESSAGES_PER_MINUTE, 0))
        return counts

    def findings(self, counts: dict[Cap, float]) -> tuple[CapFinding, ...]:
        """What of these counts is near a limit or has reached it."""
        return () if self.caps is None else judge(counts, self.caps, self.since)

    def stop_if_due(
        self,
        findings: tuple[CapFinding, ...],
        abilities: Container[Reaction],
        cooldown: int | None,
        now: float,
    ) -> None:
        """Stop the session when a cap says so, unless it is stopped already."""
        if self.current_stop(now) is not None:
            return
        for it in findings:
            action = possible(it.action, self.session_class, abilities)
            if it.stage is CapStage.REACHED and action is Reaction.STOP:
                count = it.count + self.since.get(it.cap, 0)
                self.stop = CapStop(it.cap, now, None if cooldown is None else now + cooldown, count)
                return

    def wants_a_look(self, findings: tuple[CapFinding, ...], now: float) -> bool:
        """Whether something is to be told or found out before the turn is over."""
        if self.caps is None or self.stop != self.noted_stop:
            return True
        if any((it.cap, it.stage) not in self.told for it in findings):
            return True
        limits = self.caps.limits
        is_blind = any(cap in limits and limits[cap].action is Reaction.STOP for cap in _ONLY_STORED)
        return is_blind and not 0 <= now - self.looked_at < _LOOK_SECONDS

    def current_stop(self, now: float) -> CapStop | None:
        """The stop in force. One that is over is forgotten, and its cap counts anew."""
        stop = self.stop
        if stop is None or stop.holds(now):
            return stop
        self.stop = None
        self.released_at = now
        self.minute.clear()
        self.heard = 0.0
        self.tool_calls = 0
        if stop.cap not in PASSING:
            self.since[stop.cap] = stop.count
        return None

    def answer(self, cap: Cap | None, cooldown: int | None, now: float) -> CapAction | None:
        """What a gateway is to do now about this cap, or about any of them."""
        stop = self.current_stop(now)
        if stop is not None and cap in (None, stop.cap):
            return CapAction(Reaction.STOP, stop.cap, self._notice(stop, cooldown))
        if cap is not None:
            return self.over.get(cap)
        return next(
            (self.over[it] for it in self.over if self.over[it].action is Reaction.RESET),
            next(iter(self.over.values()), None),
        )

    def _notice(self, stop: CapStop, cooldown: int | None) -> str:
        limit = self.caps.limits.get(stop.cap) if self.caps is not None else None
        return stop_notice(stop.cap, stop.count if limit is None else limit.at, self.session_class, cooldown)
