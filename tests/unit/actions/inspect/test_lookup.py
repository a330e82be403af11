"""What a person types, and which session is meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_retention.actions.inspect.lookup import SHORTEST_PREFIX, require, resolve
from hermes_retention.model.errors import UsageError

KNOWN = {
    "20261010_080000_bbbbbbbb",
    "20261010_080000_cccccccc",
    "cron_news_20261015_080000",
    "cron_news_2026",
}


def found(wanted: str) -> str:
    return resolve(wanted, KNOWN, where="nobody has it")


def test_whole_id_is_itself_also_where_others_begin_with_it() -> None:
    assert found("cron_news_2026") == "cron_news_2026"


def test_beginning_of_one_id_is_enough_from_six_characters_on() -> None:
    assert found("20261010_080000_b") == "20261010_080000_bbbbbbbb"
    with pytest.raises(UsageError, match="at least the first 6"):
        resolve("20261", {"20261010_080000_bbbbbbbb"}, where="nobody has it")


def test_beginning_of_several_ids_names_them() -> None:
    with pytest.raises(UsageError, match=r"2 ids begin like that.*bbbbbbbb, 20261010_080000_cccccccc"):
        found("20261010")


def test_what_changes_something_wants_the_whole_id() -> None:
    assert require("cron_news_2026", KNOWN, where="nobody has it") == "cron_news_2026"
    with pytest.raises(UsageError, match="The nearest: 20261010_080000_bbbbbbbb"):
        require("20261010_080000_bbbb", KNOWN, where="nobody has it")


def test_id_with_control_characters_is_known_by_what_is_shown_of_it() -> None:
    known = {"client\nid", "caf\udce9"}
    assert require("client\\nid", known, where="") == "client\nid"
    assert require("caf\\xe9", known, where="") == "caf\udce9"


@given(st.sets(st.text(max_size=12), max_size=8), st.text(max_size=12))
def test_only_known_ids_are_ever_meant(known: set[str], wanted: str) -> None:
    try:
        meant = resolve(wanted, known, where="nobody has it")
    except UsageError:
        assert wanted not in known
        return
    assert meant in known
    assert meant == wanted or len(wanted) >= SHORTEST_PREFIX or not meant.isprintable()
