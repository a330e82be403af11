"""Every rule of the policy has words for people."""

from __future__ import annotations

import msgspec
from verdicts import Verdict

from hermes_retention.actions.inspect.explain import setting_behind, setting_of
from hermes_retention.cli.output.words import (
    DONE,
    RULES,
    TO_DO,
    because,
    files_counted,
)
from hermes_retention.model.plan import Action, Liveness, Rule, Step
from hermes_retention.model.session import ArtifactKind, SessionClass
from hermes_retention.model.text import counted, minute
from hermes_retention.policy.explain import Coming
from hermes_retention.settings.fields import DESCRIPTIONS, variable


def step(rule: Rule, verdict: Verdict = Verdict.KEEP) -> Step:
    return Step("a", SessionClass.CRON, Liveness.ENDED, *verdict.axes, rule, "reason")


def test_every_rule_has_words() -> None:
    assert set(RULES) == set(Rule)
    assert all(words.kept or words.removed for words in RULES.values())


def test_every_action_has_words() -> None:
    assert set(DONE) == set(TO_DO) == set(Action)


def test_words_differ_for_what_waits_and_what_goes() -> None:
    waits, goes = because(step(Rule.FILES_AFTER)), because(step(Rule.FILES_AFTER, Verdict.ARCHIVE_FILES))
    assert waits != goes


def test_settings_behind_rules_exist() -> None:
    known = {variable(path) for path in DESCRIPTIONS}
    assert {name for rule in Rule if (name := setting_of(step(rule))) is not None} <= known
    assert setting_of(step(Rule.KEEP_LAST)) == "HERMES_RETENTION_CRON__KEEP_LAST"
    assert setting_of(step(Rule.ROUTED)) is None


def coming(step: Step, before: Step | None = None) -> str | None:
    return setting_behind(Coming(0.0, step, before))


def test_part_waits_for_its_own_age_or_for_what_keeps_all_of_the_session() -> None:
    messages = step(Rule.MESSAGES_AFTER, Verdict.ARCHIVE_MESSAGES)
    own = "HERMES_RETENTION_CRON__MESSAGES_AFTER"
    assert coming(messages) == own
    assert coming(messages, step(Rule.FILES_AFTER)) == own
    assert coming(messages, step(Rule.ROUTED)) == own
    assert coming(messages, step(Rule.RUNNING)) == "HERMES_RETENTION_CRON__IDLE_AFTER"
    assert coming(messages, step(Rule.KEEP_FAILED)) == "HERMES_RETENTION_CRON__KEEP_FAILED"


def test_part_that_was_put_back_waits_for_its_age_whatever_takes_it_otherwise() -> None:
    messages, files = (step(Rule.PERSIST, it) for it in (Verdict.ARCHIVE_MESSAGES, Verdict.ARCHIVE_FILES))
    assert coming(messages, step(Rule.RESTORED)) == "HERMES_RETENTION_CRON__MESSAGES_AFTER"
    assert coming(files, step(Rule.RESTORED)) == "HERMES_RETENTION_CRON__FILES_AFTER"
    assert coming(files) == "HERMES_RETENTION_CRON__PERSIST"


def test_record_that_goes_with_another_waits_for_the_age_of_that_class() -> None:
    record = msgspec.structs.replace(
        step(Rule.RECORD_AFTER, Verdict.ARCHIVE_RECORD), due_by=SessionClass.CHAT
    )
    assert coming(record) == "HERMES_RETENTION_CHAT__RECORD_AFTER"


def test_numbers_are_counted() -> None:
    assert counted(1, "session") == "1 session"
    assert counted(1204, "session") == "1,204 sessions"
    assert counted(2, "entry", "entries") == "2 entries"


def test_times_are_shown_in_utc() -> None:
    assert minute(0) == "1970-01-01 00:00Z"


def test_entries_of_an_index_are_no_files() -> None:
    entry, transcript = ArtifactKind.ENTRY, ArtifactKind.TRANSCRIPT
    assert files_counted([entry, transcript, transcript]) == "2 files and 1 index entry"
    assert files_counted([entry, entry]) == "2 index entries"
    assert files_counted([]) == ""
