"""``archived_session_search``: a tool with which the agent itself finds what left its database.

It sees sessions of the user who asks only, on the same platform; from a chat that others read too, only what
was said in that chat. Whoever cannot be told apart for certain gets nothing. Registering costs nothing; what
is heavy is loaded when the tool is called. What must not live here: searching.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hermes_retention.gateway.hermes.callbacks import said_by_gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hermes_retention.actions.inspect.search.query import FoundSession
    from hermes_retention.stores.base import SessionMetadata

NAME, TOOLSET = "archived_session_search", "retention"
SETTING = "HERMES_RETENTION_AGENT_TOOL"
ABOUT = (
    "Search older conversations with this user that were moved out of the session database into an archive. "
    "Use it when the user refers to something from long ago that session search does not find. Returns "
    "excerpts with dates, newest sessions first."
)
SCHEMA: dict[str, Any] = {
    "name": NAME,
    "description": ABOUT,
    "parameters": {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "A word or phrase that was said, as it was written."},
            "limit": {"type": "integer", "description": "Sessions at most, from 1 to 5.", "default": 3},
        },
        "required": ["query"],
    },
}
_MOST_SESSIONS, _MOST_EXCERPTS, _LONGEST_QUERY = 5, 3, 200
_USUAL_SESSIONS = 3
_TRUE = frozenset({"true", "yes", "on", "1"})
_NOBODY = "nothing can be searched here: it is not certain who is asking"


class Asker:
    """Whose sessions may be searched. ``route`` is set where others read the answer too."""

    __slots__ = ("platform", "route", "user")

    def __init__(self, user: str, platform: str, route: str | None) -> None:
        self.user, self.platform, self.route = user, platform, route


def register_tool(ctx: object, home: Path) -> None:
    """Offer the tool if the settings of ``home`` may ask for it; whether they do is looked up when it counts.

    Hosts without tools of plugins are left alone.
    """
    register: Callable[..., None] | None = getattr(ctx, "register_tool", None)
    if register is None or not _may_be_wanted(home):
        return
    register(
        NAME,
        TOOLSET,
        SCHEMA,
        lambda arguments, **known: answer(home, arguments, known),
        check_fn=lambda: _is_wanted(home),
        description=ABOUT,
    )


def _may_be_wanted(home: Path) -> bool:
    """A quick look, since settings proper take a tenth of a second to read in every process of the host."""
    said = os.environ.get(SETTING, "").strip().lower()
    if said:
        return said in _TRUE
    return any(_mentions(home / name) for name in (".env", "config.yaml"))


def _mentions(path: Path) -> bool:
    try:
        return b"agent_tool" in path.read_bytes().lower()
    except OSError:
        return False


def _is_wanted(home: Path) -> bool:
    from hermes_retention.home.open import HomeLoader
    from hermes_retention.model.errors import SettingsError

    try:
        return HomeLoader(home, store="hermes").settings.values.agent_tool
    except SettingsError:  # who may not be asked what is wanted gets no tool
        return False


def answer(home: Path, arguments: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """The tool's answer as JSON. ``known`` is what the host says of the call. Never raises."""
    import json

    from hermes_retention.model.errors import RetentionError

    try:
        return json.dumps(_answer(home, arguments, known), ensure_ascii=False)
    except RetentionError as error:
        return json.dumps({"error": f"{error.what}: {error.why}"})
    except Exception as error:  # noqa: BLE001 - the words of others may hold a piece of a conversation
        return json.dumps({"error": f"the search failed ({type(error).__name__})"})


def _answer(home: Path, arguments: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    import time

    from hermes_retention.actions.inspect.search.find import SearchRequest, search
    from hermes_retention.actions.inspect.search.query import text_query
    from hermes_retention.home.open import HomeLoader

    loader = HomeLoader(home, store="hermes")
    session_id = str(known.get("session_id") or "")
    asker = who_asks(loader.store.metadata([session_id]).get(session_id))
    if asker is None:
        return {"results": [], "note": _NOBODY}
    if not loader.settings.values.agent_tool:
        return {"results": [], "note": "searching the archive is switched off"}
    limit = arguments.get("limit")
    request = SearchRequest(
        query=text_query(str(arguments.get("query") or "")[:_LONGEST_QUERY]),
        limit=min(max(limit, 1), _MOST_SESSIONS) if isinstance(limit, int) else _USUAL_SESSIONS,
        user=asker.user,
        platform=asker.platform,
        route=asker.route,
        excerpts=_MOST_EXCERPTS,
    )
    report = search(loader.home, request, now=time.time())
    found: dict[str, Any] = {"results": list(map(_object, report.sessions)), "has_more": report.has_more}
    if report.damages:
        found["note"] = "a part of the archive is damaged and was not searched"
    return found


def who_asks(session: SessionMetadata | None) -> Asker | None:
    """Who asks in this session, by its record and by what the gateway says of the message at hand.

    ``None`` unless both agree. A chat that is not known to be private counts as one that others read.
    """
    if session is None or not session.user_id or not session.source:
        return None
    said = {name: said_by_gateway(f"HERMES_SESSION_{name}") for name in ("USER_ID", "PLATFORM", "KEY")}
    if said["USER_ID"] not in ("", session.user_id) or said["PLATFORM"] not in ("", session.source):
        return None
    route = session.route_key or said["KEY"]
    if not route:
        return None
    return Asker(session.user_id, session.source, None if _is_private(route) else route)


def _is_private(route: str) -> bool:
    """``agent:main:telegram:dm:…``: the fourth part says what kind of a chat it is."""
    parts = route.split(":")
    return len(parts) > 3 and parts[0] == "agent" and parts[3] == "dm"  # noqa: PLR2004 - the fourth


def _object(found: FoundSession) -> dict[str, Any]:
    from hermes_retention.model.text import format_time

    return {
        "session_id": found.session_id,
        "title": found.metadata.title,
        "last_activity": format_time(found.last_activity),
        "matching_messages": found.hits,
        "excerpts": [
            {"role": one.role, "text": f"{one.before}{one.match}{one.after}"} for one in found.excerpts
        ],
    }
