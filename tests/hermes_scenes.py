"""All that this project does to a home of Hermes, each as a scene in which faults may strike."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path

from coming_back import restoring_scene, undoing_scene
from fault_runs import Scene
from full_homes import (
    ALONE,
    CHATS,
    CRON,
    DAY,
    EXPIRING,
    FINAL,
    LIVE,
    NOW,
    ORPHAN,
    RECENT,
    STAYING,
    Contents,
    FullHome,
)

from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.actions.upkeep.compact import compact
from hermes_retention.actions.upkeep.forget import Wanted, forget
from hermes_retention.actions.upkeep.prune import discard
from hermes_retention.home.workspace import Hold
from hermes_retention.stores.hermes.erasing import OfflineRoutes

RESTORED = [RECENT, CHATS[0], CHATS[3], CRON]
"""What comes back are files, tool output, messages and a record."""
ROUTE, DEAD = "agent:main:telegram:dm:1", "agent:main:webhook:dm:push:77"
HOLD = Hold("a person said so", NOW)


def sweeping(folder: Path) -> Scene[FullHome]:
    """Archiving, final removals and expiry."""
    return Scene(
        _pattern(folder), folder, FullHome.sweep, FullHome.check_completed, FullHome.check_nothing_lost
    )


def restoring(folder: Path) -> Scene[FullHome]:
    """Single sessions come back."""
    return restoring_scene(_swept(folder), folder, RESTORED, _check_same, now=NOW)


def undoing(folder: Path) -> Scene[FullHome]:
    """All sweeps are undone."""
    return undoing_scene(_swept(folder), folder, _check_same, now=NOW)


def compacting(folder: Path) -> Scene[FullHome]:
    """The host's database is rewritten."""

    def act(home: FullHome) -> object:
        return compact(home.site(), above=0.0, environ={})

    def completed(home: FullHome, whole: Contents) -> None:
        act(home)
        home.check_same(whole)
        home.check_databases()
        assert not list((home.path / "retention" / "compact").iterdir())

    return Scene(_swept(folder), folder, act, completed, FullHome.check_nothing_lost)


def discarding(folder: Path) -> Scene[FullHome]:
    """A person removes archived sessions for good; what shares their dictionary is packed anew."""
    ids = [STAYING, CHATS[4]]

    def act(home: FullHome) -> object:
        return discard(home.site(), ids, now=NOW)

    def completed(home: FullHome, whole: Contents) -> None:
        act(home)
        home.check_same(whole)
        home.check_databases()

    def between(home: FullHome, before: Contents) -> None:
        left = home.contents()
        assert {one for one in before.archived - left.archived if one[0] not in ids} == set()
        assert (left.files, left.rows) == (before.files, before.rows)
        home.check_databases()

    return Scene(_swept(folder), folder, act, completed, between)


def forgetting(folder: Path) -> Scene[FullHome]:
    """A person wants sessions gone for good: of the store, of the vault, of both, and what continues one."""
    ids = [RECENT, STAYING, CHATS[2], CHATS[3], LIVE, ORPHAN]

    def act(home: FullHome) -> object:
        return forget(home.site(), Wanted(tuple(ids)), now=NOW)

    def others(contents: Contents) -> tuple[object, ...]:
        """What is of no session that goes. The index is written anew, without the route of one."""
        files = {name: it for name, it in contents.files.items() if not _is_of(ids, name)}
        rows = {table: {row for row in some if not _is_of(ids, row)} for table, some in contents.rows.items()}
        return files, rows, {one for one in contents.archived if one[0] not in ids}

    def completed(home: FullHome, whole: Contents) -> None:
        known = {session.id for session in home.site().store.scan(now=NOW).sessions}
        known |= {one[0] for one in home.contents().archived}
        forget(home.site(), Wanted(tuple(it for it in ids if it in known)), now=NOW)
        left = home.contents()
        assert (left.files.keys(), left.rows) == (whole.files.keys(), whole.rows)
        assert left.archived == whole.archived
        assert not any(session_id in repr(left) for session_id in ids)
        assert home.site().being_forgotten() == []
        home.check_databases()

    def between(home: FullHome, before: Contents) -> None:
        assert others(home.contents()) == others(before)
        home.check_databases()

    return Scene(_swept(folder), folder, act, completed, between)


def _is_of(ids: Collection[str], what: str | tuple[object, ...]) -> bool:
    """Whether one of these ids stands in it; or it is the index, which names them, or half of a new one."""
    text = repr(what)
    return "sessions.json" in text or ".tmp" in text or any(session_id in text for session_id in ids)


def holding(folder: Path) -> Scene[FullHome]:
    """A person holds one more session."""

    def act(home: FullHome) -> object:
        home.site().workspace.holds.add(CHATS[1], HOLD)
        return None

    def held(home: FullHome) -> dict[str, Hold]:
        return home.site().workspace.holds.load()

    def completed(home: FullHome, _: Contents) -> None:
        act(home)
        assert held(home) == {CHATS[0]: HOLD, CHATS[1]: HOLD}
        home.sweep()
        assert {CHATS[0], CHATS[1]}.isdisjoint(one[0] for one in home.contents().archived)

    def between(home: FullHome, before: Contents) -> None:
        assert held(home) in ({CHATS[0]: HOLD}, {CHATS[0]: HOLD, CHATS[1]: HOLD})
        home.check_nothing_lost(before, gone=())

    pattern = _pattern(folder)
    pattern.site().workspace.holds.add(CHATS[0], HOLD)
    return Scene(pattern, folder, act, completed, between)


def dropping_routes(folder: Path) -> Scene[FullHome]:
    """A sweep that rewrites the host's index: a route leads to what is over."""

    def act(home: FullHome) -> object:
        index = OfflineRoutes(home.path, lambda: NOW)
        return sweep(home.site(), clock=lambda: NOW, origin="test", index=index)

    def routes(home: FullHome) -> set[str]:
        return set(json.loads((home.sessions / "sessions.json").read_bytes()))

    def between(home: FullHome, before: Contents) -> None:
        assert routes(home) - {DEAD} == {ROUTE}
        home.check_nothing_lost(before, written=("sessions.json",))

    def completed(home: FullHome, whole: Contents) -> None:
        act(home)
        assert routes(home) == {ROUTE}
        home.check_same(whole, but=("sessions.json",))
        home.check_databases()

    pattern = _pattern(folder)
    used = datetime.fromtimestamp(NOW - 200 * DAY, UTC).isoformat()
    entries = {ROUTE: {"session_id": LIVE}, DEAD: {"session_id": FINAL, "updated_at": used}}
    (pattern.sessions / "sessions.json").write_text(json.dumps(entries, indent=2))
    return Scene(pattern, folder, act, completed, between)


HERMES_SCENES: dict[str, Callable[[Path], Scene[FullHome]]] = {
    "sweep": sweeping,
    "restore": restoring,
    "undo": undoing,
    "compact": compacting,
    "archive remove": discarding,
    "forget": forgetting,
    "hold": holding,
    "routes": dropping_routes,
}


def _pattern(folder: Path) -> FullHome:
    return FullHome.make(folder / "pattern")


def _swept(folder: Path) -> FullHome:
    home = _pattern(folder)
    home.sweep_without_fault()
    assert {EXPIRING, ALONE}.isdisjoint(one[0] for one in home.contents().archived)
    return home


def _check_same(home: FullHome, whole: Contents) -> None:
    home.check_same(whole)
    home.check_databases()
