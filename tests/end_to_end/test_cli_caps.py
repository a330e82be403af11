"""What ``status`` and ``explain`` say about caps."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import DAY, HOUR, NOW, HomeBuilder
from program import run

from hermes_retention.home.workspace import Workspace
from hermes_retention.policy.caps import Alert, Cap, CapFinding, CapStage, Reaction

SESSION = "20261119_080000_aaaaaaaa"


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    return HomeBuilder(tmp_path / "home").session(
        SESSION, ended=None, age=HOUR, key="agent:main:telegram:dm:1"
    )


def alert(
    home: HomeBuilder, *, at: float, stage: CapStage = CapStage.REACHED, session_id: str = SESSION
) -> None:
    finding = CapFinding(Cap.TOOL_CALLS, stage, 62, 60, Reaction.STOP)
    workspace = Workspace(home.path)
    workspace.create()
    with workspace.ledger() as ledger:
        ledger.caps.note([Alert(session_id, "chat", "telegram", finding, Reaction.STOP, at, "")], {})


def test_explain_names_the_closest_cap(home: HomeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = run(home, "explain", SESSION, "--json").json["caps"]["closest"]
    assert messages["cap"] == "max_messages"
    assert messages["limit"] == 1000
    monkeypatch.setenv("HERMES_RETENTION_CHAT__CAPS__MAX_MESSAGES", str(int(messages["count"]) * 2))
    out = run(home, "explain", SESSION).out
    assert ", 50% [HERMES_RETENTION_CHAT__CAPS__MAX_MESSAGES]" in out


def test_explain_shows_what_was_told_of_a_session(home: HomeBuilder) -> None:
    alert(home, at=NOW - 2 * DAY)
    alert(home, at=NOW, session_id="another")
    out = run(home, "explain", SESSION).out
    assert "alert: " in out
    assert "reached 62 of 60 tool calls in one turn; the session is stopped" in out
    [told] = run(home, "explain", SESSION, "--json").json["caps"]["alerts"]
    assert (told["cap"], told["stage"], told["done"], told["at"]) == (
        "max_tool_calls",
        "reached",
        "stop",
        NOW - 2 * DAY,
    )


def test_status_shows_the_newest_alerts_of_a_week(home: HomeBuilder) -> None:
    assert "Caps" not in run(home, "status").out
    alert(home, at=NOW - 8 * DAY, session_id="long-ago")
    for number in range(4):
        alert(home, at=NOW - number * HOUR, session_id=f"session-{number}", stage=CapStage.NEAR)
    out = run(home, "status").out
    assert "Caps: 4 alerts in the last 7 days" in out
    assert "session-2 near 62 of 60 tool calls in one turn" in out
    assert "session-3" not in out
    assert "long-ago" not in out
    assert "… and 1 more" in out
    assert len(run(home, "status", "--json").json["alerts"]) == 5


def test_session_without_messages_has_no_closest_cap(tmp_path: Path) -> None:
    bare = HomeBuilder(tmp_path / "home")
    bare.file(f"session_{SESSION}.json", b"{}")
    assert run(bare, "explain", SESSION, "--json").json["caps"] == {"closest": None, "alerts": []}
