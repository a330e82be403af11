"""All that this project does to a home of the OpenClaw family, each as a scene in which faults may strike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from coming_back import restoring_scene, undoing_scene
from fault_runs import Scene
from full_openclaw_homes import AGENTS, IDS, OpenClawContents
from full_openclaw_homes import FullOpenClawHome as Home
from homes import NOW

from hermes_retention.actions.upkeep.prestart import ResumeLimits, prestart

RESTORED = [f"{agent}/{IDS[name]}" for agent in AGENTS for name in ("hook", "old hook", "run")]


def sweeping(folder: Path) -> Scene[Home]:
    """Archiving, final removals and expiry; the indexes are written anew."""
    return Scene(_pattern(folder), folder, Home.sweep, Home.check_completed, Home.check_nothing_lost)


def restoring(folder: Path) -> Scene[Home]:
    """Single sessions come back, their entries too."""
    return restoring_scene(_swept(folder), folder, RESTORED, Home.check_same, now=NOW)


def undoing(folder: Path) -> Scene[Home]:
    """All sweeps are undone."""
    return undoing_scene(_swept(folder), folder, Home.check_same, now=NOW)


def starting(folder: Path) -> Scene[Home]:
    """What is done before a gateway starts: what failed goes, and marks that would resume too much."""

    def act(home: Home) -> object:
        store = home.starting_store()
        return prestart(home.site(), store, limits=ResumeLimits(most=0), clock=lambda: NOW)

    def between(home: Home, before: OpenClawContents) -> None:
        home.check_nothing_lost(_without_marks(before, home.contents()))

    def completed(home: Home, whole: OpenClawContents) -> None:
        act(home)
        for lock in (home.path / "agents").rglob("*.lock"):
            lock.unlink()  # whoever held it is dead: the host takes it away itself, when it writes the index
        home.check_completed(whole)
        assert home.starting_store().interrupted(now=NOW) == []

    return Scene(_pattern(folder), folder, act, completed, between)


def _without_marks(before: OpenClawContents, now: OpenClawContents) -> OpenClawContents:
    """The same, but of entries that are marked those that stand there now: a mark is what may vanish."""
    marked = {it for it in before.entries if b'"abortedLastRun": true' in it[2]}
    left = {it for it in now.entries if any(it[:2] == other[:2] for other in marked)}
    assert len(left) == len(marked)
    assert all(IDS["resumed"].encode() in it[2] for it in left)
    return OpenClawContents(
        (before.entries - marked) | left,
        before.files,
        before.archived_entries,
        before.archived_files,
        before.archived,
    )


OPENCLAW_SCENES: dict[str, Callable[[Path], Scene[Home]]] = {
    "sweep of OpenClaw": sweeping,
    "restore of OpenClaw": restoring,
    "undo of OpenClaw": undoing,
    "prestart": starting,
}


def _pattern(folder: Path) -> Home:
    return Home.make(folder / "pattern")


def _swept(folder: Path) -> Home:
    home = _pattern(folder)
    home.sweep_without_fault()
    assert IDS["expiring"] not in {session.partition("/")[2] for session, _ in home.contents().archived}
    return home
