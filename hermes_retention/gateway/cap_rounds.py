"""What the thread of the caps does for one home: look, judge, remember, and act through the host.

Heavy imports are fine here: it is made on that thread, once there is something to do. What must not live
here: threads, and numbers that hooks told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import msgspec

from hermes_retention.cap_records import Counted
from hermes_retention.gateway.tally import Tally
from hermes_retention.policy.cap_words import alert_line, chat_line, setting
from hermes_retention.policy.caps import (
    EVERYTHING,
    Action,
    Alert,
    Cap,
    CapAction,
    CapSettings,
    Finding,
    Stage,
    Stop,
    possible,
)
from hermes_retention.settings.forms import Mode
from hermes_retention.settings.load import load_settings
from hermes_retention.stores.hermes.counts import Counter, Size, Stored
from hermes_retention.workspace import Workspace

if TYPE_CHECKING:
    from hermes_retention.gateway.host import HostGateway

_log = logging.getLogger("hermes_retention")

Receiver = Callable[[Alert], object]


@dataclass(frozen=True, slots=True)
class Hands:
    """What caps are acted on with."""

    host: HostGateway | None = None
    """The live host; ``None`` is a gateway that asks what to do, and does it."""
    tell: Receiver = lambda _: None
    """Who wants to know of alerts."""

    def abilities(self) -> Container[Action]:
        """What can be done to a session here."""
        can_stop = self.host is None or self.host.can_stop()
        return EVERYTHING if can_stop else EVERYTHING - {Action.STOP}


class CapRounds:
    """The caps of one home. Raises ``SettingsError`` when it is made with settings that are wrong."""

    def __init__(
        self,
        home: Path,
        lock: Lock,
        *,
        environ: Mapping[str, str],
        clock: Callable[[], float],
        hands: Hands,
    ) -> None:
        settings = load_settings(home, environ)
        self.settings: CapSettings | None = None if settings.mode is Mode.OFF else settings.caps()
        abilities = hands.abilities()
        self.abilities = frozenset({Action.ALERT}) if settings.mode is Mode.OBSERVE else abilities
        self._workspace = Workspace(home)
        self._counter = Counter(home)
        self._lock, self._clock, self._host, self._tell = lock, clock, hands.host, hands.tell
        self._counted: dict[str, Counted] = {}
        self._unwritten: set[str] = set()
        if self.settings is not None and settings.mode is not Mode.OBSERVE:
            _say_what_is_missing(self.settings, abilities)

    def stopped(self) -> list[str]:
        """Sessions with a stop that may still hold."""
        ledger = self._workspace.ledger_if_any()
        if ledger is None:
            return []
        with ledger:
            return ledger.caps.stopped(now=self._clock())

    def learn(self, tally: Tally) -> None:
        """Class and caps of a session, and what earlier processes knew of it."""
        if self.settings is None:
            return
        session_class = self._counter.class_of(tally.session_id, tally.platform, tally.session_key)
        ledger = self._workspace.ledger_if_any()
        if ledger is not None:
            with ledger:
                known = ledger.caps.of(tally.session_id)
            if known.counted is not None:
                self._counted[tally.session_id] = known.counted
            with self._lock:
                tally.told |= known.told
                for stop in known.stops:
                    tally.stop = stop
                    if tally.current_stop(self._clock()) is not None:
                        tally.noted_stop = stop
                        break
        with self._lock:
            tally.session_class = session_class.value
            tally.caps = self.settings.classes[session_class.value]

    def see(self, tally: Tally, tool_calls: int | None) -> None:
        """Count the session and do what its caps say. ``tool_calls`` are those of a turn that has ended."""
        now = self._clock()
        self._count(tally, now)
        findings = self._findings(tally, tool_calls, now)
        if any(it.cap is Cap.MESSAGES for it in findings) and self._was_wrong(tally):
            self._count(tally, now)
            findings = self._findings(tally, tool_calls, now)
        self._follow(tally, findings, now, self._reset if tool_calls is not None else _not_yet)

    def _findings(self, tally: Tally, tool_calls: int | None, now: float) -> tuple[Finding, ...]:
        with self._lock:
            counts = tally.counts(now)
            if tool_calls is not None:
                counts[Cap.TOOL_CALLS] = tool_calls
            return tally.findings(counts)

    def rest(self) -> None:
        """Write the counts that changed, and let go of the database."""
        self._counter.close()
        if not self._unwritten:
            return
        counts = {name: self._counted[name] for name in self._unwritten if name in self._counted}
        self._workspace.check()
        self._workspace.create()
        with self._workspace.ledger() as ledger:
            ledger.caps.note_counts(counts, now=self._clock())
        self._unwritten.clear()

    # -- counting ----------------------------------------------------------------------------------

    def _count(self, tally: Tally, now: float) -> None:
        before = self._counted.get(tally.session_id)
        with self._lock:
            told = (tally.messages, tally.tokens, tally.cost_usd)
            tally.looked_at = now
        size = self._counter.look(tally.session_id, None if before is None else before.stored, now=now)
        counted = _with_told(before or Counted(Stored()), size, told)
        if counted != before:
            self._counted[tally.session_id] = counted
            self._unwritten.add(tally.session_id)
        with self._lock:
            # Only what was told before the look: more may have come in meanwhile.
            tally.messages -= told[0]
            tally.tokens -= told[1]
            tally.cost_usd -= told[2]
            tally.stored = _counts(counted, size)

    def _was_wrong(self, tally: Tally) -> bool:
        """Whether an exact count says something else; then all is counted anew at the next look."""
        exact = self._counter.recount(tally.session_id)
        counted = self._counted[tally.session_id]
        if exact is None or exact == counted.stored.messages:
            return False
        self._counted[tally.session_id] = msgspec.structs.replace(counted, stored=Stored())
        return True

    # -- acting ------------------------------------------------------------------------------------

    def _follow(
        self, tally: Tally, findings: tuple[Finding, ...], now: float, reset: Callable[[Tally], Action | None]
    ) -> None:
        """Stops come first and alone need nobody's help; whatever fails after them is tried again."""
        stop_alert = self._stop(tally, findings, now)
        try:
            alerts = [it for found in findings for it in self._alerts(tally, found, now, reset)]
        except Exception:
            alerts = []
            raise
        finally:
            self._publish(tally, [*stop_alert, *alerts], now)

    def _stop(self, tally: Tally, findings: tuple[Finding, ...], now: float) -> list[Alert]:
        """Stop the session if a cap says so, and tell of a stop that nobody was told of yet."""
        cooldown = self.settings.stop_cooldown if self.settings is not None else None
        with self._lock:
            tally.stop_if_due(findings, self.abilities, cooldown, now)
            stop = tally.current_stop(now)
            if stop is None or stop == tally.noted_stop or tally.caps is None:
                return []
            tally.noted_stop = stop
            tally.told.add((stop.cap, Stage.REACHED))
            count = stop.count - tally.since.get(stop.cap, 0)
            limit = tally.caps.limits[stop.cap].at
        finding = Finding(stop.cap, Stage.REACHED, count, limit, Action.STOP)
        return [_alert(tally, finding, Action.STOP, now)]

    def _alerts(
        self, tally: Tally, found: Finding, now: float, reset: Callable[[Tally], Action | None]
    ) -> list[Alert]:
        """Do what the cap says, stops apart; the alert about it, unless it was given before."""
        done: Action | None = possible(found.action, tally.session_class, self.abilities)
        if done is Action.STOP:
            return []
        if done is Action.RESET:
            done = reset(tally)
        if done is None:
            return []
        alert = _alert(tally, found, done, now)
        with self._lock:
            if found.stage is Stage.REACHED:
                tally.over[found.cap] = CapAction(done, found.cap, chat_line(found, done))
            if not tally.told.isdisjoint({(found.cap, found.stage), (found.cap, Stage.REACHED)}):
                return []
            tally.told.add((found.cap, found.stage))
        return [alert]

    def _reset(self, tally: Tally) -> Action:
        """Without a host that could do it, the gateway asks what to do and does it itself."""
        host = self._host
        return Action.RESET if host is None or host.suspend(tally.session_id) else Action.ALERT

    def _publish(self, tally: Tally, alerts: list[Alert], now: float) -> None:
        if not alerts:
            return
        try:
            stops = [it for it in alerts if it.done is Action.STOP]
            self._remember(alerts, {tally.session_id: tally.noted_stop} if stops and tally.noted_stop else {})
        finally:
            for alert in alerts:
                _log.warning("%s", alert.text)
                self._tell(alert)
                self._tell_in_chat(tally, alert)

    def _remember(self, alerts: list[Alert], stops: Mapping[str, Stop]) -> None:
        self._workspace.check()
        self._workspace.create()
        with self._workspace.ledger() as ledger:
            ledger.caps.note(alerts, stops)

    def _tell_in_chat(self, tally: Tally, alert: Alert) -> None:
        """A stop is not told: the session itself answers with it."""
        host = self._host
        if host is None or self.settings is None or not self.settings.alert_in_chat:
            return
        if alert.done is Action.STOP or tally.caps is None:
            return
        then = possible(tally.caps.limits[alert.finding.cap].action, tally.session_class, self.abilities)
        host.tell(tally.session_id, chat_line(alert.finding, then))


def _not_yet(_: Tally) -> None:
    """Within a turn nothing is reset: the turn finishes."""


def _alert(tally: Tally, finding: Finding, done: Action, now: float) -> Alert:
    text = alert_line(tally.session_id, tally.session_class, tally.platform, finding, done)
    return Alert(tally.session_id, tally.session_class, tally.platform, finding, done, now, text)


def _with_told(before: Counted, size: Size | None, told: tuple[float, float, float]) -> Counted:
    """What is known after a look: the host's own account, or what hooks told where that is more."""
    messages, tokens, cost_usd = told
    if size is None:
        stored = msgspec.structs.replace(before.stored, messages=before.stored.messages + int(messages))
        return Counted(stored, _larger(before.tokens, tokens, None), _larger(before.cost_usd, cost_usd, None))
    return Counted(
        size.stored,
        _larger(before.tokens, tokens, size.tokens),
        _larger(before.cost_usd, cost_usd, size.cost_usd),
    )


def _larger(before: float | None, told: float, account: float | None) -> float | None:
    """Hosts write their account a little later than they tell hooks, and some keep none."""
    heard = (before or 0) + told
    return max(heard, account or 0) if heard or account is not None else None


def _counts(counted: Counted, size: Size | None) -> dict[Cap, float]:
    stored = counted.stored
    known: dict[Cap, float | None] = {
        Cap.MESSAGES: stored.messages if size is not None or stored.messages else None,
        Cap.BYTES: None if size is None else stored.bytes + size.files_bytes,
        Cap.TOKENS: counted.tokens,
        Cap.COST_USD: counted.cost_usd,
        Cap.MESSAGES_PER_MINUTE: None if size is None else size.last_minute,
    }
    return {cap: count for cap, count in known.items() if count is not None}


def _say_what_is_missing(settings: CapSettings, abilities: Container[Action]) -> None:
    """Once at startup: what people set and this host cannot do."""
    if Action.STOP in abilities:
        return
    stops = [
        setting(cap, name)
        for name, caps in settings.classes.items()
        for cap, limit in caps.limits.items()
        if limit.action is Action.STOP
    ]
    if stops:
        _log.warning(
            "caps: this version of the host cannot stop a running session. At %s chats are reset instead "
            "when the turn is over, and other sessions only alert. Hermes Agent 0.17 and newer can.",
            ", ".join(stops),
        )
