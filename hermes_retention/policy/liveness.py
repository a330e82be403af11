"""Whether somebody may still be using a session: holds, routes, runs, and what lineage links to it.

When two facts disagree the session is live, and so it is when a fact is missing that would have to say it is
not. Every answer carries the fact that made it. What must not live here: when a session that is over is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from hermes_retention.model.plan import Liveness, Rule
from hermes_retention.model.session import ONE_SHOT, Inventory, Lineage, Record, Session, SessionClass
from hermes_retention.model.text import format_duration, printable
from hermes_retention.policy.lifecycle import Policy

SUPERSEDING_REASONS = frozenset(
    {"new_session", "session_reset", "session_switch", "suspended", "idle", "daily"}
)
"""``end_reason`` values with which a gateway gives a chat's route to another session."""


class Assessment(msgspec.Struct, frozen=True, gc=False):
    """A session's liveness, and the fact behind it in words."""

    liveness: Liveness
    reason: str
    guard: Rule | None = None
    """What makes it live; ``None`` when it is not."""
    keeps_dumps: bool = False
    """Whether its request dumps must stay as well: those of other live sessions go when they are old."""


class Answer(msgspec.Struct, frozen=True):
    """What one rule says of a session: whether it speaks, and the fact behind that."""

    rule: Rule
    is_yes: bool
    fact: str


def assess(
    inventory: Inventory,
    policy: Policy,
    activity: Sequence[float],
    linked: Sequence[Sequence[int]],
    *,
    now: float,
) -> list[Assessment]:
    """The liveness of every session of ``inventory``, in its order.

    ``activity`` is the last activity of each session itself in Unix seconds, 0.0 when nobody knows it;
    ``linked`` are the families whose members keep one another alive, by place in the inventory.
    """
    assessor = _Assessor(inventory, policy, now=now)
    found = list(map(assessor.assess, inventory.sessions, activity))
    for family in linked:
        _spread(inventory.sessions, family, found)
    return found


def examine(  # noqa: PLR0913 - what ``assess`` takes, and which session
    inventory: Inventory,
    policy: Policy,
    activity: Sequence[float],
    family: Sequence[int],
    place: int,
    *,
    now: float,
) -> Iterator[Answer]:
    """What every guard says of the session at one place, also those to which ``assess`` does not come because
    another has spoken before. ``family`` are the places of those that are linked to it, its own among them.
    """
    assessor = _Assessor(inventory, policy, now=now)
    yield from assessor.ask_every_guard(inventory.sessions[place], activity[place])
    others = [other for other in family if other != place]
    found = {other: assessor.assess(inventory.sessions[other], activity[other]) for other in others}
    alive = [other for other in others if found[other].liveness is Liveness.LIVE]
    fact = f"linked to {len(others)} other(s), none of them live" if others else "linked to none"
    yield Answer(Rule.LINEAGE, bool(alive), _link(inventory.sessions, alive, found)[1] if alive else fact)


def age(activity: float, *, now: float) -> float:
    """Seconds since ``activity``. A time in the future counts as now (a clock was wrong once)."""
    return max(0.0, now - activity)


def _spread(sessions: Sequence[Session], family: Sequence[int], found: list[Assessment]) -> None:
    """A live session makes everything that is linked to it live."""
    alive = [place for place in family if found[place].liveness is Liveness.LIVE]
    if not alive:
        return
    strongest, reason = _link(sessions, alive, found)
    keeps_dumps = found[strongest].keeps_dumps
    linked = _live(Rule.LINEAGE, reason, keeps_dumps=keeps_dumps)
    for place in family:
        if found[place].liveness is not Liveness.LIVE:
            found[place] = linked
        elif keeps_dumps and not found[place].keeps_dumps:
            found[place] = msgspec.structs.replace(found[place], keeps_dumps=True)


def _link(
    sessions: Sequence[Session], alive: Sequence[int], found: Sequence[Assessment] | Mapping[int, Assessment]
) -> tuple[int, str]:
    """Which of the live ones keeps the others of its family alive, and that in words."""
    strongest = next((place for place in alive if found[place].keeps_dumps), alive[0])
    return (
        strongest,
        f"linked to {printable(sessions[strongest].id)}, which is live: {found[strongest].reason}",
    )


def _live(guard: Rule, reason: str, *, keeps_dumps: bool = False) -> Assessment:
    return Assessment(Liveness.LIVE, reason, guard, keeps_dumps)


class _Assessor:
    """Looks at one session at a time. Equal answers are one object: there may be a million sessions."""

    def __init__(self, inventory: Inventory, policy: Policy, *, now: float) -> None:
        self._holds, self._pins, self._marks = inventory.holds, inventory.pins, inventory.marks
        self._policy = policy
        self._settle_time = policy.settle_time
        self._now = now
        self._shared: dict[tuple[Liveness | Rule, str, str | None], Assessment] = {}
        successors = {session.successor for session in inventory.sessions if session.successor is not None}
        self._started = {
            session.id: session.record.started_at
            for session in inventory.sessions
            if session.id in successors and session.record is not None
        }

    def assess(self, session: Session, activity: float) -> Assessment:
        """The liveness of ``session`` by itself, without its lineage. Guards come in order of precedence."""
        for rule, guard, _ in _FIRST_GUARDS:
            reason = guard(self, session, activity)
            if reason is not None:
                return self._guarded(rule, reason, keeps_dumps=rule in _KEEP_DUMPS)
        return self._end(session, activity)

    def ask_every_guard(self, session: Session, activity: float) -> Iterator[Answer]:
        """The same questions, all of them."""
        for rule, guard, otherwise in _FIRST_GUARDS:
            reason = guard(self, session, activity)
            fact = otherwise(self, session, activity) if reason is None else reason
            yield Answer(rule, reason is not None, fact)
            if rule is Rule.TIME_UNKNOWN and reason is not None:
                return  # without a time nothing else can be said
        end = self._end(session, activity)
        is_routed, is_running = end.guard is Rule.ROUTED, end.guard is Rule.RUNNING
        yield Answer(Rule.ROUTED, is_routed, end.reason if session.routes else "no route leads to it")
        yield Answer(Rule.RUNNING, is_running, "its route decides" if session.routes else end.reason)

    def held(self, session: Session, _activity: float) -> str | None:
        """That a person or a plugin holds it."""
        reason = self._holds.get(session.id)
        if reason is None:
            return None
        return f"held: {printable(reason)}" if reason else "held"

    def pinned(self, session: Session, _activity: float) -> str | None:
        """That a person wants it kept, and said so in the host."""
        return self._pins.get(session.id)

    def not_pinned(self, session: Session, _activity: float) -> str:
        """The opposite, and that the host hides it: people might take that for a wish to keep it."""
        mark = self._marks.get(session.id)
        return "not pinned" if mark is None else f"not pinned; {mark}"

    def busy(self, session: Session, _activity: float) -> str | None:
        """That the host says it is at work on it."""
        record = session.record
        if record is None or record.busy is None:
            return None
        return f"the host is at work on it: {printable(record.busy)}"

    def timeless(self, _session: Session, activity: float) -> str | None:
        """That nobody knows its age."""
        return "nothing tells when it was last active" if activity <= 0 else None

    def young(self, _session: Session, activity: float) -> str | None:
        """That it was active within the minimum age."""
        idle = age(activity, now=self._now)
        return f"active {format_duration(idle)} ago" if idle < self._settle_time else None

    def not_young(self, _session: Session, activity: float) -> str:
        """The opposite, with the limit."""
        idle, least = format_duration(age(activity, now=self._now)), format_duration(self._settle_time)
        return f"active {idle} ago, with a minimum of {least}"

    def _end(self, session: Session, activity: float) -> Assessment:
        """Whether it is over, and how that came; else its route, or the run that nobody ended, keeps it."""
        idle = age(activity, now=self._now)
        if session.routes:
            return self._routed(session, activity, idle)
        if session.record is None:
            return self._over(Liveness.ORPHAN, "no record and no route knows it")
        return self._unrouted(session, session.record, activity, idle)

    def _routed(self, session: Session, activity: float, idle: float) -> Assessment:
        record = session.record
        # Without a record only the form of its id speaks for cron, and that does not outweigh a route.
        one_shot = session.session_class in ONE_SHOT and (
            record is not None or session.session_class is SessionClass.HOOK
        )
        bound = one_shot or all(route.leaves_along for route in session.routes)
        what = "its one run" if one_shot else "its binding"
        if bound and record is not None and self._has_ended(record, activity):
            return self._over(Liveness.ENDED, f"{what} ended", _end_reason(record))
        if record is not None and self._has_expired(session, record, activity):
            return self._over(Liveness.ENDED, "its route expired", _end_reason(record))
        over = self._counts_as_over(session, activity, idle) if bound else None
        if over is not None:
            return self._over(Liveness.STALE, f"{what} {over}")
        key = min(route.key for route in session.routes)
        return _live(Rule.ROUTED, f"routed from {printable(key)}")

    def _unrouted(self, session: Session, record: Record, activity: float, idle: float) -> Assessment:
        successor = session.successor
        if successor is not None and self._is_past(self._started.get(successor), activity):
            return self._over(Liveness.SUPERSEDED, f"superseded by {printable(successor)}")
        if self._has_ended(record, activity):
            if session.session_class is SessionClass.CHAT and record.end_reason in SUPERSEDING_REASONS:
                return self._over(Liveness.SUPERSEDED, "superseded", _end_reason(record))
            return self._over(Liveness.ENDED, "ended", _end_reason(record))
        history = "never ended"
        if record.ended_at is not None:
            history = f"went on after it ended ({printable(_end_reason(record))})"
        over = self._counts_as_over(session, activity, idle)
        if over is not None:
            return self._over(Liveness.STALE, f"{history}, {over}")
        after = self._policy.lifecycles[session.session_class].idle_after
        limit = "idle_after: never" if after is None else f"counts as over after {format_duration(after)}"
        return self._guarded(Rule.RUNNING, f"{history}, idle for {format_duration(idle)} ({limit})")

    def _has_expired(self, session: Session, record: Record, activity: float) -> bool:
        """Whether the host has ended it, and says of every route that no message goes on there."""
        return self._has_ended(record, activity) and all(route.expired for route in session.routes)

    def _has_ended(self, record: Record, activity: float) -> bool:
        return record.ended_at is not None and self._is_past(record.ended_at, activity)

    def _is_past(self, end: float | None, activity: float) -> bool:
        """Whether no activity speaks against that end. A host's last writes may come a little later."""
        return end is None or activity - end <= self._settle_time

    def _counts_as_over(self, session: Session, activity: float, idle: float) -> str | None:
        """That a session which nobody ended counts as over, in words; ``None`` when it does not."""
        lifecycle = self._policy.lifecycles[session.session_class]
        if lifecycle.idle_after is not None and idle >= lifecycle.idle_after:
            return f"counts as over after {format_duration(lifecycle.idle_after)} without activity"
        started = activity if session.record is None else session.record.started_at
        # A start that is no time at all says nothing about an age.
        if lifecycle.max_age is not None and started > 0 and self._now - started >= lifecycle.max_age:
            return f"counts as over at the age of {format_duration(lifecycle.max_age)}"
        return None

    def _over(self, liveness: Liveness, fact: str, detail: str | None = None) -> Assessment:
        known = self._shared.get((liveness, fact, detail))
        if known is None:
            reason = fact if detail is None else f"{fact} ({printable(detail)})"
            known = self._shared[liveness, fact, detail] = Assessment(liveness, reason)
        return known

    def _guarded(self, guard: Rule, reason: str, *, keeps_dumps: bool = False) -> Assessment:
        known = self._shared.get((guard, reason, None))
        if known is None:
            known = self._shared[guard, reason, None] = _live(guard, reason, keeps_dumps=keeps_dumps)
        return known


_KEEP_DUMPS = frozenset({Rule.HELD, Rule.PINNED, Rule.BUSY})
"""Guards under which request dumps stay as well."""
_FIRST_GUARDS: tuple[
    tuple[
        Rule,
        Callable[[_Assessor, Session, float], str | None],
        Callable[[_Assessor, Session, float], str],
    ],
    ...,
] = (
    (Rule.HELD, _Assessor.held, lambda *_: "not held"),
    (Rule.PINNED, _Assessor.pinned, _Assessor.not_pinned),
    (Rule.BUSY, _Assessor.busy, lambda *_: "the host is not at work on it"),
    (Rule.TIME_UNKNOWN, _Assessor.timeless, lambda *_: "the time of its last activity is known"),
    (Rule.MIN_AGE, _Assessor.young, _Assessor.not_young),
)
"""In order of precedence: the reason with which a guard speaks, else what is told when it does not."""


def _end_reason(record: Record) -> str:
    return record.end_reason or "no reason"


class Families(msgspec.Struct, frozen=True):
    """Groups of at least two sessions each, with the places of their members in ascending order."""

    linked: list[list[int]]
    """Linked in any way."""
    continued: list[list[int]]
    """Linked by compression, which goes on with the same conversation under another id."""


def families(sessions: Sequence[Session]) -> Families:
    """Who is linked to whom, also through a parent that is gone. A lineage may go in circles."""
    links = [
        (place, record.parent_id, record.lineage is Lineage.COMPRESSION)
        for place, session in enumerate(sessions)
        if (record := session.record) is not None and record.parent_id
    ]
    if not links:
        return Families([], [])
    parents = {parent for _, parent, _ in links}
    places = {session.id: place for place, session in enumerate(sessions) if session.id in parents}
    return Families(
        linked=_join((place, places.get(parent, parent)) for place, parent, _ in links),
        continued=_join((place, places.get(parent, parent)) for place, parent, same in links if same),
    )


def _join(links: Iterable[tuple[int, int | str]]) -> list[list[int]]:
    """Union-find. A member that is no place is the id of a session that is gone: it only joins others."""
    above: dict[int | str, int | str] = {}

    def root(member: int | str) -> int | str:
        while (parent := above.setdefault(member, member)) != member:
            above[member] = member = above[parent]
        return member

    for child, parent in links:
        above[root(child)] = root(parent)
    groups: dict[int | str, list[int]] = {}
    for place in sorted(member for member in above if isinstance(member, int)):
        groups.setdefault(root(place), []).append(place)
    return [members for members in groups.values() if len(members) > 1]
