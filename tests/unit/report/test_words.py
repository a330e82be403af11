"""Every rule of the policy has words for people."""

from __future__ import annotations

from hermes_retention.explain import setting_of
from hermes_retention.model import SessionClass
from hermes_retention.plan import Liveness, Rule, Step, Verdict
from hermes_retention.report.words import DONE, KEPT_BECAUSE, REMOVED_BECAUSE, TO_DO, because, counted, minute
from hermes_retention.settings.fields import DESCRIPTIONS, variable


def step(rule: Rule, verdict: Verdict = Verdict.KEEP) -> Step:
    return Step("a", SessionClass.CRON, Liveness.ENDED, verdict, rule, "reason")


def test_every_rule_has_words() -> None:
    assert set(KEPT_BECAUSE) | set(REMOVED_BECAUSE) == set(Rule)


def test_every_verdict_has_words() -> None:
    assert set(DONE) == set(TO_DO) == set(Verdict)


def test_words_differ_for_what_waits_and_what_goes() -> None:
    waits, goes = because(step(Rule.FILES_AFTER)), because(step(Rule.FILES_AFTER, Verdict.ARCHIVE_FILES))
    assert waits != goes


def test_settings_behind_rules_exist() -> None:
    known = {variable(path) for path in DESCRIPTIONS}
    assert {name for rule in Rule if (name := setting_of(step(rule))) is not None} <= known
    assert setting_of(step(Rule.KEEP_LAST)) == "HERMES_RETENTION_CRON__KEEP_LAST"
    assert setting_of(step(Rule.ROUTED)) is None


def test_numbers_are_counted() -> None:
    assert counted(1, "session") == "1 session"
    assert counted(1204, "session") == "1,204 sessions"
    assert counted(2, "entry", "entries") == "2 entries"


def test_times_are_shown_in_utc() -> None:
    assert minute(0) == "1970-01-01 00:00Z"
