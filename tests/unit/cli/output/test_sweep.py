"""The screen of a sweep: sessions that lose several parts, what is counted, what is said of the database."""

from __future__ import annotations

import io
import re

import msgspec
import pytest
from verdicts import Verdict

from hermes_retention.actions.sweep.report import Counts, SweepReport
from hermes_retention.cli.commands.sweep import sweep_object
from hermes_retention.cli.output.page import PlainPage
from hermes_retention.cli.output.sweep import Details, Found, show_sweep
from hermes_retention.home.ledger import Outcome
from hermes_retention.model.errors import RetentionError
from hermes_retention.model.plan import Liveness, Rule, Step
from hermes_retention.model.session import SessionClass
from hermes_retention.stores.base import DatabaseSpace

MB = 1_000_000
FOUND = Found(sessions=4, files=5, bytes=3 * MB, database_bytes=60 * MB)
QUARTER = 0.25
PARTS = (
    (Verdict.ARCHIVE_FILES, Rule.FILES_AFTER, 2 * MB),
    (Verdict.ARCHIVE_TOOL_OUTPUT, Rule.TOOL_OUTPUT_AFTER, 0),
    (Verdict.ARCHIVE_MESSAGES, Rule.MESSAGES_AFTER, 4 * MB),
    (Verdict.ARCHIVE_RECORD, Rule.RECORD_AFTER, MB),
)


def step(
    session_id: str, verdict: Verdict, rule: Rule, size: int, kind: SessionClass = SessionClass.CHAT
) -> Step:
    return Step(session_id, kind, Liveness.ENDED, *verdict.axes, rule, "over for 40 d", bytes=size)


STEPS = (
    *(step("a", *part) for part in PARTS),
    step("b", *PARTS[0]),
    step("c", Verdict.DELETE_FILES, Rule.FILES_AFTER, MB, SessionClass.CRON),
    step("c", Verdict.DELETE_MESSAGES, Rule.MESSAGES_AFTER, MB, SessionClass.CRON),
    step("d", Verdict.KEEP, Rule.ROUTED, 0),
)


def report(*steps: Step, dry_run: bool = False, **fields: object) -> SweepReport:
    counts = Counts(kept=1, files_archived=2, tool_output_archived=1, messages_archived=1, deleted=1)
    made = SweepReport(
        sweep=None if dry_run else "20261120-120000",
        dry_run=dry_run,
        home="/home/ada/.hermes",
        seconds=1.5,
        sessions=4,
        bytes_before=63 * MB,
        bytes_after=50 * MB,
        counts=counts,
        steps=steps,
        outcomes=tuple(Outcome(one) for one in steps if one.verdict != Verdict.KEEP),
        unknown=(),
        warnings=(),
        database=DatabaseSpace(file_bytes=100 * MB, free_bytes=45 * MB),
    )
    return msgspec.structs.replace(made, **fields)


def shown(made: SweepReport, *, width: int | None = None, steps: bool = False) -> str:
    stream = io.StringIO()
    show_sweep(PlainPage(stream, width), made, FOUND, Details(steps=steps), compact_above=QUARTER)
    return stream.getvalue()


def test_columns_say_how_many_sessions_lose_what() -> None:
    lines = shown(report(*STEPS)).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  class"))
    assert [line.split() for line in lines[start : start + 4]] == [
        ["class", "files", "tool", "output", "messages", "record", "deleted", "size", "kept"],
        ["chat", "2", "1", "1", "1", "–", "9.0", "MB", "1"],
        ["cron", "–", "–", "–", "–", "1", "2.0", "MB", "–"],
        ["total", "2", "1", "1", "1", "1", "11.0", "MB", "1"],
    ]


def test_sessions_without_parts_to_lose_make_a_plain_table() -> None:
    text = shown(report(STEPS[-1], counts=Counts(kept=1), sweep=None))
    assert "  class  kept\n  chat      1\n" in text
    assert "Nothing is due." in text
    assert "undo" not in text


def test_reasons_stand_below_what_they_are_the_reasons_of() -> None:
    text = shown(report(*STEPS, dry_run=True))
    assert re.search(r"^  to archive +sessions +size +why\n  files +2 +4\.0 MB +over", text, re.MULTILINE)
    assert re.search(r"^  tool output +1 +– +", text, re.MULTILINE)
    assert re.search(
        r"^  messages +1 +4\.0 MB .*\n  record +1 +1\.0 MB .*\n\n  to delete +1", text, re.MULTILINE
    )
    assert re.search(r"^  to keep +1 +– +messages still go to it", text, re.MULTILINE)


@pytest.mark.parametrize("dry_run", [True, False])
def test_tables_fit_a_terminal_of_80_columns(*, dry_run: bool) -> None:
    large = [msgspec.structs.replace(one, bytes=one.bytes * 333) for one in STEPS[:5] + STEPS[-1:]]
    rows = [
        line for line in shown(report(*large, dry_run=dry_run), width=80).splitlines() if line[:2] == "  "
    ]
    assert len(rows) == 8
    assert max(map(len, rows)) <= 80


def test_each_step_has_its_line() -> None:
    text = shown(report(*STEPS, dry_run=True), steps=True)
    assert re.findall(r"^  (\S[a-z ]*?) {2,}a +chat", text, re.MULTILINE) == [
        "files",
        "tool output",
        "messages",
        "record",
    ]


def test_failed_step_counts_as_failed_and_its_session_once() -> None:
    error = RetentionError("messages of a", "the database is locked", consequence="they were kept")
    outcomes = tuple(Outcome(one, (error,)) for one in STEPS[2:4])
    text = shown(report(*STEPS, outcomes=outcomes))
    assert "1 session failed and kept what is named here:" in text
    assert re.search(r"^  class +files +tool output +deleted +size +failed +kept$", text, re.MULTILINE)
    assert re.search(r"^  chat +2 +1 +– +4\.0 MB +1 +1$", text, re.MULTILINE)


def test_balance_names_all_that_is_counted() -> None:
    assert (
        "Session files, the used part of state.db, archive and ledger took 63.0 MB and take 50.0 MB now: "
        "13.0 MB freed in 1.5 s." in shown(report(*STEPS))
    )
    assert "4 sessions with 5 files, 3.0 MB; 60.0 MB used in state.db\n" in shown(report(*STEPS))


def test_freed_pages_are_explained_when_compacting_is_worth_it() -> None:
    text = shown(report(*STEPS))
    assert "state.db keeps its size of 100 MB; 45.0 MB of it is free and will be used again." in text
    assert "'hermes-retention compact' gives it back while the gateway is stopped." in text


@pytest.mark.parametrize(
    "made",
    [
        report(*STEPS, database=DatabaseSpace(file_bytes=100 * MB, free_bytes=20 * MB)),
        report(*STEPS, database=None),
        report(*STEPS, dry_run=True),
        report(STEPS[0], STEPS[-1]),
    ],
    ids=["little is free", "no database", "dry run", "only files went"],
)
def test_nothing_is_said_of_free_pages_otherwise(made: SweepReport) -> None:
    assert "compact" not in shown(made)


@pytest.mark.parametrize(
    "field", ["files_archived", "tool_output_archived", "messages_archived", "records_archived"]
)
def test_whatever_was_archived_can_be_put_back(field: str) -> None:
    text = shown(report(*STEPS, counts=Counts(**{field: 1})))
    assert "To put it all back: hermes-retention undo 20261120-120000" in text


def test_nothing_to_put_back_after_deleting() -> None:
    assert "undo" not in shown(report(*STEPS[5:], counts=Counts(deleted=1)))


def test_preview_says_what_only_a_sweep_can_see() -> None:
    assert "Tool output is looked through by the sweep itself" in shown(report(*STEPS, dry_run=True))
    assert "looked through" not in shown(report(*STEPS))
    assert "hermes-retention restore SESSION" in shown(report(*STEPS))
    assert "estimated" not in shown(report(STEPS[0], STEPS[-1]))


def test_json_has_the_space_of_the_database() -> None:
    answer = sweep_object(report(*STEPS), kept_too=False)
    assert answer["database"] == {"file_bytes": 100 * MB, "free_bytes": 45 * MB}
    assert sweep_object(report(*STEPS, database=None), kept_too=False)["database"] is None
    assert [one["verdict"] for one in answer["steps"][:4]] == [verdict.value for verdict, _, _ in PARTS]
