"""Doing something again and again, each time with a fault at another effect, and looking at what is left.

A ``Scene`` is a home, what is done to it, and what must hold afterwards. ``run`` strikes at one effect in one
manner; ``cases`` lists them all, ``sampled`` a few of each sort of effect.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

import msgspec
from faults import MANNERS, Dying, Effect, Manner, effects_of, struck_at

Contents: TypeAlias = Any
"""All that can be read of a home; each kind of home has its own."""


class Home(Protocol):
    """A home that scenes are made of."""

    path: Path

    def copy(self, path: Path) -> Self:
        """The same home elsewhere, times included."""

    def contents(self) -> Contents:
        """Everything, read anew."""


_Home = TypeVar("_Home", bound=Home)


class Case(msgspec.Struct, frozen=True):
    """A fault: at which effect, in which manner, before it or after it."""

    at: int
    effect: Effect
    manner: Manner
    after: bool = False

    def __str__(self) -> str:
        return f"{self.manner} {'after' if self.after else 'at'} effect {self.at}: {self.effect}"


class Scene(Generic[_Home]):
    """``act`` on copies of ``pattern``; ``completed`` looks at a home in which a fault struck."""

    def __init__(
        self,
        pattern: _Home,
        folder: Path,
        act: Callable[[_Home], object],
        completed: Callable[[_Home, Contents], None],
        between: Callable[[_Home, Contents], None],
    ) -> None:
        """``between`` looks at what a fault left, ``completed`` does what is left to do, and looks again.

        They are given what a home held before anything was done, and what one holds when no fault struck.
        """
        self._pattern, self._folder, self._act = pattern, folder, act
        self._between, self._completed = between, completed
        self._number = 0
        whole = self._fresh()
        self.before = whole.contents()
        self.effects = effects_of(lambda: act(whole))
        between(whole, self.before)
        self.whole = whole.contents()
        completed(whole, self.whole)
        shutil.rmtree(whole.path)

    def _fresh(self) -> _Home:
        self._number += 1
        return self._pattern.copy(self._folder / str(self._number))

    def cases(self) -> Iterator[Case]:
        """Every effect in every manner that it can fail in."""
        for at, effect in enumerate(self.effects, 1):
            for manner in MANNERS:
                if manner.fits(effect):
                    yield Case(at, effect, manner)
            if effect.succeeds:
                yield Case(at, effect, Dying(), after=True)

    def sampled(self, number: int, seed: int) -> list[Case]:
        """At most ``number`` cases; every sort of effect is met before any is met twice."""
        chance = random.Random(seed)
        every = list(self.cases())
        chance.shuffle(every)
        met: dict[tuple[str, str], int] = {}
        ranked: list[tuple[int, int, Case]] = []
        for case in every:
            sort = (case.effect.name, case.effect.about if case.effect.name == "statement" else "")
            met[sort] = met.get(sort, 0) + 1
            ranked.append((met[sort], len(ranked), case))
        return [case for _, _, case in sorted(ranked, key=lambda one: one[:2])[:number]]

    def run(self, case: Case) -> None:
        """Strike; nothing may be lost then, and the next ones complete it."""
        home = self._fresh()
        try:
            struck = struck_at(case.at, case.manner, lambda: self._act(home), after=case.after)
            assert struck, "the fault was never reached"
            self._between(home, self.before)
            self._completed(home, self.whole)
        except AssertionError as error:
            error.add_note(f"with {case}")
            raise
        finally:
            shutil.rmtree(home.path)


def run_all(scene: Scene[Any], cases: Sequence[Case]) -> None:
    """Run them all and fail with all that failed, not only with the first."""
    failed = []
    for case in cases:
        try:
            scene.run(case)
        except Exception as error:  # noqa: BLE001 - a raw error that escapes is one of the findings
            failed.append(f"{case}: {type(error).__name__}: {error}")
    assert not failed, f"{len(failed)} of {len(cases)}:\n" + "\n".join(failed[:50])
