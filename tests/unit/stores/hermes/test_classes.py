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
PLUGINS = "buzz ntfy irc google_chat line photon raft simplex teams"
EXPECTED = {
    **dict.fromkeys(f"{BUILT_IN} {PLUGINS}".split(), SessionClass.CHAT),
    **dict.fromkeys(("cli", "tui", "acp", "desktop", "oneshot", "webui"), SessionClass.CLI),
    **dict.fromkeys(("webhook", "msgraph_webhook"), SessionClass.HOOK),
    "cron": SessionClass.CRON,
    **dict.fromkeys(("api_server", "a2a"), SessionClass.API),
    "subagent": SessionClass.SUBAGENT,
    **dict.fromkeys(("batch", "curator", "kanban", "tool"), SessionClass.OTHER),
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


@pytest.mark.parametrize("source", ["", "recovered", "unknown"])
def test_record_without_source_is_judged_by_its_id(source: str) -> None:
    assert class_of(source, session_id="20261101_090000_0a1b2c3d") is SessionClass.CHAT
    assert class_of(source, session_id="20261101_090000_0a1b2c") is SessionClass.CLI
    assert class_of(source, session_id="x") is SessionClass.OTHER


def test_agents_that_write_to_a_gateway_are_no_chat() -> None:
    assert class_of("a2a", key="agent:main:a2a:dm:1") is SessionClass.API


def test_sources_that_nobody_knows_are_counted(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    for number, source in enumerate(["odd", "odd", "mine", "kanban", "recovered", "cli", "telegram"]):
        home.session(f"s{number}", source=source)
    home.session("key", source="platform", key="agent:main:platform:dm:1").file("session_orphan.json")
    home.session("helper", source="odd", model_config='{"_delegate_from": "x"}')
    assert home.store().scan(now=NOW).strange_sources == {"odd": 2, "mine": 1}


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
