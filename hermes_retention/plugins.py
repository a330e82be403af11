"""Plugins of other packages: found through the entry-point group ``hermes_retention``, asked through pluggy.

A plugin that cannot be loaded costs a warning. One that fails when it is asked keeps what it was asked about.
What must not live here: decisions.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pluggy

from hermes_retention.gateway import hookspecs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint

    from hermes_retention.gateway.hookspecs import Location
    from hermes_retention.model import Session
    from hermes_retention.policy.caps import Alert

_log = logging.getLogger("hermes_retention")


def plugin_manager() -> pluggy.PluginManager:
    """A manager that knows all hooks, with every installed plugin that can be loaded. Never raises.

    Looking for entry points reads the metadata of every installed package: not for an event loop.
    """
    manager = bare_plugin_manager()
    add_installed_plugins(manager)
    return manager


def add_installed_plugins(manager: pluggy.PluginManager) -> None:
    """Register every installed plugin that can be loaded and is not known yet. Never raises."""
    from importlib.metadata import entry_points

    for entry in entry_points(group=hookspecs.PROJECT):
        _load(manager, entry)


def bare_plugin_manager() -> pluggy.PluginManager:
    """A manager that knows all hooks and no plugin yet."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _load(manager: pluggy.PluginManager, entry: EntryPoint) -> None:
    if manager.has_plugin(entry.name) or manager.is_blocked(entry.name):
        return
    try:
        manager.register(entry.load(), name=entry.name)
        _complain_of_unknown_hooks(manager, entry.name)
    except Exception as error:  # noqa: BLE001 - somebody else's code, at import
        if manager.has_plugin(entry.name):
            manager.unregister(name=entry.name)
        _log.warning(
            "plugin %s cannot be loaded and is left out (%s). Mend or uninstall it.",
            entry.name,
            type(error).__name__,
        )


def _complain_of_unknown_hooks(manager: pluggy.PluginManager, name: str) -> None:
    """A misspelt hook would never be called, and nobody would know."""
    plugin = manager.get_plugin(name)
    callers = manager.get_hookcallers(plugin) or []
    for caller in callers:
        if not caller.has_spec():
            _log.warning("plugin %s implements %s, which is no hook: it is never called.", name, caller.name)


class Extensions:
    """What the plugins in a manager say about sessions, and are told. Without a manager there are none."""

    def __init__(self, manager: pluggy.PluginManager | None = None) -> None:
        self._manager = manager
        self._failed: set[str] = set()

    def holds(self, sessions: Iterable[Session]) -> dict[str, str]:
        """Session id → why it must stay: what a plugin says, or that one failed when it was asked."""
        asking = self._implementing("retention_hold")
        if self._manager is None or not asking:
            return {}
        found: dict[str, str] = {}
        ask = self._manager.hook.retention_hold
        for session in sessions:
            try:
                reason = ask(session=session)
            except Exception as error:  # noqa: BLE001 - somebody else's code; unknown means keep
                self._complain("retention_hold", asking, error, "what it was asked about is kept")
                found[session.id] = f"plugin {asking} failed"
            else:
                if reason is not None:
                    found[session.id] = str(reason)
        return found

    def archived(self, session: Session, location: Location) -> None:
        """Tell that a part of a session went to the archive. Never raises."""
        self._tell("session_archived", session=session, location=location)

    def alert(self, alert: Alert) -> None:
        """Tell what a person should know. Never raises."""
        self._tell("retention_alert", alert=alert)

    def _tell(self, hook: str, **facts: object) -> None:
        """Each plugin is told, also after one that fails."""
        if self._manager is None:
            return
        implementing = getattr(self._manager.hook, hook).get_hookimpls()
        for name, plugin in {it.plugin_name: it.plugin for it in reversed(implementing)}.items():
            others = [it for it in self._manager.get_plugins() if it is not plugin]
            try:
                self._manager.subset_hook_caller(hook, others)(**facts)
            except Exception as error:  # noqa: BLE001 - somebody else's code
                self._complain(hook, name, error, "the work goes on")

    def _implementing(self, hook: str) -> str:
        if self._manager is None:
            return ""
        found = getattr(self._manager.hook, hook).get_hookimpls()
        return " or ".join(implementation.plugin_name for implementation in found)

    def _complain(self, hook: str, plugin: str, error: Exception, consequence: str) -> None:
        """Once for each hook: it may fail a million times, and its own words may hold what people said."""
        if hook not in self._failed:
            self._failed.add(hook)
            _log.warning(
                "plugin %s failed in %s (%s); %s. Mend or uninstall it.",
                plugin,
                hook,
                type(error).__name__,
                consequence,
            )


def installed_extensions() -> Extensions:
    """Those of all installed plugins. Reads the metadata of every installed package; never raises."""
    return Extensions(plugin_manager())
