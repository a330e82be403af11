"""Restoring and undoing, the same in homes of either family, as scenes in which faults may strike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from fault_runs import Contents, Home, Scene

from hermes_retention.actions.restore.restore import restore_sessions, undo, undoable_sweeps
from hermes_retention.home.home import Home as OpenHome
from hermes_retention.model.errors import ExitCode, UsageError


class SweptHome(Home, Protocol):
    """A home from which sessions have left."""

    def site(self) -> OpenHome:
        """The home under care."""

    def check_nothing_lost(self, before: Contents) -> None:
        """All of ``before`` is in the store or the vault."""


_Home = TypeVar("_Home", bound=SweptHome)


def restoring_scene(
    home: _Home, folder: Path, ids: Sequence[str], same: Callable[[_Home, Contents], None], *, now: float
) -> Scene[_Home]:
    """Sessions ``ids`` come back; ``same`` looks at what is there then."""

    def act(home: _Home) -> object:
        return restore_sessions(home.site(), ids, now=now)

    def completed(home: _Home, whole: Contents) -> None:
        assert restore_sessions(home.site(), ids, now=now).exit_code is ExitCode.DONE
        same(home, whole)

    return Scene(home, folder, act, completed, _nothing_lost)


def undoing_scene(
    home: _Home, folder: Path, same: Callable[[_Home, Contents], None], *, now: float
) -> Scene[_Home]:
    """All sweeps are undone; ``same`` looks at what is there then."""

    def act(home: _Home) -> object:
        return undo(home.site(), undoable_sweeps(home.site(), None, all_sweeps=True), now=now)

    def completed(home: _Home, whole: Contents) -> None:
        try:
            sweeps = undoable_sweeps(home.site(), None, all_sweeps=True)
        except UsageError:
            pass  # all were marked as undone before it ended
        else:
            assert undo(home.site(), sweeps, now=now).exit_code is ExitCode.DONE
        same(home, whole)

    return Scene(home, folder, act, completed, _nothing_lost)


def _nothing_lost(home: SweptHome, before: Contents) -> None:
    home.check_nothing_lost(before)
