"""The class of a session, by every source that a host writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import NOW, HomeBuilder

from hermes_retention.model.session import Lineage, Record, Route, SessionClass
from hermes_retention.stores.hermes.files import Classifier

BUILT_IN = (
    "local telegram discord whatsapp whatsapp_cloud slack signal mattermost matrix homeassistant email sms"
    " dingtalk feishu wecom wecom_callback weixin bluebubbles qqbot yuanbao relay"
)
PLUGINS = "ntfy irc google_chat line photon raft simplex teams"
EXPECTED = {
    **dict.fromkeys(f"{BUILT_IN} {PLUGINS}".split(), SessionClass.CHAT),
    **dict.fromkeys(("cli", "tui", "acp"), SessionClass.CLI),
    **dict.fromkeys(("webhook", "msgraph_webhook"), SessionClass.HOOK),
    "cron": SessionClass.CRON,
    "api_server": SessionClass.API,
    "subagent": SessionClass.SUBAGENT,
    "curator": SessionClass.OTHER,
    "Telegram": SessionClass.OTHER,
}


def class_of(source: str, *, key: str | None = None, session_id: str = "x", **facts: object) -> SessionClass:
    record = Record(source=source, started_at=NOW, **facts)  # type: ignore[arg-type]  # named by the tests below
    return Classifier({"my_platform"}).of_record(session_id, record, key)


@pytest.mark.parametrize(("source", "kind"), EXPECTED.items())
def test_source_has_its_class(source: str, kind: SessionClass) -> None:
    assert class_of(source) is kind


@pytest.mark.parametrize("source", ["cron", "telegram", "cli", "api_server", "elsewhere"])
def test_subagent_of_any_source_is_a_subagent(source: str) -> None:
    assert class_of(source, lineage=Lineage.DELEGATION) is SessionClass.SUBAGENT


@pytest.mark.parametrize("lineage", [Lineage.BRANCH, Lineage.COMPRESSION, Lineage.NONE])
def test_other_children_are_of_the_class_of_their_source(lineage: Lineage) -> None:
    assert class_of("telegram", lineage=lineage) is SessionClass.CHAT


def test_platform_that_routes_speak_of_is_a_chat() -> None:
    assert class_of("my_platform") is SessionClass.CHAT


def test_source_with_a_gateways_key_is_a_chat() -> None:
    assert class_of("elsewhere", key="agent:main:elsewhere:dm:1") is SessionClass.CHAT
    assert class_of("elsewhere", key="mine") is SessionClass.OTHER


def test_record_without_source_is_judged_by_its_id() -> None:
    assert class_of("", session_id="20261101_090000_0a1b2c3d") is SessionClass.CHAT
    assert class_of("", session_id="x") is SessionClass.OTHER


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("agent:main:my_platform:dm:1", SessionClass.CHAT),
        ("agent:main:webhook:webhook:webhook:deploy:17:webhook:deploy", SessionClass.HOOK),
        ("agent:main:api_server:dm:1", SessionClass.API),
        ("odd", SessionClass.CLI),
    ],
)
def test_session_that_only_a_route_knows_is_of_its_platform(key: str, kind: SessionClass) -> None:
    assert Classifier({"my_platform"}).of_routed("20261101_090000_0a1b2c", (Route(key),)) is kind


def test_every_platform_that_a_route_speaks_of_is_known_when_sessions_are_classified(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path).session("a", source="carrier_pigeon").session("b", source="smoke_signals")
    home.route("agent:main:carrier_pigeon:dm:1", "elsewhere")
    home.index({"odd key": {"session_id": "elsewhere", "platform": "smoke_signals"}})
    kinds = {session.id: session.session_class for session in home.store().scan(now=NOW).sessions}
    assert kinds["a"] is kinds["b"] is SessionClass.CHAT
