"""What session ids and route keys say by their form, and how the host writes ids into file names.

Ids come from the host, from clients of its API and from whatever lies in a directory: any string is possible.
The class of a session follows from its source, its lineage, its routes, or the form of its id. What must not
live here: files, databases, and decisions about sessions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hermes_retention.model.session import Lineage, Record, Route, SessionClass

_STAMP = re.compile(r"_[0-9]{8}_[0-9]{6}")
STAMP_LENGTH = len("_20261120_101500")

_SHAPES = (
    (SessionClass.API, re.compile(r"api-[0-9a-f]{16}|api_[0-9]+_[0-9a-f]{8}|run_[0-9a-f]+")),
    (SessionClass.CHAT, re.compile(r"[0-9]{8}_[0-9]{6}_[0-9a-f]{8}")),
    (SessionClass.CLI, re.compile(r"[0-9]{8}_[0-9]{6}_[0-9a-f]{6}")),
    (SessionClass.OTHER, re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")),
)


def has_stamp(text: str) -> bool:
    """Whether ``text`` ends in ``_YYYYmmdd_HHMMSS``."""
    return _STAMP.fullmatch(text, len(text) - STAMP_LENGTH) is not None


def cron_job(session_id: str) -> str | None:
    """The job in ``cron_<job>_<stamp>``; ``None`` when the id has another form. Jobs may contain ``_``."""
    if not session_id.startswith("cron_") or not has_stamp(session_id):
        return None
    return session_id[len("cron_") : -STAMP_LENGTH] or None


def class_by_shape(session_id: str) -> SessionClass | None:
    """The class that the form of an id speaks for; ``None`` when the host makes no ids of this form."""
    if cron_job(session_id) is not None:
        return SessionClass.CRON
    return next((kind for kind, shape in _SHAPES if shape.fullmatch(session_id)), None)


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


def platform_of(key: str) -> str | None:
    """The platform in ``agent:<namespace>:<platform>:…``."""
    parts = key.split(":", 3)
    return parts[2] if len(parts) > 2 and parts[0] == "agent" and parts[2] else None  # noqa: PLR2004 - it is the third


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
