"""What the thread of the caps does for one home: look, judge, remember, and act through the host.

Heavy imports are fine here: it is made on that thread, once there is something to do. What must not live
here: threads, and numbers that hooks told.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from hermes_retention.gateway.counting import Counting
from hermes_retention.gateway.session_usage import Tally
from hermes_retention.home.open import HomeLoader
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.log import LOG
from hermes_retention.policy.caps import (
    EVERYTHING,
    Alert,
    Cap,
    CapAction,
    CapFinding,
    CapSettings,
    CapStage,
    Reaction,
    alert_line,
    chat_line,
    possible,
    setting,
)
from hermes_retention.settings.forms import Mode

if TYPE_CHECKING:
    from hermes_retention.gateway.host import HostGateway


Receiver = Callable[[Alert], object]


@dataclass(frozen=True, slots=True)
class Hands:
    """What caps are acted on with."""

    host: HostGateway | None = None
    """The live host; ``None`` is a gateway that asks what to do, and does it."""
    tell: Receiver = lambda _: None
    """Who wants to know of alerts."""

    def abilities(self) -> Container[Reaction]:
        """What can be done to a session here."""
        can_stop = self.host is None or self.host.can_stop()
        return EVERYTHING if can_stop else EVERYTHING - {Reaction.STOP}


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
        loader = HomeLoader(home, environ=environ)
        settings = loader.settings
        self.settings: CapSettings | None = None if settings.values.mode is Mode.OFF else settings.caps()
        abilities = hands.abilities()
        self.abilities = frozenset({Reaction.ALERT}) if settings.values.mode is Mode.OBSERVE else abilities
        self._workspace = Workspace(home)
        self._counting = Counting(self._workspace, loader.counter(), lock)
        self._lock, self._clock, self._host, self._tell = lock, clock, hands.host, hands.tell
        if self.settings is not None and settings.values.mode is not Mode.OBSERVE:
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
        session_class = self._counting.class_of(tally)
        ledger = self._workspace.ledger_if_any()
        if ledger is not None:
            with ledger:
                known = ledger.caps.of(tally.session_id)
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
        self._counting.count(tally, now=now)
        findings = self._findings(tally, tool_calls, now)
        if any(it.cap is Cap.MESSAGES for it in findings) and self._counting.was_wrong(tally):
            self._counting.count(tally, now=now)
            findings = self._findings(tally, tool_calls, now)
        self._follow(tally, findings, now, self._reset if tool_calls is not None else _not_yet)

    def _findings(self, tally: Tally, tool_calls: int | None, now: float) -> tuple[CapFinding, ...]:
        with self._lock:
            counts = tally.counts(now)
            if tool_calls is not None:
                counts[Cap.TOOL_CALLS] = tool_calls
            return tally.findings(counts)

    def rest(self) -> None:
        """Write the counts that changed, and let go of the database."""
        self._counting.write(now=self._clock())

    # -- acting ------------------------------------------------------------------------------------

    def _follow(
        self,
        tally: Tally,
        findings: tuple[CapFinding, ...],
        now: float,
        reset: Callable[[Tally], Reaction | None],
    ) -> None:
        """Stops come first and alone need nobody's help; whatever fails after them is tried again."""
        alerts = self._stop(tally, findings, now)
        try:
            for found in findings:
                alerts += self._alerts(tally, found, now, reset)
        finally:
            self._publish(tally, alerts)

    def _stop(self, tally: Tally, findings: tuple[CapFinding, ...], now: float) -> list[Alert]:
        """Stop the session if a cap says so, and tell of a stop that nobody was told of yet."""
        cooldown = self.settings.stop_cooldown if self.settings is not None else None
        with self._lock:
            tally.stop_if_due(findings, self.abilities, cooldown, now)
            stop = tally.current_stop(now)
            if stop is None or stop == tally.noted_stop or tally.caps is None:
                return []
            tally.noted_stop = stop
            tally.told.add((stop.cap, CapStage.REACHED))
            count = stop.count - tally.since.get(stop.cap, 0)
            limit = tally.caps.limits[stop.cap].at
        finding = CapFinding(stop.cap, CapStage.REACHED, count, limit, Reaction.STOP)
        return [_alert(tally, finding, Reaction.STOP, now)]

    def _alerts(
        self, tally: Tally, found: CapFinding, now: float, reset: Callable[[Tally], Reaction | None]
    ) -> list[Alert]:
        """Do what the cap says, stops apart; the alert about it, unless it was given before."""
        done: Reaction | None = possible(found.action, tally.session_class, self.abilities)
        if done is Reaction.STOP:
            return []
        if done is Reaction.RESET:
            done = reset(tally)
        if done is None:
            return []
        alert = _alert(tally, found, done, now)
        with self._lock:
            if found.stage is CapStage.REACHED:
                tally.over[found.cap] = CapAction(done, found.cap, chat_line(found, done))
            if not tally.told.isdisjoint({(found.cap, found.stage), (found.cap, CapStage.REACHED)}):
                return []
            tally.told.add((found.cap, found.stage))
        return [alert]

    def _reset(self, tally: Tally) -> Reaction:
        """Without a host that could do it, the gateway asks what to do and does it itself."""
        host = self._host
        return Reaction.RESET if host is None or host.suspend(tally.session_id) else Reaction.ALERT

    def _publish(self, tally: Tally, alerts: list[Alert]) -> None:
        """Whoever fails on the way, the others hear of it; then the first error is raised."""
        if not alerts:
            return
        for alert in alerts:
            LOG.warning("%s", alert.text)
        tasks: list[Callable[[], object]] = [partial(self._remember, tally, alerts)]
        for alert in alerts:
            tasks += [partial(self._tell, alert), partial(self._chat, tally, alert)]
        errors = []
        for task in tasks:
            try:
                task()
            except Exception as error:  # noqa: BLE001 - plugins of others, and the host
                errors.append(error)
        if errors:
            raise errors[0]

    def _remember(self, tally: Tally, alerts: list[Alert]) -> None:
        stop = tally.noted_stop if any(it.done is Reaction.STOP for it in alerts) else None
        self._workspace.check()
        self._workspace.create()
        with self._workspace.ledger() as ledger:
            ledger.caps.note(alerts, {} if stop is None else {tally.session_id: stop})

    def _chat(self, tally: Tally, alert: Alert) -> None:
        """A stop is not told: the session itself answers with it."""
        host = self._host
        if host is None or self.settings is None or not self.settings.alert_in_chat:
            return
        if alert.done is Reaction.STOP or tally.caps is None:
            return
        then = possible(tally.caps.limits[alert.finding.cap].action, tally.session_class, self.abilities)
        host.tell(tally.session_id, chat_line(alert.finding, then))


def _not_yet(_: Tally) -> None:
    """Within a turn nothing is reset: the turn finishes."""


def _alert(tally: Tally, finding: CapFinding, done: Reaction, now: float) -> Alert:
    text = alert_line(tally.session_id, tally.session_class, tally.platform, finding, done)
    return Alert(tally.session_id, tally.session_class, tally.platform, finding, done, now, text)


def _say_what_is_missing(settings: CapSettings, abilities: Container[Reaction]) -> None:
    """Once at startup: what people set and this host cannot do."""
    if Reaction.STOP in abilities:
        return
    stops = [
        setting(cap, name)
        for name, caps in settings.classes.items()
        for cap, limit in caps.limits.items()
        if limit.action is Reaction.STOP
    ]
    if stops:
        LOG.warning(
            "caps: this version of the host cannot stop a running session. At %s chats are reset instead "
            "when the turn is over, and other sessions only alert. Hermes Agent 0.17 and newer can.",
            ", ".join(stops),
        )
