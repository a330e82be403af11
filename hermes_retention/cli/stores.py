"""Which home is meant, and which store it holds. A layout that is not served is named and left alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from hermes_retention.errors import StoreUnreadable, UsageError
from hermes_retention.names import printable
from hermes_retention.stores.base import Store
from hermes_retention.stores.hermes.detect import Layout, detect, layouts_in
from hermes_retention.stores.hermes.store import HermesStore
from hermes_retention.workspace import FOLDER

_OTHER_HOMES = (
    ("OPENCLAW_STATE_DIR", "~/.openclaw"),
    ("CLAWDBOT_STATE_DIR", "~/.clawdbot"),
    ("MOLTBOT_STATE_DIR", "~/.moltbot"),
)
"""Where OpenClaw and what it was called before keep their state: variable and default."""


def find_home(named: str | None, wanted: str, environ: Mapping[str, str]) -> Path:
    """The home that is meant. Raises ``UsageError`` when there is no such directory."""
    if named is not None:
        return _directory(named)
    if environ.get("HERMES_HOME") and wanted != "openclaw":
        return _directory(environ["HERMES_HOME"])
    usual = _expanded("~/.hermes")
    others = list(_other_homes(environ))
    if others and (wanted == "openclaw" or (wanted == "auto" and not usual.is_dir())):
        return others[0]
    return _directory(str(usual))


def open_store(home: Path, wanted: str) -> Store:
    """The store of ``home``. Raises ``StoreUnreadable`` for a layout that this version does not serve."""
    if wanted == "auto" and not layouts_in(home) and (home / FOLDER).is_dir():
        return HermesStore(home)  # nothing is left in it but what was archived: that must stay within reach
    layout = detect(home) if wanted == "auto" else _asked_for(home, wanted)
    if layout is not Layout.HERMES:
        raise StoreUnreadable(
            printable(str(home)),
            "it holds OpenClaw sessions, which this version of hermes-retention does not serve yet",
            consequence="nothing was read or changed",
            cure="OpenClaw's own `openclaw sessions cleanup` looks after them.",
        )
    return HermesStore(home)


def _asked_for(home: Path, wanted: str) -> Layout:
    if wanted == "hermes":
        return Layout.HERMES
    if layouts_in(home) & {Layout.OPENCLAW, Layout.OPENCLAW_SQLITE}:
        return Layout.OPENCLAW
    raise StoreUnreadable(
        printable(str(home)),
        "no OpenClaw sessions lie there, and this version of hermes-retention does not serve them yet",
        consequence="nothing was read or changed",
    )


def _other_homes(environ: Mapping[str, str]) -> Iterator[Path]:
    for variable, usual in _OTHER_HOMES:
        home = _expanded(environ.get(variable) or usual)
        if home.is_dir():
            yield home


def _directory(named: str) -> Path:
    home = _expanded(named)
    if home.is_dir():
        return home
    raise UsageError(
        printable(str(home)),
        "it is not a directory" if home.exists() else "there is no such directory",
        consequence="nothing was read or changed",
        cure="Name the host's home with --home DIR or HERMES_HOME.",
    )


def _expanded(named: str) -> Path:
    try:
        return Path(named).expanduser()
    except RuntimeError as error:
        raise UsageError(
            printable(named),
            "nobody knows where that user's home directory is",
            consequence="nothing was read",
        ) from error
