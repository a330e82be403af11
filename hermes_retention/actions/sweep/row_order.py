"""In which order records leave: what points to another record goes before it, or together with it.

Otherwise removing the one would change the other, which would then stay: it is no longer what was read. What
must not live here: which records go, and reading or writing them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from hermes_retention.model.plan import Step
from hermes_retention.model.session import Lineage

_GO_TOGETHER = (Lineage.COMPRESSION, Lineage.DELEGATION)


def leaders(steps: Sequence[Step]) -> dict[str, Step]:
    """Session id → the step with whose unit its record goes, often its own.

    It is the uppermost one to which compression and delegation lead from step to step; in a circle, one of
    them.
    """
    own = {step.session_id: step for step in steps}
    found: dict[str, Step] = {}
    for step in steps:
        way: list[str] = []
        met: set[str] = set()
        above = step
        while above.session_id not in met and above.session_id not in found:
            way.append(above.session_id)
            met.add(above.session_id)
            above = own.get(_parent(above, _GO_TOGETHER), above)
        found.update(dict.fromkeys(way, found.get(above.session_id, above)))
    return found


def children_first(steps: Sequence[Step]) -> list[list[Step]]:
    """``steps`` in turns: a record leaves in an earlier turn than the one it points to, or in the same unit.

    No unit is in two turns. Most steps are in the first; there are as many as generations that leave.
    """
    led_by = {session_id: leader.session_id for session_id, leader in leaders(steps).items()}
    above: dict[str, str] = {}
    for step in steps:
        parent = led_by.get(_parent(step, tuple(Lineage)))
        if led_by[step.session_id] == step.session_id and parent not in (None, step.session_id):
            above[step.session_id] = str(parent)
    generation = _generations(set(led_by.values()), above)
    turns: defaultdict[int, list[Step]] = defaultdict(list)
    for step in steps:
        turns[generation[led_by[step.session_id]]].append(step)
    return [turns[number] for number in sorted(turns)]


def _generations(names: set[str], above: dict[str, str]) -> dict[str, int]:
    """How many generations are below each; what is in a circle has none that comes before."""
    found = dict.fromkeys(names, 0)
    waiting = Counter(above.values())
    ready = [name for name in names if not waiting[name]]
    while ready:
        name = ready.pop()
        parent = above.get(name)
        if parent is not None:
            found[parent] = max(found[parent], found[name] + 1)
            waiting[parent] -= 1
            if not waiting[parent]:
                ready.append(parent)
    return found


def _parent(step: Step, lineages: Sequence[Lineage]) -> str:
    """The id of its parent if it is one of that kind; empty when it has none."""
    record = step.seen.record if step.seen is not None else None
    if record is None or record.parent_id is None or record.lineage not in lineages:
        return ""
    return record.parent_id
