"""Plugins of other packages: found through the entry-point group ``hermes_retention``, held by pluggy.

A plugin that is broken costs a warning and nothing else. What must not live here: what plugins are asked.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pluggy

from hermes_retention.gateway import hookspecs

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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
