"""What errors say is escaped where they say it."""

from __future__ import annotations

from hermes_retention.model.errors import RetentionError, SettingsError

NASTY, SHOWN = "a\x1b[31m\nb\udcff", r"a\x1b[31m\nb\xff"


def test_text_of_an_error_is_one_line_that_no_terminal_obeys() -> None:
    error = RetentionError(NASTY, NASTY, consequence=NASTY, cure=NASTY)
    assert str(error) == f"{SHOWN}: {SHOWN}; {SHOWN}. {SHOWN}"
    assert error.what == NASTY


def test_settings_have_a_line_for_each_problem() -> None:
    error = SettingsError("settings", "2 problems\n  A='\x1b'\n  B")
    assert str(error) == "settings: 2 problems\n  A='\\x1b'\n  B"
