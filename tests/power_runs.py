"""Looks at what may be left of a home when the power fails during a sweep."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from full_homes import FullHome
from power import Recorder

COMPLETED_EVERY = 9
"""Of so many states one is swept to its end."""


def swept_before(path: Path) -> FullHome:
    """A home with an archive."""
    return FullHome.make(path)


def never_swept(path: Path) -> FullHome:
    """A home that has no archive yet, nor the directories for it."""
    home = FullHome.make(path)
    shutil.rmtree(path / "retention")
    return home


def look_at_states(folder: Path, make: Callable[[Path], FullHome], seed: int, *, every: int) -> int:
    """Look at one of ``every`` states; how many that were."""
    folder.mkdir(exist_ok=True)
    home = make(folder / "home")
    before, work = home.contents(), folder / "state"
    with Recorder(home.path) as recorder:
        home.sweep_without_fault()
    whole = home.contents()
    seen = 0
    chance = random.Random(seed)
    offset = chance.randrange(every)
    for number, state in enumerate(recorder.states(chance)):
        if number % every != offset:
            continue
        work.mkdir()
        state.write_to(work)
        left = FullHome(work)
        try:
            left.check_nothing_lost(before)
            if seen % COMPLETED_EVERY == 0:
                left.check_completed(whole)
        except Exception as error:
            missing = [f"{it.kind} {it.path}" for it in (recorder.changes[one] for one in state.missing)]
            last = recorder.changes[state.after - 1] if state.after else None
            error.add_note(
                f"after {state.after} changes, the last {last and (last.kind, last.path)}; missing: {missing}"
            )
            raise
        seen += 1
        shutil.rmtree(work)
    return seen
