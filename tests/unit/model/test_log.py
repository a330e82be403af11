"""Lines of the log: what is put into them is escaped, and only one module makes the logger."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import hermes_retention
from hermes_retention.model.errors import RetentionError, SettingsError
from hermes_retention.model.log import LOG


def test_no_name_writes_lines_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    path = Path("/a\x1b[31m\nWARNING all is lost")
    LOG.warning("%s: %s in %d parts", path, RetentionError("b\n", "gone"), 3)
    assert caplog.messages == [r"/a\x1b[31m\nWARNING all is lost: b\n: gone in 3 parts"]


def test_settings_keep_their_lines(caplog: pytest.LogCaptureFixture) -> None:
    LOG.warning("%s", SettingsError("settings", "1 problem\n  A='\x1b'"))
    assert caplog.messages == ["settings: 1 problem\n  A='\\x1b'"]


def test_all_modules_log_through_it() -> None:
    package = Path(hermes_retention.__file__).parent
    makers = {path.name for path in package.rglob("*.py") if "getLogger(" in path.read_text()}
    assert makers == {"log.py"}
    assert logging.getLogger("hermes_retention") is LOG
