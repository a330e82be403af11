"""Every guard, wish and age, asked about one session: yes or no, with the fact behind each answer.

``decide`` stops at the first thing that keeps a session; people want to see all of them. What must not live
here: what follows from the answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from hermes_retention.model.plan import Liveness, Rule
from hermes_retention.model.session import Inventory
from hermes_retention.model.units import format_duration
from hermes_retention.policy.case import Case, has_messages
from hermes_retention.policy.decide import assess_all
from hermes_retention.policy.lifecycle import Policy
from hermes_retention.policy.liveness import age, examine, families


class Answer(msgspec.Struct, frozen=True):
    """Whether a rule speaks for this session. Guards and wishes keep it, ages let a part of it go."""

    rule: Rule
    is_yes: bool
    fact: str


def ask_all(inventory: Inventory, policy: Policy, session_id: str, *, now: float) -> tuple[Answer, ...]:
    """The answers in order of precedence; none when the store does not know the session.

    The disk budget is left out: what that takes depends on all the others.
    """
    cases = assess_all(inventory, policy, now=now).cases
    place = next((place for place, it in enumerate(cases) if it.session.id == session_id), None)
    if place is None:
        return ()
    sessions = tuple(it.session for it in cases)
    inventory = msgspec.structs.replace(inventory, sessions=sessions)
    family = next((it for it in families(sessions).linked if place in it), [place])
    own = [newest if (newest := one.last_activity) > 0 else 0.0 for one in sessions]
    guards = examine(inventory, policy, own, family, place, now=now)
    answers = [Answer(rule, is_yes, fact) for rule, is_yes, fact in guards]
    return (*answers, *_wishes(cases[place], cases), *_ages(cases[place]))


def _wishes(case: Case, cases: Sequence[Case]) -> Iterator[Answer]:
    session, lifecycle, restored = case.session, case.lifecycle, case.session.restored_at
    fact = "never put back"
    if restored is not None:
        ago = format_duration(age(restored, now=case.world.now))
        fact = f"put back {ago} ago: each part waits for its age"
    yield Answer(Rule.RESTORED, restored is not None, fact)
    if session.group is None:
        yield Answer(Rule.KEEP_LAST, is_yes=False, fact="it belongs to no job or chat")
    else:
        newer = sum(_series(it) == _series(case) and it.activity > case.activity for it in cases)
        rank = newer + 1 if case.rank is None else case.rank
        kept = f"{lifecycle.keep_last} of them are kept"
        fact = f"number {rank} of its job or chat, counted from the newest; {kept}"
        yield Answer(Rule.KEEP_LAST, case.rank is not None, fact)
    failed = case.keep_failed()
    none = "nothing says that it failed"
    if session.failed:
        limit = "" if lifecycle.keep_failed is None else format_duration(lifecycle.keep_failed)
        none = f"it failed {format_duration(case.idle)} ago; such are kept for {limit}"
    yield Answer(Rule.KEEP_FAILED, failed is not None, none if failed is None else failed[1])


def _series(case: Case) -> tuple[str | None, str]:
    return case.session.group, case.session.session_class


def _ages(case: Case) -> Iterator[Answer]:
    session, schedule = case.session, case.schedule
    dumps = case.old_dumps()
    fact = f"{len(dumps)} old request dump(s)" if dumps else "no old request dump"
    yield Answer(Rule.DUMPS_AFTER, bool(dumps), fact)
    is_over = case.assessment.liveness is not Liveness.LIVE
    messages = has_messages(session)
    for rule, part, is_there, otherwise in (
        (Rule.FILES_AFTER, schedule.files, bool(session.artifacts), "no files"),
        (
            Rule.TOOL_OUTPUT_AFTER,
            schedule.tool_output,
            messages and not session.tool_output_done,
            "none left",
        ),
        (Rule.MESSAGES_AFTER, schedule.messages, messages, "no messages"),
        (Rule.RECORD_AFTER, schedule.record, session.record is not None, "no record"),
    ):
        if not is_there:
            yield Answer(rule, is_yes=False, fact=f"{otherwise} in the store")
            continue
        limit = part.limit if part.after is None else f"after {part.limit}"
        over = "" if is_over else "; it is live, so nothing is due"
        fact = f"idle for {format_duration(case.idle)}, due {limit}{over}"
        yield Answer(rule if part.rule is Rule.NEVER else part.rule, is_over and case.is_due(part), fact)
