"""How a Hermes home and the host beside us are set up: version, configuration, and whether the plugin is on.

Everything is read, nothing is started. What must not live here: sessions, and the vault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from hermes_retention.model.text import printable, words
from hermes_retention.stores.base import Finding, Level
from hermes_retention.stores.hermes.config import parse_yaml, warnings_about

HOST = "hermes-agent"
PLUGIN = "hermes-retention"
OLDEST, NEWEST = (0, 13), (0, 19)
"""The versions of the host that are tested."""
_GROUP = "hermes_agent.plugins"


def checkup(home: Path) -> Iterator[Finding]:
    """What can be told of the host of ``home``, and of the profiles below it."""
    version = _installed(HOST)
    yield _version(version)
    yield _configuration(home)
    if version is not None and any(it.name == PLUGIN for it in metadata.entry_points(group=_GROUP)):
        for one in (home, *_profiles(home)):
            yield _plugin(one)


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _version(version: str | None) -> Finding:
    if version is None:
        return Finding(
            "host version",
            Level.NOTE,
            f"{HOST} is not installed in this environment, so no plugin runs in the gateway from here",
            "Sweep from a timer, or install hermes-retention into the gateway's environment.",
        )
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if OLDEST <= numbers <= NEWEST:
        return Finding("host version", Level.GOOD, f"{HOST} {version}")
    oldest, newest = (".".join(map(str, one)) for one in (OLDEST, NEWEST))
    return Finding(
        "host version",
        Level.WARNING,
        f"{HOST} {version} is not among the versions that were tested ({oldest} to {newest})",
        "Look for a newer hermes-retention; what is not understood is kept meanwhile.",
    )


def _configuration(home: Path) -> Finding:
    warnings = warnings_about(home)
    if not warnings:
        return Finding("host configuration", Level.GOOD, "nothing in config.yaml works against retention")
    what, _, cure = warnings[0].partition(". ")
    return Finding("host configuration", Level.WARNING, what, cure)


def _plugin(home: Path) -> Finding:
    path = home / "config.yaml"
    where = printable(str(path))
    try:
        settings = parse_yaml(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError) as error:
        why = words(error) if isinstance(error, OSError) else str(error)
        return Finding("plugin", Level.WARNING, f"{where}: {why}", "Mend the file.")
    plugins = settings.get("plugins") if isinstance(settings, dict) else None
    enabled = plugins.get("enabled") if isinstance(plugins, dict) else None
    if isinstance(enabled, list) and PLUGIN in enabled:
        return Finding("plugin", Level.GOOD, f"enabled in {where}")
    return Finding(
        "plugin",
        Level.NOTE,
        f"not enabled in {where}: this home is swept only when somebody runs a sweep",
        "Run `hermes plugins enable hermes-retention --no-allow-tool-override`, or sweep from a timer.",
    )


def _profiles(home: Path) -> list[Path]:
    try:
        return sorted(path for path in (home / "profiles").iterdir() if (path / "config.yaml").is_file())
    except OSError:
        return []
