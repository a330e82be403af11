"""The state of a home: sessions once, what is due part by part, and how full the database is."""

from __future__ import annotations

import io

import msgspec
import pytest
from verdicts import Verdict

from hermes_retention.actions.inspect.stats import DueNow, Group, Growth, Picture, SessionStage
from hermes_retention.actions.inspect.status import Status
from hermes_retention.actions.sweep.mode import SweepMode
from hermes_retention.archive.vault import ClassTotal, VaultSummary
from hermes_retention.cli.output.page import PlainPage
from hermes_retention.cli.output.status import show_status, status_object
from hermes_retention.home.ledger import SweepRow
from hermes_retention.model.plan import Liveness
from hermes_retention.model.session import SessionClass, Usage
from hermes_retention.stores.base import DatabaseSpace, HostSetting

MB = 1_000_000
QUARTER = 0.25
DUE = (
    DueNow(*Verdict.ARCHIVE_FILES.axes, 12, 3 * MB),
    DueNow(*Verdict.DELETE_FILES.axes, 1, MB),
    DueNow(*Verdict.ARCHIVE_TOOL_OUTPUT.axes, 4, 0),
    DueNow(*Verdict.ARCHIVE_MESSAGES.axes, 1, 5 * MB),
    DueNow(*Verdict.EXPIRE_ARCHIVE.axes, 2, MB),
)
PICTURE = Picture(
    taken_at=0.0,
    sessions=12,
    groups=(Group(SessionClass.CHAT, Liveness.ENDED, SessionStage.FILES, 12, 20, 3 * MB, 80, 2 * MB),),
    due=(),
    unknown=0,
    unknown_bytes=0,
    usage=Usage(3 * MB, database_bytes=5 * MB),
    written=(0,) * 30,
)
SWEEP = SweepRow("20261120-110000", 0.0, 1.0, "command line", "done", None, {})


def status(**fields: object) -> Status:
    made = Status(
        home="/home/ada/.hermes",
        store="hermes",
        mode=SweepMode(swept_before=True),
        picture=PICTURE,
        is_fresh=True,
        growth=Growth(None, 0, None, 0.0, None),
        host_settings=(),
        usage=Usage(3 * MB, database_bytes=5 * MB),
        vault=None,
        vault_damage=None,
        sweeps=(),
        holds=0,
        drill=None,
        database=None,
        warnings=(),
    )
    return msgspec.structs.replace(made, **fields)


def shown(made: Status, width: int | None = None) -> str:
    stream = io.StringIO()
    show_status(PlainPage(stream, width), made, compact_above=QUARTER, now=3600.0)
    return stream.getvalue()


def test_what_is_due_is_told_part_by_part() -> None:
    assert (
        "  due now   to archive: files of 12 sessions (3.0 MB), tool output of 4, messages of 1 (5.0 MB); "
        "to delete: files of 1 (1.0 MB); to expire: copies of 2 (1.0 MB)\n"
        in shown(status(picture=msgspec.structs.replace(PICTURE, due=DUE)))
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
    assert status_object(status(database=space))["database"] == {
        "file_bytes": 552 * MB,
        "free_bytes": free_bytes,
    }


def test_home_without_a_database() -> None:
    assert "  state.db  there is none\n" in shown(status())
    assert status_object(status())["database"] is None


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


VAULT = VaultSummary(7, 9, 30 * MB, MB, 2, (ClassTotal(SessionClass.CRON, 7, 30 * MB),))


def test_sizes_by_class_and_by_what_is_left() -> None:
    lines = shown(status(vault=VAULT)).splitlines()
    assert "  chat         12     20  3.0 MB    80  2.0 MB         –" in lines
    assert "  cron          –      –       –     –       –    1.0 MB" in lines
    assert "  files, and all else        12     20  3.0 MB    80  2.0 MB         –" in lines
    assert "  in the archive              7      –       –     –       –    1.0 MB" in lines


def test_bars_are_drawn_on_a_terminal_only() -> None:
    drawn = shown(status(vault=VAULT), width=100)
    assert f"  {'█' * 16}\n" in drawn
    assert f"  {'█' * 3}▎\n" in drawn
    assert "█" not in shown(status(vault=VAULT))


@pytest.mark.parametrize(
    ("growth", "texts"),
    [
        (Growth(None, 0, None, 0.0, None), ("nothing was written in the last 30 days", "never at this rate")),
        (
            Growth(2.0 * MB, 12, None, 0.0, 5 * 86400.0),
            (
                "2.0 MB a day written in the last 12 days",
                "on 1970-01-06 at this rate if nothing were removed (in 4 d)",
            ),
        ),
        (
            Growth(2.0 * MB, 30, -1.0 * MB, 30.0, None),
            ("-1.0 MB a day, measured over 30 days; 2.0 MB a day written", "never at this rate"),
        ),
        (
            Growth(2.0 * MB, 30, 0.5 * MB, 30.0, 1e12),
            ("+500 KB a day, measured over 30 days", "not within ten years"),
        ),
    ],
)
def test_growth_says_what_was_measured(growth: Growth, texts: tuple[str, str]) -> None:
    text = shown(status(growth=growth))
    assert f"  growth    {texts[0]}" in text
    assert f"  full      {texts[1]}" in text


def test_remembered_picture_says_how_old_it_is() -> None:
    assert "as the sweep left it 1 h ago; --fresh looks" in shown(status(is_fresh=False))
    assert "--fresh" not in shown(status())


def test_settings_of_the_host_are_shown() -> None:
    settings = (
        HostSetting("sessions.auto_prune", "true", "false", "whether it deletes"),
        HostSetting("sessions.retention_days", None, "90", "after how long"),
    )
    text = shown(status(host_settings=settings))
    assert "  sessions.auto_prune      true          whether it deletes\n" in text
    assert "  sessions.retention_days  not set (90)  after how long\n" in text
