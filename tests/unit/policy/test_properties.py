"""What holds for every inventory, however strange: hypothesis looks for one for which it does not."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from inventories import DAY, HOUR, MINUTE, NOW
from verdicts import GUARDS, Verdict

from hermes_retention.model.plan import Action, Liveness, Plan, Rule, Step, Tier
from hermes_retention.model.session import (
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
from hermes_retention.policy.decide import decide
from hermes_retention.policy.explain import reasons_for
from hermes_retention.policy.lifecycle import Lifecycle, OnReset, Policy

GOES_WITH = {
    Tier.TOOL_OUTPUT: {Tier.TOOL_OUTPUT, Tier.MESSAGES, Tier.RECORD},
    Tier.MESSAGES: {Tier.MESSAGES, Tier.RECORD},
    Tier.RECORD: {Tier.RECORD},
}
"""Part of a session in the database → the parts whose removal takes it along."""

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
    message_count=mostly(st.integers(0, 1000), st.integers(-(2**63), 2**63 - 1)),
)
sessions = st.builds(
    Session,
    id=ids,
    session_class=st.sampled_from(SessionClass),
    artifacts=st.lists(artifacts, max_size=3).map(tuple),
    record=st.none() | records,
    routes=st.lists(st.builds(Route, ids, st.none() | times), max_size=1).map(tuple),
    successor=mostly(st.none(), ids),
    group=st.none() | ids,
    failed=st.booleans(),
    restored_at=mostly(st.none(), times),
    tool_output_done=st.booleans(),
)
inventories = st.builds(
    Inventory,
    home=st.just("/home/ada/.hermes"),
    sessions=st.lists(sessions, unique_by=lambda one: one.id, max_size=8).map(tuple),
    usage=st.builds(Usage, sizes, sizes, sizes, sizes, st.none() | sizes),
    archived=st.lists(
        st.builds(ArchivedSession, ids, st.sampled_from(SessionClass), times, sizes, ids), max_size=3
    ).map(tuple),
    holds=mostly(st.just({}), st.dictionaries(ids, texts, max_size=2)),
    bytes_per_message=st.floats(0, 2**30),
)
lifecycles = st.builds(
    Lifecycle,
    files_after=durations,
    tool_output_after=durations,
    messages_after=durations,
    record_after=st.sampled_from([0, HOUR, DAY, None]),
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

# Families of sessions that are all over: nearly everything of them is due, and what keeps one keeps others.
members = st.sampled_from(["a", "b", "c", "d"])
relatives = st.builds(
    Session,
    id=members,
    session_class=st.sampled_from([SessionClass.CHAT, SessionClass.CLI, SessionClass.SUBAGENT]),
    artifacts=st.sampled_from([(), (), (Artifact(ArtifactKind.SNAPSHOT, "a", 1, 1, 10**18, 1),)]),
    record=st.builds(
        Record,
        source=st.just("cli"),
        started_at=st.just(NOW - 40 * DAY),
        ended_at=st.just(NOW - 40 * DAY),
        last_message_at=st.sampled_from([None, NOW - 40 * DAY]),
        parent_id=st.none() | members | members,
        lineage=st.sampled_from([Lineage.DELEGATION, Lineage.DELEGATION, *Lineage]),
    ),
    failed=st.booleans(),
    restored_at=mostly(st.none(), ages.map(lambda age: NOW - age)),
)
family_inventories = st.builds(
    Inventory,
    home=st.just("/home/ada/.hermes"),
    sessions=st.lists(relatives, unique_by=lambda one: one.id, min_size=2, max_size=4).map(tuple),
    usage=st.builds(Usage, sizes),
)
family_lifecycles = st.builds(
    Lifecycle,
    files_after=mostly(st.just(0), st.none()),
    record_after=st.sampled_from([0, 0, 50 * DAY, None]),
    keep_failed=st.sampled_from([0, 0, None]),
    archive=st.booleans(),
)
family_policies = st.builds(
    Policy, lifecycles=st.fixed_dictionaries(dict.fromkeys(SessionClass, family_lifecycles))
)


def without_budget(policy: Policy) -> Policy:
    return msgspec.structs.replace(policy, max_disk=None, keep_free=None)


def steps_of(plan: Plan) -> dict[str, list[Step]]:
    """Session → its steps, in order, but for the expiry of its copies."""
    steps: defaultdict[str, list[Step]] = defaultdict(list)
    for step in plan.steps:
        if step.verdict != Verdict.EXPIRE_ARCHIVE:
            steps[step.session_id].append(step)
    return steps


def liveness_in(steps: list[Step]) -> Liveness:
    (liveness,) = {step.liveness for step in steps}
    return liveness


def files_in(steps: list[Step]) -> set[Artifact]:
    return {artifact for step in steps for artifact in step.artifacts}


def lost_rows(steps: list[Step]) -> set[Tier]:
    """What of the database goes in these steps, also together with something else."""
    going = {step.tier for step in steps}
    return {tier for tier, with_these in GOES_WITH.items() if going & with_these}


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
        if step.tier is not None and step.rule is not Rule.DUMPS_AFTER:
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
            own, above = liveness_in(steps[one.id]), liveness_in(steps[parent.id])
            assert (own is Liveness.LIVE) == (above is Liveness.LIVE)


@given(inventories, policies)
def test_held_and_busy_sessions_lose_nothing(inventory: Inventory, policy: Policy) -> None:
    removals = decide(inventory, policy, now=NOW).removals()
    busy = {one.id for one in inventory.sessions if one.record is not None and one.record.busy is not None}
    assert not {step.session_id for step in removals} & inventory.holds.keys()
    # Expiry concerns what was archived of it once.
    assert not {step.session_id for step in removals if step.tier is not None} & busy


@given(inventories, policies)
def test_every_session_is_kept_by_one_step_or_loses_distinct_parts(
    inventory: Inventory, policy: Policy
) -> None:
    steps = steps_of(decide(inventory, policy, now=NOW))
    assert steps.keys() == {one.id for one in inventory.sessions}
    for own in steps.values():
        if any(step.verdict == Verdict.KEEP for step in own):
            assert len(own) == 1
        rows = [step for step in own if step.seen is not None]
        assert len(rows) <= 1
        assert len(own) - len(rows) <= 1


@given(inventories, policies)
def test_step_concerns_files_of_its_own_session(inventory: Inventory, policy: Policy) -> None:
    sessions = {one.id: one for one in inventory.sessions}
    for step in decide(inventory, policy, now=NOW).steps:
        one = sessions.get(step.session_id)
        if step.tier is not Tier.FILES:
            assert step.artifacts == ()
        else:
            assert one is not None
            assert step.artifacts == tuple(it for it in one.artifacts if it in step.artifacts) != ()
            assert step.bytes == sum(artifact.allocated_bytes for artifact in step.artifacts)
        if step.tier is not None:
            assert 0 < step.last_activity <= NOW
            assert step.seen == (None if step.tier is Tier.FILES else one)


@given(inventories, policies)
def test_rows_go_only_where_there_are_rows(inventory: Inventory, policy: Policy) -> None:
    for step in decide(inventory, policy, now=NOW).removals():
        if step.seen is not None:
            record = step.seen.record
            assert record is not None
            assert record.has_messages or step.tier is Tier.RECORD
            assert not (step.verdict == Verdict.ARCHIVE_TOOL_OUTPUT and step.seen.tool_output_done)
            assert step.bytes >= 0


@given(family_inventories, family_policies)
def test_nothing_is_left_of_a_session_without_its_record(inventory: Inventory, policy: Policy) -> None:
    sessions = {one.id: one for one in inventory.sessions}
    for session_id, steps in steps_of(decide(inventory, policy, now=NOW)).items():
        if Tier.RECORD in lost_rows(steps):
            assert files_in(steps) == set(sessions[session_id].artifacts)


@given(family_inventories, family_policies)
def test_no_record_goes_while_one_stays_that_belongs_to_it(inventory: Inventory, policy: Policy) -> None:
    """Its continuations and its origin by compression, and what it delegated: the rule, written once more."""
    sessions = {one.id: one for one in inventory.sessions}
    steps = steps_of(decide(inventory, policy, now=NOW))
    gone = {session_id for session_id, own in steps.items() if Tier.RECORD in lost_rows(own)}
    for one in inventory.sessions:
        parent = parent_of(one, sessions)
        if parent is None or one.record is None:
            continue
        if one.record.lineage is Lineage.DELEGATION:
            assert parent.id not in gone or one.id in gone
        if one.record.lineage is Lineage.COMPRESSION:
            assert (one.id in gone) == (parent.id in gone)


@given(family_inventories, family_policies)
def test_nothing_but_an_age_or_another_record_takes_a_record(inventory: Inventory, policy: Policy) -> None:
    steps = [step for step in decide(inventory, policy, now=NOW).steps if step.tier is Tier.RECORD]
    gone = {step.session_id: step for step in steps}
    for step in steps:
        assert step.seen is not None
        lifecycle = policy.lifecycles[step.session_class]
        assert not (step.seen.failed and lifecycle.keep_failed is None)
        if step.due_by is None:
            assert lifecycle.record_after is not None
            assert NOW - step.last_activity >= lifecycle.record_after
        else:
            assert step.seen.record is not None
            assert step.seen.record.parent_id in gone
        assert not (step.verdict == Verdict.DELETE_RECORD and lifecycle.archive)


@given(family_inventories, family_policies)
def test_records_go_last(inventory: Inventory, policy: Policy) -> None:
    tiers = [step.tier for step in decide(inventory, policy, now=NOW).removals()]
    assert tiers == sorted(tiers, key=lambda tier: tier is Tier.RECORD)


@given(inventories, policies)
def test_expired_copies_are_neither_held_nor_live(inventory: Inventory, policy: Policy) -> None:
    plan = decide(inventory, policy, now=NOW)
    steps = steps_of(plan)
    for step in plan.steps:
        if step.verdict == Verdict.EXPIRE_ARCHIVE:
            assert step.session_id not in inventory.holds
            own = steps.get(step.session_id)
            assert own is None or liveness_in(own) is not Liveness.LIVE


@given(inventories, policies)
def test_orphans_are_never_deleted(inventory: Inventory, policy: Policy) -> None:
    for step in decide(inventory, policy, now=NOW).steps:
        assert not (step.liveness is Liveness.ORPHAN and step.verdict == Verdict.DELETE_FILES)


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
    for session_id, steps in after.items():
        assert files_in(before[session_id]) <= files_in(steps)
        assert lost_rows(before[session_id]) <= lost_rows(steps)
        for step in steps:
            if step not in before[session_id] and step.rule is not Rule.DUMPS_AFTER:
                assert step.rule in {Rule.MAX_DISK, Rule.KEEP_FREE}
                assert step.tier in {Tier.FILES, Tier.MESSAGES}
                assert step.seen is None or step.rule is Rule.MAX_DISK
    expired = [step for step in plain.steps if step.verdict == Verdict.EXPIRE_ARCHIVE]
    assert expired == [step for step in tight.steps if step.verdict == Verdict.EXPIRE_ARCHIVE]


@given(inventories, policies)
def test_budget_of_more_than_is_stored_changes_nothing(inventory: Inventory, policy: Policy) -> None:
    ample = msgspec.structs.replace(policy, max_disk=inventory.usage.total_bytes, keep_free=0)
    assert decide(inventory, ample, now=NOW) == decide(inventory, without_budget(policy), now=NOW)


@given(inventories, policies, st.integers(1, 1000 * DAY))
def test_passing_time_takes_no_removal_back(inventory: Inventory, policy: Policy, later: int) -> None:
    """As long as nothing else happens and no budget decides: the older a session, the less keeps it."""
    policy = without_budget(policy)
    now, then = (steps_of(decide(inventory, policy, now=time)) for time in (NOW, NOW + later))
    for session_id, steps in now.items():
        assert files_in(steps) <= files_in(then[session_id])
        assert lost_rows(steps) <= lost_rows(then[session_id])


@given(family_inventories, family_policies, st.integers(1, 100 * DAY))
def test_passing_time_takes_no_record_back(inventory: Inventory, policy: Policy, later: int) -> None:
    now, then = (steps_of(decide(inventory, policy, now=time)) for time in (NOW, NOW + later))
    for session_id, steps in now.items():
        assert lost_rows(steps) <= lost_rows(then[session_id])


@given(inventories, policies, times)
def test_no_time_and_no_inventory_makes_it_fail(inventory: Inventory, policy: Policy, now: float) -> None:
    assert decide(inventory, policy, now=now).fingerprint()


KEEPS_ALL = {Rule.KEEP_LAST, Rule.KEEP_FAILED}


@given(inventories, policies)
def test_answers_about_each_session_agree_with_the_plan(inventory: Inventory, policy: Policy) -> None:
    plan = decide(inventory, policy, now=NOW)
    for session_id, steps in steps_of(plan).items():
        reasons = reasons_for(inventory, policy, session_id, now=NOW)
        assert reasons is not None
        assert list(reasons.steps) == [step for step in steps if step.action is not Action.EXPIRE]
        answers = {answer.rule: answer.is_yes for answer in reasons.answers}
        assert len(answers) == len(reasons.answers), "no rule has two answers"
        assert {step.rule for step in reasons.steps} <= answers.keys()
        yes = {rule for rule, is_yes in answers.items() if is_yes}
        assert {step.rule for step in reasons.steps if step.action is not Action.KEEP} <= yes
        kept_by = {step.rule for step in steps if step.verdict == Verdict.KEEP}
        assert kept_by & (GUARDS | KEEPS_ALL) <= yes
