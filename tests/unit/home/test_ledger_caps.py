"""What the ledger remembers of caps, and for how long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hermes_retention.home.ledger import Ledger
from hermes_retention.home.ledger_caps import Counted, Remembered
from hermes_retention.model.errors import LedgerUnusable
from hermes_retention.policy.caps import Alert, Cap, CapFinding, CapStage, CapStop, Reaction
from hermes_retention.stores.base import StoredMessages

T0 = 1_796_000_000.0
DAY = 86400.0
COUNTED = Counted(StoredMessages(messages=812, bytes=9_000_000, last_id=44), tokens=7.0, cost_usd=None)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


def alert(session_id: str = "s1", stage: CapStage = CapStage.NEAR, at: float = T0) -> Alert:
    finding = CapFinding(Cap.MESSAGES, stage, 812, 1000, Reaction.ALERT)
    return Alert(session_id, "chat", "telegram", finding, Reaction.ALERT, at, "near")


def test_nothing_is_remembered_of_a_session_that_was_never_counted(ledger: Ledger) -> None:
    assert ledger.caps.of("s1") == Remembered()
    assert ledger.caps.alerts() == []
    assert ledger.caps.stopped(now=T0) == []


def test_counts_alerts_and_stops_come_back(ledger: Ledger, tmp_path: Path) -> None:
    stop = CapStop(Cap.TOKENS, at=T0, until=T0 + 900, count=5.5)
    ledger.caps.note_counts({"s1": COUNTED}, now=T0)
    ledger.caps.note([alert()], {"s1": stop})
    with Ledger.open(tmp_path / "ledger.db") as again:
        assert again.caps.of("s1") == Remembered(COUNTED, frozenset({(Cap.MESSAGES, CapStage.NEAR)}), (stop,))
        assert again.caps.of("s2") == Remembered()
        assert again.caps.alerts() == again.caps.alerts("s1") == [alert()]
        assert again.caps.alerts("s2") == []


def test_same_alert_replaces_the_earlier_one_and_newest_come_first(ledger: Ledger) -> None:
    ledger.caps.note([alert(at=T0), alert("s2", at=T0 + 1), alert(at=T0 + 2)], {})
    assert [(it.session_id, it.at) for it in ledger.caps.alerts()] == [("s1", T0 + 2), ("s2", T0 + 1)]


def test_only_stops_that_may_still_hold_are_listed(ledger: Ledger) -> None:
    for session_id, until in (("over", T0), ("holds", T0 + 1), ("for ever", None)):
        ledger.caps.note([], {session_id: CapStop(Cap.TOKENS, T0 - 900, until, 1)})
    assert sorted(ledger.caps.stopped(now=T0)) == ["for ever", "holds"]


def test_what_is_very_old_is_forgotten(ledger: Ledger) -> None:
    ledger.caps.note_counts({"old": COUNTED}, now=T0)
    ledger.caps.note([alert("old")], {})
    ledger.caps.note_counts({"new": COUNTED}, now=T0 + 91 * DAY)
    ledger.caps.note([alert("new", at=T0 + 731 * DAY)], {})
    assert ledger.caps.of("old").counted is None
    assert [it.session_id for it in ledger.caps.alerts()] == ["new"]


def test_id_of_any_bytes_is_remembered(ledger: Ledger) -> None:
    odd = "a\udcff"
    ledger.caps.note_counts({odd: COUNTED}, now=T0)
    ledger.caps.note([alert(odd)], {odd: CapStop(Cap.TOKENS, T0, None, 1)})
    known = ledger.caps.of(odd)
    assert (known.counted, len(known.told), len(known.stops)) == (COUNTED, 1, 1)
    assert len(ledger.caps.alerts(odd)) == 1


def test_failed_write_leaves_nothing_half_done(ledger: Ledger) -> None:
    with pytest.raises(LedgerUnusable):
        ledger.caps.note([alert()], {"s1": CapStop(Cap.TOKENS, T0, None, None)})  # type: ignore[arg-type]  # no count
    assert ledger.caps.alerts() == []
    ledger.caps.note([alert()], {})
    assert ledger.caps.alerts() == [alert()]


def test_cap_of_a_newer_version_is_passed_over(ledger: Ledger, tmp_path: Path) -> None:
    ledger.caps.note([alert()], {"s1": CapStop(Cap.TOKENS, T0, None, 1)})
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database, database:
        database.execute("UPDATE alerts SET cap = 'max_wonders'")
        database.execute("UPDATE stops SET cap = 'max_wonders'")
    assert ledger.caps.of("s1") == Remembered()
    assert ledger.caps.alerts() == []
