"""Names from disks and clients, made safe to show."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_retention.model.text import printable


@pytest.mark.parametrize(
    "name", ["", "session_a.json", "with space", "caffè", "会話", "🙂", "C:\\temp", "a'b\"c"]
)
def test_name_that_is_safe_is_shown_as_it_is(name: str) -> None:
    assert printable(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two\nlines", r"two\nlines"),
        ("tab\there\r", r"tab\there\r"),
        ("\x1b[31mred\x00", r"\x1b[31mred\x00"),
        ("\x7f\x85", r"\x7f\x85"),
        ("right\u202eleft", r"right\u202eleft"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("no\xa0break", r"no\xa0break"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\U000e0001tag", r"\U000e0001tag"),
    ],
)
def test_characters_that_a_terminal_would_obey_are_escaped(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_bytes_that_are_not_utf8_are_shown_as_bytes() -> None:
    assert printable(b"caf\xe9\xff.json".decode("utf-8", "surrogateescape")) == r"caf\xe9\xff.json"


@pytest.mark.parametrize(
    ("name", "shown"), [("\ud800", r"\ud800"), ("\udc7f", r"\udc7f"), ("\udd00", r"\udd00")]
)
def test_lone_surrogates_out_of_some_json_are_escaped(name: str, shown: str) -> None:
    assert printable(name) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_every_name_becomes_one_line_that_any_output_takes(name: str) -> None:
    shown = printable(name)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert json.loads(json.dumps(shown)) == shown
    shown.encode("utf-8")
    assert printable(shown) == shown
