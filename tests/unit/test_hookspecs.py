"""The hooks: which there are, and how plugins of others are loaded."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.metadata import EntryPoint

import pluggy
import pytest

from hermes_retention import hookspecs, plugins
from hermes_retention.gateway.plugin import NAME, RetentionPlugin
from hermes_retention.hookspecs import hookimpl
from hermes_retention.plugins import bare_plugin_manager, plugin_manager

LIFECYCLE = {
    *("gateway_startup", "gateway_shutdown", "session_reset", "session_end", "turn_end", "cron_complete"),
    *("plan_resume", "session_over_cap"),
}
EXTENSION = {"retention_hold", "retention_stores", "retention_alert", "session_archived"}
HEAVY = {"msgspec", "pydantic", "zstandard", "rich", "filelock", "yaml", "sqlite3"}


class Keeps:
    @hookimpl
    def retention_hold(self, session: object) -> str:
        return f"{session} is mine"


class Misspelt:
    @hookimpl
    def retention_holds(self, session: object) -> None: ...


class Wrong:
    @hookimpl
    def retention_hold(self, chat: object) -> None: ...


def hooks() -> set[str]:
    return {name for name in vars(bare_plugin_manager().hook) if not name.startswith("_")}


def test_hooks_are_these() -> None:
    assert hooks() == LIFECYCLE | EXTENSION


def test_every_hook_says_when_and_on_which_thread() -> None:
    for name in hooks():
        text = inspect.getdoc(getattr(hookspecs, name)) or ""
        assert "\nWhen: " in text, name
        assert "\nThread: " in text, name


def test_own_plugin_implements_hooks_that_exist() -> None:
    manager = bare_plugin_manager()
    manager.register(RetentionPlugin(), name=NAME)
    manager.check_pending()


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> pluggy.PluginManager:
    found = [EntryPoint(name, f"{__name__}:{name}", hookspecs.PROJECT) for name in names]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: found)
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Keeps.__module__])
    return plugin_manager()


def test_installed_plugin_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = installed(monkeypatch, "Keeps")
    assert manager.has_plugin("Keeps")


def test_broken_plugins_are_one_warning_each(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manager = installed(monkeypatch, "Missing", "Wrong", "Misspelt", "Keeps")
    assert [name for name, _ in manager.list_name_plugin()] == ["Misspelt", "Keeps"]
    assert [record.getMessage() for record in caplog.records] == [
        "plugin Missing cannot be loaded and is left out (AttributeError). Mend or uninstall it.",
        "plugin Wrong cannot be loaded and is left out (PluginValidationError). Mend or uninstall it.",
        "plugin Misspelt implements retention_holds, which is no hook: it is never called.",
    ]


def test_manager_is_of_this_project() -> None:
    assert plugins.plugin_manager().project_name == "hermes_retention"


def test_hooks_and_plugin_load_nothing_heavy() -> None:
    program = (
        "import sys; from hermes_retention.gateway.plugin import RetentionPlugin; "
        "from hermes_retention.plugins import bare_plugin_manager; "
        "bare_plugin_manager().register(RetentionPlugin()); print(*sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not HEAVY & set(shown.stdout.split())
