"""Messages as a person reads them, out of every kind of artifact."""

from __future__ import annotations

import json

import pytest

from hermes_retention.actions.inspect.search.messages import interesting_part, message_of, messages_in
from hermes_retention.model.session import ArtifactKind
from hermes_retention.stores.rows import Header, encode

SAID = {"role": "user", "content": 'a naïve "x"\nline'}


def texts(kind: ArtifactKind, raw: bytes) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in messages_in(kind, raw)]


def test_snapshot() -> None:
    raw = json.dumps({"system_prompt": "not said", "tools": [], "messages": [SAID]}, indent=2).encode()
    assert texts(ArtifactKind.SNAPSHOT, raw) == [("user", 'a naïve "x"\nline')]
    assert b"not said" not in interesting_part(ArtifactKind.SNAPSHOT, raw)


def test_request_dump_has_its_messages_further_down() -> None:
    raw = json.dumps({"reason": "x", "request": {"body": {"messages": [SAID]}}}).encode()
    assert texts(ArtifactKind.REQUEST_DUMP, raw) == [("user", 'a naïve "x"\nline')]


def test_transcript_of_either_host() -> None:
    lines = [
        {"type": "session", "id": "s"},
        SAID,
        {"type": "message", "message": {**SAID, "role": "assistant"}},
    ]
    raw = "".join(json.dumps(line) + "\n" for line in lines).encode()
    assert [role for role, _ in texts(ArtifactKind.TRANSCRIPT, raw)] == ["user", "assistant"]


def test_rows_know_when_and_which_tool() -> None:
    messages = Header("messages", ("id", "role", "content", "tool_name", "timestamp"))
    row = (1, "tool", "42", "calculator", 5.0)
    raw = b"".join(encode([Header("sessions", ("id",)), ("s",), messages, row]))
    (message,) = messages_in(ArtifactKind.MESSAGES, raw)
    assert (message.role, message.text, message.tool, message.at) == ("tool", "42", "calculator", 5.0)


def test_content_in_parts_and_calls_of_tools_are_text() -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:…"}}]
    call = {"function": {"name": "search", "arguments": '{"query": "naïve \\"x\\"", "limit": 5}'}}
    fields = {
        "role": "assistant",
        "content": "\x00json:" + json.dumps(parts),
        "tool_calls": json.dumps([call]),
    }
    assert message_of(fields).text == 'look\nsearch: query naïve "x", limit 5'


@pytest.mark.parametrize("kind", [ArtifactKind.SNAPSHOT, ArtifactKind.TRANSCRIPT, ArtifactKind.MESSAGES])
def test_what_was_cut_short_can_be_found_all_the_same(kind: ArtifactKind) -> None:
    assert "refund" in "".join(text for _, text in texts(kind, b'{"messages": [{"content": "refund'))
