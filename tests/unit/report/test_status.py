"""The state of a home: sessions once, what is due part by part, and how full the database is."""

from __future__ import annotations

import io

import msgspec
import pytest

from hermes_retention.ledger import SweepRow
from hermes_retention.model import SessionClass, Usage
from hermes_retention.plan import Liveness, Verdict
from hermes_retention.report.page import PlainPage
from hermes_retention.report.status import show_status, status_object
from hermes_retention.status import DueNow, Group, Status
from hermes_retention.stores.base import DatabaseSpace

MB = 1_000_000
QUARTER = 0.25
DUE = (
    DueNow(Verdict.ARCHIVE_FILES, 12, 3 * MB),
    DueNow(Verdict.DELETE_FILES, 1, MB),
    DueNow(Verdict.ARCHIVE_TOOL_OUTPUT, 4, 0),
    DueNow(Verdict.ARCHIVE_MESSAGES, 1, 5 * MB),
    DueNow(Verdict.EXPIRE_ARCHIVE, 2, MB),
)
SWEEP = SweepRow("20261120-110000", 0.0, 1.0, "command line", "done", None, {})


def status(**fields: object) -> Status:
    made = Status(
        home="/home/ada/.hermes",
        store="hermes",
        swept_before=True,
        groups=(Group(SessionClass.CHAT, Liveness.ENDED, 12, 20, 3 * MB),),
        due=(),
        unknown=0,
        unknown_bytes=0,
        usage=Usage(3 * MB, database_bytes=5 * MB),
        vault=None,
        vault_damage=None,
        sweeps=(),
        holds=0,
        database=None,
        warnings=(),
    )
    return msgspec.structs.replace(made, **fields)


def shown(made: Status) -> str:
    stream = io.StringIO()
    show_status(PlainPage(stream), made, None, compact_above=QUARTER, now=3600.0)
    return stream.getvalue()


def test_what_is_due_is_told_part_by_part() -> None:
    assert (
        "  due now   to archive: files of 12 sessions (3.0 MB), tool output of 4, messages of 1 (5.0 MB); "
        "to delete: files of 1 (1.0 MB); to expire: copies of 2 (1.0 MB)\n" in shown(status(due=DUE))
    )
    assert "  due now   nothing\n" in shown(status())


def test_disk_counts_the_used_part_of_the_database() -> None:
    assert "  disk      8.0 MB in session files, state.db, archive and ledger; " in shown(status())


@pytest.mark.parametrize(
    ("free_bytes", "text"),
    [
        (226 * MB, "552 MB, 41% free; 'hermes-retention compact' gives back 226 MB"),
        (100 * MB, "552 MB"),
        (0, "552 MB"),
    ],
)
def test_compacting_is_named_when_it_is_worth_it(free_bytes: int, text: str) -> None:
    space = DatabaseSpace(file_bytes=552 * MB, free_bytes=free_bytes)
    assert f"  state.db  {text}\n" in shown(status(database=space))
    assert status_object(status(database=space), None)["database"] == {
        "file_bytes": 552 * MB,
        "free_bytes": free_bytes,
    }


def test_home_without_a_database() -> None:
    assert "  state.db  there is none\n" in shown(status())
    assert status_object(status(), None)["database"] is None


@pytest.mark.parametrize(
    ("totals", "text"),
    [
        (
            {"files_archived": 12, "messages_archived": 4, "failed": 1},
            "archived files of 12, messages of 4; 1 failed",
        ),
        ({"tool_output_archived": 3, "records_archived": 2}, "archived tool output of 3, record of 2"),
        ({"deleted": 1}, "1 deleted"),
        ({}, "nothing"),
    ],
)
def test_last_sweeps_say_what_they_archived(totals: dict[str, int], text: str) -> None:
    line = shown(status(sweeps=(msgspec.structs.replace(SWEEP, totals=totals),))).splitlines()[-1]
    assert line.endswith(f"  {text}")
