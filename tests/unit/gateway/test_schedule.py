"""When a gateway sweeps."""

from __future__ import annotations

from hermes_retention.gateway.sweep_job import SweepTimes


def test_nothing_comes_by_itself_before_it_begins() -> None:
    schedule = SweepTimes(tick=0.0)
    assert not schedule.is_regular
    assert not schedule.is_time(tick=1e9, now=1e9)
    assert schedule.seconds_left(tick=0.0) is None
    assert schedule.pause(tick=0.0, now=0.0) == 60.0


def test_regular_sweeps_go_by_the_monotonic_clock() -> None:
    schedule = SweepTimes(tick=0.0)
    schedule.begin(tick=0.0, after=10.0)
    schedule.begin(tick=5.0, after=10.0)
    assert not schedule.is_time(tick=9.9, now=1e9)
    assert schedule.is_time(tick=10.0, now=-1e9)
    schedule.swept(tick=12.0, took=2.0, again_after=3600.0)
    assert schedule.seconds_left(tick=12.0) == 3600.0
    assert not schedule.is_time(tick=3611.0, now=0.0)
    assert schedule.is_time(tick=3612.0, now=0.0)


def test_what_is_pending_brings_a_sweep_on_but_not_right_after_another() -> None:
    schedule = SweepTimes(tick=0.0)
    schedule.pending_at(500.0)
    assert not schedule.is_time(tick=0.0, now=499.0)
    assert schedule.is_time(tick=0.0, now=500.0)
    schedule.swept(tick=10.0, took=10.0, again_after=1.0)
    assert not schedule.is_time(tick=209.0, now=600.0)
    assert schedule.is_time(tick=210.0, now=600.0)
    schedule.pending_at(None)
    assert not schedule.is_time(tick=999.0, now=9999.0)


def test_sleep_is_short_enough_for_what_other_processes_announce() -> None:
    schedule = SweepTimes(tick=0.0)
    schedule.begin(tick=0.0, after=3600.0)
    assert schedule.pause(tick=0.0, now=0.0) == 60.0
    schedule.pending_at(30.0)
    assert schedule.pause(tick=0.0, now=0.0) == 30.0
    assert schedule.pause(tick=100.0, now=100.0) == 0.0
