"""Plugins of other packages: found through the entry-point group ``hermes_retention``, asked through pluggy.

A plugin that cannot be loaded costs a warning. One that fails when it is asked keeps what it was asked about.
What must not live here: decisions.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from hermes_retention import hookspecs
from hermes_retention.model.errors import RetentionError, StoreUnreadable
from hermes_retention.model.log import LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from hermes_retention.hookspecs import Location
    from hermes_retention.model.session import Session
    from hermes_retention.policy.caps import Alert
    from hermes_retention.settings.load import Settings
    from hermes_retention.stores.base import Store, StoreKind

_STORE_NAME = re.compile("[a-z][a-z0-9-]*")


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
        LOG.warning(
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
            LOG.warning("plugin %s implements %s, which is no hook: it is never called.", name, caller.name)


@dataclass(frozen=True, slots=True)
class StoreOffer:
    """A layout that a plugin serves; what its code raises is caught here."""

    plugin: str
    kind: StoreKind
    complain: Callable[[Exception], None]

    def recognises(self, home: Path) -> bool:
        """Whether ``home`` has this layout. A plugin that fails costs a warning, and does not know it."""
        try:
            return bool(self.kind.recognises(home))
        except Exception as error:  # noqa: BLE001 - somebody else's code
            self.complain(error)
            return False

    def open(self, home: Path) -> Store:
        """The store of ``home``. Raises ``StoreUnreadable``, also for whatever else the plugin raises."""
        try:
            return self.kind.open(home)
        except RetentionError:
            raise
        except Exception as error:
            raise StoreUnreadable(
                str(home),
                f"plugin {self.plugin} failed when it opened this {self.kind.name} home"
                f" ({type(error).__name__})",
                consequence="nothing was read or changed",
                cure="Mend the plugin, or uninstall it.",
            ) from error


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

    def store_offers(self, settings: Settings) -> Sequence[StoreOffer]:
        """The layouts that plugins serve, by name, each name once. What cannot be used costs a warning."""
        offers: dict[str, list[StoreOffer]] = {}
        without = "its layouts are left out"
        for plugin, answers in self._each("retention_stores", without, settings=settings):
            for kind in (kind for answer in answers for kind in self._checked(plugin, answer)):
                complain = functools.partial(self._complain_of_store, plugin, kind.name)
                offers.setdefault(kind.name, []).append(StoreOffer(plugin, kind, complain))
        for name, rivals in offers.items():
            if len(rivals) > 1:
                who = " and ".join(sorted(rival.plugin for rival in rivals))
                self._warn_once(f"store {name}", f"plugins {who} both offer a store {name}: neither is used.")
        return [rivals[0] for _, rivals in sorted(offers.items()) if len(rivals) == 1]

    def _checked(self, plugin: str, answer: object) -> Iterator[StoreKind]:
        """What of a plugin's answer can be used."""
        from hermes_retention.stores.base import StoreKind
        from hermes_retention.stores.layouts import Layout

        for kind in answer if isinstance(answer, list | tuple) else (answer,):
            if not isinstance(kind, StoreKind):
                why = f"offers a {type(kind).__name__} where a StoreKind is wanted"
            elif not _STORE_NAME.fullmatch(str(kind.name)):
                why = "offers a store whose name is not made of lower-case letters, digits and -"
            elif kind.name in {"auto", *Layout}:
                why = f"offers a store {kind.name}, a name that hermes-retention itself uses"
            else:
                yield kind
                continue
            self._warn_once(f"{plugin} {why}", f"plugin {plugin} {why}; it is left out.")

    def _complain_of_store(self, plugin: str, name: str, error: Exception) -> None:
        self._complain(f"recognising {name} homes", plugin, error, "it is not asked to open the home")

    def _tell(self, hook: str, **facts: object) -> None:
        """Each plugin is told, also after one that fails."""
        for _ in self._each(hook, "the work goes on", **facts):
            pass

    def _each(self, hook: str, consequence: str, **facts: object) -> Iterator[tuple[str, list[Any]]]:
        """Each plugin that implements ``hook`` with its answers, also after one that fails."""
        if self._manager is None:
            return
        implementing = getattr(self._manager.hook, hook).get_hookimpls()
        for name, plugin in {found.plugin_name: found.plugin for found in reversed(implementing)}.items():
            others = [other for other in self._manager.get_plugins() if other is not plugin]
            try:
                answers = self._manager.subset_hook_caller(hook, others)(**facts)
            except Exception as error:  # noqa: BLE001 - somebody else's code
                self._complain(hook, name, error, consequence)
            else:
                yield name, answers

    def _implementing(self, hook: str) -> str:
        if self._manager is None:
            return ""
        found = getattr(self._manager.hook, hook).get_hookimpls()
        return " or ".join(implementation.plugin_name for implementation in found)

    def _complain(self, hook: str, plugin: str, error: Exception, consequence: str) -> None:
        """Once for each plugin and hook: it may fail a million times. Its own words may be private."""
        what = f"plugin {plugin} failed in {hook} ({type(error).__name__}); {consequence}."
        self._warn_once(f"{plugin} in {hook}", f"{what} Mend or uninstall it.")

    def _warn_once(self, what: str, warning: str) -> None:
        if what not in self._failed:
            self._failed.add(what)
            LOG.warning("%s", warning)


def installed_extensions() -> Extensions:
    """Those of all installed plugins. Reads the metadata of every installed package; never raises."""
    return Extensions(plugin_manager())
