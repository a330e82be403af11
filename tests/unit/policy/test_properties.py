"""What holds for every inventory, however strange: hypothesis looks for one for which it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from inventories import DAY, HOUR, MINUTE, NOW

from hermes_retention.model import (
    ArchivedSession,
    Artifact,
    ArtifactKind,
    Inventory,
    Lineage,
    Record,
    Route,
    Session,
    SessionClass,
    Usage,
)
from hermes_retention.plan import Liveness, Plan, Rule, Step, Verdict
from hermes_retention.policy.decide import decide
from hermes_retention.policy.lifecycle import Lifecycle, OnReset, Policy

ABOUT_FILES = {Verdict.KEEP, Verdict.ARCHIVE_FILES, Verdict.DELETE_FILES}

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Usual = TypeVar("Usual")


def mostly(usual: SearchStrategy[Usual], odd: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Odd values are rare: among nothing but odd ones nearly every session is kept, for dull reasons."""
    return st.integers(0, 9).flatmap(lambda number: odd if number == 9 else usual)


# A few ids that refer to one another, and any others: control characters, lone surrogates, nothing at all.
some_ids = st.sampled_from(["a", "b", "c", "d", "e", "cron_job_20261101_090000"])
ids = mostly(some_ids, st.text(st.characters(exclude_categories=()), max_size=5))
texts = mostly(st.sampled_from(["new_session", "cli_close", "cron_complete", "compression"]), ids)
ages = st.sampled_from([59, 60, 9 * MINUTE, HOUR, DAY - 1, DAY, 3 * DAY, 7 * DAY, 40 * DAY, 400 * DAY])
moments = ages.map(lambda age: NOW - age)
times = mostly(moments, st.floats() | st.sampled_from([0.0, -1.0, math.inf, -math.inf, NOW + DAY]))
sizes = st.integers(0, 2**40)
mtimes = mostly(moments.map(lambda time: round(time * 1e9)), st.integers(-(2**90), 2**90))
durations = st.sampled_from([0, HOUR, DAY, 7 * DAY]) | st.none() | st.integers(0, 2**40)

artifacts = st.builds(
    Artifact, st.sampled_from(ArtifactKind), ids, sizes, sizes, mtimes, st.integers(0, 2**64 - 1)
)
records = st.builds(
    Record,
    source=texts,
    started_at=times,
    ended_at=st.none() | times,
    end_reason=st.none() | texts,
    last_message_at=st.none() | times,
    parent_id=st.none() | st.none() | ids,
    lineage=st.sampled_from(Lineage),
    busy=mostly(st.none(), texts),
)
sessions = st.builds(
    Session,
    id=ids,
    session_class=st.sampled_from(SessionClass),
    artifacts=mostly(st.lists(artifacts, min_size=1, max_size=3), st.just([])).map(tuple),
    record=st.none() | records,
    routes=st.lists(st.builds(Route, ids, st.none() | times), max_size=1).map(tuple),
    successor=mostly(st.none(), ids),
    group=st.none() | ids,
    failed=st.booleans(),
    restored_at=mostly(st.none(), times),
)
inventories = st.builds(
    Inventory,
    home=st.just("/home/ada/.hermes"),
    sessions=st.lists(sessions, unique_by=lambda one: one.id, max_size=8).map(tuple),
    usage=st.builds(Usage, sizes, sizes, sizes, st.none() | sizes),
    archived=st.lists(
        st.builds(ArchivedSession, ids, st.sampled_from(SessionClass), times, sizes, ids), max_size=3
    ).map(tuple),
    holds=mostly(st.just({}), st.dictionaries(ids, texts, max_size=2)),
)
lifecycles = st.builds(
    Lifecycle,
    files_after=durations,
    archive_after=durations,
    keep_last=st.integers(0, 1),
    keep_failed=mostly(st.just(0), durations),
    idle_after=durations,
    max_age=durations,
    archive=st.booleans(),
    persist=mostly(st.just(True), st.just(False)),
)
policies = st.builds(
    Policy,
    lifecycles=st.fixed_dictionaries(dict.fromkeys(SessionClass, lifecycles)),
    min_age=st.sampled_from([0, 60, 10 * MINUTE, DAY]),
    on_reset=st.sampled_from(OnReset),
    dumps_after=durations,
    max_disk=st.none() | st.integers(1, 2**41),
    low_watermark=st.floats(0.01, 1),
    keep_free=st.none() | sizes,
)


def without_budget(policy: Policy) -> Policy:
    return msgspec.structs.replace(policy, max_disk=None, keep_free=None)


def steps_of(plan: Plan) -> dict[str, Step]:
    return {step.session_id: step for step in plan.steps if step.verdict in ABOUT_FILES}


def parent_of(one: Session, sessions: Mapping[str, Session]) -> Session | None:
    parent_id = None if one.record is None else one.record.parent_id
    return sessions.get(parent_id) if parent_id else None


def is_over(one: Session, inventory: Inventory, policy: Policy) -> bool:
    """Whether nothing about this session alone speaks for keeping it: the invariant, written once more."""
    if one.id in inventory.holds or (one.record is not None and one.record.busy is not None):
        return False
    if not NOW - one.last_activity >= max(policy.min_age, 60):
        return False
    return not one.routes or one.session_class in {SessionClass.HOOK, SessionClass.CRON}


@given(inventories, policies)
def test_live_session_loses_nothing_but_old_dumps(inventory: Inventory, policy: Policy) -> None:
    for step in decide(inventory, policy, now=NOW).removals():
        if step.liveness is Liveness.LIVE:
            assert step.rule is Rule.DUMPS_AFTER
            assert {artifact.kind for artifact in step.artifacts} == {ArtifactKind.REQUEST_DUMP}


@given(inventories, policies)
def test_whoever_loses_more_than_dumps_is_over(inventory: Inventory, policy: Policy) -> None:
    sessions = {one.id: one for one in inventory.sessions}
    for step in decide(inventory, policy, now=NOW).removals():
        if step.verdict in ABOUT_FILES and step.rule is not Rule.DUMPS_AFTER:
            one = sessions[step.session_id]
            assert is_over(one, inventory, policy)
            parent = parent_of(one, sessions)
            assert parent is None or is_over(parent, inventory, policy)


@given(inventories, policies)
def test_children_of_live_sessions_are_live(inventory: Inventory, policy: Policy) -> None:
    steps = steps_of(decide(inventory, policy, now=NOW))
    sessions = {one.id: one for one in inventory.sessions}
    for one in inventory.sessions:
        parent = parent_of(one, sessions)
        if parent is not None:
            assert (steps[one.id].liveness is Liveness.LIVE) == (steps[parent.id].liveness is Liveness.LIVE)


@given(inventories, policies)
def test_held_and_busy_sessions_lose_nothing(inventory: Inventory, policy: Policy) -> None:
    removed = {step.session_id for step in decide(inventory, policy, now=NOW).removals()}
    busy = {one.id for one in inventory.sessions if one.record is not None and one.record.busy is not None}
    assert not removed & inventory.holds.keys()
    assert (
        not {step.session_id for step in decide(inventory, policy, now=NOW).removals() if step.artifacts}
        & busy
    )


@given(inventories, policies)
def test_every_session_has_exactly_one_verdict(inventory: Inventory, policy: Policy) -> None:
    plan = decide(inventory, policy, now=NOW)
    about_files = [step.session_id for step in plan.steps if step.verdict in ABOUT_FILES]
    assert sorted(about_files) == sorted(one.id for one in inventory.sessions)


@given(inventories, policies)
def test_step_concerns_files_of_its_own_session(inventory: Inventory, policy: Policy) -> None:
    sessions = {one.id: one for one in inventory.sessions}
    for step in decide(inventory, policy, now=NOW).steps:
        if step.verdict is Verdict.KEEP or step.verdict is Verdict.EXPIRE_ARCHIVE:
            assert step.artifacts == ()
        else:
            one = sessions[step.session_id]
            assert step.artifacts == tuple(it for it in one.artifacts if it in step.artifacts) != ()
            assert step.bytes == sum(artifact.allocated_bytes for artifact in step.artifacts)
            assert 0 < step.last_activity <= NOW


@given(inventories, policies)
def test_expired_copies_are_neither_held_nor_live(inventory: Inventory, policy: Policy) -> None:
    plan = decide(inventory, policy, now=NOW)
    steps = steps_of(plan)
    for step in plan.steps:
        if step.verdict is Verdict.EXPIRE_ARCHIVE:
            assert step.session_id not in inventory.holds
            assert step.session_id not in steps or steps[step.session_id].liveness is not Liveness.LIVE


@given(inventories, policies)
def test_orphans_are_never_deleted(inventory: Inventory, policy: Policy) -> None:
    for step in decide(inventory, policy, now=NOW).steps:
        assert not (step.liveness is Liveness.ORPHAN and step.verdict is Verdict.DELETE_FILES)


@given(inventories, policies)
def test_reasons_are_one_printable_line(inventory: Inventory, policy: Policy) -> None:
    plan = decide(inventory, policy, now=NOW)
    assert all(step.reason and step.reason.isprintable() for step in plan.steps)
    assert all(warning.isprintable() for warning in plan.warnings)


@given(inventories, policies, st.randoms(use_true_random=False))
def test_plan_does_not_depend_on_the_order_of_listing(
    inventory: Inventory, policy: Policy, random: Random
) -> None:
    plan = decide(inventory, policy, now=NOW)
    shuffled = msgspec.structs.replace(
        inventory,
        sessions=tuple(random.sample(inventory.sessions, len(inventory.sessions))),
        holds=dict(random.sample(list(inventory.holds.items()), len(inventory.holds))),
    )
    assert decide(inventory, policy, now=NOW).fingerprint() == plan.fingerprint()
    assert decide(shuffled, policy, now=NOW).fingerprint() == plan.fingerprint()


@given(inventories, policies)
def test_budget_only_adds_removals(inventory: Inventory, policy: Policy) -> None:
    plain, tight = (decide(inventory, by, now=NOW) for by in (without_budget(policy), policy))
    before, after = steps_of(plain), steps_of(tight)
    for session_id, step in after.items():
        assert set(before[session_id].artifacts) <= set(step.artifacts)
        if step != before[session_id]:
            assert step.rule in {Rule.MAX_DISK, Rule.KEEP_FREE}
            assert before[session_id].rule in {Rule.FILES_AFTER, Rule.DUMPS_AFTER}
    expired = [step for step in plain.steps if step.verdict is Verdict.EXPIRE_ARCHIVE]
    assert expired == [step for step in tight.steps if step.verdict is Verdict.EXPIRE_ARCHIVE]


@given(inventories, policies)
def test_budget_of_more_than_is_stored_changes_nothing(inventory: Inventory, policy: Policy) -> None:
    ample = msgspec.structs.replace(policy, max_disk=inventory.usage.total_bytes, keep_free=0)
    assert decide(inventory, ample, now=NOW) == decide(inventory, without_budget(policy), now=NOW)


@given(inventories, policies, st.integers(1, 1000 * DAY))
def test_passing_time_takes_no_removal_back(inventory: Inventory, policy: Policy, later: int) -> None:
    """As long as nothing else happens and no budget decides: the older a session, the less keeps it."""
    policy = without_budget(policy)
    now, then = (steps_of(decide(inventory, policy, now=time)) for time in (NOW, NOW + later))
    for session_id, step in now.items():
        assert set(step.artifacts) <= set(then[session_id].artifacts)


@given(inventories, policies, times)
def test_no_time_and_no_inventory_makes_it_fail(inventory: Inventory, policy: Policy, now: float) -> None:
    assert decide(inventory, policy, now=now).fingerprint()
