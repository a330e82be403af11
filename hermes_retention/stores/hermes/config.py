"""How a Hermes home and the host beside us are set up: configuration, version, and whether the plugin is on.

All is read, never written, and nothing is started. Unlike the files of sessions, the configuration may be a
symbolic link: people keep it among their dotfiles. What must not live here: sessions, and the vault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.text import printable, words
from hermes_retention.stores.base import Finding, HostPrune, HostSetting, Level
from hermes_retention.stores.files import decode
from hermes_retention.stores.hermes.pruning import (
    HOST,
    INTERVAL_HOURS,
    RETENTION_DAYS,
    is_on_by_default,
    managed_configuration,
)

_SETTINGS = (
    (("sessions", "auto_prune"), "false", "whether the host deletes sessions by itself"),
    (("sessions", "retention_days"), "90", "after how many days, if it does"),
    (("sessions", "min_interval_hours"), "24", "how many hours lie between two times"),
    (
        ("sessions", "write_json_snapshots"),
        "false since 0.15",
        "whether every session gets a file",
    ),
    (("session_reset", "mode"), "none in 0.19", "when a chat goes on in a new session by itself"),
    (("gateway", "multiplex_profiles"), "false", "whether one gateway serves several homes"),
)
"""Names, what the host does without them, and what they mean here."""


def served_together(home: Path) -> list[Path]:
    """``home``, and the one above it when it is a profile: one gateway may serve both."""
    return [home, home.parent.parent] if home.parent.name == "profiles" else [home]


def other_sessions_directory(home: Path) -> Path | None:
    """Where the gateway keeps its index and transcripts when its ``gateway.json`` names another directory.

    Snapshots stay below the home all the same. Raises ``StoreUnreadable`` when the directory depends on where
    the gateway was started: then nobody knows what is routed. A file that the host ignores is ignored.
    """
    path = home / "gateway.json"
    try:
        settings = decode(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError):
        return None
    named = settings.get("sessions_dir") if isinstance(settings, dict) else None
    if not isinstance(named, str) or not named or "\0" in named:
        return None
    directory = Path(named)
    if not directory.is_absolute():
        raise StoreUnreadable(
            str(path),
            f"its sessions_dir ({named}) is relative to wherever the gateway was started",
            consequence="nobody knows what is routed, so nothing was removed",
            cure="Write it as an absolute path, or remove it to have everything below the home.",
        )
    directory = directory.resolve()
    return None if directory == home / "sessions" else directory


def warnings_about(home: Path) -> list[str]:
    """Settings of the host that work against retention, one line each with its cure."""
    for path in (home / "config.yaml", managed_configuration() or home / "config.yaml"):
        try:
            _sessions(path)
        except OSError as error:
            return [_unread(path, words(error))]
        except ValueError as error:
            return [_unread(path, str(error))]
    prune = prune_of(home)
    if prune is None:
        return []
    cure = "Turn it off with `hermes config set sessions.auto_prune false`."
    return [f"{printable(str(home / 'config.yaml'))}: {prune_words(prune)}. {cure}"]


def prune_words(prune: HostPrune) -> str:
    """What the host deletes by itself, and when."""
    return (
        f"{prune.why}, so the host deletes sessions before they can be archived: those that have ended and "
        f"were idle for {_number(prune.retention_days)} days, whenever it starts and while a gateway runs, "
        f"once in {_number(prune.interval_hours)} hours"
    )


def prune_of(home: Path) -> HostPrune | None:
    """Whether the host of ``home`` deletes sessions by itself, and which; ``None`` when it does not.

    The administrator's configuration wins over the user's, and where neither says anything the host's own
    default holds. A file that cannot be read may say anything: then it is taken for on.
    """
    told: dict[str, object] = {}
    is_readable = True
    for path in (home / "config.yaml", managed_configuration()):
        try:
            told.update({} if path is None else _sessions(path))
        except (OSError, ValueError):
            is_readable = False
    if not is_readable:
        is_on, why = True, "sessions.auto_prune may be on"
    elif "auto_prune" in told:
        is_on, why = bool(told["auto_prune"]), "sessions.auto_prune is on"
    else:
        is_on, how = is_on_by_default(home)
        why = f"sessions.auto_prune is on {how}"
    if not is_on:
        return None
    return HostPrune(
        why,
        retention_days=_amount(told.get("retention_days"), RETENTION_DAYS),
        interval_hours=_amount(told.get("min_interval_hours"), INTERVAL_HOURS),
    )


def _sessions(path: Path) -> dict[str, object]:
    """The section ``sessions`` of a configuration. Raises ``OSError``, or ``ValueError`` for no YAML."""
    settings = parse_yaml(path.read_bytes()) if path.is_file() else None
    sessions = settings.get("sessions") if isinstance(settings, dict) else None
    return sessions if isinstance(sessions, dict) else {}


def _amount(value: object, default: float) -> float:
    """A number as the host takes it: whole, and the default where it is none."""
    try:
        return float(int(value))  # type: ignore[call-overload]  # whatever it is, the next line answers it
    except (TypeError, ValueError, OverflowError):
        return default


def _number(value: float) -> str:
    return f"{value:g}"


def settings_of(home: Path) -> list[HostSetting]:
    """What ``config.yaml`` and the administrator's say, or the host's defaults; empty when unreadable."""
    path = home / "config.yaml"
    try:
        content = parse_yaml(path.read_bytes()) if path.is_file() else {}
        managed = managed_configuration()
        told = {} if managed is None else _sessions(managed)
    except (OSError, ValueError):
        return []  # ``warnings_about`` says so
    found = []
    for names, usual, why in _SETTINGS:
        value = content
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        section, name = names
        if section == "sessions":
            value = told.get(name, value)
        default = _shown(is_on_by_default(home)[0]) if name == "auto_prune" else None
        found.append(HostSetting(".".join(names), _shown(value), default or usual, why))
    return found


def _shown(value: object) -> str | None:
    """A single value as YAML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return printable(str(value)) if isinstance(value, str | int | float) else None


def parse_yaml(content: bytes) -> object:
    """The document in ``content``. Raises ``ValueError`` when it is not YAML."""
    import yaml  # most commands never come here

    try:
        parsed: object = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError("it is not valid YAML") from error
    return parsed


def _unread(path: Path, why: str) -> str:
    return (
        f"{printable(str(path))}: {why}; whether the host prunes sessions by itself is unknown. "
        "Check sessions.auto_prune in it."
    )


PLUGIN = "hermes-retention"
OLDEST, NEWEST = (0, 13), (0, 19)
"""The versions of the host that are tested."""
_GROUP = "hermes_agent.plugins"


def checkup(home: Path) -> Iterator[Finding]:
    """What can be told of the host of ``home``, and of the profiles below it."""
    version = _installed(HOST)
    yield _version(version)
    yield _configuration(home)
    if version is not None and any(point.name == PLUGIN for point in metadata.entry_points(group=_GROUP)):
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
