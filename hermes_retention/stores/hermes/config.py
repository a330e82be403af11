"""What the host's own configuration says that matters to retention. It is read, never written.

Unlike the files of sessions, these may be symbolic links: people keep them among their dotfiles.
"""

from __future__ import annotations

from pathlib import Path

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.text import printable, words
from hermes_retention.stores.base import HostSetting
from hermes_retention.stores.hermes.documents import decode

_SETTINGS = (
    (("sessions", "auto_prune"), "false", "whether the host deletes sessions by itself"),
    (("sessions", "retention_days"), "90", "after how many days, if it does"),
    (
        ("sessions", "write_json_snapshots"),
        "false since 0.15",
        "whether every session gets a file",
    ),
    (("session_reset", "mode"), "none in 0.19", "when a chat goes on in a new session by itself"),
    (("gateway", "multiplex_profiles"), "false", "whether one gateway serves several homes"),
)
"""Names, what the host does without them, and what they mean here."""


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
            printable(str(path)),
            f"its sessions_dir ({printable(named)}) is relative to wherever the gateway was started",
            consequence="nobody knows what is routed, so nothing was removed",
            cure="Write it as an absolute path, or remove it to have everything below the home.",
        )
    directory = directory.resolve()
    return None if directory == home / "sessions" else directory


def warnings_about(home: Path) -> list[str]:
    """Settings in ``config.yaml`` that work against retention, one line each with its cure."""
    path = home / "config.yaml"
    try:
        settings = parse_yaml(path.read_bytes()) if path.is_file() else None
    except OSError as error:
        return [_unread(path, words(error))]
    except ValueError as error:
        return [_unread(path, str(error))]
    sessions = settings.get("sessions") if isinstance(settings, dict) else None
    if isinstance(sessions, dict) and sessions.get("auto_prune"):
        why = "sessions.auto_prune is on, so the host deletes sessions before they can be archived"
        cure = "Turn it off with `hermes config set sessions.auto_prune false`."
        return [f"{printable(str(path))}: {why}. {cure}"]
    return []


def settings_of(home: Path) -> list[HostSetting]:
    """What ``config.yaml`` says, or else the host's defaults; empty when the file cannot be read."""
    path = home / "config.yaml"
    try:
        content = parse_yaml(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError):
        return []  # ``warnings_about`` says so
    found = []
    for names, default, why in _SETTINGS:
        value = content
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        found.append(HostSetting(".".join(names), _shown(value), default, why))
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
