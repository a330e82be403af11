"""The one place where a home is opened: store, defaults of its layout, settings, plugins and workspace.

Whoever needs a home, at whatever edge, gets it here, so that all of them see the same one. A layout that is
not served is named and left alone. What must not live here: which home is meant (``find``), and what is done
with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from hermes_retention.home.find import STORES
from hermes_retention.model.errors import RetentionError, StoreUnreadable, UsageError
from hermes_retention.settings.fields import OPENCLAW_DEFAULTS, SettingPath
from hermes_retention.settings.load import Settings, default_settings, load_settings
from hermes_retention.stores.layouts import Layout, detect, layouts_in

if TYPE_CHECKING:
    from hermes_retention.home.home import Home
    from hermes_retention.plugins import Extensions, StoreOffer
    from hermes_retention.stores.base import SessionCounter, Store

Offers: TypeAlias = "Callable[[], Sequence[StoreOffer]]"
"""Gives the layouts that plugins serve. Asked only when it matters: it loads them."""
_AGENTS = "agents"
"""What every OpenClaw home has. By its name, for the modules of that layout are loaded for its homes only."""


def _installed() -> Extensions:
    from hermes_retention.plugins import installed_extensions

    return installed_extensions()


class HomeLoader:
    """A home that is about to be opened. Each part is read once, when it is asked for first."""

    def __init__(
        self,
        path: Path,
        *,
        store: str = "auto",
        environ: Mapping[str, str] | None = None,
        extensions: Callable[[], Extensions] = _installed,
        settings: Settings | None = None,
    ) -> None:
        """``store`` names the layout; ``auto`` looks.

        Settings come from ``environ``, that of this process unless it is given, and from the files of the
        home, unless ``settings`` are given. ``extensions`` are those of all installed plugins by default.
        """
        self.path, self._wanted, self._ask = path, store, extensions
        self._environ = os.environ if environ is None else environ
        self._given = settings

    @cached_property
    def settings(self) -> Settings:
        """The settings. Raises ``SettingsError``, and ``UsageError`` for a store that nobody knows."""
        settings = self._unasked_settings
        if self._wanted not in STORES:  # a slip must not show the defaults of another host
            named_offer(self._wanted, self._offers())
        return settings

    @cached_property
    def store(self) -> Store:
        """The store of the home. Raises ``StoreUnreadable`` when nobody serves its layout."""
        return open_store(
            self.path,
            self._wanted,
            offers=self._offers,
            cache_max_bytes=lambda: self.settings.values.index.cache_max_bytes,
        )

    @cached_property
    def home(self) -> Home:
        """The opened home. Raises as ``store`` and ``settings`` do. Nothing is written."""
        from hermes_retention.home.home import Home
        from hermes_retention.home.workspace import Workspace

        store, settings = self.store, self.settings
        return Home(
            store,
            Workspace(store.home),
            settings.policy(),
            self._extensions,
            mode=settings.values.mode,
            metrics_file=settings.values.metrics_file,
        )

    def settings_with(self, changes: Mapping[str, str]) -> Settings:
        """What would hold with these variables in the environment. Raises ``SettingsError``."""
        return load_settings(self.path, {**self._environ, **changes}, defaults=self._defaults)

    def on_defaults(self) -> HomeLoader:
        """The same home with nothing but defaults, for whoever must look although the settings are wrong."""
        defaults = default_settings(self._defaults)
        return HomeLoader(self.path, store=self._wanted, extensions=self._ask, settings=defaults)

    def holds_sessions(self) -> bool:
        """Whether there is anything that we or a plugin could look after: a new home is empty at first."""
        return bool(layouts_in(self.path)) or any(it.recognises(self.path) for it in self._offers())

    def counter(self) -> SessionCounter:
        """What looks at how large sessions grow, also in a home in which nothing lies yet. Opens nothing."""
        if _layout_of(self.path, self._wanted) is Layout.OPENCLAW:
            return _openclaw_store(self.path, lambda: self.settings.values.index.cache_max_bytes).counter()
        return _hermes_store(self.path).counter()

    @cached_property
    def _unasked_settings(self) -> Settings:
        """The settings before anybody asked whether there is such a store."""
        if self._given is not None:
            return self._given
        return load_settings(self.path, self._environ, defaults=self._defaults)

    @cached_property
    def _extensions(self) -> Extensions:
        return self._ask()

    @property
    def _defaults(self) -> Mapping[SettingPath, str]:
        return OPENCLAW_DEFAULTS if _layout_of(self.path, self._wanted) is Layout.OPENCLAW else {}

    def _offers(self) -> Sequence[StoreOffer]:
        return self._extensions.store_offers(self._unasked_settings)


def open_home(
    path: Path,
    *,
    store: str = "auto",
    environ: Mapping[str, str] | None = None,
    extensions: Callable[[], Extensions] = _installed,
) -> Home:
    """The home at ``path``, with all that belongs to it, as ``HomeLoader`` joins it. Nothing is written.

    Raises ``StoreUnreadable`` when nobody serves its layout, ``SettingsError`` when settings are wrong, and
    ``UsageError`` for a ``store`` that nobody knows.
    """
    return HomeLoader(path, store=store, environ=environ, extensions=extensions).home


def _layout_of(home: Path, wanted: str) -> Layout:
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
    if wanted == "hermes":
        return _hermes_store(home)
    found = layouts_in(home)
    if wanted == "auto" and not found:
        offer = _recognising(home, offers()) or _swept_before(home, offers)
        if offer is not None:
            return offer.open(home)
        from hermes_retention.home.workspace import FOLDER

        if (home / FOLDER).is_dir():
            # Nothing is left in it but what was archived: that must stay within reach.
            return _openclaw_store(home, None) if (home / _AGENTS).is_dir() else _hermes_store(home)
    if wanted == "openclaw" and not found & {Layout.OPENCLAW, Layout.OPENCLAW_SQLITE}:
        raise StoreUnreadable(
            str(home),
            "no OpenClaw sessions lie there",
            consequence="nothing was read or changed",
            cure="Name the home with --home DIR or OPENCLAW_STATE_DIR; by default it is ~/.openclaw.",
        )
    layout = detect(home) if wanted == "auto" or Layout.OPENCLAW_SQLITE in found else Layout.OPENCLAW
    if layout is Layout.OPENCLAW:
        return _openclaw_store(home, cache_max_bytes)
    return _hermes_store(home)


def _hermes_store(home: Path) -> Store:
    from hermes_retention.stores.hermes.store import HermesStore

    return HermesStore(home)


def _openclaw_store(home: Path, cache_max_bytes: Callable[[], int] | None) -> Store:
    from hermes_retention.stores.openclaw.index import CACHE_MAX_BYTES
    from hermes_retention.stores.openclaw.store import OpenClawStore

    limit = CACHE_MAX_BYTES if cache_max_bytes is None else cache_max_bytes()
    return OpenClawStore(home, cache_max_bytes=limit)


def named_offer(name: str, offers: Sequence[StoreOffer]) -> StoreOffer:
    """What ``--store NAME`` means. Raises ``UsageError`` with the names that there are."""
    for offer in offers:
        if offer.kind.name == name:
            return offer
    known = ", ".join([*STORES, *(it.kind.name for it in offers)])
    raise UsageError(
        f"--store {name}",
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
            str(home),
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
        str(home),
        f"it was swept as a {name} home, and no plugin that is installed here serves those",
        consequence="nothing was read or changed",
        cure="Install that plugin again. Until then, 'restore --to' with --store hermes reaches the archive.",
    )


def _last_store(home: Path) -> str | None:
    """What the ledger says; ``None`` also when it cannot be read, which others complain of."""
    from hermes_retention.home.ledger import STORE
    from hermes_retention.home.workspace import Workspace

    workspace = Workspace(home)
    try:
        workspace.check()
        return workspace.ask_ledger(lambda ledger: ledger.fact(STORE), None)
    except (RetentionError, OSError):
        return None


def _is_openclaw(home: Path) -> bool:
    found = layouts_in(home)
    return found == {Layout.OPENCLAW} or (not found and (home / _AGENTS).is_dir())
