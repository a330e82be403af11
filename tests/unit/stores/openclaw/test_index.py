"""The text of an index: what is kept keeps every byte, and what cannot be read is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_retention.stores.openclaw.index import SessionIndex

PRETTY = (
    b'{\n  "a": {\n    "x": 1.50e+1,\n    "future": [ 1,2 ]\n  },\n  "b": {"y": "\\u00e9"},\n  "c": 3\n}\n'
)


def test_removed_entry_takes_its_comma_along_and_nothing_else() -> None:
    index = SessionIndex.split(PRETTY)
    assert index.changed({"b": None}).content == PRETTY.replace(b',\n  "b": {"y": "\\u00e9"}', b"")
    assert index.changed({"a": None}).content.startswith(b'{\n  "b": {"y": "\\u00e9"},\n  "c"')
    assert index.changed({"c": None}).content.endswith(b'"b": {"y": "\\u00e9"}\n}\n')


def test_index_of_which_nothing_is_left_takes_entries_again() -> None:
    empty = SessionIndex.split(PRETTY).changed({"a": None, "b": None, "c": None})
    assert json.loads(empty.content) == {}
    again = empty.changed({"n": b'{"z":1}'})
    assert again.content == b'{\n  "n": {"z":1}\n}\n'
    assert SessionIndex.empty().changed({"n": b"1"}).content == b'{\n  "n": 1\n}\n'


def test_added_entry_looks_like_its_neighbours_and_has_its_own_bytes() -> None:
    entry = b'{\n    "x":   1\n  }'
    index = SessionIndex.split(PRETTY).changed({"ü": entry})
    assert index.content == PRETTY.replace(b'"c": 3', b'"c": 3,\n  "\xc3\xbc": ' + entry)
    assert index.value("ü") == entry


def test_excerpt_is_an_index_of_its_own() -> None:
    index = SessionIndex.split(PRETTY)
    excerpt = SessionIndex.split(index.excerpt(["c", "a"]))
    assert {key: excerpt.value(key) for key in excerpt.members} == {key: index.value(key) for key in "ca"}


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"  \n", b"[]", b"null", b"7", b'"text"', b'{"a":1', b'{"a"', b'{"a":1}x', b'{"a":1,}'),
        *(b'{"a":tru}', b'{"a":NaN}', b'{"a":{"b":tru}}', b"\xef\xbb\xbf{}", b"{'a':1}", b'{"a":1 "b":2}'),
        *(b'{"a":1,"a":1}', b'{"a":1,"a":22}', b'{"a":1,"b":2,"a":1}', b'{"a":1,"\\u0061":1}'),
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda content: content[:20].decode(errors="replace"),
)
def test_what_is_no_index_is_refused_with_words_that_quote_nothing(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"it is|stands in it twice") as refusal:
        SessionIndex.split(content)
    assert '"' not in str(refusal.value)


def test_half_of_an_emoji_does_not_make_an_index_unreadable() -> None:
    content = b'{"a": {"label": "\\ud83d"}, "b" : {"n": [1, {"}": "\\""}]} , "c":2}'
    index = SessionIndex.split(content)
    assert [index.value(key) for key in "abc"] == [b'{"label": "\\ud83d"}', b'{"n": [1, {"}": "\\""}]}', b"2"]
    assert index.changed({"b": None}).content == b'{"a": {"label": "\\ud83d"}, "c":2}'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    entries=st.dictionaries(st.text(), json_values, max_size=6),
    data=st.data(),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
)
def test_changes_are_what_a_dictionary_would_do(
    entries: dict[str, object], data: st.DataObject, indent: int | None, *, ascii_only: bool
) -> None:
    content = json.dumps(entries, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    index = SessionIndex.split(content)
    gone = data.draw(st.sets(st.sampled_from(sorted(entries)))) if entries else set()
    added = data.draw(st.dictionaries(st.text(), json_values, max_size=2))
    changes: dict[str, bytes | None] = dict.fromkeys(gone)
    changes |= {key: json.dumps(value).encode() for key, value in added.items()}
    after = index.changed(changes)
    assert json.loads(after.content) == {k: v for k, v in entries.items() if k not in gone} | added
    assert SessionIndex.split(after.content).members == after.members
    for key in entries.keys() - changes.keys():
        assert after.value(key) == index.value(key)
