"""Objects for other programs: valid and printable, whatever names hold."""

from __future__ import annotations

import json

import pytest

from hermes_retention.cli.context import error_object, print_object
from hermes_retention.model.errors import RetentionError

NASTY, SHOWN = "a\x1b[31m\udcff", r"a\x1b[31m\xff"


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    content: dict[str, object] = json.loads(capsys.readouterr().out)
    return content


def test_texts_and_names_are_made_printable(capsys: pytest.CaptureFixture[str]) -> None:
    print_object({"a": [NASTY, 1, None, True, 0.5], "b": {NASTY: (NASTY,)}})
    assert printed(capsys) == {
        "format": 1,
        "a": [SHOWN, 1, None, True, 0.5],
        "b": {SHOWN: [SHOWN]},
    }


def test_error_is_an_object_of_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    print_object(error_object(RetentionError(NASTY, "why", consequence="so", cure="then")))
    error = {"kind": "RetentionError", "what": SHOWN, "why": "why", "consequence": "so", "cure": "then"}
    assert printed(capsys) == {"format": 1, "error": {**error, "exit_code": 1}}
