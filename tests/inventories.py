"""Makes what decisions are made of: sessions, inventories and policies, in the words of a test.

    plan = decide(inventory(chat("a", idle=8 * DAY, ended="idle")), policy(), now=NOW)

Every time is told as seconds before ``NOW``. A session has a record and a snapshot unless a test says
otherwise; a policy has one plain lifecycle for all classes, so that no test leans on a default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from verdicts import Verdict

from hermes_retention.model.plan import Liveness, Plan, Rule, Step, Tier
from hermes_retention.model.session import (
    ArchivedSession,
    Artifact,
    ArtifactKind,
    ClockMemory,
    Inventory,
    Lineage,
    Record,
    Route,
    Session,
    SessionClass,
    Usage,
)
from hermes_retention.policy.decide import decide
from hermes_retention.policy.lifecycle import Lifecycle, Policy

Fact: TypeAlias = Any
"""What a test says about a session, a lifecycle or a policy; its type depends on its name."""
Facts: TypeAlias = dict[str, Fact]

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
MINUTE, HOUR, DAY = 60, 3600, 86400
FILE_BYTES = 73_728
KEY = "agent:main:telegram:dm:1"


def artifact(
    name: str, kind: ArtifactKind = ArtifactKind.SNAPSHOT, *, age: float, size: int = FILE_BYTES
) -> Artifact:
    """A file that was last changed ``age`` seconds before ``NOW``."""
    return Artifact(kind, name, size, size, round((NOW - age) * 1e9), inode=1)


def session(
    session_id: str,
    kind: SessionClass,
    /,
    *,
    idle: float = 30 * DAY,
    started: float | None = None,
    ended: str | None = None,
    ended_ago: float | None = None,
    recorded: bool = True,
    routes: Sequence[str] = (),
    dumps: Sequence[float] = (),
    files: bool = True,
    size: int = FILE_BYTES,
    parent: str | None = None,
    lineage: Lineage = Lineage.NONE,
    busy: str | None = None,
    successor: str | None = None,
    group: str | None = None,
    failed: bool = False,
    restored: float | None = None,
    messages: int | None = 1,
    tool_output_done: bool = False,
    agent: str | None = None,
    leftovers: Sequence[float] = (),
) -> Session:
    """A session that was last active ``idle`` seconds ago.

    It started an hour before that, and ended then if ``ended`` gives a reason. ``dumps`` has the age of each
    of its request dumps, ``restored`` says how long ago a person put it back, ``messages`` how many there are
    in the host's database: ``None`` when they are gone, and then it ended at its last activity, or started.
    With an ``agent`` it is one of an OpenClaw home, whose entry is all that there is beside its files;
    ``leftovers`` has the age of each file that this host set aside.
    """
    messages = None if agent is not None else messages
    if started is None:
        started = idle + HOUR if messages is not None or ended is not None else idle
    record = Record(
        source=kind.value,
        started_at=NOW - started,
        ended_at=None if ended is None else NOW - (idle if ended_ago is None else ended_ago),
        end_reason=ended,
        last_message_at=None if messages is None else NOW - idle,
        parent_id=parent,
        lineage=lineage,
        busy=busy,
        message_count=messages or 0,
    )
    snapshots = [artifact(f"session_{session_id}.json", age=idle, size=size)] if files else []
    requests = [
        artifact(f"request_dump_{session_id}_{number}.json", ArtifactKind.REQUEST_DUMP, age=age)
        for number, age in enumerate(dumps, 1)
    ]
    aside = [
        artifact(f"{session_id}.jsonl.deleted.{number}", ArtifactKind.LEFTOVER, age=age)
        for number, age in enumerate(leftovers, 1)
    ]
    return Session(
        id=session_id,
        session_class=kind,
        artifacts=tuple(requests + aside + snapshots),
        record=record if recorded else None,
        routes=tuple(Route(key, NOW - idle, leaves_along=agent is not None) for key in routes),
        successor=successor,
        group=group,
        failed=failed,
        restored_at=None if restored is None else NOW - restored,
        tool_output_done=tool_output_done,
        scope=agent,
    )


def chat(session_id: str = "chat", /, **facts: Fact) -> Session:
    """A session of a chat platform."""
    return session(session_id, SessionClass.CHAT, **facts)


def cron(session_id: str = "cron_job_20261101_090000", /, **facts: Fact) -> Session:
    """A run of a scheduled job, completed unless ``ended`` says otherwise."""
    facts.setdefault("ended", "cron_complete")
    return session(session_id, SessionClass.CRON, **facts)


def hook(session_id: str = "hook", /, **facts: Fact) -> Session:
    """A session for one delivery, routed as the host leaves it."""
    facts.setdefault("routes", ["agent:main:webhook:dm:push:77"])
    return session(session_id, SessionClass.HOOK, **facts)


def archived(
    session_id: str, kind: SessionClass = SessionClass.CHAT, *, age: float, size: int = 4096
) -> ArchivedSession:
    """A session in the vault, archived ``age`` seconds ago."""
    return ArchivedSession(session_id, kind, NOW - age, size, "2026-10")


def inventory(
    *sessions: Session,
    copies: Sequence[ArchivedSession] = (),
    holds: Mapping[str, str] | None = None,
    pins: Mapping[str, str] | None = None,
    marks: Mapping[str, str] | None = None,
    stored: int | None = None,
    database: int = 0,
    message: float = 1000.0,
    free: int | None = None,
    warnings: Sequence[str] = (),
    swept: float | None = None,
) -> Inventory:
    """The inventory of a home, which takes ``stored`` bytes (what its files take, unless given).

    The last sweep was ``swept`` seconds ago. Its database takes ``database`` bytes more, and each message
    ``message`` of them.
    """
    size = sum(one.allocated_bytes for one in sessions) if stored is None else stored
    return Inventory(
        home="/home/ada/.hermes",
        sessions=tuple(sorted(sessions, key=lambda one: one.id)),
        usage=Usage(size, database_bytes=database, free_bytes=free),
        archived=tuple(copies),
        holds=dict(holds or {}),
        pins=dict(pins or {}),
        marks=dict(marks or {}),
        warnings=tuple(warnings),
        clock=None if swept is None else ClockMemory(last=NOW - swept, latest=NOW - swept),
        bytes_per_message=message,
    )


PLAIN: Facts = {"files_after": 7 * DAY, "idle_after": DAY}


def policy(*, classes: Facts | None = None, min_age: int = 10 * MINUTE, **facts: Fact) -> Policy:
    """One lifecycle for every class: ``PLAIN`` with ``classes`` changed in it."""
    lifecycle = Lifecycle(**{**PLAIN, **(classes or {})})
    return Policy(dict.fromkeys(SessionClass, lifecycle), min_age=min_age, **facts)


def plan_for(*sessions: Session, by: Policy | None = None, holds: Mapping[str, str] | None = None) -> Plan:
    """What is decided about these sessions alone."""
    return decide(inventory(*sessions, holds=holds), by or policy(), now=NOW)


def step_for(
    one: Session, *others: Session, by: Policy | None = None, holds: Mapping[str, str] | None = None
) -> Step:
    """What is decided about the files of ``one``, among ``others``."""
    return step_of(plan_for(one, *others, by=by, holds=holds), one.id)


def step_of(plan: Plan, session_id: str) -> Step:
    """The step of a plan about the files of this session, or the one that keeps all of it."""
    found = [
        it
        for it in plan.steps
        if it.session_id == session_id and (it.verdict == Verdict.KEEP or it.tier is Tier.FILES)
    ]
    assert len(found) == 1, f"{session_id} has {len(found)} steps"
    return found[0]


def parts_of(plan: Plan, session_id: str) -> list[tuple[str, Rule]]:
    """What a plan says about the parts of this session, in order."""
    steps = [it for it in plan.steps if it.session_id == session_id]
    return [(it.verdict, it.rule) for it in steps if it.verdict != Verdict.EXPIRE_ARCHIVE]


def rows_step_of(plan: Plan, session_id: str) -> Step:
    """The step of a plan about the rows of this session."""
    (found,) = [it for it in plan.steps if it.session_id == session_id and it.seen is not None]
    return found


def assert_kept_live(
    one: Session,
    *others: Session,
    rule: Rule,
    by: Policy | None = None,
    holds: Mapping[str, str] | None = None,
) -> None:
    """The session is live by this rule, and nothing of it goes."""
    step = step_for(one, *others, by=by, holds=holds)
    assert (step.verdict, step.liveness, step.rule, step.artifacts) == (Verdict.KEEP, Liveness.LIVE, rule, ())


def liveness_of(one: Session, *others: Session, **lifecycle: Fact) -> Liveness:
    """What a session is under the plain policy with ``lifecycle`` changed in it."""
    return step_for(one, *others, by=policy(classes=lifecycle)).liveness
