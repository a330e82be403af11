"""Why there is no tab in the host's dashboard: nothing in 0.19 looks for one in a package from pip.

When this fails, ``docs/how-to/look.md`` may have become wrong, and a tab possible.
"""

from __future__ import annotations

import ast
import os
from importlib.metadata import distribution
from pathlib import Path

import pytest

HAS_TABS = os.environ.get("HERMES_HOST_VERSION") == "0.19.0"


def source(file: str) -> str:
    return Path(str(distribution("hermes-agent").locate_file(file))).read_text(encoding="utf-8")


def function(text: str, name: str) -> str:
    (found,) = [it for it in ast.walk(ast.parse(text)) if isinstance(it, ast.FunctionDef) and it.name == name]
    return ast.get_source_segment(text, found) or ""


@pytest.mark.skipif(not HAS_TABS, reason="what the page says is about 0.19")
def test_dashboard_asks_no_entry_point_for_tabs() -> None:
    discovery = function(source("hermes_cli/web_server.py"), "_discover_dashboard_plugins")
    assert 'child / "dashboard" / "manifest.json"' in discovery
    assert "entry_point" not in discovery


@pytest.mark.skipif(not HAS_TABS, reason="what the page says is about 0.19")
def test_plugin_interface_has_no_call_for_a_tab() -> None:
    tree = ast.parse(source("hermes_cli/plugins.py"))
    calls = {
        it.name
        for it in ast.walk(tree)
        if isinstance(it, ast.FunctionDef) and it.name.startswith("register_")
    }
    assert {name for name in calls if "dashboard" in name} == {"register_dashboard_auth_provider"}
    assert not {name for name in calls if "tab" in name.split("_")}
