"""The class of a session, from its source, its lineage, its routes, or the form of its id."""

from __future__ import annotations

from collections.abc import Iterable

from hermes_retention.model.session import Lineage, Record, Route, SessionClass
from hermes_retention.stores.hermes.ids import class_by_shape
from hermes_retention.stores.hermes.routing import platform_of

_SOURCES = {
    "cli": SessionClass.CLI,
    "tui": SessionClass.CLI,
    "acp": SessionClass.CLI,
    "cron": SessionClass.CRON,
    "api_server": SessionClass.API,
    "webhook": SessionClass.HOOK,
    "msgraph_webhook": SessionClass.HOOK,
    "subagent": SessionClass.SUBAGENT,
}
_BUILT_IN = """
    local telegram discord whatsapp whatsapp_cloud slack signal mattermost matrix homeassistant email sms
    dingtalk feishu wecom wecom_callback weixin bluebubbles qqbot yuanbao relay
"""
_PLUGINS = "google_chat irc line ntfy photon raft simplex teams"
"""Platforms that come with the host as plugins."""


class Classifier:
    """Knows every source that is a platform: those of the host, and those that routes speak of."""

    def __init__(self, platforms: Iterable[str]) -> None:
        self._by_source = (
            dict.fromkeys({*_BUILT_IN.split(), *_PLUGINS.split(), *platforms}, SessionClass.CHAT) | _SOURCES
        )

    def of_record(self, session_id: str, record: Record, key: str | None) -> SessionClass:
        """The class of a session with a row. ``key`` is the route key in it: only a gateway writes one."""
        if record.lineage is Lineage.DELEGATION:
            return SessionClass.SUBAGENT
        known = self._by_source.get(record.source)
        if known is not None:
            return known
        if not record.source:
            return self.of_orphan(session_id)
        return SessionClass.OTHER if key is None or platform_of(key) is None else SessionClass.CHAT

    def of_routed(self, session_id: str, routes: tuple[Route, ...]) -> SessionClass:
        """The class of a session that only routes know."""
        platform = platform_of(routes[0].key)
        return self.of_orphan(session_id) if platform is None else self._by_source[platform]

    @staticmethod
    def of_orphan(session_id: str) -> SessionClass:
        """The class of a session that nobody knows."""
        return class_by_shape(session_id) or SessionClass.OTHER
