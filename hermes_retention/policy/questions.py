"""Every guard, wish and age, asked about one session: yes or no, with the fact behind each answer.

``decide`` stops at the first thing that keeps a session; people want to see all of them. What must not live
here: what follows from the answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

import msgspec

from hermes_retention.model import Inventory, Session
from hermes_retention.plan import Liveness, Rule
from hermes_retention.policy.fates import Fate
from hermes_retention.policy.guards import age, examine
from hermes_retention.policy.lifecycle import Policy
from hermes_retention.policy.lineage import families
from hermes_retention.policy.standing import Standing, has_messages
from hermes_retention.units import format_duration


class Answer(msgspec.Struct, frozen=True):
    """Whether a rule speaks for this session. Guards and wishes keep it, ages let a part of it go."""

    rule: Rule
    is_yes: bool
    fact: str


def ask_all(inventory: Inventory, policy: Policy, session_id: str, *, now: float) -> tuple[Answer, ...]:
    """The answers in order of precedence; none when the store does not know the session.

    The disk budget is left out: what that takes depends on all the others.
    """
    sessions = tuple(sorted(inventory.sessions, key=attrgetter("id")))
    inventory = msgspec.structs.replace(inventory, sessions=sessions)
    place = next((place for place, one in enumerate(sessions) if one.id == session_id), None)
    if place is None:
        return ()
    standing = Standing(inventory, policy, now=now)
    family = next((it for it in families(sessions).linked if place in it), [place])
    own = [newest if (newest := one.last_activity) > 0 else 0.0 for one in sessions]
    guards = examine(inventory, policy, own, family, place, now=now)
    answers = [Answer(rule, is_yes, fact) for rule, is_yes, fact in guards]
    return (*answers, *_wishes(standing, place), *_ages(standing, place))


def _wishes(standing: Standing, place: int) -> Iterator[Answer]:
    session = standing.sessions[place]
    restored = session.restored_at
    fact = "never put back"
    if restored is not None:
        fact = f"put back {format_duration(age(restored, now=standing.now))} ago: each part waits for its age"
    yield Answer(Rule.RESTORED, restored is not None, fact)
    yield _keep_last(standing, place, session)
    keep_failed = standing.policy.lifecycles[session.session_class].keep_failed
    if not session.failed:
        yield Answer(Rule.KEEP_FAILED, is_yes=False, fact="nothing says that it failed")
        return
    limit = "for ever" if keep_failed is None else f"for {format_duration(keep_failed)}"
    is_kept = keep_failed is None or standing.idle(place) < keep_failed
    idle = format_duration(standing.idle(place))
    yield Answer(Rule.KEEP_FAILED, is_kept, f"it failed {idle} ago; such are kept {limit}")


def _keep_last(standing: Standing, place: int, session: Session) -> Answer:
    wanted = standing.policy.lifecycles[session.session_class].keep_last
    if session.group is None:
        return Answer(Rule.KEEP_LAST, is_yes=False, fact="it belongs to no job or chat")
    own = (standing.activity[place], place)
    newer = sum(
        (standing.activity[other], other) > own
        for other, one in enumerate(standing.sessions)
        if one.group == session.group and one.session_class is session.session_class
    )
    fact = f"number {newer + 1} of its job or chat, counted from the newest; {wanted} of them are kept"
    return Answer(Rule.KEEP_LAST, newer < wanted, fact)


def _ages(standing: Standing, place: int) -> Iterator[Answer]:
    session, fates = standing.sessions[place], standing.fates(place)
    dumps = standing.old_dumps(place)
    yield Answer(
        Rule.DUMPS_AFTER, bool(dumps), f"{len(dumps)} old request dump(s)" if dumps else "no old request dump"
    )
    is_over = standing.assessments[place].liveness is not Liveness.LIVE
    parts: tuple[tuple[Rule, Fate, bool, str], ...] = (
        (Rule.FILES_AFTER, fates.files, bool(session.artifacts), "no files"),
        (
            Rule.TOOL_OUTPUT_AFTER,
            fates.tool_output,
            has_messages(session) and not session.tool_output_done,
            "none left",
        ),
        (Rule.MESSAGES_AFTER, fates.messages, has_messages(session), "no messages"),
        (Rule.RECORD_AFTER, fates.record, session.record is not None, "no record"),
    )
    for rule, fate, is_there, otherwise in parts:
        if not is_there:
            yield Answer(rule, is_yes=False, fact=f"{otherwise} in the store")
            continue
        idle = standing.idle(place)
        limit = fate.limit if fate.after is None else f"after {fate.limit}"
        over = "" if is_over else "; it is live, so nothing is due"
        is_due = is_over and standing.is_due(place, fate, idle)
        yield Answer(rule, is_due, f"idle for {format_duration(idle)}, due {limit}{over}")
