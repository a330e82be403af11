"""Durations, sizes and times as people write and read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_retention.model.text import (
    format_duration,
    format_setting_duration,
    format_size,
    format_time,
    parse_duration,
    parse_size,
)

DAY, HOUR, MINUTE = 86400, 3600, 60


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("12h", 43200),
        ("7d", 604800),
        ("2w", 1209600),
        ("0s", 0),
        ("1.5h", 5400),
        ("0.5d", 43200),
        ("  7 d ", 604800),
        ("7D", 604800),
        ("007d", 604800),
        ("1.9s", 1),
    ],
)
def test_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "d",
        "7x",
        "7 days",
        "1d12h",
        "-7d",
        "+7d",
        "1e3s",
        ".5h",
        "5.h",
        "1,5h",
        "7d\n7d",
        "never",
        "٣d",
        "7\u017f",
    ],
)
def test_text_that_is_no_duration_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match="90s, 30m, 12h, 7d or 2w"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0B", 0),
        ("1B", 1),
        ("500KB", 500_000),
        ("10MB", 10_000_000),
        ("2GiB", 2 * 2**30),
        ("3 kib", 3072),
        ("1.5TB", 1_500_000_000_000),
        ("1TiB", 2**40),
        ("0.5MiB", 2**19),
        ("1.9B", 1),
    ],
)
def test_size_is_read(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text",
    ["", "10", "MB", "10M", "10iB", "iB", "10 megabytes", "-1KB", "1e3KB", "1KB 2KB", "off", "1\u212aB"],
)
def test_text_that_is_no_size_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match="500KB, 10MB or 2GiB"):
        parse_size(text)


@pytest.mark.parametrize("digits", [31, 400, 5000])
def test_endless_numbers_are_refused_like_any_wrong_text(digits: int) -> None:
    for parse, unit in ((parse_duration, "s"), (parse_size, "B")):
        with pytest.raises(ValueError, match="with its unit"):
            parse("9" * digits + unit)
        with pytest.raises(ValueError, match="with its unit"):
            parse("1." + "9" * digits + unit)


def test_fractions_are_exact() -> None:
    assert parse_size("1.005KB") == 1005
    assert parse_size("9007199254740993B") == 2**53 + 1
    assert parse_duration("1.15h") == 4140


@given(st.integers(0, 10**12), st.sampled_from("smhdw"))
def test_whole_numbers_of_a_unit_are_exact(number: int, unit: str) -> None:
    assert parse_duration(f"{number}{unit}") == number * parse_duration(f"1{unit}")


@given(st.integers(0, 10**12))
def test_duration_of_a_setting_is_read_back_as_the_same_number(seconds: int) -> None:
    assert parse_duration(format_setting_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "never"),
        (0, "0s"),
        (59, "59s"),
        (90, "90s"),
        (600, "10m"),
        (5400, "90m"),
        (2 * DAY, "2d"),
        (14 * DAY, "14d"),
    ],
)
def test_duration_of_a_setting_has_the_largest_unit_that_fits(seconds: int | None, text: str) -> None:
    assert format_setting_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.9, "0 s"),
        (-5, "0 s"),
        (45, "45 s"),
        (MINUTE, "1 min"),
        (90, "90 s"),
        (2 * MINUTE, "2 min"),
        (HOUR - 1, "59 min"),
        (HOUR, "1 h"),
        (90 * MINUTE, "90 min"),
        (3 * HOUR + 59 * MINUTE, "3 h"),
        (DAY, "1 d"),
        (36 * HOUR, "36 h"),
        (12 * DAY + HOUR, "12 d"),
        (4000 * DAY, "4000 d"),
        (math.inf, "an unknown time"),
        (-math.inf, "an unknown time"),
        (math.nan, "an unknown time"),
    ],
)
def test_duration_is_shown_in_one_unit_rounded_down(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats())
def test_every_number_can_be_shown(number: float) -> None:
    assert format_duration(number).isprintable()
    assert format_size(number).isprintable()
    assert format_time(number).isprintable()


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (71_400, "71.4 KB"),
        (99_949, "99.9 KB"),
        (99_950, "100 KB"),
        (999_499, "999 KB"),
        (999_500, "1.0 MB"),
        (1_200_000_000, "1.2 GB"),
        (5_000_000_000_000_000, "5000.0 TB"),
        (-71_400, "-71.4 KB"),
    ],
)
def test_size_is_shown_in_decimal_units(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [
        (0.0, "1970-01-01T00:00:00Z"),
        (1_795_176_000.9, "2026-11-20T12:00:00Z"),
        (-1.0, "1969-12-31T23:59:59Z"),
        (1e300, "an unknown time"),
        (math.inf, "an unknown time"),
        (math.nan, "an unknown time"),
    ],
)
def test_time_is_shown_in_utc(timestamp: float, text: str) -> None:
    assert format_time(timestamp) == text
