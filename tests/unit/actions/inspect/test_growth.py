"""How fast a home grows: only what was measured is told."""

from __future__ import annotations

import pytest
from homes import DAY, NOW

from hermes_retention.actions.inspect.stats import Growth, Picture, measure_growth
from hermes_retention.home.ledger import SweepRow
from hermes_retention.model.session import Usage

MB = 1_000_000
NOTHING = (0,) * 30


def swept(age: float, before: int, after: int) -> SweepRow:
    start = NOW - age
    totals = {"bytes_before": before, "bytes_after": after}
    return SweepRow("a", start, start + 60, "test", "done", None, totals)


def pictured(age: float, size: int) -> Picture:
    return Picture(NOW - age, 0, (), (), 0, 0, Usage(size), NOTHING)


def growth(
    *sweeps: SweepRow, pictures: tuple[Picture, ...] = (), written: tuple[int, ...] = NOTHING
) -> Growth:
    usage = Usage(100 * MB, free_bytes=50 * MB)
    return measure_growth(sweeps, pictures, written, usage, now=NOW)


def test_a_new_home_has_no_rate() -> None:
    assert growth() == Growth(None, 0, None, 0.0, None)


def test_without_sweeps_the_rate_is_what_was_written() -> None:
    found = growth(written=(4 * MB, 0, 2 * MB, *(0,) * 27))
    assert (found.written_per_day, found.written_days) == (2 * MB, 3)
    assert found.per_day == 2 * MB
    assert found.disk_full_at == NOW + 25 * DAY


def test_net_growth_counts_from_the_end_of_the_first_sweep() -> None:
    found = growth(
        swept(5 * DAY, 200 * MB, 60 * MB), swept(20 * DAY, 400 * MB, 90 * MB), written=(MB, *NOTHING[1:])
    )
    assert found.net_days == pytest.approx(20, abs=0.01)
    assert found.net_per_day == pytest.approx(0.5 * MB, rel=0.001)
    assert found.disk_full_at == pytest.approx(NOW + 100 * DAY, rel=0.001)
    assert found.per_day == found.net_per_day


def test_a_sweep_of_today_measures_no_rate_yet() -> None:
    assert growth(swept(DAY / 2, 200 * MB, 60 * MB)).net_per_day is None


def test_pictures_measure_too() -> None:
    found = growth(swept(28 * DAY, 90 * MB, 50 * MB), pictures=(pictured(10 * DAY, 110 * MB),))
    assert found.net_per_day == pytest.approx(50 * MB / 28, rel=0.01)
    assert growth(pictures=(pictured(10 * DAY, 110 * MB),)).net_per_day == -MB


def test_what_is_older_than_thirty_days_does_not_count() -> None:
    found = growth(swept(200 * DAY, 900 * MB, 1 * MB), swept(10 * DAY, 90 * MB, 80 * MB))
    assert found.net_days == pytest.approx(10)
    assert found.net_per_day == pytest.approx(MB)


def test_a_shrinking_home_never_fills_the_disk() -> None:
    found = growth(swept(10 * DAY, 300 * MB, 200 * MB), written=(MB, *NOTHING[1:]))
    assert found.net_per_day is not None
    assert found.net_per_day < 0
    assert found.disk_full_at is None
