"""What others may use: scripts, plugins and gateways. Everything else may change at any time.

Importing this costs next to nothing. A name is looked up where it lives when it is asked for first, so a
gateway that only fires hooks loads neither settings nor databases. What must not live here: code that does
anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hermes_retention.actions.inspect.search.find import SearchReport, SearchRequest, search
    from hermes_retention.actions.inspect.search.query import regex_query, text_query
    from hermes_retention.actions.restore.restore import (
        RestoreReport,
        export_sessions,
        restore_sessions,
        undo,
        undoable_sweeps,
    )
    from hermes_retention.actions.sweep.report import SweepReport
    from hermes_retention.actions.sweep.sweep import preview, sweep
    from hermes_retention.cli import add_commands, run
    from hermes_retention.disk.directories import Directory
    from hermes_retention.gateway.host import HostGateway
    from hermes_retention.gateway.plugin import RetentionPlugin
    from hermes_retention.home.find import find_home
    from hermes_retention.home.home import Home
    from hermes_retention.home.open import open_home
    from hermes_retention.hookspecs import Location, hookimpl
    from hermes_retention.model.errors import (
        ArtifactChanged,
        ArtifactUnreadable,
        ArtifactVanished,
        ExitCode,
        LedgerUnusable,
        RestoreConflict,
        RetentionError,
        SessionGone,
        SettingsError,
        StoreUnreadable,
        SweepRunning,
        UnsupportedPlatform,
        UsageError,
        VaultDamaged,
        VaultUnwritable,
    )
    from hermes_retention.model.plan import Action, Plan, Rule, Step, Tier
    from hermes_retention.model.session import (
        Artifact,
        ArtifactKind,
        Record,
        Route,
        Session,
        SessionClass,
        Unknown,
    )
    from hermes_retention.plugins import plugin_manager
    from hermes_retention.policy.caps import Alert, Cap, CapAction, Reaction
    from hermes_retention.policy.lifecycle import Lifecycle, OnReset, Policy
    from hermes_retention.policy.resume import ResumeCandidate, ResumePlan
    from hermes_retention.settings.load import Settings, load_settings
    from hermes_retention.stores.base import Folder, Scan, SessionMetadata, Store, StoreFiles, StoreKind
    from hermes_retention.stores.files import folder_files

__all__ = [
    "Action",
    "Alert",
    "Artifact",
    "ArtifactChanged",
    "ArtifactKind",
    "ArtifactUnreadable",
    "ArtifactVanished",
    "Cap",
    "CapAction",
    "Directory",
    "ExitCode",
    "Folder",
    "Home",
    "HostGateway",
    "LedgerUnusable",
    "Lifecycle",
    "Location",
    "OnReset",
    "Plan",
    "Policy",
    "Reaction",
    "Record",
    "RestoreConflict",
    "RestoreReport",
    "ResumeCandidate",
    "ResumePlan",
    "RetentionError",
    "RetentionPlugin",
    "Route",
    "Rule",
    "Scan",
    "SearchReport",
    "SearchRequest",
    "Session",
    "SessionClass",
    "SessionGone",
    "SessionMetadata",
    "Settings",
    "SettingsError",
    "Step",
    "Store",
    "StoreFiles",
    "StoreKind",
    "StoreUnreadable",
    "SweepReport",
    "SweepRunning",
    "Tier",
    "Unknown",
    "UnsupportedPlatform",
    "UsageError",
    "VaultDamaged",
    "VaultUnwritable",
    "add_commands",
    "export_sessions",
    "find_home",
    "folder_files",
    "hookimpl",
    "load_settings",
    "open_home",
    "plugin_manager",
    "preview",
    "regex_query",
    "restore_sessions",
    "run",
    "search",
    "sweep",
    "text_query",
    "undo",
    "undoable_sweeps",
]

_MODULES = {
    "hermes_retention.home.open": ("open_home",),
    "hermes_retention.home.find": ("find_home",),
    "hermes_retention.home.home": ("Home",),
    "hermes_retention.actions.sweep.sweep": ("preview", "sweep"),
    "hermes_retention.actions.sweep.report": ("SweepReport",),
    "hermes_retention.actions.restore.restore": (
        "RestoreReport",
        "export_sessions",
        "restore_sessions",
        "undo",
        "undoable_sweeps",
    ),
    "hermes_retention.actions.inspect.search.find": ("SearchReport", "SearchRequest", "search"),
    "hermes_retention.actions.inspect.search.query": ("regex_query", "text_query"),
    "hermes_retention.settings.load": ("Settings", "load_settings"),
    "hermes_retention.policy.lifecycle": ("Lifecycle", "OnReset", "Policy"),
    "hermes_retention.model.session": (
        "Artifact",
        "ArtifactKind",
        "Record",
        "Route",
        "Session",
        "SessionClass",
        "Unknown",
    ),
    "hermes_retention.model.plan": ("Action", "Plan", "Rule", "Step", "Tier"),
    "hermes_retention.hookspecs": ("Location", "hookimpl"),
    "hermes_retention.plugins": ("plugin_manager",),
    "hermes_retention.policy.caps": ("Alert", "Cap", "CapAction", "Reaction"),
    "hermes_retention.stores.base": ("Folder", "Scan", "SessionMetadata", "Store", "StoreFiles", "StoreKind"),
    "hermes_retention.stores.files": ("folder_files",),
    "hermes_retention.disk.directories": ("Directory",),
    "hermes_retention.gateway.plugin": ("RetentionPlugin",),
    "hermes_retention.gateway.host": ("HostGateway",),
    "hermes_retention.policy.resume": ("ResumeCandidate", "ResumePlan"),
    "hermes_retention.cli": ("add_commands", "run"),
    "hermes_retention.model.errors": (
        "ArtifactChanged",
        "ArtifactUnreadable",
        "ArtifactVanished",
        "ExitCode",
        "LedgerUnusable",
        "RestoreConflict",
        "RetentionError",
        "SessionGone",
        "SettingsError",
        "StoreUnreadable",
        "SweepRunning",
        "UnsupportedPlatform",
        "UsageError",
        "VaultDamaged",
        "VaultUnwritable",
    ),
}
"""Where each name lives, for when the program runs; the imports above tell tools the same."""


def __getattr__(name: str) -> object:
    """The object behind a name of ``__all__``; the module that it lives in is loaded."""
    for module, names in _MODULES.items():
        if name in names:
            from importlib import import_module

            found: object = getattr(import_module(module), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
