"""What the thread of the caps does for one home: look, judge, remember, and act through the host.

Heavy imports are fine here: it is made on that thread, once there is something to do. What must not live
here: threads, and what hooks told (``session_usage``).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from hermes_retention.gateway.session_usage import Heard, SessionUsage
from hermes_retention.home.ledger_caps import Counted, Remembered
from hermes_retention.home.open import HomeLoader
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.log import LOG
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.caps import (
    EVERYTHING,
    Alert,
    Cap,
    CapFinding,
    CapSettings,
    CapStop,
    Reaction,
    alert_line,
    chat_line,
    possible,
    setting,
)
from hermes_retention.settings.forms import Mode
from hermes_retention.stores.base import SessionCounter, SessionSize, StoredMessages

if TYPE_CHECKING:
    from hermes_retention.gateway.host import HostGateway

_MOST_IN_MEMORY = 1_000
"""Sessions of which it is remembered how far they were counted; of others the ledger knows."""

Receiver: TypeAlias = Callable[[Alert], object]
"""Who wants to know of alerts. May raise: that costs one warning."""


def nobody(_: Alert) -> None:
    """Where nobody wants to know."""


class CapJob:
    """The caps of one home. Raises ``SettingsError`` when it is made with settings that are wrong."""

    def __init__(
        self,
        home: Path,
        *,
        environ: Mapping[str, str],
        clock: Callable[[], float],
        host: HostGateway | None = None,
        tell: Receiver = nobody,
    ) -> None:
        """``host`` is the live host; without one the gateway asks what to do, and does it itself."""
        loader = HomeLoader(home, environ=environ)
        settings = loader.settings
        mode = settings.values.mode
        self.settings: CapSettings | None = None if mode is Mode.OFF else settings.caps()
        can_stop = host is None or host.can_stop()
        abilities = EVERYTHING if can_stop else EVERYTHING - {Reaction.STOP}
        self.abilities: Container[Reaction] = {Reaction.ALERT} if mode is Mode.OBSERVE else abilities
        self._workspace = Workspace(home)
        self._counts = SessionCounts(self._workspace, loader.counter())
        self._clock, self._host, self._tell = clock, host, tell
        if self.settings is not None and mode is not Mode.OBSERVE and not can_stop:
            _warn_about_stops(self.settings)

    def stopped(self) -> list[str]:
        """Sessions with a stop that may still hold."""
        return self._workspace.ask_ledger(lambda ledger: ledger.caps.stopped(now=self._clock()), [])

    def learn(self, usage: SessionUsage) -> None:
        """Class and caps of a session, and what earlier processes knew of it."""
        if self.settings is None:
            return
        session_class = self._counts.class_of(usage).value
        limits, now = self.settings.classes[session_class], self._clock()
        known = self._workspace.ask_ledger(lambda ledger: ledger.caps.of(usage.session_id), Remembered())
        usage.learned(session_class, limits, now, alerted=known.told, stops=known.stops)

    def look(self, usage: SessionUsage, tool_calls: int | None) -> None:
        """Count the session and do what its caps say. ``tool_calls`` are those of a turn that has ended."""
        now = self._clock()
        self._counts.count(usage, now=now)
        findings = usage.findings(tool_calls, now)
        # Counting goes on from where it was, and cannot see what the host took back before that. Nobody is
        # told or reset for a number that a whole count does not confirm.
        if any(finding.cap is Cap.MESSAGES for finding in findings) and self._counts.was_wrong(usage):
            self._counts.count(usage, now=now)
            findings = usage.findings(tool_calls, now)
        self._follow(usage, findings, now, is_over=tool_calls is not None)

    def flush(self) -> None:
        """Write the counts that changed, and let go of the host's database."""
        self._counts.write(now=self._clock())

    # -- acting ------------------------------------------------------------------------------------

    def _follow(
        self, usage: SessionUsage, findings: tuple[CapFinding, ...], now: float, *, is_over: bool
    ) -> None:
        # Stops come first: they need nobody's help. What fails after them is tried at the next look.
        stop, alerts = self._stop(usage, findings, now)
        try:
            for finding in findings:
                alerts += self._react(usage, finding, now, is_over=is_over)
        finally:
            self._publish(usage, alerts, stop)

    def _stop(
        self, usage: SessionUsage, findings: tuple[CapFinding, ...], now: float
    ) -> tuple[CapStop | None, list[Alert]]:
        """Stop the session if a cap says so. Gives a stop that nobody was told of yet: hooks stop as well."""
        cooldown = self.settings.stop_cooldown if self.settings is not None else None
        usage.stop_if_due(findings, self.abilities, cooldown, now)
        published = usage.publish_stop(now)
        if published is None:
            return None, []
        stop, finding = published
        return stop, [_alert(usage, finding, Reaction.STOP, now)]

    def _react(self, usage: SessionUsage, finding: CapFinding, now: float, *, is_over: bool) -> list[Alert]:
        """Do what the cap says, stops apart; the alert about it, unless it was given before."""
        reaction = possible(finding.action, usage.session_class, self.abilities)
        if reaction is Reaction.STOP:
            return []
        if reaction is Reaction.RESET:
            if not is_over:  # the turn finishes before anything is reset
                return []
            reaction = self._reset(usage)
        # The text tells of the session as it is now; the host may be asked again at the next look.
        alert = _alert(usage, finding, reaction, now)
        return [alert] if usage.note(finding, reaction) else []

    def _reset(self, usage: SessionUsage) -> Reaction:
        """Without a host that could do it, the gateway asks what to do and does it itself."""
        is_done = self._host is None or self._host.suspend(usage.session_id)
        return Reaction.RESET if is_done else Reaction.ALERT

    def _publish(self, usage: SessionUsage, alerts: list[Alert], stop: CapStop | None) -> None:
        """Whoever fails on the way, the others hear of it; then the first error is raised."""
        if not alerts:
            return
        for alert in alerts:
            LOG.warning("%s", alert.text)
        tasks: list[Callable[[], object]] = [partial(self._remember, usage, alerts, stop)]
        for alert in alerts:
            tasks += [partial(self._tell, alert), partial(self._tell_chat, usage, alert)]
        errors = []
        for task in tasks:
            try:
                task()
            except Exception as error:  # noqa: BLE001 - plugins of others, and the host
                errors.append(error)
        if errors:
            raise errors[0]

    def _remember(self, usage: SessionUsage, alerts: list[Alert], stop: CapStop | None) -> None:
        """For the next process: it repeats no alert, and the session stays stopped."""
        self._workspace.check()
        self._workspace.create()
        with self._workspace.ledger() as ledger:
            ledger.caps.note(alerts, {} if stop is None else {usage.session_id: stop})

    def _tell_chat(self, usage: SessionUsage, alert: Alert) -> None:
        """A stop is not told: the session itself answers with it."""
        host, limits = self._host, usage.limits
        if host is None or limits is None or self.settings is None or not self.settings.alert_in_chat:
            return
        if alert.done is Reaction.STOP:
            return
        then = possible(limits.limits[alert.finding.cap].action, usage.session_class, self.abilities)
        host.tell(usage.session_id, chat_line(alert.finding, then))


def _alert(usage: SessionUsage, finding: CapFinding, done: Reaction, now: float) -> Alert:
    text = alert_line(usage.session_id, usage.session_class, usage.platform, finding, done)
    return Alert(usage.session_id, usage.session_class, usage.platform, finding, done, now, text)


def _warn_about_stops(settings: CapSettings) -> None:
    """Once at startup: what people set and this host cannot do."""
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


class SessionCounts:
    """How large sessions are: in memory, in the ledger, and anew from the host's database."""

    def __init__(self, workspace: Workspace, counter: SessionCounter) -> None:
        self._workspace, self._counter = workspace, counter
        self._counted: dict[str, Counted] = {}
        self._unwritten: set[str] = set()

    def class_of(self, usage: SessionUsage) -> SessionClass:
        """The class of a session, as the host's database or else its hooks tell it."""
        return self._counter.class_of(usage.session_id, usage.platform, usage.session_key)

    def count(self, usage: SessionUsage, *, now: float) -> None:
        """Look into the database from where the last look ended, and tell the session what it found."""
        before = self._before(usage.session_id)
        # Taken before the look: what is told from here on may or may not be stored already, and is counted.
        heard = usage.begin_look(now)
        size = self._counter.look(usage.session_id, None if before is None else before.stored, now=now)
        counted = _counted(before or Counted(StoredMessages()), size, heard)
        self._counted[usage.session_id] = counted
        if counted != before:
            self._unwritten.add(usage.session_id)
        usage.looked(_by_cap(counted, size), heard)

    def was_wrong(self, usage: SessionUsage) -> bool:
        """Whether an exact count of messages says something else; the next ``count`` begins anew then."""
        exact = self._counter.recount(usage.session_id)
        counted = self._counted[usage.session_id]
        if exact is None or exact == counted.stored.messages:
            return False
        self._counted[usage.session_id] = msgspec.structs.replace(counted, stored=StoredMessages())
        return True

    def write(self, *, now: float) -> None:
        """Write what changed to the ledger, and let go of the host's database."""
        self._counter.close()
        if self._unwritten:
            self._workspace.check()
            self._workspace.create()
            with self._workspace.ledger() as ledger:
                ledger.caps.note_counts({name: self._counted[name] for name in self._unwritten}, now=now)
        self._unwritten.clear()
        if len(self._counted) > _MOST_IN_MEMORY:  # the ledger has them all now
            self._counted.clear()

    def _before(self, session_id: str) -> Counted | None:
        if session_id in self._counted:
            return self._counted[session_id]
        return self._workspace.ask_ledger(lambda ledger: ledger.caps.of(session_id).counted, None)


def _counted(before: Counted, size: SessionSize | None, heard: Heard) -> Counted:
    """What is known after a look: the host's own account, or what hooks told where that is more."""
    if size is None:  # a host without a database: what its hooks tell is all there is
        messages = before.stored.messages + int(heard.messages)
        stored = msgspec.structs.replace(before.stored, messages=messages)
    else:
        stored = size.stored
    return Counted(
        stored,
        _larger(before.tokens, heard.tokens, None if size is None else size.tokens),
        _larger(before.cost_usd, heard.cost_usd, None if size is None else size.cost_usd),
    )


def _larger(before: float | None, heard: float, account: float | None) -> float | None:
    """Hosts write their account a little later than they tell hooks, and some keep none."""
    known = (before or 0) + heard
    return max(known, account or 0) if known or account is not None else None


def _by_cap(counted: Counted, size: SessionSize | None) -> dict[Cap, float]:
    """The counts that are known. One that is missing is unknown, and reaches no limit."""
    stored = counted.stored
    known: dict[Cap, float | None] = {
        Cap.MESSAGES: stored.messages if size is not None or stored.messages else None,
        Cap.BYTES: None if size is None else stored.bytes + size.files_bytes,
        Cap.TOKENS: counted.tokens,
        Cap.COST_USD: counted.cost_usd,
        Cap.MESSAGES_PER_MINUTE: None if size is None else size.last_minute,
    }
    return {cap: count for cap, count in known.items() if count is not None}
