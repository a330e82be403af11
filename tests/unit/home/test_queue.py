"""The queue of work that hooks announced."""

from __future__ import annotations

from pathlib import Path

import pytest

from hermes_retention.home.ledger import Ledger
from hermes_retention.home.queue import Occasion, Pending


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_lines_outlive_the_process_that_wrote_them(path: Path) -> None:
    lines = [Pending(Occasion.RESET, "a", 1.0, 61.0), Pending(Occasion.END, "b", 2.0)]
    with Ledger.open(path) as ledger:
        ledger.queue.add(lines)
    with Ledger.open(path) as ledger:
        assert ledger.queue.lines() == lines


def test_ledger_without_a_queue_has_nothing_pending(path: Path) -> None:
    with Ledger.open(path) as ledger:
        assert ledger.queue.lines() == []
        assert ledger.queue.next_due() is None
        ledger.queue.remove([Pending(Occasion.END, "b", 2.0)])
        ledger.queue.postpone([Pending(Occasion.END, "b", 2.0)])


def test_same_occasion_counts_once_with_its_newest_time(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.queue.add([Pending(Occasion.CRON, "a", 1.0, 61.0)])
        ledger.queue.add([Pending(Occasion.CRON, "a", 5.0, 65.0), Pending(Occasion.END, "a", 5.0)])
        assert ledger.queue.lines() == [
            Pending(Occasion.CRON, "a", 5.0, 65.0),
            Pending(Occasion.END, "a", 5.0),
        ]


def test_what_was_announced_again_since_is_not_forgotten(path: Path) -> None:
    read = Pending(Occasion.RESET, "a", 1.0)
    with Ledger.open(path) as ledger:
        ledger.queue.add([read, Pending(Occasion.RESET, "b", 1.0)])
        ledger.queue.add([Pending(Occasion.RESET, "a", 2.0)])
        ledger.queue.remove([read, Pending(Occasion.RESET, "b", 1.0)])
        assert ledger.queue.lines() == [Pending(Occasion.RESET, "a", 2.0)]


def test_next_due_is_the_earliest_that_asks_for_a_sweep(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.queue.add([Pending(Occasion.END, "a", 1.0)])
        assert ledger.queue.next_due() is None
        ledger.queue.add([Pending(Occasion.RESET, "b", 1.0, 90.0), Pending(Occasion.CRON, "c", 1.0, 70.0)])
        assert ledger.queue.next_due() == 70.0


def test_postponed_line_is_due_later(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.queue.add([Pending(Occasion.RESET, "a", 1.0, 60.0)])
        ledger.queue.postpone(
            [Pending(Occasion.RESET, "a", 1.0, 120.0), Pending(Occasion.RESET, "b", 1.0, 9.0)]
        )
        assert ledger.queue.lines() == [Pending(Occasion.RESET, "a", 1.0, 120.0)]


def test_occasion_of_a_newer_version_is_carried_along(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.queue.add([Pending(Occasion.END, "a", 1.0)])
        ledger._connection.execute("UPDATE pending SET occasion = 'moved'")  # noqa: SLF001 - as a newer version
        (line,) = ledger.queue.lines()
        assert (str(line.occasion), line.session_id) == ("moved", "a")
        ledger.queue.remove([line])
        assert ledger.queue.lines() == []
