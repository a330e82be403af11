"""Which home is meant, and which store it holds. A layout that is not served is named and left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from hermes_retention.home.layouts import STORES
from hermes_retention.home.ledger import STORE
from hermes_retention.home.workspace import FOLDER, Workspace
from hermes_retention.model.errors import RetentionError, StoreUnreadable, UsageError
from hermes_retention.model.text import printable
from hermes_retention.plugins import StoreOffer
from hermes_retention.stores.base import SessionCounter, Store
from hermes_retention.stores.hermes.detect import Layout, detect, layouts_in
from hermes_retention.stores.hermes.store import HermesStore
from hermes_retention.stores.openclaw.agents import AGENTS
from hermes_retention.stores.openclaw.index_file import CACHE_MAX_BYTES
from hermes_retention.stores.openclaw.store import OpenClawStore

_OTHER_HOMES = (
    ("OPENCLAW_STATE_DIR", "~/.openclaw"),
    ("CLAWDBOT_STATE_DIR", "~/.clawdbot"),
    ("MOLTBOT_STATE_DIR", "~/.moltbot"),
)
"""Where OpenClaw and what it was called before keep their state: variable and default."""

Offers: TypeAlias = Callable[[], Sequence[StoreOffer]]
"""Gives the layouts that plugins serve. Asked only when it matters: it loads them."""


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


def layout_of(home: Path, wanted: str) -> Layout:
    """The layout of which the settings have their defaults. Raises nothing: ``open_store`` does."""
    if wanted == "auto":
        return Layout.OPENCLAW if _is_openclaw(home) else Layout.HERMES
    return Layout.OPENCLAW if wanted == "openclaw" else Layout.HERMES


def no_offers() -> Sequence[StoreOffer]:
    """Where no plugins are asked."""
    return ()


def open_store(
    home: Path, wanted: str, *, offers: Offers = no_offers, cache_max_bytes: Callable[[], int] | None = None
) -> Store:
    """The store of ``home``. Raises ``StoreUnreadable`` for a layout that the host looks after itself.

    ``UsageError`` is for a ``wanted`` that neither we nor a plugin know, and for a home of two layouts.
    Of an OpenClaw home no index of more than ``cache_max_bytes()`` is kept in memory; other homes do not ask.
    """
    if wanted not in STORES:
        return named_offer(wanted, offers()).open(home)
    found = layouts_in(home)
    if wanted == "hermes":
        return HermesStore(home)
    if wanted == "auto" and not found:
        offer = _recognising(home, offers()) or _swept_before(home, offers)
        if offer is not None:
            return offer.open(home)
        if (home / FOLDER).is_dir():
            # Nothing is left in it but what was archived: that must stay within reach.
            return OpenClawStore(home) if (home / AGENTS).is_dir() else HermesStore(home)
    if wanted == "openclaw" and not found & {Layout.OPENCLAW, Layout.OPENCLAW_SQLITE}:
        raise StoreUnreadable(
            printable(str(home)),
            "no OpenClaw sessions lie there",
            consequence="nothing was read or changed",
            cure="Name the home with --home DIR or OPENCLAW_STATE_DIR; by default it is ~/.openclaw.",
        )
    layout = detect(home) if wanted == "auto" or Layout.OPENCLAW_SQLITE in found else Layout.OPENCLAW
    if layout is Layout.OPENCLAW:
        limit = CACHE_MAX_BYTES if cache_max_bytes is None else cache_max_bytes()
        return OpenClawStore(home, cache_max_bytes=limit)
    return HermesStore(home)


def session_counter(home: Path) -> SessionCounter:
    """What looks at how large sessions grow, also in a home in which nothing lies yet. Opens nothing yet."""
    store = OpenClawStore(home) if layout_of(home, "auto") is Layout.OPENCLAW else HermesStore(home)
    return store.counter()


def named_offer(name: str, offers: Sequence[StoreOffer]) -> StoreOffer:
    """What ``--store NAME`` means. Raises ``UsageError`` with the names that there are."""
    for offer in offers:
        if offer.kind.name == name:
            return offer
    known = ", ".join([*STORES, *(it.kind.name for it in offers)])
    raise UsageError(
        f"--store {printable(name)}",
        "there is no such store",
        consequence="nothing was read or changed",
        cure=f"Known are {known}. Others come with plugins, which have to be installed here.",
    )


def _recognising(home: Path, offers: Sequence[StoreOffer]) -> StoreOffer | None:
    """The one layout of plugins that ``home`` has. Raises ``UsageError`` when it could be two."""
    fitting = [it for it in offers if it.recognises(home)]
    if len(fitting) > 1:
        names = " and ".join(f"{it.kind.name} (plugin {it.plugin})" for it in fitting)
        raise UsageError(
            printable(str(home)),
            f"it is recognised as a home of {names}",
            consequence="nothing was read or changed",
            cure="Say which one is meant with --store.",
        )
    return fitting[0] if fitting else None


def _swept_before(home: Path, offers: Offers) -> StoreOffer | None:
    """The layout of a plugin through which ``home`` was swept, though nothing shows it any more.

    Raises ``StoreUnreadable`` when that plugin is gone: another store would put files back where the host
    does not look for them.
    """
    name = _last_store(home)
    if name is None or name in STORES:
        return None
    for offer in offers():
        if offer.kind.name == name:
            return offer
    raise StoreUnreadable(
        printable(str(home)),
        f"it was swept as a {printable(name)} home, and no plugin that is installed here serves those",
        consequence="nothing was read or changed",
        cure="Install that plugin again. Until then, 'restore --to' with --store hermes reaches the archive.",
    )


def _last_store(home: Path) -> str | None:
    """What the ledger says; ``None`` also when it cannot be read, which others complain of."""
    workspace = Workspace(home)
    try:
        workspace.check()
        ledger = workspace.ledger_if_any()
        if ledger is None:
            return None
        with ledger:
            return ledger.fact(STORE)
    except (RetentionError, OSError):
        return None


def _is_openclaw(home: Path) -> bool:
    found = layouts_in(home)
    return found == {Layout.OPENCLAW} or (not found and (home / AGENTS).is_dir())


def _other_homes(environ: Mapping[str, str]) -> Iterator[Path]:
    """Those that exist: first what a variable names, then where one usually is, the newest name first."""
    named = [environ[variable] for variable, _ in _OTHER_HOMES if environ.get(variable)]
    for home in map(_expanded, [*named, *(usual for _, usual in _OTHER_HOMES)]):
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
