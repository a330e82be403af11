"""What is not worth decoding is told from the raw bytes, and nothing that matches is ever missed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hermes_retention.actions.inspect.search.query import regex_query, text_query
from hermes_retention.model.errors import UsageError

WRITERS: tuple[Callable[[object], str], ...] = (
    json.dumps,
    lambda value: json.dumps(value, ensure_ascii=False),
    lambda value: msgspec.json.encode(value).decode(),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)


@given(st.text(max_size=8), TEXTS, st.text(max_size=8), st.lists(st.sampled_from(WRITERS), max_size=3))
@example("", 'naïve "x"', "", [json.dumps])
@example("", "ПРИВЕТ", "", [json.dumps, json.dumps])
@example("", "straße/\\<", "", [WRITERS[1], json.dumps, WRITERS[2]])
def test_text_is_never_missed_however_it_is_encoded(
    before: str, text: str, after: str, writers: list[Callable[[object], str]]
) -> None:
    raw = f"{before}{text}{after}".encode(errors="surrogatepass").decode("utf-8", "replace")
    for write in writers or [json.dumps]:
        raw = write(raw)
    assert text_query(text).may_match(raw.encode())


@given(TEXTS, st.sampled_from([str.upper, str.lower, str.title, str.swapcase]))
@example("naïve", str.upper)
@example("über Ärzte", str.lower)
def test_text_in_lower_case_is_found_in_any_case(text: str, change: Callable[[str], str]) -> None:
    query = text_query(text.lower())
    written = change(text)
    if query.pattern.search(written) and written.lower() == text.lower():
        assert all(query.may_match(write(written).encode()) for write in WRITERS)


def test_capitals_ask_for_the_very_case() -> None:
    assert text_query("refund").pattern.search("Refund")
    assert not text_query("Refund").pattern.search("refund")
    assert not text_query("Refund").may_match(b'"refund"')


@pytest.mark.parametrize("text", ["refund", 'naïve "x"', "привет", "日本"])
def test_what_holds_nothing_alike_is_not_decoded(text: str) -> None:
    assert not text_query(text).may_match(b'{"role":"user","content":"nothing of the kind"}')


@pytest.mark.parametrize(
    ("expression", "run"),
    [
        (r"invoice \d{4}", "invoice "),
        ("colou?r", "colo"),
        ("(zeb|zob)ra", "ra"),
        ("[abc]refund.*paid", "refund"),
        ("cat|dog", ""),
        ("(?x) a b", ""),
        ("(?i)REFUND", "refund"),
        (r"ab{2}cde", "cde"),
        (r"\(refund\)", "refund"),
    ],
)
def test_run_of_a_regular_expression_stands_in_every_match(expression: str, run: str) -> None:
    assert regex_query(expression).run == run


@given(st.from_regex(re.compile(r"(ab|cd)?x[yz]+w{1,2}q*end", re.ASCII), fullmatch=True))
def test_match_of_a_regular_expression_is_never_missed(text: str) -> None:
    assert regex_query(r"(ab|cd)?x[yz]+w{1,2}q*end").may_match(json.dumps(text).encode())


def test_expression_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="not valid"):
        regex_query("(")


@pytest.mark.parametrize("make", [text_query, regex_query])
def test_nothing_to_look_for_is_refused(make: Callable[[str], object]) -> None:
    with pytest.raises(UsageError, match="nothing to look for"):
        make(" ")
