"""How a home is doing: its sessions, what is due, the vault, the last sweeps, and what a person should know.

What must not live here: output.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hermes_retention.actions.inspect.stats import WINDOW_DAYS, Growth, Picture, measure_growth, take_picture
from hermes_retention.actions.sweep.mode import SweepMode, noted_mode
from hermes_retention.actions.sweep.spot_check import LAST_DRILL, Drill, noted_drill
from hermes_retention.archive.vault import VaultSummary
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import SweepRow
from hermes_retention.home.queue import Pending
from hermes_retention.model.errors import VaultDamaged
from hermes_retention.model.session import Usage
from hermes_retention.policy.decide import decide
from hermes_retention.stores.base import DatabaseSpace, HostSetting

_LAST_SWEEPS = 5
LARGE = 20_000
"""Sessions from which on a home is not looked through once more where a sweep has left a picture."""
NEVER_LARGE = 2**62
"""For ``take_status``: look through the home, however many sessions there are."""


class Look(msgspec.Struct, frozen=True):
    """What the ledger remembers. An empty one stands for a home without a ledger."""

    sweeps: tuple[SweepRow, ...] = ()
    """All of them, newest first."""
    mode: SweepMode = SweepMode()
    pictures: tuple[Picture, ...] = ()
    """Those of the last 30 days, oldest first."""
    newest: Picture | None = None
    pending: tuple[Pending, ...] = ()
    drill: Drill | None = None


class Status(msgspec.Struct, frozen=True):
    """The state of a home. Sizes are bytes that the file system allocates."""

    home: str
    store: str
    picture: Picture
    """What lies in the store and what is due."""
    is_fresh: bool
    """Whether the picture was taken for this; else it is the one that the last sweep of a large home left."""
    mode: SweepMode
    """What sweeps may do, and when the next one comes."""
    usage: Usage
    growth: Growth
    vault: VaultSummary | None
    """``None`` when a partition cannot be read."""
    vault_damage: VaultDamaged | None
    sweeps: tuple[SweepRow, ...]
    """The last ones, newest first."""
    holds: int
    drill: Drill | None
    """The last restore drill; ``None`` when there was none."""
    database: DatabaseSpace | None
    """How full the host's own database is; ``None`` when there is none."""
    host_settings: tuple[HostSetting, ...]
    """What of the host's own configuration matters here."""
    warnings: tuple[str, ...]
    pending: tuple[Pending, ...] = ()
    """What hooks announced and no sweep has seen to yet, oldest first."""


def take_status(home: Home, *, now: float, large: int = LARGE) -> Status:
    """The state of ``home``. Reads only.

    A home of at least ``large`` sessions is shown as the last sweep left it, if one kept a picture. Raises
    ``StoreUnreadable`` when the store cannot be read, ``RetentionError`` when the ledger cannot.
    """
    home.workspace.check()
    look = look_into_ledger(home, now=now)
    newest = look.newest
    is_fresh = newest is None or newest.sessions < large
    picture = newest if newest is not None and not is_fresh else _fresh_picture(home, now=now)
    usage = picture.usage if is_fresh else home.usage(sessions_bytes=picture.usage.sessions_bytes)
    vault, damage = _vault(home)
    return Status(
        home=str(home.path),
        store=home.store.name,
        picture=picture,
        is_fresh=is_fresh,
        mode=look.mode,
        usage=usage,
        growth=growth_of(home, look, picture, usage, now=now),
        vault=vault,
        vault_damage=damage,
        sweeps=look.sweeps[:_LAST_SWEEPS],
        pending=look.pending,
        holds=picture.holds,
        drill=look.drill,
        database=home.store.database_space(),
        host_settings=tuple(home.store.host_settings()),
        warnings=(*picture.warnings, *home.store.host_warnings()),
    )


def growth_of(home: Home, look: Look, picture: Picture, usage: Usage, *, now: float) -> Growth:
    """How fast the home grew over the last 30 days, archived things included."""
    archived = home.workspace.vault.written(days=WINDOW_DAYS, now=now)
    written = [sum(sizes) for sizes in zip(picture.written, archived, strict=True)]
    return measure_growth(look.sweeps, look.pictures, written, usage, now=now)


def look_into_ledger(home: Home, *, now: float, days: float = WINDOW_DAYS) -> Look:
    """What the ledger remembers, with the pictures of the last ``days``."""
    ledger = home.workspace.ledger_if_any()
    if ledger is None:
        return Look(mode=SweepMode(home.mode))
    with ledger:
        newest = ledger.newest_picture()
        return Look(
            sweeps=tuple(ledger.sweeps()),
            mode=noted_mode(ledger, home.mode, now=now),
            pictures=_decoded(ledger.pictures(since=now - days * 86400)),
            pending=tuple(ledger.queue.lines()),
            drill=noted_drill(ledger.fact(LAST_DRILL)),
            newest=None if newest is None else next(iter(_decoded([newest])), None),
        )


def _decoded(contents: Sequence[str]) -> tuple[Picture, ...]:
    """The pictures that this version understands: one of a newer version may differ, and is no loss."""
    decoder = msgspec.json.Decoder(Picture)
    found = []
    for content in contents:
        try:
            found.append(decoder.decode(content))
        except msgspec.MsgspecError:
            continue
    return tuple(found)


def _fresh_picture(home: Home, *, now: float) -> Picture:
    inventory = home.take_inventory(now=now)
    return take_picture(inventory, decide(inventory, home.policy, now=now))


def _vault(home: Home) -> tuple[VaultSummary | None, VaultDamaged | None]:
    try:
        return home.workspace.vault.summary(), None
    except VaultDamaged as error:
        return None, error
